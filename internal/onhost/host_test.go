package onhost_test

import (
	"os"
	"testing"

	"github.com/runnerml/runner/internal/testenv"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/hosttest"
	"github.com/runnerml/runner/internal/onhost"
	"github.com/runnerml/runner/internal/supervise"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "onhost" {
		testenv.Exit(onhost.Main(os.Args[2:], os.Stdin, os.Stdout))
	}
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		testenv.Exit(supervise.Main(os.Args[2:], os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// away is this computer as one that is reached from elsewhere: without the
// short cuts.
type away struct{ host.Host }

// A host that is asked through our process on it does all that a host must.
func TestHost(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Suite(t, func() host.Host {
		here := host.NewHere(t.TempDir())
		h := onhost.NewHost(away{here}, self)
		t.Cleanup(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			if err := here.Close(); err != nil {
				t.Error(err)
			}
		})
		return h
	})
}
