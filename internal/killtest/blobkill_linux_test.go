package killtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/blob"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/testenv"
)

const (
	mib       = 1 << 20
	largeName = "few/4large"
)

// travel is how much goes in and out while something is killed.
type travel struct {
	kills, files, large int // large in bytes
}

// blobTravel is a travel for every day; RUNNER_BLOB_KILLS makes it the whole one.
func blobTravel() travel {
	if n, err := strconv.Atoi(os.Getenv("RUNNER_BLOB_KILLS")); err == nil {
		return travel{kills: n, files: 2000, large: 2048 * mib}
	}
	return travel{kills: 8, files: 200, large: 96 * mib}
}

// TestKillBlob kills the agent while many files and a large one come in from Blob
// storage and go out to it, and then the agent or the command that fetches them.
// All is there at the end, nothing else is, and of no file more than a block
// travelled again for a kill while it was on its way.
func TestKillBlob(t *testing.T) {
	t.Parallel()
	how := blobTravel()
	w := newBlobWorld(t, how)
	src := t.TempDir()
	w.fill(src, how)

	id := strings.TrimSpace(w.cli.Run("submit", "--detach", w.spec()))
	in, out, fetch := how.kills*3/8, how.kills*3/8, how.kills-2*(how.kills*3/8)
	ranges := how.large / (8 * mib)
	w.leg(leg{
		name: "in", container: "data", kills: in, requests: how.files + ranges, ofLarge: ranges,
		bytes: func(e testenv.Exchange) int64 { return e.Sent },
		match: func(r *http.Request) bool { return r.Method == http.MethodGet && !r.URL.Query().Has("comp") },
		ended: func() bool { s := w.state(id); return s != run.Queued && s != run.Preparing },
	})
	w.leg(leg{
		name: "out", container: "results", kills: out, requests: how.files + 2*ranges, ofLarge: 2 * ranges,
		bytes: func(e testenv.Exchange) int64 { return e.Received },
		match: func(r *http.Request) bool { return r.Method == http.MethodPut },
		ended: func() bool { return w.state(id).Ended() },
	})
	dst := t.TempDir()
	command := w.fetching(id, dst)
	w.leg(leg{
		name: "fetched", container: "results", kills: fetch, requests: how.files + how.large/mib, ofLarge: how.large / mib,
		bytes: func(e testenv.Exchange) int64 { return e.Sent },
		match: func(r *http.Request) bool { return r.Method == http.MethodGet && !r.URL.Query().Has("comp") },
		kill:  command.kill, ended: command.ended,
	})
	w.checkRun(id)
	w.checkPlaces(id, src, dst)
}

// blobWorld is an agent that reads from and writes to a store behind a proxy.
type blobWorld struct {
	*house
	service testenv.BlobService
	proxy   *testenv.FaultProxy
	direct  func(container string) *blob.Container
	sizes   map[string]int64 // of files, by their names
	random  *rand.Rand
}

func newBlobWorld(t *testing.T, how travel) *blobWorld {
	t.Helper()
	w := &blobWorld{service: testenv.Azurite(t), sizes: map[string]int64{}}
	w.proxy = testenv.Faults(t, w.service, nil)
	cli := testenv.Runner(t, "SSL_CERT_FILE="+w.service.Trust.File, "AZURE="+w.service.ConnectionString(w.proxy.Addr))
	w.house = newHouse(t, cli, t.TempDir())
	account := w.service.Account
	config := fmt.Sprintf("storage_accounts: {%s: 'env:AZURE'}\nartifacts: {default: results, stores: {results: azblob://%s/results}}\n", account, account)
	if err := os.WriteFile(filepath.Join(w.home, "config.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d; %d kills, %d files and one of %d MiB", seed, how.kills, how.files, how.large/mib)
	w.random = rand.New(rand.NewPCG(seed, 0))
	w.direct = func(name string) *blob.Container {
		right, err := blob.FromConnectionString(w.service.ConnectionString(w.service.Addr))
		if err != nil {
			t.Fatal(err)
		}
		c, err := blob.Open(blob.Location{Account: account, Container: name}, right, blob.Options{RootCAs: w.service.Trust.Pool})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	for _, name := range []string{"data", "results"} {
		if err := w.service.CreateContainer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// fill makes the files, here and in the store.
func (w *blobWorld) fill(dir string, how travel) {
	w.t.Helper()
	var all []blob.Upload
	content := rand.NewChaCha8([32]byte{3})
	write := func(name string, size int) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			w.t.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			w.t.Fatal(err)
		}
		buf := make([]byte, mib)
		for left := size; left > 0; left -= len(buf) {
			buf = buf[:min(len(buf), left)]
			_, _ = content.Read(buf) // never fails
			if _, err := f.Write(buf); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			w.t.Fatal(err)
		}
		w.sizes[name] = int64(size)
		all = append(all, blob.Upload{From: path, Name: "set/" + name})
	}
	for i := range how.files {
		write(fmt.Sprintf("few/%d/%d", i%10, i), i*37%20_000)
	}
	write(largeName, how.large) // its turn comes in the middle, with small ones beside it
	if err := w.direct("data").UploadAll(w.t.Context(), all, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *blobWorld) spec() string {
	path := filepath.Join(w.t.TempDir(), "job.yaml")
	spec := fmt.Sprintf(`experiment: kill
command: echo start >>%s/$RUNNER_RUN_ID; cp -r "$RUNNER_INPUT_DATA"/. outputs/
inputs: {data: {path: "azblob://%s/data/set"}}
`, w.starts, w.service.Account)
	if err := os.WriteFile(path, []byte(spec), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *blobWorld) run(id string) (r run.Run) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.cli.Run("show", id, "-o", "json")), &r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *blobWorld) state(id string) run.State { return w.run(id).State }

// leg is one way that bytes go.
type leg struct {
	name, container string
	kills           int
	requests        int // how many there are, about
	ofLarge         int // for the large file
	bytes           func(testenv.Exchange) int64
	match           func(*http.Request) bool
	kill            func(n int) // nil: the agent
	ended           func() bool
}

// leg carries one out, killing, and looks at what travelled.
func (w *blobWorld) leg(p leg) {
	w.t.Helper()
	if p.kill == nil {
		p.kill = func(int) { w.killAgent() }
	}
	began, prefix := time.Now(), "/"+w.service.Account+"/"+p.container+"/"
	travelled, hit := map[string]int64{}, map[string]int64{} // bytes; kills while it was on its way
	account := func(killed bool) {
		now := map[string]int64{}
		for _, e := range w.proxy.Take() {
			if name, ok := strings.CutPrefix(e.Path, prefix); ok && !e.Query.Has("restype") && e.Query.Get("comp") != "blocklist" {
				now[w.nameOf(name)] += p.bytes(e)
			}
		}
		for name, n := range now {
			travelled[name] += n
			if killed && n > 0 {
				hit[name]++
			}
		}
	}
	killed := 0
	for deadline := time.Now().Add(10 * time.Minute); ; {
		var due <-chan struct{}
		if killed < p.kills {
			due = w.dueKill(p, killed, prefix)
		}
		if !w.wait(due, p.ended, deadline) {
			break
		}
		p.kill(killed)
		killed++
		w.quiet()
		account(true)
	}
	w.proxy.Set(nil)
	w.quiet()
	account(false)
	var all, twice, most int64
	for name, n := range travelled {
		size, ours := w.sizes[name]
		if !ours {
			continue // the log and its like
		}
		again := max(0, n-size)
		all += n
		twice += again
		if hit[name] > 0 {
			most = max(most, again/hit[name])
		}
		const block = 32 * mib
		if bound := hit[name] * min(block, size); again > bound {
			w.t.Errorf("%s: of %s %d bytes travelled again; %d kills while it was on its way cost %d at most", p.name, name, again, hit[name], bound)
		}
	}
	w.t.Logf("%s: %d kills in %s, %d of these while the large file was on its way; %d bytes travelled, %d of them again (of one file %d a kill at most)",
		p.name, killed, time.Since(began).Round(time.Second), hit[largeName], all, twice, most)
	if killed < max(1, p.kills/2) || hit[largeName] == 0 {
		w.t.Errorf("%s: only %d kills of %d came in time, %d for the large file", p.name, killed, p.kills, hit[largeName])
	}
}

// nameOf is the file that a blob is.
func (w *blobWorld) nameOf(blob string) string {
	if _, name, ok := strings.Cut(blob, "/outputs/"); ok {
		return name
	}
	return strings.TrimPrefix(blob, "set/")
}

// dueKill says when the next kill is due: a moment after one of the next
// requests, every other time of those for the large file, while there are any.
func (w *blobWorld) dueKill(p leg, killed int, prefix string) <-chan struct{} {
	n, ofLarge := 1+w.random.IntN(max(1, p.requests/p.kills)), -1
	if killed%2 == 0 {
		n, ofLarge = n+p.requests/p.kills, 3+w.random.IntN(max(1, p.ofLarge/p.kills))
	}
	moment := time.Duration(w.random.Int64N(int64(30 * time.Millisecond)))
	due, told := make(chan struct{}), false
	w.proxy.Set(func(_ int, r *http.Request) testenv.Fault {
		if !strings.HasPrefix(r.URL.Path, prefix) || !p.match(r) || told {
			return testenv.Fault{}
		}
		n--
		if strings.HasSuffix(r.URL.Path, largeName) {
			ofLarge--
		}
		if told = n == 0 || ofLarge == 0; told {
			time.AfterFunc(moment, func() { close(due) })
		}
		return testenv.Fault{}
	})
	return due
}

// wait says whether something was due before the leg ended.
func (w *blobWorld) wait(due <-chan struct{}, ended func() bool, deadline time.Time) bool {
	w.t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-due:
			return true
		case <-tick.C:
		}
		if ended() {
			return false
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("this does not come to an end: %s", w.cli.Run("ps", "--all", "-o", "wide"))
		}
	}
}

// quiet waits until nothing is on its way of whoever was killed.
func (w *blobWorld) quiet() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !w.proxy.Idle(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the proxy still serves who was killed a minute ago")
		}
	}
}

func (w *blobWorld) killAgent() {
	for _, pid := range w.agents() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}
