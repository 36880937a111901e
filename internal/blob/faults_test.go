package blob

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/partfile"
	"github.com/runnerml/runner/internal/testenv"
)

const mib = 1 << 20

// withoutMD5 stores a blob of several blocks that has no MD5, as other programs leave them.
func withoutMD5(t *testing.T, c *Container, name string, b []byte) {
	t.Helper()
	client := c.client.NewBlockBlobClient(c.location.full(name))
	var ids []string
	for i, s := range partfile.Cut(int64(len(b)), mib) {
		id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%08d", i))
		ids = append(ids, id)
		if _, err := client.StageBlock(t.Context(), id, &body{SectionReader: sectionOf(b[s.Off : s.Off+s.N]), ctx: t.Context(), count: func(int64) {}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.CommitBlockList(t.Context(), ids, &blockblob.CommitBlockListOptions{}); err != nil {
		t.Fatal(err)
	}
	if b, err := c.Stat(t.Context(), name); err != nil || len(b.MD5) > 0 {
		t.Fatalf("a blob without MD5: %+v, %v", b, err)
	}
}

// on is a plan: the first n requests that match have this fault.
func on(match func(*http.Request) bool, n int, fault testenv.Fault) testenv.Plan {
	return func(_ int, r *http.Request) testenv.Fault {
		if n > 0 && match(r) {
			n--
			return fault
		}
		return testenv.Fault{}
	}
}

func isGet(r *http.Request) bool {
	return r.Method == http.MethodGet && !r.URL.Query().Has("comp") && !r.URL.Query().Has("restype")
}
func isPut(r *http.Request) bool { return r.Method == http.MethodPut }

var someFaults = []testenv.Fault{
	{Kind: testenv.DropRequest},
	{Kind: testenv.DropRequest, Bytes: 100_000},
	{Kind: testenv.DropAnswer},
	{Kind: testenv.Truncate, Bytes: 0},
	{Kind: testenv.Truncate, Bytes: 400_000},
	{Kind: testenv.Short, Bytes: 400_000},
	{Kind: testenv.Short, Bytes: 0},
	{Kind: testenv.Flip},
	{Kind: testenv.FlipRequest},
	{Kind: testenv.Answer500},
	{Kind: testenv.Answer503},
	{Kind: testenv.Delay, For: 50 * time.Millisecond},
	{Kind: testenv.Slow, Rate: 4 * mib},
	{Kind: testenv.Hang, For: time.Minute},
}

func faultName(f testenv.Fault) string { return fmt.Sprintf("%s %d", f.Kind, f.Bytes) }

func TestFaults(t *testing.T) {
	s := testenv.Azurite(t)
	proxy := testenv.Faults(t, s, nil)
	c := open(t, s, proxy.Addr, "faults", Options{BlockSize: mib, Stall: time.Second})
	create(t, c)
	large, small := content(1, 5*mib+77), content(2, 500_000)
	dir := t.TempDir()
	largeFile, smallFile := write(t, filepath.Join(dir, "large"), large), write(t, filepath.Join(dir, "small"), small)
	for name, file := range map[string]string{"large": largeFile, "small": smallFile} {
		if _, err := c.Upload(t.Context(), Upload{From: file, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	withoutMD5(t, c, "large without MD5", large)
	t.Cleanup(func() { proxy.Set(nil) })

	for _, blob := range []struct {
		name string
		want []byte
	}{{"small", small}, {"large", large}, {"large without MD5", large}} {
		for _, fault := range someFaults {
			t.Run("download "+blob.name+"/"+faultName(fault), func(t *testing.T) {
				proxy.Set(on(isGet, 2, fault))
				to := filepath.Join(t.TempDir(), "out")
				var last Progress
				c := c.Reporting(Report{Progress: func(p Progress) { last = p }})
				if err := c.Download(t.Context(), Download{Blob: Blob{Name: blob.name}, To: to}); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(read(t, to), blob.want) {
					t.Error("the content is another one")
				}
				if diff := cmp.Diff([]string{"out"}, names(t, filepath.Dir(to))); diff != "" {
					t.Errorf("stray files:\n%s", diff)
				}
				n := int64(len(blob.want))
				if want := (Progress{Files: 1, AllFiles: 1, Bytes: n, AllBytes: n, Sent: last.Sent}); last != want {
					t.Errorf("progress ends with %+v, want %+v", last, want)
				}
			})
		}
	}
	for _, file := range []struct {
		name, path string
		want       []byte
	}{{"small", smallFile, small}, {"large", largeFile, large}} {
		for i, fault := range someFaults {
			t.Run("upload "+file.name+"/"+faultName(fault), func(t *testing.T) {
				name := fmt.Sprintf("up/%s%d", file.name, i)
				proxy.Take()
				proxy.Set(on(isPut, 2, fault))
				var last Progress
				c := c.Reporting(Report{Progress: func(p Progress) { last = p }})
				if _, err := c.Upload(t.Context(), Upload{From: file.path, Name: name}); err != nil {
					t.Fatal(err)
				}
				for _, e := range proxy.Take() {
					t.Logf("%s %s %d %s", e.Method, e.Query.Get("comp"), e.Received, e.Fault)
				}
				n := int64(len(file.want))
				if want := (Progress{Files: 1, AllFiles: 1, Bytes: n, AllBytes: n, Sent: last.Sent}); last != want {
					t.Errorf("progress ends with %+v, want %+v", last, want)
				}
				to := filepath.Join(t.TempDir(), "out")
				if err := c.Download(t.Context(), Download{Blob: Blob{Name: name}, To: to}); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(read(t, to), file.want) {
					t.Error("the content is another one")
				}
			})
		}
	}
	t.Run("a lost answer to the commit", func(t *testing.T) {
		proxy.Set(on(func(r *http.Request) bool { return r.URL.Query().Get("comp") == "blocklist" && isPut(r) }, 2, testenv.Fault{Kind: testenv.DropAnswer}))
		if _, err := c.Upload(t.Context(), Upload{From: largeFile, Name: "commit"}); err != nil {
			t.Fatal(err)
		}
		b, err := c.Stat(t.Context(), "commit")
		if err != nil || b.Size != int64(len(large)) {
			t.Errorf("there is %+v, %v", b, err)
		}
	})
	for _, fault := range someFaults {
		if fault.Kind == testenv.Flip || fault.Kind == testenv.Short { // nothing but TLS protects a list, and a fault here stands behind it
			continue
		}
		t.Run("list/"+faultName(fault), func(t *testing.T) {
			fault.Bytes = min(fault.Bytes, 100) // a list is short
			proxy.Set(on(func(r *http.Request) bool { return r.URL.Query().Get("comp") == "list" }, 2, fault))
			c := open(t, s, proxy.Addr, "faults", Options{Stall: time.Second, Patience: 20 * time.Second, page: 5})
			var all []string
			for b, err := range c.List(t.Context(), "up") {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, b.Name)
			}
			if len(all) != 2*len(someFaults) {
				t.Errorf("%d are listed of %d: %q", len(all), 2*len(someFaults), all)
			}
		})
	}
	t.Run("many at random", func(t *testing.T) {
		proxy.Set(nil)
		src, dst := t.TempDir(), t.TempDir()
		var up []Upload
		for i := range 60 {
			name := fmt.Sprintf("many/%d/%d", i%7, i)
			n := []int{0, 1, 20_000, mib, 2*mib + 5}[i%5]
			up = append(up, Upload{From: write(t, filepath.Join(src, name), content(uint64(100+i), n)), Name: name})
		}
		proxy.Set(testenv.RandomFaults(7, 0.3, 200_000))
		told := map[int]bool{}
		if err := c.UploadAll(t.Context(), up, func(i int, b Blob) { told[i] = true }); err != nil {
			t.Fatal(err)
		}
		if len(told) != len(up) {
			t.Errorf("told of %d of %d", len(told), len(up))
		}
		var down []Download
		for b, err := range c.List(t.Context(), "many") {
			if err != nil {
				t.Fatal(err)
			}
			down = append(down, Download{Blob: b, To: filepath.Join(dst, b.Name)})
		}
		if len(down) != len(up) {
			t.Errorf("%d blobs are listed, not %d", len(down), len(up))
		}
		if err := c.DownloadAll(t.Context(), down); err != nil {
			t.Fatal(err)
		}
		for _, u := range up {
			if !bytes.Equal(read(t, filepath.Join(dst, u.Name)), read(t, u.From)) {
				t.Errorf("%s is another one", u.Name)
			}
		}
		for _, d := range down {
			for _, name := range names(t, filepath.Dir(d.To)) {
				if IsPartial(name) {
					t.Errorf("stray %s", name)
				}
			}
		}
		proxy.Set(nil)
		proxy.Take()
		if err := c.UploadAll(t.Context(), up, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.DownloadAll(t.Context(), down); err != nil {
			t.Fatal(err)
		}
		for _, e := range proxy.Take() {
			if e.Received > 0 || isGet(&http.Request{Method: e.Method, URL: mustURL(e.Query.Encode())}) {
				t.Errorf("unchanged, and yet: %s %s %v", e.Method, e.Path, e.Query)
			}
		}
	})
	t.Run("a store that stays down", func(t *testing.T) {
		proxy.Set(testenv.Always(testenv.Fault{Kind: testenv.Answer503}))
		c := open(t, s, proxy.Addr, "faults", Options{Patience: 200 * time.Millisecond})
		var waits []Wait
		_, err := c.Reporting(Report{Wait: func(w Wait) { waits = append(waits, w) }}).Stat(t.Context(), "small")
		if ProblemOf(err) != Unavailable || len(waits) == 0 {
			t.Errorf("got %v after %d waits", err, len(waits))
		}
		for _, w := range waits {
			if !strings.Contains(w.Reason, "the store cannot answer now (503 ServerBusy): azblob://") {
				t.Errorf("waits because %q", w.Reason)
			}
		}
	})
}
