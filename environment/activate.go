package environment

import "path"

// Where ImageRecipe puts things inside the image.
const (
	imageDirectory = "/opt/runner"
	imagePrefix    = imageDirectory + "/venv" // conda's too
)

// Activation says how a script is run in an environment.
type Activation struct {
	// Interpreter runs Python scripts.
	Interpreter string
	// PathPrepend goes before the target's PATH, first entry first.
	PathPrepend []string
	// Env is set for the script; the variables of the spec and of the run win.
	Env map[string]string
}

// Activate says how to run in the environment that was made at prefix. For
// kinds with nothing made on the target, prefix means nothing.
func (r *Resolved) Activate(prefix string) Activation {
	switch r.Kind {
	case Venv:
		return inVenv(prefix)
	case CondaEnv:
		return inConda(prefix)
	case ImageBuild:
		if r.Conda != nil {
			return inConda(imagePrefix)
		}
		return inVenv(imagePrefix)
	default:
		return asItIs(r.Interpreter)
	}
}

// asItIs is an interpreter that somebody else put there. A command that says
// "python" means that one, so its directory goes first.
func asItIs(interpreter string) Activation {
	a := Activation{Interpreter: interpreter}
	if path.IsAbs(interpreter) {
		a.PathPrepend = []string{path.Dir(interpreter)}
	}
	return a
}

func inVenv(prefix string) Activation {
	bin := path.Join(prefix, "bin")
	return Activation{
		Interpreter: path.Join(bin, "python"),
		PathPrepend: []string{bin},
		Env:         map[string]string{"VIRTUAL_ENV": prefix, "PYTHONNOUSERSITE": "1"},
	}
}

func inConda(prefix string) Activation {
	bin := path.Join(prefix, "bin")
	return Activation{
		Interpreter: path.Join(bin, "python"),
		PathPrepend: []string{bin},
		Env: map[string]string{
			"CONDA_PREFIX": prefix, "CONDA_DEFAULT_ENV": prefix, "PYTHONNOUSERSITE": "1",
		},
	}
}
