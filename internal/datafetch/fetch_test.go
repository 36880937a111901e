package datafetch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DATAFETCH_CHILD"); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// server is an HTTPS server of one file that a test can make go wrong.
type server struct {
	*httptest.Server
	content atomic.Pointer[[]byte]
	etag    atomic.Pointer[string]
	sent    atomic.Int64
	// wrong answers instead, or nil; it says whether it did.
	wrong func(n int64, w http.ResponseWriter, r *http.Request) bool
	n     atomic.Int64
}

func newServer(t *testing.T, size int) *server {
	t.Helper()
	s := &server{}
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content) // never fails
	etag := `"one"`
	s.content.Store(&content)
	s.etag.Store(&etag)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.wrong != nil && s.wrong(s.n.Add(1), w, r) {
			return
		}
		w.Header().Set("ETag", *s.etag.Load())
		http.ServeContent(&counting{w, &s.sent}, r, "data.bin", time.Time{}, bytes.NewReader(*s.content.Load()))
	}))
	t.Cleanup(s.Close)
	return s
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (s *server) web() Web {
	return Web{Client: s.Client(), RangeSize: 256 << 10, Connections: 4, Patience: 20 * time.Second, Stall: 2 * time.Second, firstWait: time.Millisecond}
}

func (s *server) sum() string {
	sum := sha256.Sum256(*s.content.Load())
	return hex.EncodeToString(sum[:])
}

// cutIn writes a part of what was asked for, and then cuts the line.
func cutIn(s *server, w http.ResponseWriter, r *http.Request, n int) {
	content := *s.content.Load()
	off, end := 0, len(content)
	if from, to, ok := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"); ok {
		off, _ = strconv.Atoi(from)
		end, _ = strconv.Atoi(to)
		end++
		w.Header().Set("Content-Range", "bytes "+from+"-"+to+"/"+strconv.Itoa(len(content)))
	}
	w.Header().Set("ETag", *s.etag.Load())
	w.Header().Set("Content-Length", strconv.Itoa(end-off))
	if r.Header.Get("Range") != "" {
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(content[off:min(end, off+n)])
	panic(http.ErrAbortHandler)
}

func TestFetchThroughFaults(t *testing.T) {
	const size = 5<<20 + 12345
	for name, test := range map[string]struct {
		size  int
		wrong func(s *server) func(n int64, w http.ResponseWriter, r *http.Request) bool
		want  string // part of the error; empty: all is well
	}{
		"nothing wrong": {size: size},
		"empty":         {size: 0},
		"one byte":      {size: 1},
		"one range":     {size: 256 << 10},
		"every third answer is cut": {size, func(s *server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(n int64, w http.ResponseWriter, r *http.Request) bool {
				if n%3 == 0 {
					cutIn(s, w, r, 100_000)
				}
				return false
			}
		}, ""},
		"500, 503 and dropped": {size, func(s *server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				switch n % 7 {
				case 1:
					w.WriteHeader(http.StatusInternalServerError)
				case 3:
					w.WriteHeader(http.StatusServiceUnavailable)
				case 5:
					panic(http.ErrAbortHandler)
				default:
					return false
				}
				return true
			}
		}, ""},
		"stalls": {size, func(s *server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(n int64, _ http.ResponseWriter, r *http.Request) bool {
				if n == 4 {
					<-r.Context().Done()
					return true
				}
				return false
			}
		}, ""},
		"no range support": {size, func(s *server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("ETag", *s.etag.Load())
				_, _ = w.Write(*s.content.Load())
				return true
			}
		}, ""},
		"no range support, cut once": {size, func(s *server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(n int64, w http.ResponseWriter, r *http.Request) bool {
				r.Header.Del("Range")
				if n == 2 {
					cutIn(s, w, r, 1<<20)
				}
				w.Header().Set("ETag", *s.etag.Load())
				_, _ = w.Write(*s.content.Load())
				return true
			}
		}, ""},
		"not there": {size, func(*server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusNotFound)
				return true
			}
		}, "nothing is there (404)"},
		"not permitted": {size, func(*server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
		}, "does not let us read it (403)"},
		"changed in the middle": {size, func(s *server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
				if n == 5 {
					other, etag := append([]byte("x"), (*s.content.Load())[1:]...), `"two"`
					s.content.Store(&other)
					s.etag.Store(&etag)
				}
				return false
			}
		}, "it changed while it was read"},
		"sent on to http": {size, func(*server) func(int64, http.ResponseWriter, *http.Request) bool {
			return func(_ int64, w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "http://127.0.0.1:1/x", http.StatusFound)
				return true
			}
		}, "not https://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, test.size)
			if test.wrong != nil {
				s.wrong = test.wrong(s)
			}
			dir := t.TempDir()
			address := s.URL + "/d/data.bin?x=1"
			f, err := s.web().Look(t.Context(), address)
			sum := s.sum()
			var last atomic.Int64
			if err == nil {
				err = s.web().Fetch(t.Context(), address, f, sum, dir, func(done, _ int64) { last.Store(done) })
			}
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "x=1") {
					t.Fatalf("error %v, want %q", err, test.want)
				}
				if left := files(t, dir); HasChanged(err) && len(left) > 0 {
					t.Errorf("left: %q", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "data.bin"))
			if err != nil || !bytes.Equal(got, *s.content.Load()) {
				t.Errorf("%d of %d bytes, or others: %v", len(got), test.size, err)
			}
			if left := files(t, dir); len(left) != 1 {
				t.Errorf("left: %q", left)
			}
			if last.Load() != int64(test.size) {
				t.Errorf("progress ended at %d of %d", last.Load(), test.size)
			}
			if s.Client().CheckRedirect != nil {
				t.Error("the caller's client was changed")
			}
		})
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWrongDigest(t *testing.T) {
	s := newServer(t, 1<<20)
	dir := t.TempDir()
	f, err := s.web().Look(t.Context(), s.URL+"/x")
	if err != nil {
		t.Fatal(err)
	}
	err = s.web().Fetch(t.Context(), s.URL+"/x", f, strings.Repeat("0", 64), dir, nil)
	if err == nil || !strings.Contains(err.Error(), "its SHA-256 is "+s.sum()) || HintOf(err) == "" || len(files(t, dir)) > 0 {
		t.Errorf("error %v, left %q", err, files(t, dir))
	}
}

// What cannot be reached from here is told apart from what is not there.
func TestUnreachable(t *testing.T) {
	s := newServer(t, 10)
	gone := httptest.NewTLSServer(http.NotFoundHandler())
	gone.Close()
	w := s.web()
	w.Patience = 50 * time.Millisecond
	strangers := Web{Patience: 50 * time.Millisecond} // it does not trust the server
	for name, test := range map[string]struct {
		web     Web
		address string
		away    bool
	}{
		"nobody listens": {w, gone.URL + "/x", true},
		"no such host":   {w, "https://no-such-host.invalid/x", true},
		"not trusted":    {strangers, s.URL + "/x", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.web.Look(t.Context(), test.address)
			if err == nil || Unreachable(err) != test.away {
				t.Errorf("error %v: unreachable %v, want %v", err, Unreachable(err), test.away)
			}
		})
	}
}

// child fetches into a directory until it is killed.
func child(dir string) {
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil || len(pem) == 0 {
		os.Exit(9)
	}
	w := Web{RangeSize: 256 << 10, Connections: 4}
	address := os.Getenv("DATAFETCH_ADDRESS")
	f, err := w.Look(context.Background(), address)
	if err == nil {
		err = w.Fetch(context.Background(), address, f, "", dir, nil)
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
}

// Killed again and again it goes on where it was: no range comes twice but
// those that were on their way.
func TestKilled(t *testing.T) {
	const size = 24 << 20
	s := newServer(t, size)
	var slow sync.Mutex
	s.wrong = func(int64, http.ResponseWriter, *http.Request) bool {
		slow.Lock() // so that there is something to kill
		defer slow.Unlock()
		select {
		case <-time.After(2 * time.Millisecond):
		case <-t.Context().Done():
		}
		return false
	}
	cert := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(cert, pemOf(s.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	kills := 0
	for {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "DATAFETCH_CHILD="+dir, "SSL_CERT_FILE="+cert, "DATAFETCH_ADDRESS="+strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+"/data.bin")
		cmd.Env = append(cmd.Env, "DATAFETCH_ADDRESS="+s.URL+"/data.bin")
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(150*time.Millisecond, func() { _ = cmd.Process.Kill() })
		if kills > 40 {
			kill.Stop()
		}
		err := cmd.Wait()
		kill.Stop()
		if err == nil {
			break
		}
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%v: %s", err, said.String())
		}
		kills++
	}
	got, err := os.ReadFile(filepath.Join(dir, "data.bin"))
	if err != nil || !bytes.Equal(got, *s.content.Load()) {
		t.Errorf("other bytes: %v", err)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
	// Of each killed one at most its connections' ranges came in vain.
	if most := int64(size) + int64(kills+1)*4*(256<<10) + 1<<20; s.sent.Load() > most || kills == 0 {
		t.Errorf("%d bytes were sent for %d, after %d kills", s.sent.Load(), size, kills)
	}
	t.Logf("%d kills, %d bytes sent for %d", kills, s.sent.Load(), size)
}
