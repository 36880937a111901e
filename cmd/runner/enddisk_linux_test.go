package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

// smallDisk is the program with its home on a disk that is soon full.
type smallDisk struct {
	*testenv.CLI
	t *testing.T
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	dir := t.TempDir()
	testenv.SmallDisk(t, dir, "size=96m")
	c := testenv.Runner(t)
	c.Home = filepath.Join(dir, "home")
	c.Env = append(c.Env, "RUNNER_HOME="+c.Home)
	return &smallDisk{CLI: c, t: t}
}

func (d *smallDisk) filler() string { return filepath.Join(filepath.Dir(d.Home), "filler") }

// fill leaves about free bytes.
func (d *smallDisk) fill(free int64) {
	d.t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(d.Home), &s); err != nil {
		d.t.Fatal(err)
	}
	f, err := os.Create(d.filler())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if size := int64(s.Bavail)*s.Bsize - free; size > 0 {
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}

// source is a directory with 4 MiB that cannot be made smaller.
func (d *smallDisk) source(script string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	data := make([]byte, 4<<20)
	if _, err := rand.Read(data); err != nil {
		d.t.Fatal(err)
	}
	write(d.t, filepath.Join(dir, "data.bin"), string(data))
	write(d.t, filepath.Join(dir, "main.sh"), script)
	return filepath.Join(dir, "main.sh")
}

func TestEndFullDiskAtSubmit(t *testing.T) {
	t.Parallel()
	d := newSmallDisk(t)
	script := d.source("echo ran\n")
	d.Run("submit", "-q", "--set", "experiment=before", "--set", "command=true")
	d.fill(1 << 20)
	say(t, d.CLI, nil, "submit", script).want(t, 5, "error: read source directory: write pack: .*: no space left on device",
		"hint: free some space on the disk, for example with runner prune")
	if got := d.Run("ps", "-o", "wide"); strings.Count(got, "\n") != 2 || !strings.Contains(got, "before") {
		t.Errorf("runs after a submit that failed:\n%s", got)
	}
	d.free()
	if s := say(t, d.CLI, nil, "submit", "-q", script); s.code != 0 || s.out != "ran\n" {
		t.Errorf("after space was freed: %+v", s)
	}
}

func TestEndFullDiskAtUnpack(t *testing.T) {
	t.Parallel()
	d := newSmallDisk(t)
	hold := filepath.Join(t.TempDir(), "go")
	// It holds all of the computer, so that the next one waits with its picture stored.
	write(t, filepath.Join(d.Home, "config.yaml"), "local: {cpus: 1}\n")
	first := detached(t, d.CLI, "--set", "experiment=first", "--set", "command=until [ -e '"+hold+"' ]; do sleep 0.02; done")
	inState(t, d.CLI, first, run.Running)
	second := detached(t, d.CLI, d.source("echo ran\n"))
	d.fill(2 << 20)
	write(t, hold, "")
	soon(t, "the run says that the disk is full", func() bool {
		return strings.Contains(show(t, d.CLI, second).Message, "no space left on device")
	})
	d.free()
	say(t, d.CLI, nil, "wait", first, second).want(t, 0)
	if got := d.Run("logs", second); got != "ran\n" {
		t.Errorf("its log %q", got)
	}
}

func TestEndFullDiskWhileRunning(t *testing.T) {
	t.Parallel()
	d := newSmallDisk(t)
	d.Run("submit", "-q", "--set", "experiment=before", "--set", "command=true")
	mark := filepath.Join(t.TempDir(), "full")
	id := detached(t, d.CLI, "--set", "experiment=full", "--set",
		"command=echo begins; until [ -e '"+mark+".go' ]; do sleep 0.02; done; dd if=/dev/zero of=outputs/big bs=1M 2>err.txt; echo $? >'"+mark+"'; rm outputs/big; echo kept >outputs/model; echo ends; exit 9")
	inState(t, d.CLI, id, run.Running)
	d.fill(3 << 20)
	write(t, mark+".go", "")
	soon(t, "its disk is full", func() bool { _, err := os.Stat(mark); return err == nil })
	d.free()
	say(t, d.CLI, nil, "wait", id).want(t, 1)
	r := show(t, d.CLI, id)
	if r.ExitCode == nil || *r.ExitCode != 9 {
		t.Errorf("it ended as %v: %s", r.ExitCode, r.Message)
	}
	if failed, err := os.ReadFile(mark); err != nil || string(failed) == "0\n" {
		t.Errorf("the disk was not full: %q, %v", failed, err)
	}
	if got := d.Run("logs", id); got != "begins\nends\n" {
		t.Errorf("its log %q", got)
	}
	if got := d.Run("outputs", id); !strings.Contains(got, "outputs/model") {
		t.Errorf("its outputs\n%s", got)
	}
}

// Outputs that do not fit: nothing half-done has their name, and it goes on once
// there is room.
func TestEndFullDiskAtFetch(t *testing.T) {
	t.Parallel()
	c := testenv.Runner(t)
	c.Run("submit", "-q", "--set", "experiment=fetch", "--set", "command=head -c 3000000 /dev/zero >outputs/large; echo x >outputs/small")
	disk := filepath.Join(t.TempDir(), "disk")
	testenv.SmallDisk(t, disk, "size=2m")
	large := filepath.Join(disk, "outputs/large")
	say(t, c, nil, "outputs", "@last", "--to", disk).want(t, 2, "error: there is no space left on this disk: "+large,
		"hint: free some, or name another directory; what is whole already is not fetched again")
	if _, err := os.Stat(large); !os.IsNotExist(err) {
		t.Errorf("half of it is there: %v", err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	c.Run("outputs", "@last", "--to", disk)
	if info, err := os.Stat(large); err != nil || info.Size() != 3_000_000 {
		t.Errorf("%v, %v", info, err)
	}
}
