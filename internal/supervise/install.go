package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// binPrefix begins the name of every copy of this program; twelve digits of
// its digest follow.
const binPrefix = "runner-"

// BinDir is where they lie under a host's root.
const BinDir = "bin"

// BinName is where the copy of the program with this digest lies under a
// host's root.
func BinName(digest string) string { return path.Join(BinDir, binPrefix+digest[:12]) }

// ErrPlatform is a host of another kind than this program was built for.
var ErrPlatform = errors.New("this program was built for another kind of machine")

// Install puts the program that runs under the host's root as
// bin/runner-DIGEST and says where. Supervisors run from there, so that an
// upgrade does not pull it from under them. What is there already is checked.
func Install(ctx context.Context, h host.Host) (bin string, err error) {
	p, err := h.Platform(ctx)
	if err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	if p.OS != runtime.GOOS || p.Arch != runtime.GOARCH {
		return "", fmt.Errorf("install on %s: %w: it is %s/%s, the program %s/%s", p.Hostname, ErrPlatform, p.OS, p.Arch, runtime.GOOS, runtime.GOARCH)
	}
	_, local := h.(host.Local)
	dir := path.Join(h.Root(), BinDir)
	remembered := ""
	if local {
		remembered = dir
	}
	digest, err := OwnDigest(remembered)
	if err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	bin = path.Join(h.Root(), BinName(digest))
	if err := h.MkdirAll(ctx, dir, 0o700); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	check, put := checkThere, putThere
	if local {
		check, put = checkHere, putHere
	}
	if check(ctx, h, bin, digest) == nil {
		if local {
			now := time.Now()
			_ = os.Chtimes(bin, now, now) // else it only seems unused for longer
		}
		return bin, nil
	}
	if err := put(ctx, h, bin); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	if err := check(ctx, h, bin, digest); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	return bin, nil
}

// binMode: whoever a container runs as must be able to start it.
const binMode = 0o755

func checkHere(_ context.Context, _ host.Host, bin, digest string) error {
	f, err := os.Open(bin)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	got, err := digestIn(filepath.Dir(bin), f)
	if err != nil {
		return err
	}
	if got != digest || info.Mode().Perm() != binMode {
		return fmt.Errorf("%s is not what it should be", bin)
	}
	return nil
}

// putHere copies through the kernel, which shares the blocks where it can. It
// is not a hard link: a file that is overwritten in place changes with all its
// links.
func putHere(_ context.Context, _ host.Host, bin string) (err error) {
	from, err := openSelf()
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // only read
	// A child that is forked now would hold the file open for writing until its
	// exec, and the system starts no program that somebody may write to.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	to, err := os.CreateTemp(filepath.Dir(bin), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(to.Name()) // nothing half-done stays
		}
	}()
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Chmod(binMode), to.Sync(), to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), bin)
}

func checkThere(ctx context.Context, h host.Host, bin, digest string) error {
	if _, err := h.Stat(ctx, bin); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := h.Run(ctx, host.Command{Argv: []string{bin, "supervise", "digest"}, Stdout: &out}); err != nil {
		return err
	}
	if got := strings.TrimSpace(out.String()); got != digest {
		return fmt.Errorf("%s is not what it should be", bin)
	}
	return nil
}

func putThere(ctx context.Context, h host.Host, bin string) error {
	f, err := openSelf()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return h.WriteFile(ctx, bin, data, binMode)
}
