package onhost_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/datafetch"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/onhost"
)

// slowData is a server of one file that comes slowly, and what it has sent.
func slowData(t *testing.T, size int) (address, cert string, sent *atomic.Int64) {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(content) // never fails
	sent = &atomic.Int64{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		http.ServeContent(&slowly{ResponseWriter: w, n: sent, r: r}, r, "", time.Time{}, bytes.NewReader(content))
	}))
	t.Cleanup(s.Close)
	cert = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(cert, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL + "/set.bin", cert, sent
}

type slowly struct {
	http.ResponseWriter
	n *atomic.Int64
	r *http.Request
}

func (s *slowly) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += 64 << 10 {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-s.r.Context().Done():
			return at, s.r.Context().Err()
		}
		n, err := s.ResponseWriter.Write(p[at:min(len(p), at+64<<10)])
		s.n.Add(int64(n))
		if err != nil {
			return at + n, err
		}
	}
	return len(p), nil
}

// spying is this computer as another host, whose processes a test can kill.
type spying struct {
	host.Host
	env []string
}

// Run runs the program with more variables.
func (s spying) Run(ctx context.Context, c host.Command) error {
	c.Env = append(c.Env, s.env...)
	return s.Host.Run(ctx, c)
}

// Who fetches is killed; who waits for it goes on where it was, and what is
// under its name is whole.
func TestBringerKilled(t *testing.T) {
	const size = 32 << 20
	address, cert, sent := slowData(t, size)
	t.Setenv("SSL_CERT_FILE", cert)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	here := host.NewHere(root)
	defer here.Close()
	client := onhost.New(spying{here, []string{"SSL_CERT_FILE=" + cert}}, self, func(err error) bool { return errors.Is(err, onhost.ErrCut) })
	file, err := client.Look(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	source, err := datafetch.OfFile(address, file, "")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	bring := func() { done <- client.Bring(t.Context(), root, source, nil) }
	go bring()
	eventually(t, "a third of it to have come", func() bool { return sent.Load() > size/3 })
	go bring()
	killBringer(t, root)
	for range 2 { // who was killed is asked again
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	got, err := os.Stat(filepath.Join(root, onhost.InputsDir, source.Key, "set.bin"))
	if err != nil || got.Size() != size {
		t.Errorf("what is there: %v, %v", got, err)
	}
	// All four ranges may just have been on their way; who waited began none anew
	// that was there.
	if sent.Load() > 2*size {
		t.Errorf("%d MiB were sent for %d", sent.Load()>>20, size>>20)
	}
}

// killBringer kills the first of those who fetch into a root.
func killBringer(t *testing.T, root string) {
	t.Helper()
	eventually(t, "two who fetch", func() bool {
		out, _ := exec.Command("pgrep", "-f", "onhost bring "+root).Output()
		return len(strings.Fields(string(out))) >= 2
	})
	out, err := exec.Command("pgrep", "-o", "-f", "onhost bring "+root).Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for _, c := range strings.TrimSpace(string(out)) {
		pid = pid*10 + int(c-'0')
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
