package supervise_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// childCPU is what all children that were waited for used, in milliseconds.
func childCPU(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

// BenchmarkTrue is one process from start to its written end: bare, and
// supervised. The difference is what keeping it costs.
func BenchmarkTrue(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		before := childCPU(b)
		for b.Loop() {
			if err := exec.Command("true").Run(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric((childCPU(b)-before)/float64(b.N), "cpu-ms/op")
	})
	b.Run("supervised", func(b *testing.B) {
		root, k := benchKeeper(b)
		before, i := childCPU(b), 0
		for b.Loop() {
			i++
			dir := filepath.Join(root, strconv.Itoa(i))
			if _, err := k.Start(b.Context(), dir, supervise.Launch{Mark: "bench." + strconv.Itoa(i), Argv: []string{"true"}, Inherit: true, Dir: "/"}); err != nil {
				b.Fatal(err)
			}
			eventually(b, "its end", func() bool { return supervise.StatusOf(dir).Phase == supervise.Ended })
		}
		b.ReportMetric((childCPU(b)-before)/float64(b.N), "cpu-ms/op")
	})
}

// BenchmarkStatus is one question about a hundred processes.
func BenchmarkStatus(b *testing.B) {
	root, k := benchKeeper(b)
	dirs := make([]string, 100)
	for i := range dirs {
		dirs[i] = filepath.Join(root, strconv.Itoa(i))
		if _, err := k.Start(b.Context(), dirs[i], supervise.Launch{Mark: "bench." + strconv.Itoa(i), Argv: []string{"true"}, Inherit: true, Dir: "/"}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := k.Status(b.Context(), dirs); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLog is how fast an output reaches its file.
func BenchmarkLog(b *testing.B) {
	const size = 512 << 20
	for _, c := range []struct {
		name   string
		redact []string
	}{{"plain", nil}, {"redacted", []string{"hunter2-hunter2", "another-secret"}}} {
		b.Run(c.name, func(b *testing.B) {
			root, k := benchKeeper(b)
			b.SetBytes(size)
			i := 0
			for b.Loop() {
				i++
				dir := filepath.Join(root, strconv.Itoa(i))
				l := supervise.Launch{
					Mark: "bench." + strconv.Itoa(i), Argv: []string{"head", "-c", strconv.Itoa(size), "/dev/zero"},
					Inherit: true, Dir: "/", Redact: c.redact,
				}
				if _, err := k.Start(b.Context(), dir, l); err != nil {
					b.Fatal(err)
				}
				eventually(b, "its end", func() bool { return supervise.StatusOf(dir).Phase == supervise.Ended })
				if err := os.RemoveAll(dir); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEnd is how long after a process's end a Watcher has said so.
func BenchmarkEnd(b *testing.B) {
	root, k := benchKeeper(b)
	w, err := supervise.NewWatcher()
	if err != nil {
		b.Fatal(err)
	}
	changed := make(chan string, 1024)
	done := make(chan error, 1)
	go func() { done <- w.Run(b.Context(), func(dir string) { changed <- dir }) }()
	var total time.Duration
	i := 0
	for b.Loop() {
		i++
		dir := filepath.Join(root, strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		if err := w.Add(dir); err != nil {
			b.Fatal(err)
		}
		if _, err := k.Start(b.Context(), dir, supervise.Launch{Mark: "bench." + strconv.Itoa(i), Argv: []string{"true"}, Inherit: true, Dir: "/"}); err != nil {
			b.Fatal(err)
		}
		s := supervise.StatusOf(dir)
		for s.Phase != supervise.Ended {
			<-changed
			s = supervise.StatusOf(dir)
		}
		total += time.Since(s.EndedAt)
		w.Remove(dir)
	}
	b.ReportMetric(float64(total.Microseconds())/1e3/float64(b.N), "told-ms/op")
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	<-done
}

func benchKeeper(b *testing.B) (string, *supervise.Keeper) {
	b.Helper()
	bin, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	root := b.TempDir()
	here := host.NewHere(root)
	b.Cleanup(func() { _ = here.Close() })
	return root, supervise.New(here, bin)
}
