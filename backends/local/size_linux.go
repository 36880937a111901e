package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

// size is what this process may use: the processors that it may run on and the
// memory, less where a control group around it limits them.
func size() (cpus float64, memory int64, err error) {
	return system{proc: "/proc", cgroups: "/sys/fs/cgroup", processors: runtime.NumCPU()}.size()
}

// system is where Linux says what there is.
type system struct {
	proc, cgroups string
	// processors that the process may run on.
	processors int
}

func (s system) size() (cpus float64, memory int64, err error) {
	if memory, err = s.memory(); err != nil {
		return 0, 0, err
	}
	cpus = float64(s.processors)
	groups, err := s.groups()
	if err != nil {
		return 0, 0, err
	}
	for _, g := range groups {
		if limit, ok := g.cpus(); ok {
			cpus = min(cpus, limit)
		}
		if limit, ok := g.memory(); ok {
			memory = min(memory, limit)
		}
	}
	return cpus, memory, nil
}

// memory is all that the computer has.
func (s system) memory() (int64, error) {
	data, err := os.ReadFile(path.Join(s.proc, "meminfo"))
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "MemTotal:" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("meminfo: %w", err)
		}
		return kib << 10, nil
	}
	return 0, errors.New("meminfo: no MemTotal")
}

// group is one control group, of version 1 (one controller) or 2.
type group struct{ dir string }

// groups are those around this process, from its own up to the root.
func (s system) groups() ([]group, error) {
	data, err := os.ReadFile(path.Join(s.proc, "self/cgroup"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []group
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		root := s.cgroups
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller != "" { // version 1 has a directory for each
				root = path.Join(s.cgroups, controller)
			}
			// In a container the path may be the host's, of which only the end
			// is visible: what is not there is passed over.
			for at := path.Clean("/" + parts[2]); ; at = path.Dir(at) {
				all = append(all, group{path.Join(root, at)})
				if at == "/" {
					break
				}
			}
		}
	}
	return all, nil
}

func (g group) read(name string) ([]string, bool) {
	data, err := os.ReadFile(path.Join(g.dir, name))
	return strings.Fields(string(data)), err == nil
}

func (g group) number(name string) (float64, bool) {
	fields, ok := g.read(name)
	if !ok || len(fields) != 1 {
		return 0, false
	}
	n, err := strconv.ParseFloat(fields[0], 64)
	return n, err == nil && n > 0
}

func (g group) cpus() (float64, bool) {
	if fields, ok := g.read("cpu.max"); ok && len(fields) == 2 { // version 2
		quota, err1 := strconv.ParseFloat(fields[0], 64)
		period, err2 := strconv.ParseFloat(fields[1], 64)
		return quota / period, err1 == nil && err2 == nil && period > 0
	}
	quota, ok1 := g.number("cpu.cfs_quota_us")
	period, ok2 := g.number("cpu.cfs_period_us")
	return quota / period, ok1 && ok2
}

func (g group) memory() (int64, bool) {
	for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
		// Without a limit version 1 says a number beyond any computer's memory.
		if n, ok := g.number(name); ok {
			return int64(n), true
		}
	}
	return 0, false
}
