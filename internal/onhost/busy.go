package onhost

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

const environmentsDir = "environments"

// busyIn are the things in a root, "environments/NAME" or "inputs/NAME", that
// processes of this machine have in use, as far as we may see: that they run
// from, are in, have open or mapped, or that are mounted somewhere. It is for
// those who use them without us; attempts say it themselves.
func busyIn(root string) map[string]bool {
	s := &scan{root: root, busy: map[string]bool{}, seen: map[string]bool{}}
	if plain, err := filepath.EvalSymlinks(root); err == nil {
		s.real = plain
	}
	s.dev, s.inFS = placeInFS(root)
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return s.busy
	}
	for _, p := range processes {
		s.process(p)
	}
	return s.busy
}

func busyBelow(busy map[string]bool, dir string) (names []string) {
	for name := range busy {
		if rest, ok := strings.CutPrefix(name, dir+"/"); ok {
			names = append(names, rest)
		}
	}
	return names
}

// scan looks at processes. What may not be seen of one is left out.
type scan struct {
	root, real string
	dev, inFS  string
	busy       map[string]bool
	seen       map[string]bool // mount namespaces
}

func (s *scan) process(dir string) {
	for _, link := range []string{"exe", "cwd", "root"} {
		s.link(filepath.Join(dir, link))
	}
	files, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
	for _, f := range files {
		s.link(f)
	}
	if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		// An environment's python is a link to another, and only its name says so.
		program, _, _ := bytes.Cut(line, []byte{0})
		s.path(string(program), s.root, s.real)
	}
	s.lines(filepath.Join(dir, "maps"), func(line string) {
		if i := strings.IndexByte(line, '/'); i >= 0 {
			s.path(line[i:], s.root, s.real)
		}
	})
	if space, err := os.Readlink(filepath.Join(dir, "ns/mnt")); err == nil && !s.seen[space] {
		s.seen[space] = true
		s.lines(filepath.Join(dir, "mountinfo"), s.mount)
	}
}

func (s *scan) link(name string) {
	if to, err := os.Readlink(name); err == nil {
		s.path(to, s.root, s.real)
	}
}

func (s *scan) lines(name string, each func(string)) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		each(lines.Text())
	}
}

// mount is a line of mountinfo: "ID PARENT MAJOR:MINOR ROOT MOUNTPOINT ...".
func (s *scan) mount(line string) {
	const device, root = 2, 3
	if f := strings.Fields(line); len(f) > root && f[device] == s.dev {
		s.path(unescapeMount(f[root]), s.inFS)
	}
}

// path notes what of the roots a path is in.
func (s *scan) path(name string, roots ...string) {
	name = strings.TrimSuffix(name, " (deleted)")
	for _, root := range roots {
		rest, ok := strings.CutPrefix(name, strings.TrimSuffix(root, "/")+"/")
		if root == "" || !ok {
			continue
		}
		const parts = 3
		if p := strings.SplitN(rest, "/", parts); len(p) > 1 {
			s.busy[p[0]+"/"+p[1]] = true
		}
	}
}

// placeInFS is where a directory is in its file system, whatever is mounted
// where: the device, "MAJOR:MINOR", and the path from the file system's root.
func placeInFS(dir string) (dev, inFS string) {
	plain, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", ""
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", ""
	}
	longest := -1
	for line := range strings.Lines(string(data)) {
		const device, root, point = 2, 3, 4
		f := strings.Fields(line)
		if len(f) <= point {
			continue
		}
		at := unescapeMount(f[point])
		rel, err := filepath.Rel(at, plain)
		if err != nil || !filepath.IsLocal(rel) || len(at) < longest { // a later mount is over an earlier one
			continue
		}
		longest, dev, inFS = len(at), f[device], filepath.Join(unescapeMount(f[root]), rel)
	}
	return dev, inFS
}

// unescapeMount reads the octal escapes of mountinfo.
func unescapeMount(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
