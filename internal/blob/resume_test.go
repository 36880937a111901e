package blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/partfile"
	"github.com/runnerml/runner/internal/testenv"
)

// after is a plan: what matches gets through n times, and then cancels.
func after(match func(*http.Request) bool, n int, cancel context.CancelFunc) testenv.Plan {
	return func(_ int, r *http.Request) testenv.Fault {
		if !match(r) {
			return testenv.Fault{}
		}
		if n--; n < 0 {
			cancel()
			return testenv.Fault{Kind: testenv.Hang, For: time.Minute}
		}
		return testenv.Fault{}
	}
}

func count(exchanges []testenv.Exchange, match func(testenv.Exchange) bool) (n int) {
	for _, e := range exchanges {
		if match(e) {
			n++
		}
	}
	return n
}

func blocksIn(e testenv.Exchange) bool { return e.Query.Get("comp") == "block" && e.Status == 201 }
func rangesOut(e testenv.Exchange) bool {
	return e.Method == http.MethodGet && e.Query.Get("comp") == "" && e.Status == 206 && e.Sent > 0
}

func TestResume(t *testing.T) {
	s := testenv.Azurite(t)
	proxy := testenv.Faults(t, s, nil)
	c := open(t, s, proxy.Addr, "resume", Options{BlockSize: mib, Connections: 2})
	create(t, c)
	const blocks, each = 20, mib / 2 // of two connections that have a block together
	large := content(4, blocks*each)
	file := write(t, filepath.Join(t.TempDir(), "large"), large)
	if _, err := c.Upload(t.Context(), Upload{From: file, Name: "whole"}); err != nil {
		t.Fatal(err)
	}

	t.Run("upload", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		proxy.Take()
		proxy.Set(after(func(r *http.Request) bool { return r.URL.Query().Get("comp") == "block" }, 6, cancel))
		if _, err := c.Upload(ctx, Upload{From: file, Name: "up"}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := c.Stat(t.Context(), "up"); ProblemOf(err) != NotFound {
			t.Errorf("half of it is visible: %v", err)
		}
		first := count(proxy.Take(), blocksIn)
		proxy.Set(nil)
		if _, err := c.Upload(t.Context(), Upload{From: file, Name: "up"}); err != nil {
			t.Fatal(err)
		}
		// One that was on its way when the first ended may have arrived.
		if second := count(proxy.Take(), blocksIn); first < 5 || first+second > blocks || first+second < blocks-1 {
			t.Errorf("%d blocks went first and %d then, of %d", first, second, blocks)
		}
		to := filepath.Join(t.TempDir(), "out")
		if err := c.Download(t.Context(), Download{Blob: Blob{Name: "up"}, To: to}); err != nil || !bytes.Equal(read(t, to), large) {
			t.Errorf("the content is another one (%v)", err)
		}
	})
	t.Run("a file that has grown", func(t *testing.T) {
		grown := write(t, filepath.Join(t.TempDir(), "grown"), slices.Concat(large, []byte("more")))
		proxy.Take()
		b, err := c.Upload(t.Context(), Upload{From: grown, Name: "up"})
		if err != nil || b.Size != int64(len(large)+4) {
			t.Fatal(b, err)
		}
		if n := count(proxy.Take(), blocksIn); n != 1 {
			t.Errorf("%d blocks were sent", n)
		}
	})
	for _, md5 := range []bool{true, false} {
		name, ranges := "whole", blocks/2
		if !md5 {
			name, ranges = "no md5", blocks
			withoutMD5(t, c, name, large)
		}
		t.Run("download "+name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "out")
			ctx, cancel := context.WithCancel(t.Context())
			proxy.Take()
			proxy.Set(after(isGet, 6, cancel))
			if err := c.Download(ctx, Download{Blob: Blob{Name: name}, To: to}); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"out.part", "out.part.ranges"}, names(t, filepath.Dir(to))); diff != "" {
				t.Errorf("files on their way:\n%s", diff)
			}
			first := count(proxy.Take(), rangesOut)
			proxy.Set(nil)
			if err := c.Download(t.Context(), Download{Blob: Blob{Name: name}, To: to}); err != nil {
				t.Fatal(err)
			}
			// An answer may have come whole and not been written down.
			if second := count(proxy.Take(), rangesOut); first+second > ranges+2 || second >= ranges {
				t.Errorf("%d ranges came first and %d then, of %d", first, second, ranges)
			}
			if !bytes.Equal(read(t, to), large) {
				t.Error("the content is another one")
			}
		})
	}
	t.Run("what the disk has lost comes again", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "out")
		ctx, cancel := context.WithCancel(t.Context())
		proxy.Set(after(isGet, 6, cancel))
		if err := c.Download(ctx, Download{Blob: Blob{Name: "no md5"}, To: to}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		proxy.Set(nil)
		f, err := os.OpenFile(to+".part", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 4096), mib+8192); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		journal := read(t, to+".part.ranges")
		write(t, to+".part.ranges", append(journal, 1, 0, 0)) // torn
		if err := c.Download(t.Context(), Download{Blob: Blob{Name: "no md5"}, To: to}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, to), large) {
			t.Error("the content is another one")
		}
	})
	t.Run("killed between the move and the journal's end", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "out")
		b, err := c.Stat(t.Context(), "no md5")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Download(t.Context(), Download{Blob: b, To: to}); err != nil {
			t.Fatal(err)
		}
		// As it was then.
		unit, _ := c.units(b.Size, true)
		moved, err := partfile.Open(to, partfile.Content{ID: b.ETag, Size: b.Size, Unit: unit})
		if err != nil {
			t.Fatal(err)
		}
		for i := range moved.Units() {
			s := moved.Span(i)
			if err := moved.Record(i, partfile.Sum(0, large[s.Off:s.Off+s.N])); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(moved.Close(), os.Remove(to+".part")); err != nil {
			t.Fatal(err)
		}
		touched := time.Now().Add(time.Hour)
		if err := os.Chtimes(to, touched, touched); err != nil { // so that the time says nothing
			t.Fatal(err)
		}
		proxy.Take()
		if err := c.Download(t.Context(), Download{Blob: b, To: to}); err != nil {
			t.Fatal(err)
		}
		if n := count(proxy.Take(), rangesOut); n != 0 {
			t.Errorf("%d ranges came again", n)
		}
		if diff := cmp.Diff([]string{"out"}, names(t, filepath.Dir(to))); diff != "" {
			t.Errorf("stray files:\n%s", diff)
		}
	})
	t.Run("a blob that changes on the way", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "out")
		withoutMD5(t, c, "changing", large)
		b, err := c.Stat(t.Context(), "changing")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		proxy.Set(func(_ int, r *http.Request) testenv.Fault {
			if isGet(r) {
				if n++; n == 5 {
					direct := open(t, s, s.Addr, "resume", Options{})
					if _, err := direct.Put(t.Context(), "changing", large[:9*mib], nil); err != nil {
						t.Error(err)
					}
				}
			}
			return testenv.Fault{}
		})
		err = c.Download(t.Context(), Download{Blob: b, To: to})
		if ProblemOf(err) != Changed || !strings.HasPrefix(err.Error(), "the blob has changed: azblob://") {
			t.Errorf("got %v", err)
		}
		if left := names(t, filepath.Dir(to)); len(left) > 0 {
			t.Errorf("stray files: %q", left)
		}
	})
	t.Run("a blob whose own MD5 is wrong", func(t *testing.T) {
		proxy.Set(nil)
		for _, n := range []int{1000, 3 * mib} {
			to := filepath.Join(t.TempDir(), "out")
			b, err := c.Upload(t.Context(), Upload{From: write(t, to+".src", large[:n]), Name: "damaged"})
			if err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(to + ".src")
			b.MD5 = make([]byte, 16)
			err = c.Download(t.Context(), Download{Blob: b, To: to})
			if ProblemOf(err) != Corrupt {
				t.Errorf("got %v", err)
			}
			if left := names(t, filepath.Dir(to)); len(left) > 0 {
				t.Errorf("stray files: %q", left)
			}
		}
	})
	t.Run("two at once", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "out")
		proxy.Set(testenv.Always(testenv.Fault{Kind: testenv.Slow, Rate: 8 * mib}))
		proxy.Take()
		results := make(chan error)
		for range 3 {
			go func() { results <- c.Download(t.Context(), Download{Blob: Blob{Name: "whole"}, To: to}) }()
		}
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if n := count(proxy.Take(), rangesOut); n != blocks/2 {
			t.Errorf("%d ranges came, of %d", n, blocks/2)
		}
	})
	t.Run("a file that changes while it is sent", func(t *testing.T) {
		changing := write(t, filepath.Join(t.TempDir(), "changing"), large)
		var changes atomic.Int64
		proxy.Set(func(_ int, r *http.Request) testenv.Fault {
			if r.URL.Query().Get("comp") == "block" {
				i := changes.Add(1)
				f, err := os.OpenFile(changing, os.O_WRONLY, 0)
				if err != nil {
					t.Error(err)
				}
				_, err = f.WriteAt(fmt.Append(nil, i), 1000)
				if err := errors.Join(err, f.Close()); err != nil {
					t.Error(err)
				}
			}
			return testenv.Fault{}
		})
		_, err := c.Upload(t.Context(), Upload{From: changing, Name: "never"})
		if ProblemOf(err) != Changed {
			t.Errorf("got %v", err)
		}
		proxy.Set(nil)
		if _, err := c.Stat(t.Context(), "never"); ProblemOf(err) != NotFound {
			t.Errorf("it is visible: %v", err)
		}
	})
	t.Run("as a stream", func(t *testing.T) {
		proxy.Set(on(isGet, 2, testenv.Fault{Kind: testenv.Truncate, Bytes: 1000}))
		r, err := c.Open(t.Context(), "whole", 3*mib-5)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, large[3*mib-5:]) {
			t.Error("the content is another one")
		}
	})
}

// When the store got something else than was promised, it is looked up whether
// the file or the line is at fault.
func TestBlame(t *testing.T) {
	whole := content(9, 1000)
	path := write(t, filepath.Join(t.TempDir(), "f"), whole)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	part := partfile.Span{Off: 100, N: 500}
	right := md5.Sum(whole[100:600])
	other := md5.Sum(whole[:500])
	mismatch := &azcore.ResponseError{ErrorCode: codeMD5}
	broken := errors.New("the line broke")
	for name, c := range map[string]struct {
		err     error
		part    partfile.Span
		sum     []byte
		changed bool
	}{
		"the file has what was promised":     {mismatch, part, right[:], false},
		"the file has something else":        {mismatch, part, other[:], true},
		"the file does not have it any more": {broken, partfile.Span{Off: 900, N: 200}, right[:], true},
		"another error says nothing of it":   {broken, part, other[:], false},
		"nobody knows what it was before":    {mismatch, part, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sending{file: f, upload: Upload{From: path}}
			err := s.blame(c.err, c.part, c.sum)
			if changed := ProblemOf(err) == Changed; changed != c.changed || !changed && !errors.Is(err, c.err) {
				t.Errorf("got %v", err)
			}
		})
	}
}
