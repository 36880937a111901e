package artifact

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// digestsFile lies beside outputs and logs. Each line of it remembers the
// digest of one file as it was then; a later line of the same name counts.
const digestsFile = ".digests.jsonl"

// digested is a line of it. A name need not be UTF-8.
type digested struct {
	Name     []byte    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   []byte    `json:"sha256"`
}

// memory is what is remembered of a directory's files.
type memory struct {
	mu     sync.Mutex
	off    bool // nothing is remembered
	loaded bool
	of     map[string]digested
}

// load reads the file once. What cannot be read is not remembered.
func (m *memory) load(root *os.Root) {
	if m.loaded {
		return
	}
	m.loaded, m.of = true, map[string]digested{}
	data, err := root.ReadFile(digestsFile)
	if err != nil {
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var d digested
		if json.Unmarshal(lines.Bytes(), &d) == nil && len(d.SHA256) == sha256.Size {
			m.of[string(d.Name)] = d
		}
	}
}

// known is the digest of a file that has not changed since; nil: unknown.
func (m *memory) known(root *os.Root, name string, info fs.FileInfo) []byte {
	if m.off {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load(root)
	if d, ok := m.of[name]; ok && d.Size == info.Size() && d.Modified.Equal(info.ModTime()) {
		return d.SHA256
	}
	return nil
}

// keep remembers a digest. One that cannot be kept is made again.
func (m *memory) keep(root *os.Root, d digested) {
	if m.off {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load(root)
	m.of[string(d.Name)] = d
	line, err := json.Marshal(d)
	if err != nil {
		return
	}
	f, err := root.OpenFile(digestsFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	_, _ = f.Write(append([]byte("\n"), append(line, '\n')...)) // what a crash cut off is no line then
}

// Digest is the SHA-256 of a file, read once as long as it does not change.
func (d *Directory) Digest(ctx context.Context, name string) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("digest of artifact: %w", err)
	}
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, fmt.Errorf("digest of artifact: %w", err)
	}
	defer func() { _ = root.Close() }()
	if sum := d.memory.known(root, name, info); sum != nil {
		return sum, nil
	}
	hash := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{hash}, stopReader{ctx, f}, make([]byte, copyBuffer)); err != nil {
		return nil, fmt.Errorf("digest of artifact: %w", err)
	}
	sum := hash.Sum(nil)
	if after, err := f.Stat(); err == nil && after.ModTime().Equal(info.ModTime()) && after.Size() == info.Size() {
		d.memory.keep(root, digested{Name: []byte(name), Size: info.Size(), Modified: info.ModTime(), SHA256: sum})
	}
	return sum, nil
}

// DigestFirst is the SHA-256 of a file's first bytes, of one that may be growing:
// ErrChanged when it has fewer.
func (d *Directory) DigestFirst(ctx context.Context, name string, size int64) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	hash := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{hash}, io.LimitReader(stopReader{ctx, f}, size), make([]byte, copyBuffer))
	if err != nil {
		return nil, fmt.Errorf("digest of artifact: %w", err)
	}
	if n < size {
		return nil, fmt.Errorf("digest of artifact %q: %w", name, ErrChanged)
	}
	return hash.Sum(nil), nil
}
