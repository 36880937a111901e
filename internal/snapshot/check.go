package snapshot

import (
	"fmt"
	"slices"
	"strings"
)

// checkEntries refuses every list that could hurt when it is unpacked: a path
// that leads out, a name without its directory, a name twice, a file beneath a
// link or a file, a link that leads out, one content with two sizes.
func checkEntries(entries []Entry) error {
	var open []string // the directories that hold the next entry, outermost first
	sizes := make(map[Digest]int64)
	empty := emptyDigest()
	var total int64
	links := false
	for i := range entries {
		e := &entries[i]
		if err := checkPath(e.Path); err != nil {
			return err
		}
		if i > 0 && comparePaths(entries[i-1].Path, e.Path) >= 0 {
			return fmt.Errorf("path %q: out of order, or there twice", e.Path)
		}
		for len(open) > 0 && !under(e.Path, open[len(open)-1]) {
			open = open[:len(open)-1]
		}
		parent := ""
		if slash := strings.LastIndexByte(e.Path, '/'); slash >= 0 {
			parent = e.Path[:slash]
		}
		if (parent == "") != (len(open) == 0) || parent != "" && open[len(open)-1] != parent {
			return fmt.Errorf("path %q: its directory is not in the manifest", e.Path)
		}
		switch e.Kind {
		case KindDir:
			open = append(open, e.Path)
		case KindFile:
			if total += e.Size; total > maxFileSize {
				return fmt.Errorf("path %q: the files together are larger than %d bytes", e.Path, int64(maxFileSize))
			}
			if (e.Size == 0) != (e.Digest == empty) {
				return fmt.Errorf("path %q: size and digest do not fit", e.Path)
			}
			if size, ok := sizes[e.Digest]; ok && size != e.Size {
				return fmt.Errorf("path %q: content %s has two sizes", e.Path, e.Digest)
			}
			sizes[e.Digest] = e.Size
		case KindLink:
			links = true
			if e.Target == "" || strings.IndexByte(e.Target, 0) >= 0 {
				return fmt.Errorf("link %q: impossible target %q", e.Path, e.Target)
			}
		}
	}
	if links {
		if leading := leadingLinks(entries); len(leading) > 0 {
			return &LinkError{Links: leading}
		}
	}
	return nil
}

func checkPath(p string) error {
	if p == "" || len(p) > maxPath {
		return fmt.Errorf("path of %d bytes", len(p))
	}
	if strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("path %q: holds a NUL", p)
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("path %q: not a plain relative path", p)
		}
	}
	return nil
}

// under says whether path p is inside directory dir.
func under(p, dir string) bool {
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// comparePaths orders paths so that a directory is followed by all that is in
// it: byte order with the slash before every other byte.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' {
			return -1
		}
		if b[i] == '/' || a[i] > b[i] {
			return 1
		}
		return -1
	}
	return len(a) - len(b)
}

func findEntry(entries []Entry, path string) (int, bool) {
	return slices.BinarySearchFunc(entries, path, func(e Entry, p string) int { return comparePaths(e.Path, p) })
}

// leadingLinks finds the links that lead out of the tree. A link is followed
// as the kernel would follow it within the tree, through other links too, so
// that "a -> deep/dir" with "b -> a/../../../x" is judged rightly. A link to
// something that is not there, or in a circle, stays inside and is kept.
func leadingLinks(entries []Entry) []LeadingLink {
	var leading []LeadingLink
	for i := range entries {
		e := &entries[i]
		if e.Kind == KindLink && leadsOut(entries, e) {
			leading = append(leading, LeadingLink{Path: e.Path, Target: e.Target})
		}
	}
	return leading
}

func leadsOut(entries []Entry, link *Entry) bool {
	const maxHops = 40 // the kernel's own limit
	at := strings.Split(link.Path, "/")
	at = at[:len(at)-1]
	if strings.HasPrefix(link.Target, "/") {
		return true
	}
	todo := strings.Split(link.Target, "/")
	slices.Reverse(todo)
	for hops := 0; len(todo) > 0; {
		part := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return true
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at, part)
		i, ok := findEntry(entries, strings.Join(at, "/"))
		if !ok || entries[i].Kind != KindLink {
			continue
		}
		if hops++; hops > maxHops {
			return false
		}
		if strings.HasPrefix(entries[i].Target, "/") {
			return true
		}
		at = at[:len(at)-1]
		next := strings.Split(entries[i].Target, "/")
		slices.Reverse(next)
		todo = append(todo, next...)
	}
	return false
}
