package machine_test

import (
	"os"
	"testing"

	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/supervise"
	"github.com/runnerml/runner/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "onhost":
			testenv.Exit(onhost.Main(os.Args[2:], os.Stdin, os.Stdout))
		case "supervise":
			testenv.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
		}
	}
	os.Exit(m.Run())
}
