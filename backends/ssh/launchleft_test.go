package ssh_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
	"github.com/runnerml/runner/runconfig"
)

// The line breaks when a container's launch, with the secrets, lies ready and
// the engine was not asked yet: only its owner may read it meanwhile, and it
// goes with the next that is done for the attempt, whichever that is.
func TestLaunchLeftByABrokenLine(t *testing.T) {
	t.Parallel()
	engine := testenv.Docker(t)
	for _, c := range []struct {
		name string
		next func(*testing.T, *backend, backends.Attempt)
	}{
		{"started again", func(t *testing.T, b *backend, a backends.Attempt) {
			handle, err := b.Start(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			ref := a.Ref()
			ref.Handle = handle
			r, err := b.Logs(t.Context(), ref, backends.Source{Follow: true}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if log, err := io.ReadAll(r); err != nil || string(log) != "***\n" {
				t.Errorf("it said %q, %v", log, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			seen, err := b.Observe(t.Context(), []backends.Ref{ref})
			if err != nil || seen[0].Outcome != run.OutcomeCompleted {
				t.Errorf("seen %+v, %v", seen, err)
			}
		}},
		{"given up", func(t *testing.T, b *backend, a backends.Attempt) {
			if err := b.Release(t.Context(), a.Ref()); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, testenv.SSHOptions{}, testenv.SSHUser{})
			m.Socket = filepath.Join(m.account.Home, "engine.sock")
			var cut atomic.Bool
			cut.Store(true)
			engineBefore(t, engine, m.account, m.Socket, func(path string) {
				if strings.HasSuffix(path, "/containers/create") && cut.Swap(false) {
					m.line.Refuse()
				}
			})
			testenv.Leaks(t, engine, container.LabelHome+"="+m.Home.Installation())
			b := m.open(t)
			secret := rand.Text()
			a := backends.Attempt{
				Run: "left-" + strings.ToLower(rand.Text()[:8]), Number: 1, Experiment: "left", Secrets: map[string]string{"TOKEN": secret},
				Environment: &environment.Resolved{
					Kind: environment.Image, Digest: "sha256:" + strings.Repeat("d", 64), Interpreter: "python3", Docker: &environment.Docker{Image: engine.Base},
				},
				Snapshot: m.Home.Snapshot(t, t.TempDir()),
				Config:   &runconfig.ScriptRunConfig{Command: `echo "$TOKEN"`, Resources: runconfig.Resources{Nodes: 1, CPUs: 0.1}},
			}
			t.Cleanup(func() {
				if err := b.Release(context.WithoutCancel(t.Context()), a.Ref()); err != nil {
					t.Error(err)
				}
			})
			if err := b.Prepare(t.Context(), a, nil); err != nil {
				t.Fatal(err)
			}
			_, err := b.Start(t.Context(), a)
			if failed, ok := errors.AsType[*backends.Failure](err); !ok || !failed.Temporary || failed.Outcome != run.OutcomeTargetUnreachable {
				t.Fatalf("over a line that broke: %v", err)
			}
			launch := filepath.Join(m.Root.Attempt(a.Ref()), "sup", "launch.json")
			if d := cmp.Diff([]string{launch}, holding(t, m.account.Home, secret)); d != "" {
				t.Errorf("while the line is down: %s", d)
			}
			if info, err := os.Stat(launch); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the launch: %v, %v", info, err)
			}
			m.line.Heal()
			c.next(t, b, a)
			if left := holding(t, m.account.Home, secret); left != nil {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// engineBefore is an engine's socket for an account that tells of each request
// before the engine gets it.
func engineBefore(t *testing.T, engine testenv.Engine, account testenv.SSHAccount, socket string, tell func(path string)) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err == nil {
		err = os.Chown(socket, account.UID, -1)
	}
	if err != nil {
		t.Fatal(err)
	}
	there := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	there.FlushInterval = -1 // of what is followed each line at once
	there.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	there.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", strings.TrimPrefix(engine.Host, "unix://"))
	}}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell(r.URL.Path)
		if r.Context().Err() == nil {
			there.ServeHTTP(w, r)
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
}

// holding are the files below dir that hold text.
func holding(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
