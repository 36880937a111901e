package settings

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/yamlpos"
)

// Artifacts says where outputs, logs and checkpoints of runs end.
type Artifacts struct {
	// Default store, by its name. Default: home, which is RUNNER_HOME.
	Default string `yaml:"default"`
	// Experiments have stores of their own.
	Experiments map[string]string `yaml:"experiments"`
	// Stores by name, beside home.
	Stores map[string]ArtifactStore `yaml:"stores"`
}

// ArtifactStore is one place.
type ArtifactStore struct {
	// Path in Azure Blob Storage: azblob://ACCOUNT/CONTAINER/PREFIX, or another
	// form that people have.
	Path string `yaml:"path"`
	// Credential is a reference, env:NAME or file:PATH, to a connection string, a
	// SAS or the account's key; or identity: whoever the agent is to Azure.
	// Default identity.
	Credential string `yaml:"credential"`
}

// Identity is the credential that needs no secret.
const Identity = "identity"

var storeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// home is the store that is always there.
const home = "home"

func (a Artifacts) problems() []yamlpos.Problem {
	var all []yamlpos.Problem
	wrong := func(field, hint, format string, args ...any) {
		all = append(all, yamlpos.Problem{Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)})
	}
	names := append(slices.Sorted(maps.Keys(a.Stores)), home)
	named := func(field, name string) {
		if !slices.Contains(names, name) {
			wrong(field, yamlpos.DidYouMean(name, names), "there is no artifact store %q", name)
		}
	}
	if a.Default != "" {
		named("artifacts.default", a.Default)
	}
	for _, experiment := range slices.Sorted(maps.Keys(a.Experiments)) {
		named(yamlpos.Join("artifacts.experiments", experiment), a.Experiments[experiment])
	}
	for _, name := range slices.Sorted(maps.Keys(a.Stores)) {
		field := yamlpos.Join("artifacts.stores", name)
		if name == home || !storeName.MatchString(name) {
			wrong(field, "lower-case letters, digits and dashes", "%q cannot be an artifact store's name", name)
		}
		s := a.Stores[name]
		where, err := blob.ParseLocation(s.Path)
		bad, isBad := errors.AsType[*blob.LocationError](err)
		switch {
		case isBad:
			wrong(yamlpos.Join(field, "path"), bad.Hint, "%s", bad.What)
		case where.HasSAS():
			wrong(yamlpos.Join(field, "path"), "write it to a file that only you can read, and credential: file:PATH", "the path holds a SAS, which is a secret")
		}
		if s.Credential == "" || s.Credential == Identity {
			continue
		}
		reference, err := compute.ParseReference(s.Credential)
		if _, stored := reference.Stored(); err != nil || stored || reference == compute.Given || reference == compute.None {
			wrong(yamlpos.Join(field, "credential"), "it is never written here itself", "credential is identity, env:NAME or file:PATH")
		}
	}
	return all
}
