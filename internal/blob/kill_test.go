package blob

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"
)

// transferEnv makes a process of the test's own binary one that transfers and
// does nothing else, to be killed.
const transferEnv = "RUNNER_TEST_TRANSFER"

// transferJob is what such a process is told.
type transferJob struct {
	Connection string
	Container  string
	CA         string
	Up         bool // or down
	Dir        string
	Block      int64
}

func transferProcess() int {
	var job transferJob
	err := json.Unmarshal([]byte(os.Getenv(transferEnv)), &job)
	if err == nil {
		err = job.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (job transferJob) run(ctx context.Context) error {
	pem, err := os.ReadFile(job.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	cred, err := FromConnectionString(job.Connection)
	if err != nil {
		return err
	}
	c, err := Open(Location{Account: cred.account, Container: job.Container}, cred, Options{RootCAs: roots, BlockSize: job.Block})
	if err != nil {
		return err
	}
	if !job.Up {
		var all []Download
		for b, err := range c.List(ctx, "") {
			if err != nil {
				return err
			}
			all = append(all, Download{Blob: b, To: filepath.Join(job.Dir, b.Name)})
		}
		return c.DownloadAll(ctx, all)
	}
	var all []Upload
	err = filepath.WalkDir(job.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(job.Dir, path)
		all = append(all, Upload{From: path, Name: filepath.ToSlash(name)})
		return err
	})
	if err != nil {
		return err
	}
	return c.UploadAll(ctx, all, nil)
}

// carry lets processes do the job until one gets to its end. Each of the first
// kills ones is killed at a random moment: some milliseconds after a request that
// is one of its first so many.
func (job transferJob) carry(t *testing.T, proxy *testenv.FaultProxy, kills int, r *rand.Rand, requests int, ended func(killed bool)) (killed int) {
	t.Helper()
	raw, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	for round := 0; ; round++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), transferEnv+"="+string(raw))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		var timer *time.Timer
		started := make(chan struct{})
		last, wait := 1+r.IntN(requests), time.Duration(r.Int64N(int64(30*time.Millisecond)))
		proxy.Set(func(n int, _ *http.Request) testenv.Fault {
			if n == last && round < kills {
				timer = time.AfterFunc(wait, func() {
					<-started
					_ = cmd.Process.Kill() // it may have ended
				})
			}
			return testenv.Fault{}
		})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(started)
		err = cmd.Wait()
		proxy.Set(nil)
		if timer != nil {
			timer.Stop()
		}
		switch status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); {
		case err == nil:
			ended(false)
			return killed
		case status.Signaled() && status.Signal() == syscall.SIGKILL:
			killed++
			ended(true)
		default:
			t.Fatalf("%v: %s", err, stderr.String())
		}
	}
}

// TestKill kills the transferring process at random moments, while many files and
// a large one go in and out. RUNNER_BLOB_KILLS sets how often, each way; with it
// it is 2,000 files and one of 2 GiB.
func TestKill(t *testing.T) {
	kills, files, large, block := 6, 200, 48*mib, int64(mib)
	if n, err := strconv.Atoi(os.Getenv("RUNNER_BLOB_KILLS")); err == nil {
		kills, files, large, block = n, 2000, 2048*mib, 0
	}
	s := testenv.Azurite(t)
	proxy := testenv.Faults(t, s, nil)
	c := open(t, s, s.Addr, "kill", Options{BlockSize: block})
	create(t, c)
	src, dst := t.TempDir(), t.TempDir()
	sizes := map[string]int64{}
	for i := range files {
		name := fmt.Sprintf("few/%d/%d", i%10, i)
		write(t, filepath.Join(src, name), content(uint64(i), i*37%20_000))
		sizes[name] = int64(i * 37 % 20_000)
	}
	const largeName = "few/4large" // its turn comes in the middle, with small ones beside it
	writeLarge(t, filepath.Join(src, largeName), large)
	sizes[largeName] = int64(large)
	each := block
	if each == 0 {
		each = defaultBlock
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, way := range []struct {
		name string
		up   bool
		dir  string
		of   func(testenv.Exchange) int64
	}{
		{"in", true, src, func(e testenv.Exchange) int64 {
			if e.Query.Get("comp") == "blocklist" {
				return 0
			}
			return e.Received
		}},
		{"out", false, dst, func(e testenv.Exchange) int64 {
			if e.Query.Has("comp") {
				return 0
			}
			return e.Sent
		}},
	} {
		proxy.Take()
		began := time.Now()
		job := transferJob{Connection: s.ConnectionString(proxy.Addr), Container: "kill", CA: s.Trust.File, Up: way.up, Dir: way.dir, Block: block}
		var all int64
		travelled, hit := map[string]int64{}, map[string]int64{} // bytes; kills while it was on its way
		killed := job.carry(t, proxy, kills, r, 2*(files+large/int(each))/kills, func(killed bool) {
			for deadline := time.Now().Add(time.Minute); !proxy.Idle(); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the proxy still serves who was killed a minute ago")
				}
			}
			now := map[string]int64{}
			for _, e := range proxy.Take() {
				name := e.Path[min(len(e.Path), len("/"+s.Account+"/kill/")):]
				now[name] += way.of(e)
			}
			for name, n := range now {
				travelled[name] += n
				all += n
				if killed && n > 0 {
					hit[name]++
				}
			}
		})
		var twice, most int64
		for name, n := range travelled {
			again := max(0, n-sizes[name])
			twice += again
			if hit[name] > 0 {
				most = max(most, again/hit[name])
			}
			// What a kill costs of a file is a block, or all of it if it is less.
			if bound := hit[name] * min(each, sizes[name]); again > bound {
				t.Errorf("%s: of %s %d bytes travelled again; %d kills while it was on its way cost %d at most", way.name, name, again, hit[name], bound)
			}
		}
		t.Logf("%s: killed %d times in %s, %d of these while the large file was on its way; %d bytes travelled, %d of them again (of one file %d a kill)",
			way.name, killed, time.Since(began).Round(time.Second), hit[largeName], all, twice, most)
		if killed < 2 || hit[largeName] == 0 {
			t.Errorf("%s: only %d kills of %d came in time, %d for the large file", way.name, killed, kills, hit[largeName])
		}
	}
	same(t, src, dst)
}

func writeLarge(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += mib {
		if _, err := f.Write(content(uint64(1000+i/mib), mib)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// same compares two directories, byte for byte, and wants nothing more in the
// second.
func same(t *testing.T, want, got string) {
	t.Helper()
	list := func(dir string) map[string]string {
		all := map[string]string{}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				name, _ := filepath.Rel(dir, path)
				sum, sumErr := md5Of(path)
				all[name], err = fmt.Sprintf("%x", sum), sumErr
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	a, b := list(want), list(got)
	for name, sum := range a {
		if b[name] != sum {
			t.Errorf("%s is %s, want %s", name, b[name], sum)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			t.Errorf("stray %s", name)
		}
	}
}
