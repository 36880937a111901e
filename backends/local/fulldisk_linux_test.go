package local_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

func TestFullDisk(t *testing.T) {
	c := newComputer(t, "")
	testenv.SmallDisk(t, filepath.Join(c.home, "runs"), "size=512k")
	big := c.attempt(nil, "true", map[string]string{"big": strings.Repeat("x", 2<<20)})
	err := c.Prepare(t.Context(), big, nil)
	if backends.OutcomeOf(err) != run.OutcomeEnvironmentFailed || !strings.Contains(backends.HintOf(err), "full") {
		t.Errorf("error %v, outcome %s, hint %q", err, backends.OutcomeOf(err), backends.HintOf(err))
	}
	if err := c.Release(t.Context(), big.Ref()); err != nil {
		t.Fatal(err)
	}
	fits := c.attempt(nil, "echo fits", map[string]string{"small": "x"})
	ref := c.begin(fits)
	if o := c.ended(ref); o.Outcome != run.OutcomeCompleted {
		t.Errorf("after a full disk: %+v", o)
	}
}
