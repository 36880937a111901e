package snapshot_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/bench/sourcetree"
)

// sourceTree makes the tree of the performance bounds.
func sourceTree(b *testing.B) string {
	b.Helper()
	src := filepath.Join(b.TempDir(), "src")
	must(b, sourcetree.Make(src, sourcetree.Files))
	return src
}

func smallTree(b *testing.B) string {
	b.Helper()
	src := b.TempDir()
	for i := range 10 {
		must(b, os.WriteFile(filepath.Join(src, fmt.Sprintf("file%d.py", i)), fmt.Appendf(nil, "%0*d", 3000, i), 0o644))
	}
	return src
}

// timed runs a shell pipeline and says how long it took.
func timed(b *testing.B, script string, args ...string) time.Duration {
	b.Helper()
	cmd := exec.Command("bash", append([]string{"-o", "pipefail", "-c", script, "bash"}, args...)...)
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v: %s", script, err, out)
	}
	return time.Since(begun)
}

func needTools(b *testing.B, names ...string) {
	b.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			b.Skipf("%s is not installed: nothing to compare with", name)
		}
	}
}

// BenchmarkTake20kFirst compares a first picture with tar | zstd -1 in the same
// run. Bound: ratio at most 1.5.
func BenchmarkTake20kFirst(b *testing.B) {
	needTools(b, "tar", "zstd")
	src := sourceTree(b)
	archive := filepath.Join(b.TempDir(), "archive")
	timed(b, `tar -C "$1" -c . | zstd -q -1 > "$2"`, src, archive) // both then find the files in memory
	var ours, theirs fastest
	for b.Loop() {
		must(b, os.Remove(archive))
		theirs.note(timed(b, `tar -C "$1" -c . | zstd -q -1 > "$2"`, src, archive))
		dir := filepath.Join(b.TempDir(), "objects")
		begun := time.Now()
		take(b, openStore(b, dir), src)
		ours.note(time.Since(begun))
		must(b, os.RemoveAll(dir))
	}
	report(b, ours, theirs)
}

// BenchmarkTake20kUnchanged compares a second picture of an unchanged tree with
// rsync finding nothing to do. Bound: ratio at most 0.5.
func BenchmarkTake20kUnchanged(b *testing.B) {
	needTools(b, "rsync")
	src := sourceTree(b)
	dir, copied := filepath.Join(b.TempDir(), "objects"), filepath.Join(b.TempDir(), "copy")
	timed(b, `rsync -a "$1/" "$2/"`, src, copied)
	waitUntilReused(b, openStore(b, dir), src, 20_000)
	var ours, theirs fastest
	for b.Loop() {
		theirs.note(timed(b, `rsync -a "$1/" "$2/"`, src, copied))
		begun := time.Now()
		snap := take(b, openStore(b, dir), src)
		ours.note(time.Since(begun))
		if snap.Reused != snap.Files {
			b.Fatalf("only %d of %d files reused", snap.Reused, snap.Files)
		}
	}
	report(b, ours, theirs)
}

// fastest is the least of several times: what the work takes when nothing else
// on the machine gets in its way.
type fastest struct{ time.Duration }

func (f *fastest) note(d time.Duration) {
	if f.Duration == 0 || d < f.Duration {
		f.Duration = d
	}
}

// report gives the fastest of each and how they compare.
func report(b *testing.B, ours, theirs fastest) {
	b.Helper()
	b.ReportMetric(ours.Seconds()*1000, "ours-ms")
	b.ReportMetric(theirs.Seconds()*1000, "theirs-ms")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
}

func BenchmarkUnpack20k(b *testing.B) {
	s := newStore(b)
	snap := take(b, s, sourceTree(b))
	b.SetBytes(snap.Bytes)
	for b.Loop() {
		dst := filepath.Join(b.TempDir(), "out")
		must(b, s.Unpack(b.Context(), snap.ID, dst, nil))
		b.StopTimer()
		must(b, os.RemoveAll(dst))
		b.StartTimer()
	}
}

// The small ones are on the way from submit to the script's first line; each
// begins with a process that has just started.
func BenchmarkTakeSmallFirst(b *testing.B) {
	src := smallTree(b)
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "objects")
		take(b, openStore(b, dir), src)
		b.StopTimer()
		must(b, os.RemoveAll(dir))
		b.StartTimer()
	}
}

func BenchmarkTakeSmallUnchanged(b *testing.B) {
	src, dir := smallTree(b), filepath.Join(b.TempDir(), "objects")
	waitUntilReused(b, openStore(b, dir), src, 10)
	for b.Loop() {
		take(b, openStore(b, dir), src)
	}
}

func BenchmarkUnpackSmall(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "objects")
	snap := take(b, openStore(b, dir), smallTree(b))
	for b.Loop() {
		dst := filepath.Join(b.TempDir(), "out")
		s := openStore(b, dir)
		must(b, s.Unpack(b.Context(), snap.ID, dst, nil))
		b.StopTimer()
		must(b, os.RemoveAll(dst))
		b.StartTimer()
	}
}
