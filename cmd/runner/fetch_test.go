package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
)

// A file that is never what was listed is left out while its run goes on, and an
// error when it has ended; one that grew is what it was when it was listed.
func TestFetchOfWhatChanges(t *testing.T) {
	files := []controller.OutputFile{
		{Path: "outputs/grows", Size: 5, Mode: 0o644, Digest: digest("12345")},
		{Path: "outputs/restless", Size: 5, Mode: 0o644, Digest: digest("never")},
		{Path: "outputs/still", Size: 5, Mode: 0o644, Digest: digest("still")},
	}
	gone := controller.OutputFile{Path: "outputs/gone", Size: 5, Mode: 0o644, Digest: digest("12345")}
	contents := map[string]string{"outputs/grows": "123456789", "outputs/restless": "other", "outputs/still": "still"}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/content") {
			_ = json.NewEncoder(w).Encode(files)
			return
		}
		content, ok := contents[r.URL.Query().Get("path")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error": {"code": "not_found", "message": "x left no such file"}}`)
			return
		}
		fmt.Fprint(w, content)
	}))
	defer s.Close()
	c := client.New(client.Options{Base: s.URL})
	defer c.Close()
	for _, ended := range []bool{false, true} {
		t.Run(fmt.Sprintf("ended %v", ended), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "to")
			log, err := os.Create(filepath.Join(t.TempDir(), "log"))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			cli := newCLI(startFake)
			cli.err = newScreen(log, os.Getenv)
			f := &fetching{cli: cli, client: c, run: "x-1", ended: ended, lines: cli.newLiveLines()}
			err = f.all(t.Context(), append([]controller.OutputFile{gone}, files...), dir)
			if ended {
				if err == nil || !strings.Contains(err.Error(), "is not what its digest says") && !strings.Contains(err.Error(), "left no such file") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			said, err := os.ReadFile(log.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{
				"left out outputs/restless: it changes while it is fetched\n",
				"left out outputs/gone: it changes while it is fetched\n", "2 files of x-1 in " + dir + "\n",
			} {
				if !strings.Contains(string(said), want) {
					t.Errorf("not said: %q, but %q", want, string(said))
				}
			}
			got := map[string]string{}
			for _, name := range []string{"grows", "restless", "still", "gone"} {
				if content, err := os.ReadFile(filepath.Join(dir, "outputs", name)); err == nil {
					got[name] = string(content)
				}
			}
			if diff := cmp.Diff(map[string]string{"grows": "12345", "still": "still"}, got); diff != "" {
				t.Errorf("what is there (-want +got):\n%s", diff)
			}
		})
	}
}

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}
