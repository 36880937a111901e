package supervise

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// groups are the control groups of one process: one directory under cgroup v2,
// one for each controller under v1, none where we may not make any.
type groups struct {
	// v2 is the directory under the unified hierarchy.
	v2 string
	// v1 are the directories under v1, by controller; home is where our own
	// thread goes back to.
	v1, home map[string]string
	// memory says that the kernel keeps the memory limit.
	memory bool
	// message names limits that cannot be kept.
	message string
}

// cpuPeriod in microseconds, the kernel's default.
const cpuPeriod = 100_000

// makeGroups makes what memory (bytes) and cpus need; zero needs nothing.
func makeGroups(dir string, memory int64, cpus float64) *groups {
	g := &groups{v1: map[string]string{}, home: map[string]string{}}
	if memory == 0 && cpus == 0 {
		return g
	}
	sum := sha256.Sum256([]byte(dir))
	name := groupPrefix + hex.EncodeToString(sum[:6])
	mounts := readMounts()
	if !g.makeV2(mounts, name, memory, cpus) {
		g.makeV1(mounts, name, memory, cpus)
	}
	if cpus > 0 && g.v2 == "" && g.v1["cpu"] == "" {
		g.message = "the limit of CPUs is not kept: no control group can be made here"
	}
	return g
}

func put(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0) // it exists, or the kernel has it not
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func words(dir, file string) []string {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// makeV2 tries our own group and those above it: the first below which groups
// with the needed controllers can be made.
func (g *groups) makeV2(mounts groupMounts, name string, memory int64, cpus float64) bool {
	if mounts.v2 == "" {
		return false
	}
	var need []string
	if memory > 0 {
		need = append(need, "memory")
	}
	if cpus > 0 {
		need = append(need, "cpu")
	}
	for dir := filepath.Join(mounts.v2, mounts.v2Own); ; dir = filepath.Dir(dir) {
		if offers(dir, need) && g.makeV2In(filepath.Join(dir, name), memory, cpus) {
			return true
		}
		if dir == mounts.v2 || len(dir) <= len(mounts.v2) {
			return false
		}
	}
}

// offers says whether groups below dir have these controllers, after trying
// to switch them on.
func offers(dir string, need []string) bool {
	on := map[string]bool{}
	for _, c := range words(dir, "cgroup.subtree_control") {
		on[c] = true
	}
	for _, c := range need {
		if !on[c] && put(dir, "cgroup.subtree_control", "+"+c) != nil {
			return false
		}
	}
	return true
}

func (g *groups) makeV2In(path string, memory int64, cpus float64) bool {
	if err := makeGroup(path); err != nil {
		return false
	}
	var err error
	if memory > 0 {
		_ = put(path, "memory.swap.max", "0")  // a kernel without swap accounting
		_ = put(path, "memory.oom.group", "1") // Linux before 4.19
		err = put(path, "memory.max", strconv.FormatInt(memory, 10))
	}
	if cpus > 0 {
		err = errors.Join(err, put(path, "cpu.max", fmt.Sprintf("%d %d", int64(cpus*cpuPeriod), cpuPeriod)))
	}
	if err != nil {
		_ = os.Remove(path) // an empty directory at worst
		return false
	}
	g.v2, g.memory = path, memory > 0
	return true
}

// makeV1 makes a group below our own for each controller that it can.
func (g *groups) makeV1(mounts groupMounts, name string, memory int64, cpus float64) {
	make1 := func(controller string, limits func(path string) error) bool {
		home, ok := mounts.v1[controller]
		if !ok {
			return false
		}
		path := filepath.Join(home, name)
		if makeGroup(path) != nil {
			return false
		}
		if limits(path) != nil {
			_ = os.Remove(path) // an empty directory at worst
			return false
		}
		g.v1[controller], g.home[controller] = path, home
		return true
	}
	if memory > 0 {
		g.memory = make1("memory", func(path string) error {
			limit := strconv.FormatInt(memory, 10)
			err := put(path, "memory.limit_in_bytes", limit)
			_ = put(path, "memory.memsw.limit_in_bytes", limit) // a kernel without swap accounting
			return err
		})
	}
	if cpus > 0 {
		make1("cpu", func(path string) error {
			return errors.Join(put(path, "cpu.cfs_period_us", strconv.Itoa(cpuPeriod)),
				put(path, "cpu.cfs_quota_us", strconv.FormatInt(int64(cpus*cpuPeriod), 10)))
		})
	}
}

// makeGroup makes a group. One of that name is of a supervisor of the same
// directory that died: what is in it goes first.
func makeGroup(path string) error {
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, os.ErrExist) {
		removeGroup(path)
		err = os.Mkdir(path, 0o755)
	}
	return err
}

// around runs fork so that the new process is born in the groups. Under v1 our
// thread goes in, and out again, so that not a moment is unlimited.
func (g *groups) around(fork func(cgroup int) error) error {
	fd := -1
	if g.v2 != "" {
		var err error
		if fd, err = unix.Open(g.v2, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open the control group: %w", err)
		}
		defer func() { _ = unix.Close(fd) }() // nothing was written
	}
	// "0" is the thread that writes. Its id would do the same, but for that the
	// kernel takes a lock of the whole machine, and waits for a grace period.
	const thread = "0"
	for _, path := range g.v1 {
		if err := put(path, "tasks", thread); err != nil {
			return fmt.Errorf("enter the control group: %w", err)
		}
	}
	err := fork(fd)
	for controller := range g.v1 {
		_ = put(g.home[controller], "tasks", thread) // we stay limited at worst
	}
	return err
}

func (g *groups) paths() []string {
	var out []string
	if g.v2 != "" {
		out = append(out, g.v2)
	}
	for _, p := range g.v1 {
		out = append(out, p)
	}
	return out
}

// kill kills all that is in the groups.
func (g *groups) kill() {
	for _, p := range g.paths() {
		killGroup(p)
	}
}

func (g *groups) remove() {
	for _, p := range g.paths() {
		removeGroup(p)
	}
}

// oomKills is how many processes the kernel killed in the memory group.
func (g *groups) oomKills() int {
	switch {
	case !g.memory:
		return 0
	case g.v2 != "":
		return counter(g.v2, "memory.events", "oom_kill")
	default:
		return counter(g.v1["memory"], "memory.oom_control", "oom_kill")
	}
}

// ownOOMKills is how many processes the kernel killed so far in the memory
// group that we are in, as far as it lets us look.
func ownOOMKills() int {
	m := readMounts()
	if dir, ok := m.v1["memory"]; ok {
		return counter(dir, "memory.oom_control", "oom_kill")
	}
	if m.v2 == "" {
		return 0
	}
	return counter(filepath.Join(m.v2, m.v2Own), "memory.events", "oom_kill")
}

func counter(dir, file, name string) int {
	list := words(dir, file)
	for i := 0; i+1 < len(list); i += 2 {
		if list[i] == name {
			n, err := strconv.Atoi(list[i+1])
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
