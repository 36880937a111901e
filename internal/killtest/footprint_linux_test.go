package killtest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/testenv"
)

// footprint is what of the box's user is outside of our directory there: files, and processes that have nothing to do
// with it.
func (b *box) footprint() []string {
	var found []string
	for _, dir := range []string{b.user.Home, os.TempDir(), "/var/tmp", "/dev/shm"} {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // it changes under our eyes
			if path == dir || err != nil {
				return nil //nolint:nilerr // as above
			}
			info, err := e.Info()
			if err != nil {
				return nil //nolint:nilerr // as above
			}
			switch {
			case path == b.ours(""), path == b.user.Home, path == filepath.Dir(b.user.Home):
				return fs.SkipDir
			case info.Sys().(*syscall.Stat_t).Uid == uint32(b.user.UID):
				found = append(found, path)
			case e.IsDir() && dir != b.user.Home:
				return fs.SkipDir
			}
			return nil
		})
	}
	for _, p := range processesOf(b.user.UID) {
		if !b.belongs(p) {
			found = append(found, fmt.Sprintf("process %d: %s", p.pid, strings.Join(p.argv, " ")))
		}
	}
	return found
}

// belongs reports whether a process is our program, or something that runs in our directory, or the server's own; or was
// started by one of them and is of its session: what has one of its own stays when they go.
func (b *box) belongs(p process) bool {
	link := func(name string) string {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/%s", p.pid, name)) // none once it has ended
		return strings.TrimSuffix(target, " (deleted)")
	}
	program, dir := link("exe"), link("cwd")
	in := func(path string) bool { return strings.HasPrefix(path, b.ours("")+"/") }
	if program == "" || in(program) || in(dir) || strings.HasPrefix(p.argv[0], "sshd") {
		return true
	}
	parent := process{pid: testenv.ParentOf(p.pid)}
	if parent.pid <= 1 {
		return false
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", parent.pid))
	if err != nil { // they are ending
		return true
	}
	parent.argv = strings.Split(string(line), "\x00")
	if strings.HasPrefix(parent.argv[0], "sshd") {
		return true
	}
	session, err := unix.Getsid(p.pid)
	of, parentErr := unix.Getsid(parent.pid)
	return err != nil || parentErr != nil || session == of && b.belongs(parent)
}

// watchFootprint looks at the box again and again until stop is called, which fails the test for what was ever there
// that should not have been. allowed are files of the script's own.
func (b *box) watchFootprint(allowed ...string) (stop func()) {
	known := map[string]bool{}
	for _, name := range b.footprint() {
		known[name] = true
	}
	for _, name := range allowed {
		known[filepath.Join(b.user.Home, name)] = true
	}
	end, ended := make(chan struct{}), make(chan struct{})
	// A process whose connection is gone has a moment to see that.
	const momentary = 8
	found, looks := map[string]int{}, 0
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, name := range b.footprint() {
				if !known[name] {
					found[name]++
				}
			}
			looks++
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	}()
	halt := sync.OnceFunc(func() { close(end); <-ended })
	b.Cleanup(halt)
	return func() {
		b.Helper()
		halt()
		maps.DeleteFunc(found, func(name string, seen int) bool { return strings.HasPrefix(name, "process ") && seen < momentary })
		if len(found) > 0 {
			b.Errorf("outside of %s there was, in %d looks:\n%s", b.ours(""), looks, strings.Join(slices.Sorted(maps.Keys(found)), "\n"))
		}
	}
}
