package backendtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/ranks"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
)

// Program is what the test binary is when its first argument is a word of ours.
type Program func(args []string) (code int)

// Main is TestMain of a backend's tests. The test binary is also the program
// that the backend puts on its targets (more: words of it beside the usual
// ones), and in a copy that the suite starts an agent, whose backend open opens
// where Target.Child says.
func Main[Where any](m *testing.M, open func(Where, context.Context) (backends.Backend, error), more map[string]Program) {
	programs := map[string]Program{
		"supervise": func(args []string) int { return supervise.Main(args, os.Stdin, os.Stdout) },
		"ranks":     ranks.Main,
		"onhost":    func(args []string) int { return onhost.Main(args, os.Stdin, os.Stdout) },
	}
	maps.Copy(programs, more)
	if len(os.Args) > 1 {
		if program, ok := programs[os.Args[1]]; ok {
			testenv.Exit(program(os.Args[2:]))
		}
	}
	if told, ok := os.LookupEnv(childVariable); ok {
		err := child(func() (backends.Backend, error) {
			var where Where
			if err := json.Unmarshal([]byte(told), &where); err != nil {
				return nil, fmt.Errorf("%s: %w", childVariable, err)
			}
			return open(where, context.Background())
		})
		if err != nil {
			_, _ = os.Stderr.WriteString("child: " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
