package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
)

// form is what an attempt is on the machine.
type form string

const (
	process     form = "process"
	inContainer form = "container"
	// inJob: on another machine, by a batch engine.
	inJob form = "job"
)

func formOf(r *environment.Resolved) form {
	if r == nil {
		return process
	}
	switch r.Kind {
	case environment.Image, environment.ImageBuild, environment.Dockerfile:
		return inContainer
	default:
		return process
	}
}

// record is what attempt.json holds: what is needed to start the attempt and
// to find it again. It is written before anything else is made, so that its
// environment counts as used, and again when all is ready.
type record struct {
	Run         string `json:"run"`
	Number      int    `json:"number"`
	Form        form   `json:"form"`
	Environment string `json:"environment,omitempty"`
	Snapshot    string `json:"snapshot"`
	// BootID of the host when it was prepared: a power failure may have cost
	// what was not yet on its disk.
	BootID string `json:"boot_id,omitempty"`
	// Prepared: all below is known and work/ is whole.
	Prepared    bool              `json:"prepared"`
	Image       string            `json:"image,omitempty"`
	Interpreter string            `json:"interpreter,omitempty"`
	PathPrepend []string          `json:"path_prepend,omitempty"`
	Env         map[string]string `json:"env,omitempty"`
	Inputs      []placedInput     `json:"inputs,omitempty"`
	// Holds are the keys of the inputs that it has in the machine's cache, or is
	// about to: they are written before they are asked for, so that no prune
	// takes them.
	Holds []string `json:"holds,omitempty"`
	// Bin is our program that it was, or will be, started with.
	Bin string `json:"bin,omitempty"`
	// Memory limit in bytes, for words only.
	Memory int64 `json:"memory,omitempty"`
	// Grace between SIGTERM and SIGKILL.
	Grace time.Duration `json:"grace,omitempty"`
	// FirstLine of the script's file, when it says what runs it.
	FirstLine []string `json:"first_line,omitempty"`
}

// isFor says whether an attempt was prepared as another record wants it.
func (r *record) isFor(wanted *record) bool {
	return r.Prepared && r.Form == wanted.Form && r.Environment == wanted.Environment && r.Snapshot == wanted.Snapshot && r.BootID == wanted.BootID
}

func (m *Machine) readRecord(ctx context.Context, at place) (*record, error) {
	f, err := m.host.Open(ctx, at.record())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing is there
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	return recordOf(data), nil
}

// recordOf what its file says. One that was cut by a power failure is still a
// mark of something to release.
func recordOf(data []byte) *record {
	var r record
	if json.Unmarshal(data, &r) != nil {
		return &record{}
	}
	return &r
}

// Marks lists the attempts that are on the machine.
func (m *Machine) Marks(ctx context.Context) ([]backends.Ref, error) {
	var refs []backends.Ref
	err := m.eachRecord(ctx, func(r *record) { refs = append(refs, backends.Ref{Run: r.Run, Number: r.Number}) })
	if err != nil {
		return nil, fmt.Errorf("list attempts: %w", err)
	}
	return refs, nil
}

func (m *Machine) environmentsInUse(ctx context.Context) (map[string]bool, error) {
	used := map[string]bool{}
	err := m.eachRecord(ctx, func(r *record) { used[r.Environment] = true })
	return used, err
}

// eachRecord visits the record of every attempt on the machine.
func (m *Machine) eachRecord(ctx context.Context, visit func(*record)) error {
	runs, err := m.list(ctx, m.layout.runs())
	if err != nil {
		return err
	}
	for _, run := range runs {
		dir := path.Join(m.layout.runs(), run, "attempts")
		numbers, err := m.list(ctx, dir)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			number, err := strconv.Atoi(n)
			if err != nil {
				continue
			}
			r, err := m.readRecord(ctx, place(path.Join(dir, n)))
			if err != nil {
				return err
			}
			if r != nil {
				r.Run, r.Number = unescape(run), number
				visit(r)
			}
		}
	}
	return nil
}

// list names what is in a directory; nothing when it is not there.
func (m *Machine) list(ctx context.Context, dir string) ([]string, error) {
	entries, err := m.host.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
