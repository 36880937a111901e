package environment

// Spec says what a script needs to run, in the words of Azure ML's
// Environment. Exactly one way of getting a Python is in force: a container
// (Docker set), an interpreter that is there already (Python.UserManaged), a
// conda environment (Python.Conda) or a virtual environment (anything else).
type Spec struct {
	// Name registers the environment and names it in listings; it is no part
	// of the digest. Optional for an inline environment.
	Name string `json:"name,omitempty" yaml:"name,omitempty"`
	// Python describes the interpreter and its packages. Default: python3 as it
	// is found on the target (or in the image), nothing installed.
	Python *Python `json:"python,omitempty" yaml:"python,omitempty"`
	// Docker describes the container. Default: no container.
	Docker *Docker `json:"docker,omitempty" yaml:"docker,omitempty"`
	// Variables are set for every script that runs in the environment; those
	// of the run win. They are no part of the digest.
	Variables map[string]string `json:"environment_variables,omitempty" yaml:"environment_variables,omitempty"`
}

// Python is the Python part of an environment.
type Python struct {
	// Version wanted, for example "3.11". Default: what the target has.
	Version string `json:"version,omitempty" yaml:"version,omitempty"`
	// Pip lists requirement specifiers (PEP 508), one a string.
	Pip []string `json:"pip,omitempty" yaml:"pip,omitempty"`
	// Requirements names a pip requirements file, relative to the file that
	// holds this spec. Its content, not its name, decides the digest.
	Requirements string `json:"requirements,omitempty" yaml:"requirements,omitempty"`
	// Conda is a conda environment: a file, or inline channels and dependencies.
	Conda *Conda `json:"conda,omitempty" yaml:"conda,omitempty"`
	// UserManaged uses InterpreterPath as it is and installs nothing
	// (Azure ML's user_managed_dependencies).
	UserManaged bool `json:"user_managed,omitempty" yaml:"user_managed,omitempty"`
	// InterpreterPath is the interpreter to use, or to make the virtual
	// environment with. Default python3.
	InterpreterPath string `json:"interpreter_path,omitempty" yaml:"interpreter_path,omitempty"`
}

// Conda is a conda environment, given as the path of an environment.yml
// (YAML: a string) or inline (YAML: a mapping).
type Conda struct {
	// File is relative to the file that holds this spec. After Resolve it is
	// empty and the other fields hold the file's content.
	File string `json:"-" yaml:"-"`
	// Channels in order of preference. Default conda-forge.
	Channels []string `json:"channels,omitempty" yaml:"channels,omitempty"`
	// Dependencies are conda packages, for example numpy=1.26. As in conda's
	// own files, one of them may be a mapping pip: [...].
	Dependencies []string `json:"dependencies,omitempty" yaml:"dependencies,omitempty"`
	// Pip holds what environment.yml lists under "- pip:".
	Pip []string `json:"pip,omitempty" yaml:"pip,omitempty"`
}

// Docker is the container part of an environment.
type Docker struct {
	// Image is "cpu" or "gpu" (built-in base images, see BaseImages), or any
	// image reference.
	Image string `json:"image,omitempty" yaml:"image,omitempty"`
	// Dockerfile is the path of a Dockerfile, relative to the file that holds
	// this spec; its directory is the build context.
	Dockerfile string `json:"dockerfile,omitempty" yaml:"dockerfile,omitempty"`
	// Registry is where Image is pulled from when it wants a login.
	Registry *Registry `json:"registry,omitempty" yaml:"registry,omitempty"`
	// Arguments are extra arguments in the words of docker run, see
	// container.ParseArguments for those understood.
	Arguments []string `json:"arguments,omitempty" yaml:"arguments,omitempty"`
	// ShmSize of /dev/shm, for example "2GiB". Default: the engine's own.
	ShmSize string `json:"shm_size,omitempty" yaml:"shm_size,omitempty"`
	// Volumes are extra binds, "host:container[:ro]".
	Volumes []string `json:"volumes,omitempty" yaml:"volumes,omitempty"`
}

// Registry is an image registry with a login.
type Registry struct {
	// Address is the registry's host, with a port when it is not 443.
	Address string `json:"address,omitempty" yaml:"address,omitempty"`
	// Username of the login.
	Username string `json:"username,omitempty" yaml:"username,omitempty"`
	// Password of the login, by reference.
	Password *Secret `json:"password,omitempty" yaml:"password,omitempty"`
}

// Secret is a reference to a secret value, never the value: exactly one field
// is set.
type Secret struct {
	// Env names an environment variable of whoever submits.
	Env string `json:"env,omitempty" yaml:"env,omitempty"`
	// File is the path of a file whose first line is the value.
	File string `json:"file,omitempty" yaml:"file,omitempty"`
}
