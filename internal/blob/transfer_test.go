package blob

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/testenv"
)

// open makes a container of a service of a test's own, at addr (the service
// itself, or a proxy before it).
func open(t *testing.T, s testenv.BlobService, addr, container string, o Options) *Container {
	t.Helper()
	cred, err := FromConnectionString(s.ConnectionString(addr))
	if err != nil {
		t.Fatal(err)
	}
	if o.RootCAs == nil {
		o.RootCAs = s.Trust.Pool
	}
	if o.firstWait == 0 {
		o.firstWait = 5 * time.Millisecond
	}
	c, err := Open(Location{Account: s.Account, Container: container}, cred, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func create(t *testing.T, c *Container) {
	t.Helper()
	if _, err := c.client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// content is n bytes that no compression makes less, the same for a seed.
func content(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestAzurite(t *testing.T) {
	s := testenv.Azurite(t)
	c := open(t, s, s.Addr, "first", Options{BlockSize: 1 << 20})
	create(t, c)

	t.Run("there and back", func(t *testing.T) {
		for _, n := range []int{0, 1, 1 << 20, 1<<20 + 1, 5<<20 + 12345} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				dir := t.TempDir()
				want := content(uint64(n), n)
				name := fmt.Sprintf("sizes/%d é ü?#%%.bin", n)
				up, err := c.Upload(t.Context(), Upload{From: write(t, filepath.Join(dir, "a"), want), Name: name, Metadata: map[string]string{"mode": "0644"}})
				if err != nil {
					t.Fatal(err)
				}
				there, err := c.Stat(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(up, there); diff != "" {
					t.Errorf("what was uploaded and what is there (-up +there):\n%s", diff)
				}
				to := filepath.Join(dir, "out", "b")
				if err := c.Download(t.Context(), Download{Blob: Blob{Name: name}, To: to}); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(read(t, to), want) {
					t.Error("the content is another one")
				}
				if diff := cmp.Diff([]string{"b"}, names(t, filepath.Dir(to))); diff != "" {
					t.Errorf("stray files:\n%s", diff)
				}
			})
		}
		var listed []string
		for b, err := range c.List(t.Context(), "sizes") {
			if err != nil {
				t.Fatal(err)
			}
			if len(b.MD5) == 0 || b.ETag == "" || b.Metadata["mode"] != "0644" {
				t.Errorf("listed without all that is known: %+v", b)
			}
			listed = append(listed, b.Name)
		}
		if len(listed) != 5 {
			t.Errorf("listed %q", listed)
		}
	})
}

func sectionOf(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

func mustURL(query string) *url.URL { return &url.URL{RawQuery: query} }
