package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/program"
)

// binPrefix begins the name of every copy of this program; so many digits of
// its digest follow.
const (
	binPrefix = "runner-"
	binDigits = 12
)

// BinName is where the copy of the program with this digest lies under a
// host's root.
func BinName(digest string) string { return path.Join(program.BinDir, binPrefix+digest[:binDigits]) }

// isBin tells the name of a copy from that of a file that somebody put beside
// them.
func isBin(name string) bool {
	digits, ok := strings.CutPrefix(name, binPrefix)
	return ok && len(digits) == binDigits && strings.Trim(digits, "0123456789abcdef") == ""
}

// Install puts the program for the host's platform under its root as
// bin/runner-DIGEST and says where. Supervisors run from there, so that an
// upgrade does not pull it from under them. What is there already is checked.
// programs has those for other platforms than our own; nil: there are none. Its
// errors come out. sending hears how far it is on its way to another machine; it
// may be nil.
func Install(ctx context.Context, h host.Host, programs *program.Finder, sending Sending) (bin string, err error) {
	dir := path.Join(h.Root(), program.BinDir)
	put, check := putThere, checkThere
	_, local := h.(host.Local)
	var p *program.Program
	if local {
		put, check = putHere, checkHere
		p, err = (&program.Finder{Home: h.Root()}).Running()
	} else {
		p, err = Fitting(ctx, h, programs)
	}
	if err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	bin = path.Join(h.Root(), BinName(p.Digest))
	if err := h.MkdirAll(ctx, dir, 0o700); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	err = check(ctx, h, bin, p)
	if err == nil && local {
		now := time.Now()
		_ = os.Chtimes(bin, now, now) // else it only seems unused for longer
	}
	if _, wrong := errors.AsType[*program.WrongError](err); err == nil || wrong {
		return bin, err // another copy of it would not be better
	}
	if err := put(ctx, h, bin, p, sending); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	err = check(ctx, h, bin, p)
	if _, ran := errors.AsType[*host.ExitError](err); ran {
		err = p.Mute(err)
	}
	if err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	return bin, nil
}

// Fitting is the program for a host's platform.
func Fitting(ctx context.Context, h host.Host, programs *program.Finder) (*program.Program, error) {
	on, err := h.Platform(ctx)
	if err != nil {
		return nil, err
	}
	return programs.Find(on.OS + "/" + on.Arch)
}

// binMode: whoever a container runs as must be able to start it.
const binMode = 0o755

func checkHere(_ context.Context, _ host.Host, bin string, p *program.Program) error {
	f, err := os.Open(bin)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	got, err := program.DigestIn(filepath.Dir(bin), f)
	if err != nil {
		return err
	}
	if got != p.Digest || info.Mode().Perm() != binMode {
		return fmt.Errorf("%s is not what it should be", bin)
	}
	return nil
}

// putHere copies through the kernel, which shares the blocks where it can. It
// is not a hard link: a file that is overwritten in place changes with all its
// links.
func putHere(_ context.Context, _ host.Host, bin string, p *program.Program, _ Sending) (err error) {
	from, err := p.Open()
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

func checkThere(ctx context.Context, h host.Host, bin string, p *program.Program) error {
	if _, err := h.Stat(ctx, bin); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := h.Run(ctx, host.Command{Argv: []string{bin, "supervise", "program"}, Stdout: &out}); err != nil {
		return err
	}
	var who program.Identity
	if err := json.Unmarshal(out.Bytes(), &who); err != nil || who.Digest != p.Digest {
		return fmt.Errorf("%s is not what it should be", bin)
	}
	return p.Check(who)
}
