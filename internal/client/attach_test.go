package client_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/compute"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server/servertest"
)

// Attaching says how far it is, and then what came of it.
func TestAttachTellsHowFarItIs(t *testing.T) {
	c := dialing(t, servertest.Serve(t, servertest.New(t), nil).Home)
	var told []controller.Progress
	answer, err := c.Attach(t.Context(), controller.Attachment{
		Name: "box", Kind: compute.SSH, Config: compute.Config{Address: "slow"},
	}, func(p controller.Progress) { told = append(told, p) })
	if err != nil {
		t.Fatal(err)
	}
	if answer.Target == nil || answer.Target.Name != "box" {
		t.Errorf("answer %+v", answer)
	}
	if len(told) != servertest.SlowSteps {
		t.Fatalf("told %d times", len(told))
	}
	want := controller.Progress{Step: "program", Detail: "sending \"it\"", Done: 7, Total: servertest.SlowSteps, Unit: "B"}
	if diff := cmp.Diff(want, told[6]); diff != "" {
		t.Error(diff)
	}
}
