package snapshot

import (
	"encoding/binary"
	"errors"
	"time"
)

// Copy is what is known of a working copy: a directory that a Renewal filled
// for somebody to work in. With it a later one finds whatever was done to the
// directory since. It is good for as long as the machine is not started anew.
type Copy struct {
	// ID of the snapshot that it held.
	ID ID
	// Boot of the machine when it was made, in the caller's words.
	Boot string
	// Totals of what it held.
	Totals Totals

	mode  uint32 // of the directory itself
	trait string // of every directory in it
	dirs  map[string]cachedDir

	tree *dirNode // of one that was just made, in place of dirs
	made time.Time
}

const copyMagic = "runner-copy 1\n"

// MarshalBinary gives the Copy that a Renewal made as bytes to keep.
func (c *Copy) MarshalBinary() ([]byte, error) {
	if c.tree == nil {
		return nil, errors.New("snapshot: only what Apply gives can be kept")
	}
	const meanNode = 128
	b := append(make([]byte, 0, (c.Totals.Files+c.Totals.Links+c.Totals.Dirs+8)*meanNode), copyMagic...)
	b = appendText(b, string(c.ID))
	b = appendText(b, c.Boot)
	for _, n := range []int{c.Totals.Files, c.Totals.Links, c.Totals.Dirs, int(c.Totals.Bytes), int(c.mode)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = appendText(b, c.trait)
	return seal(appendDirs(b, c.tree, c.made)), nil
}

// UnmarshalBinary reads what MarshalBinary gave.
func (c *Copy) UnmarshalBinary(data []byte) error {
	body, ok := sealed(data, copyMagic)
	r := cacheReader{s: body}
	*c = Copy{ID: ID(r.text()), Boot: r.text()}
	c.Totals = Totals{Files: int(r.number()), Links: int(r.number()), Dirs: int(r.number()), Bytes: int64(r.number())}
	c.mode, c.trait = uint32(r.number()), r.text()
	c.dirs = r.dirs()
	if !ok || r.bad {
		return errors.New("what is known of a working copy is damaged")
	}
	return nil
}

// treeOf is the tree of these entries, each with what it is like on the disk.
func treeOf(entries []Entry, stats []fileStat) *dirNode {
	root := &dirNode{}
	open := []*dirNode{root} // the directories that hold the next entry
	for i := range entries {
		e := &entries[i]
		for len(open) > 1 && !under(e.Path, open[len(open)-1].path) {
			open = open[:len(open)-1]
		}
		in := open[len(open)-1]
		name := e.Path
		if in.path != "" {
			name = name[len(in.path)+1:]
		}
		n := node{name: name, kind: e.Kind, stat: stats[i], digest: e.Digest, target: e.Target}
		if e.Kind == KindDir {
			n.dir = &dirNode{path: e.Path}
			open = append(open, n.dir)
		}
		in.nodes = append(in.nodes, n)
	}
	return root
}
