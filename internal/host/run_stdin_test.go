package host_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// A command's end is not kept waiting for what it would be given.
func TestRunWithEndlessStdin(t *testing.T) {
	h := host.NewHere(t.TempDir())
	defer h.Close()
	for name, command := range map[string]string{"it ends": "exit 0", "it is killed": "kill -9 $$"} {
		t.Run(name, func(t *testing.T) {
			from, to := io.Pipe()
			defer to.Close()
			ran := make(chan error, 1)
			go func() {
				ran <- h.Run(t.Context(), host.Command{Argv: []string{"/bin/sh", "-c", command}, Stdin: from, Stdout: &strings.Builder{}})
			}()
			select {
			case err := <-ran:
				if killed := (*host.ExitError)(nil); name == "it is killed" && (!errors.As(err, &killed) || killed.Signal != "SIGKILL") || name == "it ends" && err != nil {
					t.Errorf("error %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it did not end")
			}
		})
	}
}

// A reader that fails is not taken for one that ended.
func TestRunWithBrokenStdin(t *testing.T) {
	h := host.NewHere(t.TempDir())
	defer h.Close()
	broken := errors.New("broken")
	var out strings.Builder
	err := h.Run(t.Context(), host.Command{
		Argv: []string{"cat"}, Stdin: io.MultiReader(strings.NewReader("half"), failing{broken}), Stdout: &out,
	})
	if !errors.Is(err, broken) || out.String() != "half" {
		t.Errorf("error %v, said %q", err, out.String())
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
