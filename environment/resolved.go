package environment

// Kind is the way an environment is made.
type Kind string

// The kinds, from least to most work.
const (
	Existing   Kind = "existing"     // an interpreter that is there, as it is
	Venv       Kind = "venv"         // a virtual environment with pip or uv
	CondaEnv   Kind = "conda"        // micromamba, mamba or conda
	Image      Kind = "image"        // a container image as it is
	ImageBuild Kind = "image+python" // an image made of a base image and the Python part
	Dockerfile Kind = "dockerfile"   // an image made from the user's own Dockerfile
)

// Resolved is an environment with nothing left outside it: files are read in,
// defaults are filled, and the digest names the content. It is made where the
// user is and is all that a target needs.
type Resolved struct {
	Name string `json:"name,omitempty"`
	Kind Kind   `json:"kind"`
	// Digest of everything that decides the result: "sha256:<hex>".
	Digest string `json:"digest"`
	// Interpreter to run scripts with, or to make the venv with.
	Interpreter string `json:"interpreter"`
	// PythonVersion wanted, or empty.
	PythonVersion string `json:"python_version,omitempty"`
	// Requirements is the content of a pip requirements file: the spec's pip
	// list or its file, normalised (comments and blank lines gone).
	Requirements string `json:"requirements,omitempty"`
	// Constraints is the content of the files that -c names: versions for what
	// is installed, but nothing to install.
	Constraints string `json:"constraints,omitempty"`
	Conda       *Conda `json:"conda,omitempty"`
	// Docker as asked; Image may still be "cpu" or "gpu", chosen on the target.
	Docker *Docker `json:"docker,omitempty"`
	// Dockerfile is the file's content and Context the snapshot of its
	// directory ("sha256:..."), for Kind Dockerfile.
	Dockerfile string `json:"dockerfile,omitempty"`
	Context    string `json:"context,omitempty"`
	// Variables for every script; no part of the digest.
	Variables map[string]string `json:"environment_variables,omitempty"`
}
