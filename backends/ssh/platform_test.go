package ssh_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/run"
)

// An agent of another platform than the machine's: the program for it lies
// beside the agent's own, and carries an attempt from its beginning to its end.
func TestAnotherPlatform(t *testing.T) {
	c := newCutter(t, "cat data.txt; echo out >outputs/f; exit 3", map[string][]byte{"data.txt": []byte("from here\n")})
	dir := t.TempDir()
	file := filepath.Join(dir, program.FileName(runtime.GOOS+"/"+runtime.GOARCH))
	build := exec.Command("go", "build", "-buildvcs=false", "-o", file, "github.com/runnerml/runner/cmd/runner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	digest := sumOf(t, file)
	c.Programs = &program.Finder{Platform: "plan9/386", Executable: filepath.Join(dir, "runner"), Home: string(c.Home)}
	before, native := c.line.Passed(), c.b
	c.b = c.open(t)
	t.Cleanup(func() { c.b = native }) // for what clears up
	info, err := os.Stat(file)
	c.ok(err)
	if sent := c.line.Passed() - before; sent < info.Size()/10 {
		t.Errorf("%d bytes went over the line for a program of %d", sent, info.Size())
	}
	if got := sumOf(t, filepath.Join(string(c.Root), program.BinDir, "runner-"+digest[:12])); got != digest {
		t.Errorf("what is there has the digest %s, not %s", got, digest)
	}
	ref := c.begin()
	if o := c.ended(ref); o.Outcome != run.OutcomeScriptFailed || o.ExitCode == nil || *o.ExitCode != 3 {
		t.Errorf("seen %+v", o)
	}
	if log := c.log(ref, false); log != "from here\n" {
		t.Errorf("log %q", log)
	}
	c.ok(c.b.Collect(t.Context(), ref, c.Home.Home(t, ref)))
	if data, err := os.ReadFile(filepath.Join(c.Home.Home(t, ref).Path(), "outputs/f")); string(data) != "out\n" {
		t.Errorf("outputs %q, %v", data, err)
	}
	// The next agent finds the program there.
	before = c.line.Passed()
	c.open(t)
	if sent := c.line.Passed() - before; sent > 256<<10 {
		t.Errorf("%d bytes went over the line for what is there", sent)
	}
}
