package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

// sourceCache remembers what was in one source directory when it was last
// pictured, so that a file whose stat did not change is not read again. It only
// saves work: a cache that is missing, damaged or of another version is empty.
type sourceCache struct {
	root  string // the source directory
	dev   uint64 // its device: another one mounted there has other inodes
	id    ID     // the picture taken then
	packs []string
	dirs  map[string]cachedDir
}

// cachedDir is the encoded nodes of one directory.
type cachedDir struct {
	count int
	data  string
}

const cacheMagic = "runner-cache 1\n"

func cachePath(dir, root string) string {
	sum := sha256.Sum256([]byte(root))
	return filepath.Join(dir, fmt.Sprintf("%x", sum[:16]))
}

// loadCache reads the cache of a source directory; whatever is wrong with it,
// it is then empty.
func loadCache(dir, root string, dev uint64) *sourceCache {
	data, err := os.ReadFile(cachePath(dir, root))
	if err == nil {
		if c, err := decodeCache(data); err == nil && c.root == root && c.dev == dev {
			return c
		}
	}
	return &sourceCache{root: root, dev: dev}
}

var errCacheDamaged = errors.New("source cache is damaged")

func decodeCache(data []byte) (*sourceCache, error) {
	body, ok := sealed(data, cacheMagic)
	if !ok {
		return nil, errCacheDamaged
	}
	r := cacheReader{s: body}
	c := &sourceCache{root: r.text(), dev: r.number(), id: ID(r.text())}
	for n := r.number(); n > 0 && !r.bad; n-- {
		c.packs = append(c.packs, r.text())
	}
	c.dirs = r.dirs()
	if r.bad {
		return nil, errCacheDamaged
	}
	return c, nil
}

func (r *cacheReader) dirs() map[string]cachedDir {
	n := r.number()
	dirs := make(map[string]cachedDir, min(n, uint64(len(r.s))))
	for ; n > 0 && !r.bad; n-- {
		path := r.text()
		count := r.number()
		dirs[path] = cachedDir{count: int(count), data: r.text()}
	}
	return dirs
}

// encodeCache gives the cache of a tree whose nodes are encoded.
func encodeCache(root string, dev uint64, id ID, packs []string, nodes []byte) []byte {
	const rest = 4 << 10
	b := make([]byte, 0, len(nodes)+rest)
	b = append(b, cacheMagic...)
	b = appendText(b, root)
	b = binary.AppendUvarint(b, dev)
	b = appendText(b, string(id))
	b = binary.AppendUvarint(b, uint64(len(packs)))
	for _, p := range packs {
		b = appendText(b, p)
	}
	return seal(append(b, nodes...))
}

// seal adds the checksum that decoding looks at.
func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// sealed is what a seal is on, without it and the magic.
func sealed(data []byte, magic string) (body string, ok bool) {
	if len(data) < len(magic)+4 || string(data[:len(magic)]) != magic {
		return "", false
	}
	end := len(data) - 4
	if crc32.Checksum(data[:end], crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(data[end:]) {
		return "", false
	}
	return string(data[len(magic):end]), true
}

// appendDirs encodes a tree that was pictured at that time. A file that is not
// settled keeps its place without a digest to be used.
func appendDirs(b []byte, tree *dirNode, taken time.Time) []byte {
	dirs := tree.all(nil)
	b = binary.AppendUvarint(b, uint64(len(dirs)))
	var block []byte
	for _, d := range dirs {
		b = appendText(b, d.path)
		b = binary.AppendUvarint(b, uint64(len(d.nodes)))
		block = block[:0]
		for i := range d.nodes {
			block = appendNode(block, &d.nodes[i], taken)
		}
		b = binary.AppendUvarint(b, uint64(len(block)))
		b = append(b, block...)
	}
	return b
}

func (d *dirNode) all(list []*dirNode) []*dirNode {
	list = append(list, d)
	for i := range d.nodes {
		if sub := d.nodes[i].dir; sub != nil {
			list = sub.all(list)
		}
	}
	return list
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendNode(b []byte, n *node, taken time.Time) []byte {
	b = append(b, byte(n.kind))
	b = appendText(b, n.name)
	b = binary.AppendUvarint(b, uint64(n.stat.mode))
	if n.kind == KindDir {
		return b
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(n.stat.size))
	b = binary.LittleEndian.AppendUint64(b, uint64(n.stat.mtime))
	b = binary.LittleEndian.AppendUint64(b, uint64(n.stat.ctime))
	b = binary.LittleEndian.AppendUint64(b, n.stat.ino)
	settled := byte(0)
	if n.stat.settled(taken) {
		settled = 1
	}
	b = append(b, settled)
	if n.kind == KindLink {
		return appendText(b, n.target)
	}
	return append(b, n.digest[:]...)
}

// cacheReader reads what encodeCache writes; bad says that it ended early.
type cacheReader struct {
	s   string
	bad bool
}

func (r *cacheReader) take(n uint64) string {
	if r.bad || n > uint64(len(r.s)) {
		r.bad, r.s = true, ""
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n:]
	return s
}

func (r *cacheReader) number() uint64 {
	v, n := uvarint(r.s)
	if n == 0 {
		r.bad, r.s = true, ""
		return 0
	}
	r.s = r.s[n:]
	return v
}

func (r *cacheReader) text() string { return r.take(r.number()) }

func (r *cacheReader) fixed() uint64 {
	s := r.take(8)
	if len(s) < 8 {
		return 0
	}
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// node reads one node into n and says whether its digest or target may be used.
func (r *cacheReader) node(n *node) (settled bool) {
	kind := r.take(1)
	if kind == "" {
		return false
	}
	n.kind = Kind(kind[0])
	n.name = r.text()
	n.stat.mode = uint32(r.number())
	if n.kind == KindDir {
		return true
	}
	n.stat.size = int64(r.fixed())
	n.stat.mtime = int64(r.fixed())
	n.stat.ctime = int64(r.fixed())
	n.stat.ino = r.fixed()
	settled = r.take(1) == "\x01"
	if n.kind == KindLink {
		n.target = r.text()
		return settled
	}
	copy(n.digest[:], r.take(sha256.Size))
	return settled
}
