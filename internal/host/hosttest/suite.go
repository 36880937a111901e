// Package hosttest is the conformance suite of package host: what every make of
// a Host must do, on a machine with a POSIX shell.
package hosttest

import (
	"context"
	"path"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// patience is how long a test waits for what should happen at once; a host may
// be on the other side of a network.
const patience = 30 * time.Second

// Suite tests a make of Host. newHost gives a host whose Root exists, is empty
// and may be written to; it is called once for each test.
func Suite(t *testing.T, newHost func() host.Host) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"Platform", testPlatform},
		{"Run", testRun},
		{"RunCutOff", testRunCutOff},
		{"RunGrandchildHoldsOutput", testRunGrandchild},
		{"RunLargeOutput", testRunLarge},
		{"Words", testWords},
		{"Spawn", testSpawn},
		{"SpawnOutlives", testSpawnOutlives},
		{"SpawnCutOff", testSpawnCutOff},
		{"Files", testFiles},
		{"WriteFile", testWriteFile},
		{"RemoveAll", testRemoveAll},
		{"Dial", testDial},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, &fixture{Host: newHost(), t: t})
		})
	}
}

// fixture is a host with short words for tests.
type fixture struct {
	host.Host
	t *testing.T
}

func (f *fixture) path(names ...string) string {
	return path.Join(append([]string{f.Root()}, names...)...)
}

func (f *fixture) ctx() context.Context { return f.t.Context() }

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(name, text string) {
	f.t.Helper()
	f.ok(f.WriteFile(f.ctx(), f.path(name), []byte(text), 0o600))
}

// eventually polls, never sleeps for luck.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	over := time.After(patience)
	step := time.NewTicker(5 * time.Millisecond)
	defer step.Stop()
	for !ok() {
		select {
		case <-step.C:
		case <-over:
			f.t.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}
