package killtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/run"
)

// TestSharedBlob has ten runs want the same input at once: its bytes travel once.
// RUNNER_BLOB_SHARED_MIB sets its size.
func TestSharedBlob(t *testing.T) {
	t.Parallel()
	size := 64 * mib
	if n, err := strconv.Atoi(os.Getenv("RUNNER_BLOB_SHARED_MIB")); err == nil {
		size = n * mib
	}
	const runs = 10
	how := travel{large: size}
	w := newBlobWorld(t, how)
	src := t.TempDir()
	w.fill(src, how)
	if err := w.direct("data").UploadAll(t.Context(), []blob.Upload{{From: filepath.Join(src, largeName), Name: "one"}}, nil); err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(t.TempDir(), "job.yaml")
	text := fmt.Sprintf("experiment: shared\ncommand: cmp \"$RUNNER_INPUT_DATA\" '%s'\nresources: {cpus: 0.1}\ninputs: {data: {path: \"azblob://%s/data/one\"}}\noutputs: {store: home}\n",
		filepath.Join(src, largeName), w.service.Account)
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	want := map[string]fate{}
	for range runs {
		want[strings.TrimSpace(w.cli.Run("submit", "--detach", spec))] = fate{outcome: run.OutcomeCompleted}
	}
	w.waitAll(want)
	for id := range want {
		if r := w.run(id); r.State != run.Completed {
			t.Errorf("%s is %s: %s", id, r.State, r.Message)
		}
	}
	var sent int64
	for _, e := range w.proxy.Take() {
		if !e.Query.Has("comp") {
			sent += e.Sent
		}
	}
	t.Logf("%d runs wanted %d bytes at once: %d travelled, in %s", runs, size, sent, time.Since(began).Round(time.Second))
	if sent != int64(size) {
		t.Errorf("%d bytes travelled, not %d", sent, size)
	}
}
