package settings

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/yamlpos"
)

// Artifacts says where outputs, logs and checkpoints of runs end.
type Artifacts struct {
	// Default store, by its name. Default: home, which is RUNNER_HOME.
	Default string `yaml:"default"`
	// Experiments have stores of their own.
	Experiments map[string]string `yaml:"experiments"`
	// Stores beside home: places in Azure Blob Storage by name, such as
	// azblob://ACCOUNT/CONTAINER/PREFIX. StorageAccounts says how they are reached.
	Stores map[string]string `yaml:"stores"`
}

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
		where, err := blob.ParseLocation(a.Stores[name])
		bad, isBad := errors.AsType[*blob.LocationError](err)
		switch {
		case isBad:
			wrong(field, bad.Hint, "%s", bad.What)
		case where.HasSAS():
			wrong(field, "name the account under storage_accounts, with a reference to the SAS", "the path holds a SAS, which is a secret")
		}
	}
	return all
}
