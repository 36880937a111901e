package machine

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/supervise"
)

// remarksFile names what a script left and we do not keep, and why. See outside
// for the lines that LeftOutside reads.
const remarksFile = "logs/not_collected.txt"

// ours are the files that we add to the script's logs.
func (p place) ours() []ourFile {
	return []ourFile{
		{name: "std_log.txt", source: path.Join(p.sup(), supervise.LogFile)},
		{name: "std_log.idx", source: path.Join(p.sup(), "std_log.idx")},
		{name: "environment_log.txt", source: p.environment()},
	}
}

type ourFile struct{ name, source string }

// aside is the name that a script's file gets that has ours: "std_log.txt"
// becomes "std_log.script.txt".
func (f ourFile) aside() string {
	ext := path.Ext(f.name)
	return strings.TrimSuffix(f.name, ext) + ".script" + ext
}

// asideAgain is the ith name to try.
func (f ourFile) asideAgain(i int) string { return fmt.Sprintf("%d.%s", i, f.aside()) }

// Collect brings outputs/ and logs/ home. On this computer they are moved, in
// an order that lets it be cut between any two steps and repeated; the log
// itself stays with the attempt, too, until its release.
func (m *Machine) Collect(ctx context.Context, ref backends.Ref, sink artifact.Sink) error {
	defer m.attempts.lock(ref)()
	err := m.collect(ctx, ref, sink)
	if err != nil {
		return fmt.Errorf("collect %s: %w", mark(ref), m.failure(err))
	}
	return nil
}

func (m *Machine) collect(ctx context.Context, ref backends.Ref, sink artifact.Sink) error {
	at := m.layout.attempt(ref)
	r, found, err := m.look(ctx, at, true)
	if err != nil || r == nil {
		return err // released already, or never here
	}
	if found.Status.Phase == supervise.Running && r.Form != inJob {
		return backends.ErrStillRuns
	}
	left, err := m.leftOutside(ctx, found.Entries, r.Snapshot)
	if err != nil {
		return err
	}
	if adopter, ok := sink.(artifact.Adopter); ok && m.local {
		return moveHome(ctx, at, sink, adopter, left)
	}
	if m.remote != nil {
		return m.fetchHome(ctx, at, sink, left)
	}
	return m.copyHome(ctx, at, sink, left)
}

// remark says in a line why something is not kept.
func remark(name string, mode fs.FileMode, target string) string {
	switch {
	case mode&fs.ModeSymlink != 0 && target != "":
		return fmt.Sprintf("%q is a link that leads out, to %q\n", name, target)
	case name == "outputs" || name == "logs":
		return fmt.Sprintf("%q is a %s, not a directory\n", name, artifact.Kind(mode))
	default:
		return fmt.Sprintf("%q is a %s\n", name, artifact.Kind(mode))
	}
}
