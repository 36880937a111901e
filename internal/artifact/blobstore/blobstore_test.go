package blobstore_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/artifact/artifacttest"
	"github.com/runnerml/runner/internal/artifact/blobstore"
	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is Azurite with a container, and a line to it that counts.
type service struct {
	testenv.BlobService
	line *testenv.Line
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{BlobService: testenv.Azurite(t)}
	s.line = testenv.Cut(t, s.Addr)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Trust.Pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client, err := container.NewClientFromConnectionString(s.ConnectionString(s.Addr)+"ContainerName=results", "results", &container.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// open is a store over that service at addr.
func (s *service) open(t *testing.T, addr, spool string, patience time.Duration) *blobstore.Store {
	t.Helper()
	store := blobstore.New("results", func(context.Context) (*blob.Container, error) {
		where, err := blob.ParseLocation("azblob://" + s.Account + "/results/team a")
		if err != nil {
			return nil, err
		}
		right, err := blob.FromConnectionString(s.ConnectionString(addr))
		if err != nil {
			return nil, err
		}
		return blob.Open(where, right, blob.Options{BlockSize: 1 << 20, Connections: 3, RootCAs: s.Trust.Pool, Patience: patience})
	}, spool)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestSuite(t *testing.T) {
	t.Parallel()
	s := newService(t)
	artifacttest.Suite(t, s.subject(t, s.line.Address, 500))
}

// Every tenth request or so goes wrong in one of all the ways that requests can:
// nothing is lost, doubled or silently short.
func TestSuiteWithFaults(t *testing.T) {
	t.Parallel()
	s := newService(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	kinds := map[testenv.FaultKind]int{}
	random := testenv.RandomFaults(seed, 0.1, 300_000)
	proxy := testenv.Faults(t, s.BlobService, func(n int, r *http.Request) testenv.Fault {
		f := random(n, r)
		mu.Lock()
		defer mu.Unlock()
		kinds[f.Kind]++
		return f
	})
	artifacttest.Suite(t, s.subject(t, proxy.Addr, 40))
	mu.Lock()
	defer mu.Unlock()
	t.Logf("faults: %v", kinds)
	if all := len(kinds) - 1; all < 5 { // one is none
		t.Errorf("only %d kinds of faults", all)
	}
}

// subject is the store for the suite, which talks to it at addr.
func (s *service) subject(t *testing.T, addr string, many int) artifacttest.Subject {
	spool := filepath.Join(t.TempDir(), "spool")
	const patience = time.Minute
	return artifacttest.Subject{
		Open:  func(t *testing.T) artifact.Store { return s.open(t, addr, spool, patience) },
		Large: 5<<20 + 3,
		Many:  many,
		Stray: func(t *testing.T) []string {
			stray, err := s.open(t, s.Addr, spool, patience).Runs(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(spool)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			for _, e := range entries {
				stray = append(stray, "spool: "+e.Name())
			}
			return stray
		},
	}
}

func random(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data) // never fails
	return data
}

// A store that is down says so; what came meanwhile need not come again, and of
// what was sent before only the rest goes.
func TestDown(t *testing.T) {
	s := newService(t)
	spool := filepath.Join(t.TempDir(), "spool")
	folder := func() artifact.Folder { return s.open(t, s.line.Address, spool, time.Second).Attempt("r", 1) }
	content := random(8 << 20)
	file := artifact.File{Path: "outputs/model", Size: int64(len(content)), Mode: 0o600}
	if _, err := folder().List(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := s.line.Passed()
	first := folder()
	if _, err := first.Stat(t.Context(), "outputs/x"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	s.line.ResetAfter(5 << 20)
	s.line.Refuse()
	err := first.Put(t.Context(), file, bytes.NewReader(content))
	down, ok := errors.AsType[*artifact.UnavailableError](err)
	if !ok || down.Lasting || !strings.Contains(err.Error(), "the artifact store results cannot be used now") {
		t.Fatalf("error %v", err)
	}
	s.line.Heal()
	again := folder()
	if files, err := again.List(t.Context()); err != nil || len(files) > 0 {
		t.Errorf("half of it is visible: %v, %v", files, err)
	}
	resumer, _ := again.(artifact.Resumer)
	at, _, err := resumer.Begun(t.Context(), file.Path)
	if err != nil || at != int64(len(content)) {
		t.Fatalf("%d bytes are here, %v", at, err)
	}
	if err := resumer.PutRest(t.Context(), file, at, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	if sent := s.line.Passed() - before; sent > 12<<20 {
		t.Errorf("%d bytes went over the line for 8 MiB", sent)
	}
	r, err := again.Open(t.Context(), file.Path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close(), again.Settle(t.Context())); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if _, err := os.Stat(spool); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spool stays: %v", err)
	}
}

// What lies here goes from where it is, unless it changes meanwhile.
func TestTake(t *testing.T) {
	s := newService(t)
	spool := filepath.Join(t.TempDir(), "spool")
	folder := s.open(t, s.Addr, spool, time.Minute).Attempt("r", 1)
	taker, _ := folder.(artifact.Taker)
	name := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(name, random(3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	file := artifact.File{Path: "outputs/model", Size: info.Size(), Mode: 0o640, Modified: info.ModTime()}
	if err := taker.Take(t.Context(), file, name); err != nil {
		t.Fatal(err)
	}
	there, err := folder.Stat(t.Context(), file.Path)
	if err != nil || there.Size != file.Size || there.Mode != 0o640 || !there.Modified.Equal(file.Modified) || there.Digest == nil {
		t.Errorf("there is %+v, %v", there, err)
	}
	file.Modified = file.Modified.Add(-time.Second)
	if err := taker.Take(t.Context(), file, name); !errors.Is(err, artifact.ErrChanged) {
		t.Errorf("of a file that changed: %v", err)
	}
	if _, err := os.Stat(spool); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was spooled: %v", err)
	}
}

func TestCheck(t *testing.T) {
	s := newService(t)
	open := func(where, credential string) *blobstore.Store {
		store := blobstore.New("results", func(context.Context) (*blob.Container, error) {
			l, err := blob.ParseLocation(where)
			if err != nil {
				return nil, err
			}
			right, err := blob.FromConnectionString(credential)
			if err != nil {
				return nil, err
			}
			return blob.Open(l, right, blob.Options{RootCAs: s.Trust.Pool})
		}, t.TempDir())
		t.Cleanup(func() { _ = store.Close() }) // only connections
		return store
	}
	right := s.ConnectionString(s.Addr)
	wrong := strings.Replace(right, s.Key, "AAAA"+s.Key[4:], 1)
	for name, c := range map[string]struct {
		where, credential, want string
		lasting                 bool
	}{
		"right":             {"azblob://" + s.Account + "/results/x", right, "", false},
		"no such container": {"azblob://" + s.Account + "/resluts", right, "container", true},
		"wrong key":         {"azblob://" + s.Account + "/results", wrong, "key", true},
		"nobody there":      {"azblob://" + s.Account + "/results", s.ConnectionString("127.0.0.1:1"), "", false},
		"no location":       {"results", right, "scheme", true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := open(c.where, c.credential).Check(ctx)
			if name == "right" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*artifact.UnavailableError](err)
			if !ok || e.Lasting != c.lasting || !strings.Contains(err.Error(), c.want) {
				t.Errorf("lasting %v: %v", ok && e.Lasting, err)
			}
			if err != nil && strings.Contains(err.Error(), s.Key[4:]) {
				t.Error("the key is told")
			}
		})
	}
}
