// Package settings reads $RUNNER_HOME/config.yaml: what an installation is set
// to. The file is optional and so is every field; unknown fields are errors
// with their place.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/runnerml/runner/runconfig"
)

// FileName is the file's name in RUNNER_HOME.
const FileName = "config.yaml"

// Settings of an installation, with defaults filled in by Load.
type Settings struct {
	// MaxSnapshotSize is how much a source directory may hold. Default 300MiB.
	MaxSnapshotSize runconfig.Bytes `yaml:"max_snapshot_size"`
	// MaxLogSize is how much of an attempt's output is kept. Default 10GiB.
	MaxLogSize runconfig.Bytes `yaml:"max_log_size"`
	// UnreachableLimit is how long a target may be silent before its attempts
	// end as target_unreachable. Default 1d.
	UnreachableLimit runconfig.Duration `yaml:"unreachable_limit"`
	// DockerSocket of the engine to use. Default: DOCKER_HOST, the current
	// docker context, or the usual places.
	DockerSocket string `yaml:"docker_socket"`
	// BaseImages replaces the references that cpu and gpu stand for: all rows
	// of a name that is given here.
	BaseImages []environment.BaseImage `yaml:"base_images"`
	// Programs are files of this program for machines of other platforms, by
	// platform: "linux/arm64". Default: what lies beside the executable or in bin.
	Programs map[string]string `yaml:"programs"`
	// Local limits what runs may take of this computer.
	Local Local `yaml:"local"`
	// Artifacts says where outputs, logs and checkpoints of runs end. Default:
	// here, in RUNNER_HOME.
	Artifacts Artifacts `yaml:"artifacts"`
	// Prune says what machines keep of what can be made or sent again.
	Prune Prune `yaml:"prune"`
	// StorageAccounts says how accounts of Azure Storage are reached, by name:
	// where a connection string, key or SAS is (env:NAME, file:PATH,
	// secret:NAME), or "identity", or "public". An account that is not in it is
	// reached as whoever the agent is to Azure (az login, managed identity).
	StorageAccounts map[string]string `yaml:"storage_accounts"`
}

// Words in place of a reference in StorageAccounts.
const (
	// Identity: whoever the agent is to Azure.
	Identity = "identity"
	// Public: only what anybody may read.
	Public = "public"
)

// Prune is how attached machines are pruned by themselves, and how much each
// of them keeps. Sizes that are zero are no limit.
type Prune struct {
	// Every is how often; 0: never. Default 1d.
	Every runconfig.Duration `yaml:"every"`
	// OlderThan is what goes: what nobody used for so long. Default 30d.
	OlderThan       runconfig.Duration `yaml:"older_than"`
	MaxSnapshots    runconfig.Bytes    `yaml:"max_snapshots"`
	MaxEnvironments runconfig.Bytes    `yaml:"max_environments"`
	MaxImages       runconfig.Bytes    `yaml:"max_images"`
	MaxInputs       runconfig.Bytes    `yaml:"max_inputs"`
}

// Local is the share of this computer that runs may take. Zero: all of it.
type Local struct {
	CPUs   float64         `yaml:"cpus"`
	Memory runconfig.Bytes `yaml:"memory"`
}

// Load reads the settings of a RUNNER_HOME. Errors about the file's content
// are *yamlpos.Error.
func Load(home string) (*Settings, error) {
	s := &Settings{
		MaxSnapshotSize: 300 << 20, MaxLogSize: 10 << 30, UnreachableLimit: runconfig.Duration(24 * time.Hour),
		Prune: Prune{Every: runconfig.Duration(24 * time.Hour), OlderThan: runconfig.Duration(30 * 24 * time.Hour)},
	}
	path := filepath.Join(home, FileName)
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if strings.TrimSpace(string(data)) != "" {
		doc, err := yamlpos.Parse(path, data)
		if err != nil {
			return nil, err
		}
		problems := append(doc.Decode(s), doc.Place(s.problems())...)
		if err := yamlpos.ErrorOf(problems); err != nil {
			return nil, err
		}
	}
	s.BaseImages = withBuiltIn(s.BaseImages)
	return s, nil
}

// platformForm is a system and an architecture in Go's words.
var platformForm = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)

func (s *Settings) problems() []yamlpos.Problem {
	return append(s.limits(), s.Artifacts.problems()...)
}

func (s *Settings) limits() []yamlpos.Problem {
	var all []yamlpos.Problem
	wrong := func(field, what string) {
		all = append(all, yamlpos.Problem{Field: field, Message: field + " " + what})
	}
	if s.MaxSnapshotSize <= 0 {
		wrong("max_snapshot_size", "must be more than nothing")
	}
	if s.MaxLogSize < 1<<20 {
		wrong("max_log_size", "must be at least 1MiB")
	}
	if s.UnreachableLimit <= 0 {
		wrong("unreachable_limit", "must be more than nothing")
	}
	if s.Local.CPUs < 0 {
		wrong("local.cpus", "must not be negative")
	}
	if s.Local.Memory < 0 {
		wrong("local.memory", "must not be negative")
	}
	if s.Prune.Every < 0 || s.Prune.OlderThan < 0 {
		wrong("prune", "must not have negative times")
	}
	for field, size := range map[string]runconfig.Bytes{
		"max_snapshots": s.Prune.MaxSnapshots, "max_environments": s.Prune.MaxEnvironments,
		"max_images": s.Prune.MaxImages, "max_inputs": s.Prune.MaxInputs,
	} {
		if size < 0 {
			wrong("prune."+field, "must not be negative")
		}
	}
	for account, ref := range s.StorageAccounts {
		kind, _, isReference := strings.Cut(ref, ":")
		if ref != Identity && ref != Public && (!isReference || kind != "env" && kind != "file" && kind != "secret") {
			// What stands here may be the secret itself: it is not repeated.
			wrong(yamlpos.Join("storage_accounts", account), "must be env:NAME, file:PATH, secret:NAME, identity or public")
		}
	}
	for platform, file := range s.Programs {
		if !platformForm.MatchString(platform) {
			wrong(yamlpos.Join("programs", platform), "must be a platform, for example linux/arm64")
		}
		if !filepath.IsAbs(file) {
			wrong(yamlpos.Join("programs", platform), "must be an absolute path")
		}
	}
	for i, b := range s.BaseImages {
		if b.Name != "cpu" && b.Name != "gpu" {
			wrong(fmt.Sprintf("base_images[%d].name", i), "must be cpu or gpu")
		}
		if b.Reference == "" {
			wrong(fmt.Sprintf("base_images[%d].reference", i), "must name an image")
		}
	}
	return all
}

// withBuiltIn adds the built-in rows of the names that given does not have.
func withBuiltIn(given []environment.BaseImage) []environment.BaseImage {
	named := map[string]bool{}
	for _, b := range given {
		named[b.Name] = true
	}
	for _, b := range environment.BaseImages() {
		if !named[b.Name] {
			given = append(given, b)
		}
	}
	return given
}
