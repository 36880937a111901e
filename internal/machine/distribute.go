package machine

import (
	"maps"
	"path"
	"slices"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/runconfig"
)

// distribute puts the launcher of a distributed run's processes between the
// supervisor and the script. What the script needs must be there before.
func (m *Machine) distribute(l *supervise.Launch, a backends.Attempt, r *record, d *runconfig.Distributed) {
	bin := m.bin
	if r.Form == inContainer {
		bin = insideBin
	}
	l.Needs = append(l.Needs, supervise.Need{Program: l.Argv[0]})
	if d.Framework == ranks.MPI {
		l.Needs = append(l.Needs, supervise.Need{Program: ranks.MPIRun, Hint: mpiHint(r.Form)})
	}
	c := ranks.Config{
		Processes: max(1, d.ProcessesPerNode), Framework: d.Framework, Grace: l.Grace,
		Secrets: slices.Sorted(maps.Keys(a.Secrets)), Argv: l.Argv,
	}
	if n := a.Config.Resources.Nodes; n > 1 && m.config.Nodes != nil {
		at := m.layout.attempt(a.Ref())
		c.Nodes = m.config.Nodes(n)
		c.Nodes.Count, c.Nodes.Dir, c.Nodes.Logs = n, at.ranks(), path.Join(at.work(), "logs")
	}
	l.Argv = c.Command(bin)
	l.PassesOn = true
}

func mpiHint(f form) string {
	if f == inContainer {
		return "the image must have MPI: apt install openmpi-bin"
	}
	return "apt install openmpi-bin"
}
