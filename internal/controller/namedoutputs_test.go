package controller

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// fakeUploader keeps in memory what was sent where.
type fakeUploader struct {
	mu    sync.Mutex
	sent  []string // ADDRESS/NAME
	wrong error    // what Check answers
	down  error    // what Upload answers
	hang  bool     // Upload does not end by itself
}

func (u *fakeUploader) Check(context.Context, string) error { return u.wrong }

func (u *fakeUploader) Upload(ctx context.Context, files []UploadFile, address string, tell Telling) (Uploaded, error) {
	u.mu.Lock()
	down, hang := u.down, u.hang
	u.mu.Unlock()
	if hang {
		tell.Waiting("the store is busy")
		<-ctx.Done()
		return Uploaded{}, context.Cause(ctx)
	}
	if down != nil {
		return Uploaded{}, down
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, f := range files {
		r, err := f.Open(ctx)
		if err != nil {
			return Uploaded{}, err
		}
		if err := r.Close(); err != nil {
			return Uploaded{}, err
		}
		u.sent = append(u.sent, address+"/"+f.Name)
	}
	tell.Progress(1, 1)
	return Uploaded{Files: len(files), To: address, Left: []string{"odd (no blob can have this name)"}}, nil
}

func (u *fakeUploader) set(change func(*fakeUploader)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u)
}

const modelAddress = "azblob://team/models/iris"

func withModel(when string) func(*runconfig.ScriptRunConfig) {
	return func(c *runconfig.ScriptRunConfig) {
		c.Outputs.Named = map[string]runconfig.Output{"model": {Path: modelAddress, Mode: "upload", When: when}}
	}
}

// leaves makes every attempt of the run leave a file in its named output.
func (h *house) leaves(id string) {
	h.target.mu.Lock()
	defer h.target.mu.Unlock()
	h.target.collect = func() error {
		for _, number := range []string{"1", "2"} {
			dir := filepath.Join(h.home, "runs", id, "attempts", number, "outputs", "model")
			if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "weights"), nil, 0o600)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (h *house) story(id string) string {
	h.t.Helper()
	events, err := h.c.Events(h.t.Context(), id, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range events {
		all.WriteString(e.Why + "\n")
	}
	return all.String()
}

func TestNamedOutputs(t *testing.T) {
	for _, test := range []struct {
		name    string
		when    string
		outcome run.Outcome
		code    int
		state   run.State
		sent    []string
		story   string
	}{
		{"of a run that completed", "completed", run.OutcomeCompleted, 0, run.Completed, []string{modelAddress + "/weights"}, "output model: 1 file is in azblob://team/models/iris; not uploaded: odd (no blob can have this name)"},
		{"of a run that failed", "completed", run.OutcomeScriptFailed, 1, run.Failed, nil, "output model is not uploaded: the run did not complete"},
		{"of a run that failed, always", "always", run.OutcomeScriptFailed, 1, run.Failed, []string{modelAddress + "/weights"}, "output model: 1 file is in"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := &fakeUploader{}
			h := &house{uploader: u}
			h.init(t, newFakeTarget(1))
			r := h.submit(withModel(test.when))
			h.leaves(r.ID)
			h.until(r.ID, run.Running)
			h.target.end(attempt(r, 1), test.outcome, test.code, "")
			h.until(r.ID, test.state)
			if !slices.Equal(u.sent, test.sent) {
				t.Errorf("sent %q, want %q", u.sent, test.sent)
			}
			if story := h.story(r.ID); !strings.Contains(story, test.story) {
				t.Errorf("the story does not tell %q:\n%s", test.story, story)
			}
		})
	}
}

func TestNamedOutputsOfTheLastAttemptOnly(t *testing.T) {
	u := &fakeUploader{}
	h := &house{uploader: u}
	h.init(t, newFakeTarget(1))
	one := 1
	r := h.submit(func(c *runconfig.ScriptRunConfig) {
		withModel("always")(c)
		c.Restart.Failed = &one
	})
	h.leaves(r.ID)
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeScriptFailed, 1, "")
	h.eventually("a second attempt", func() bool { return h.target.running(attempt(r, 2)) })
	u.set(func(u *fakeUploader) {
		if len(u.sent) > 0 {
			t.Errorf("sent %q before the run had ended", u.sent)
		}
	})
	h.target.end(attempt(r, 2), run.OutcomeCompleted, 0, "")
	h.until(r.ID, run.Completed)
	if len(u.sent) != 1 {
		t.Errorf("sent %q", u.sent)
	}
}

func TestABlobStoreThatIsDownIsWaitedFor(t *testing.T) {
	u := &fakeUploader{down: errors.New("the store cannot be reached: azblob://team/models")}
	h := &house{uploader: u}
	h.init(t, newFakeTarget(1))
	r := h.submit(withModel("completed"))
	h.leaves(r.ID)
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "")
	h.eventually("reason", func() bool {
		got, err := h.c.Run(t.Context(), r.ID)
		return err == nil && got.State == run.Finalizing && strings.Contains(got.Message, "upload output model: the store cannot be reached")
	})
	u.set(func(u *fakeUploader) { u.down = nil })
	h.until(r.ID, run.Completed)
	if len(u.sent) != 1 {
		t.Errorf("sent %q", u.sent)
	}
}

func TestACancelEndsAnUpload(t *testing.T) {
	u := &fakeUploader{hang: true}
	h := &house{uploader: u}
	h.init(t, newFakeTarget(1))
	r := h.submit(withModel("completed"))
	h.leaves(r.ID)
	h.until(r.ID, run.Running)
	h.target.end(attempt(r, 1), run.OutcomeCompleted, 0, "")
	h.eventually("reason", func() bool {
		return strings.Contains(h.message(r.ID), "uploading output model waits: the store is busy")
	})
	if _, err := h.c.Cancel(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	h.until(r.ID, run.Completed)
	if story := h.story(r.ID); !strings.Contains(story, "canceled before output model was uploaded; it is in outputs/model") {
		t.Errorf("the story does not tell it:\n%s", story)
	}
}

func TestOutputsThatCanGoNowhereAreRefused(t *testing.T) {
	h := &house{uploader: &fakeUploader{wrong: &InvalidError{What: "there is no such container", Hint: "make it"}}}
	h.init(t, newFakeTarget(1))
	err := h.refused(func(c *runconfig.ScriptRunConfig) {
		c.ComputeTarget = "local"
		withModel("completed")(c)
	})
	e, ok := errors.AsType[*InvalidError](err)
	if !ok || *e != (InvalidError{What: "there is no such container", Where: "outputs.model.path", Hint: "make it"}) {
		t.Errorf("got %v", err)
	}
}
