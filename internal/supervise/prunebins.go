package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/program"
)

// Bin is a copy of this program on a host.
type Bin struct {
	Path string
	// Bytes of the file.
	Bytes int64
}

// PruneBins removes the copies of other versions of this program from a host,
// except keep, and what is left of copies that were never finished. On this computer those in use stay too; elsewhere a supervisor
// that runs from one goes on (the system keeps its file), but could not be
// asked with it: ask on that machine itself.
func PruneBins(ctx context.Context, h host.Host, keep ...string) error {
	return PruneBinsBefore(ctx, h, time.Time{}, keep...)
}

// PruneBinsBefore is PruneBins of those copies alone that were put there, or
// found there by an Install on this computer, before then; zero: of all.
func PruneBinsBefore(ctx context.Context, h host.Host, then time.Time, keep ...string) error {
	unused, err := UnusedBins(ctx, h, then, keep...)
	errs := []error{err}
	for _, b := range unused {
		errs = append(errs, h.RemoveAll(ctx, b.Path))
	}
	return errors.Join(errs...)
}

// UnusedBins are the copies that PruneBinsBefore would remove.
func UnusedBins(ctx context.Context, h host.Host, then time.Time, keep ...string) ([]Bin, error) {
	dir := path.Join(h.Root(), program.BinDir)
	entries, err := h.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("prune %s: %w", dir, err)
	}
	_, local := h.(host.Local)
	var used []fs.FileInfo
	var unused []Bin
	var errs []error
	for _, e := range entries {
		bin := path.Join(dir, e.Name())
		half := isUnfinished(e.Name())
		if !half && !isBin(e.Name()) || slices.Contains(keep, bin) {
			continue
		}
		info, err := h.Stat(ctx, bin)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if half {
			if time.Since(info.ModTime()) > leftFor {
				unused = append(unused, Bin{Path: bin, Bytes: info.Size()})
			}
			continue
		}
		if !then.IsZero() && !info.ModTime().Before(then) {
			continue
		}
		if local && used == nil {
			used = programs()
		}
		if !slices.ContainsFunc(used, func(u fs.FileInfo) bool { return os.SameFile(u, info) }) {
			unused = append(unused, Bin{Path: bin, Bytes: info.Size()})
		}
	}
	return unused, errors.Join(errs...)
}

// leftFor is how long nobody must have written to a copy that is not finished:
// many times as long as who writes one waits for its next byte.
const leftFor = time.Hour

// isUnfinished tells the name of a copy that was never finished.
func isUnfinished(name string) bool {
	return strings.HasPrefix(name, host.Unfinished) || strings.HasPrefix(name, partPrefix)
}

// programs are the files that run on this computer now, as far as we may see:
// those of containers, too, who have other names for them.
func programs() []fs.FileInfo {
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil
	}
	var out []fs.FileInfo
	for _, l := range links {
		if info, err := os.Stat(l); err == nil {
			out = append(out, info)
		}
	}
	return out
}
