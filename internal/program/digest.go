package program

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// own is the digest of this program, which never changes while it runs.
var own struct {
	sync.Mutex
	digest string
}

// OwnDigest says which program this is, so that a copy of it can be told. What
// was found out before is remembered in dir, a directory of copies; empty:
// nowhere.
func OwnDigest(dir string) (string, error) {
	own.Lock()
	defer own.Unlock()
	if own.digest != "" {
		return own.digest, nil
	}
	f, err := openSelf()
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	own.digest, err = DigestIn(dir, f)
	return own.digest, err
}

func digestOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("digest of this program: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// digestsFile lies beside the copies of this program and remembers digests of
// files by what the system says of them, because to read this program whole
// takes as long as all the rest of a start.
const digestsFile = ".digests.json"

const (
	// maxDigests are remembered, the newest.
	maxDigests = 16
	// settled is how long a file must not have changed before it is remembered:
	// two changes within one tick of the file system's clock look the same.
	settled = 3 * time.Second
)

// fileState is what changes with a file's content: who may write it cannot
// set the time of its last change.
type fileState struct {
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
	Size    int64  `json:"size"`
	Written int64  `json:"written"` // nanoseconds, as Changed
	Changed int64  `json:"changed"`
}

type knownDigest struct {
	State  fileState `json:"state"`
	Digest string    `json:"digest"`
}

// DigestIn is the digest of an open file, remembered in the directory dir;
// empty: nowhere. That it cannot be remembered is no harm.
func DigestIn(dir string, f *os.File) (string, error) {
	if dir == "" {
		return digestOf(f)
	}
	state, err := stateOf(f)
	if err != nil {
		return "", err
	}
	known := readDigests(dir)
	for _, k := range known {
		if k.State == state && len(k.Digest) == digestLength {
			return k.Digest, nil
		}
	}
	digest, err := digestOf(f)
	if err == nil && time.Since(time.Unix(0, state.Changed)) > settled {
		known = append(known, knownDigest{State: state, Digest: digest})
		writeDigests(dir, known[max(0, len(known)-maxDigests):])
	}
	return digest, err
}

func stateOf(f *os.File) (fileState, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileState{}, fmt.Errorf("digest of %s: %w", f.Name(), err)
	}
	return fileState{
		Device: uint64(st.Dev), //nolint:unconvert // 32 bits on darwin
		Inode:  st.Ino, Size: st.Size, Written: st.Mtim.Nano(), Changed: st.Ctim.Nano(),
	}, nil
}

const digestLength = 64

func readDigests(dir string) (known []knownDigest) {
	data, err := os.ReadFile(filepath.Join(dir, digestsFile))
	if err != nil || json.Unmarshal(data, &known) != nil {
		return nil
	}
	return known
}

func writeDigests(dir string, known []knownDigest) {
	data, err := json.Marshal(known)
	if err != nil {
		return
	}
	f, err := os.CreateTemp(dir, digestsFile+"-*")
	if err != nil {
		return // it is not there yet, or we may not
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err != nil || closeErr != nil || os.Rename(f.Name(), filepath.Join(dir, digestsFile)) != nil {
		_ = os.Remove(f.Name()) // nothing half-done stays
	}
}

// openSelf opens the program that runs, also when its file was replaced.
func openSelf() (*os.File, error) {
	if f, err := os.Open("/proc/self/exe"); err == nil {
		return f, nil
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}
