package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"
)

// What a run left is fetched from a server far away, over a line that is cut
// again and again: it goes on where it was, and what is there is whole.
func TestEndFetchOverCuts(t *testing.T) {
	t.Parallel()
	const large, small = 24 << 20, 60
	c := testenv.Runner(t)
	from := t.TempDir()
	content := make([]byte, large)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(content) // never fails
	write(t, filepath.Join(from, "large"), string(content))
	for i := range small {
		write(t, filepath.Join(from, fmt.Sprintf("few/%d", i)), fmt.Sprintf("this is %d\n", i))
	}
	token := filepath.Join(t.TempDir(), "token")
	const secret = "a token that is long enough"
	if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	api, _ := serving(t, c, "--listen", "127.0.0.1:0", "--token-file", token)
	line := testenv.Cut(t, api)
	far := []string{"RUNNER_HOME=" + filepath.Join(t.TempDir(), "none"), "RUNNER_SERVER=http://" + line.Address, "RUNNER_TOKEN=" + secret}
	say(t, c, nil, "submit", "-q", "--set", "experiment=far", "--set", "command=cp -r '"+from+"'/. outputs/").want(t, 0)

	check := func(t *testing.T, dir string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(dir, "outputs/large")); err != nil || !bytes.Equal(got, content) {
			t.Errorf("the large file has %d bytes of %d, or others (%v)", len(got), large, err)
		}
		for i := range small {
			want := fmt.Sprintf("this is %d\n", i)
			if got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("outputs/few/%d", i))); err != nil || string(got) != want {
				t.Errorf("file %d is %q (%v)", i, got, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(dir, ".runner-incoming")); err == nil {
			t.Error("what is for files on their way stays")
		}
	}
	t.Run("reset every few bytes", func(t *testing.T) {
		// Who begins a file anew after each cut never gets to its end.
		const each = 3 << 20
		dir, cuts := t.TempDir(), 0
		before := line.Passed()
		done := make(chan said, 1)
		go func() { done <- say(t, c, far, "outputs", "@last", "--to", dir) }()
		for next := before + each; ; {
			select {
			case s := <-done:
				s.want(t, 0, fmt.Sprintf(`\d+ files of far-\S+ in %s`, dir))
				check(t, dir)
				passed := line.Passed() - before
				t.Logf("%d cuts; %d bytes passed of %d", cuts, passed, large)
				if cuts < 2 || passed > large+int64(cuts)*each*2 {
					t.Errorf("%d cuts, and %d bytes", cuts, passed)
				}
				return
			case <-time.After(time.Millisecond):
			}
			if line.Passed() > next {
				line.Reset()
				cuts, next = cuts+1, line.Passed()+each
			}
		}
	})
	for _, how := range []struct {
		name string
		end  func(t *testing.T, cmd *exec.Cmd)
	}{
		{"the line goes and does not come back in time", func(t *testing.T, cmd *exec.Cmd) {
			line.Refuse()
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 3 && code != 0 {
				t.Errorf("exit code %d", code)
			}
		}},
		{"the command is killed", func(_ *testing.T, cmd *exec.Cmd) {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}},
	} {
		t.Run(how.name, func(t *testing.T) {
			var dir string
			var before int64
			for whole := true; whole; { // it may be faster than we
				dir, before = t.TempDir(), line.Passed()
				cmd := exec.Command(c.Bin, "outputs", "@last", "--to", dir)
				cmd.Env = append(c.Env[:len(c.Env):len(c.Env)], far...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				for line.Passed()-before < large*3/4 {
					select {
					case <-time.After(time.Millisecond):
					case <-t.Context().Done():
						t.Fatal(t.Context().Err())
					}
				}
				how.end(t, cmd)
				line.Heal()
				_, err := os.Lstat(filepath.Join(dir, "outputs/large"))
				whole = err == nil
			}
			say(t, c, far, "outputs", "@last", "--to", dir).want(t, 0)
			check(t, dir)
			passed := line.Passed() - before
			t.Logf("%d bytes passed of %d", passed, large)
			if passed > large*3/2 { // from the beginning again it is at least 7/4
				t.Errorf("%d bytes passed for %d", passed, large)
			}
		})
	}
}
