package compute

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/runnerml/runner/internal/inventory"
)

// Kind is what a target is: a closed list.
type Kind string

// The kinds.
const (
	// Local is this computer. It is built in, under the name "local".
	Local Kind = "local"
	// SSH is a machine over SSH.
	SSH Kind = "ssh"
	// Cluster is a batch engine, spoken to on a machine over SSH or here.
	Cluster Kind = "cluster"
	// Spark is spark-submit, on a machine over SSH or here.
	Spark Kind = "spark"
)

// OnCluster reports whether targets of this kind are clusters, spoken to through
// a machine that is not what runs fill.
func (k Kind) OnCluster() bool { return k == Cluster || k == Spark }

// LocalName is the name of the target that is built in.
const LocalName = "local"

// Target is a compute target.
type Target struct {
	Name string
	Kind Kind
	// Instance: it is used as a compute instance, a machine whose queue can be
	// stopped and started.
	Instance bool
	// Config is how it is reached.
	Config Config
	// Facts are what attaching found on it.
	Facts *inventory.Inventory
	// MachineID tells machines apart, whatever their addresses; empty: it has
	// none. HostKey is the fingerprint ("SHA256:...") of its SSH server.
	MachineID, HostKey string
	AttachedAt         time.Time
	// CheckedAt is when it was last found in order; nil: not since.
	CheckedAt *time.Time
}

// Config is how a target is reached: a machine over SSH, or a cluster's login
// node. It is stored and shown as JSON
// and holds no secret.
type Config struct {
	// Address is [USER@]HOST[:PORT], or an alias of the ssh configuration; empty:
	// this computer, for a cluster.
	Address string `json:"address"`
	// Cluster is what a cluster is; nil for a machine.
	Cluster *ClusterConfig `json:"cluster,omitempty"`
	// Spark is what a Spark is; nil for all else.
	Spark *SparkConfig `json:"spark,omitempty"`
	// Identity is a private key's file; empty: those of the ssh configuration.
	Identity string `json:"identity,omitempty"`
	// Password and Passphrase are references; empty: none.
	Password   Reference `json:"password,omitempty"`
	Passphrase Reference `json:"passphrase,omitempty"`
	// Secrets are references of what else is asked for on the way, by purpose:
	// see PasswordOf and PassphraseOf.
	Secrets map[string]Reference `json:"secrets,omitempty"`
	// KnownHosts is a file of host keys; empty: those of the ssh configuration.
	KnownHosts string `json:"known_hosts,omitempty"`
	// HostKey is the fingerprint that the machine must have; empty: what the
	// files of known host keys say.
	HostKey string `json:"host_key,omitempty"`
	// Accepted are fingerprints of host keys, of the machine or of those on the
	// way, that a person confirmed.
	Accepted []string `json:"accepted_host_keys,omitempty"`
	// RemoteDir is where our things are on it; empty: ~/.runner.
	RemoteDir string `json:"remote_dir,omitempty"`
	// Micromamba that attaching put there; nil: none.
	Micromamba *Micromamba `json:"micromamba,omitempty"`
	// AgentSocket of the ssh-agent that attaching used; empty: none.
	AgentSocket string `json:"agent_socket,omitempty"`
}

// DecodeConfig reads what was stored.
func DecodeConfig(data []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("read a target's configuration: %w", err)
	}
	return c, nil
}

// maxName is how long a target's name may be, in bytes.
const maxName = 63

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// NameError is a name that no target can have.
type NameError struct {
	Name string
	Why  string
}

func (e *NameError) Error() string { return fmt.Sprintf("%q cannot name a target: %s", e.Name, e.Why) }

// CheckName says what is wrong with the name of a target to be attached.
func CheckName(name string) error {
	switch {
	case name == LocalName:
		return &NameError{Name: name, Why: "it is this computer, which is always there"}
	case len(name) > maxName:
		return &NameError{Name: name, Why: fmt.Sprintf("longer than %d characters", maxName)}
	case !nameForm.MatchString(name):
		return &NameError{Name: name, Why: "use lower-case letters, digits, and - . _ between them"}
	}
	return nil
}
