package blob

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"
)

func TestGrant(t *testing.T) {
	s := testenv.Azurite(t)
	root := open(t, s, s.Addr, "granted", Options{})
	create(t, root)
	c := root.At("in put")
	for _, name := range []string{"a", "b/c d"} {
		if _, err := c.Put(t.Context(), name, []byte(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	g, err := c.Granter(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	// over is the grant as another machine gets it.
	over := func(t *testing.T, grant Grant, err error) *Container {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(grant)
		if err != nil {
			t.Fatal(err)
		}
		var there Grant
		if err := json.Unmarshal(raw, &there); err != nil {
			t.Fatal(err)
		}
		o, err := there.Open(Options{RootCAs: s.Trust.Pool})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(o.Close)
		return o
	}
	t.Run("one blob", func(t *testing.T) {
		grant, err := g.Blob("b/c d")
		o := over(t, grant, err)
		to := filepath.Join(t.TempDir(), "x")
		if err := o.Download(t.Context(), Download{To: to}); err != nil {
			t.Fatal(err)
		}
		if got := string(read(t, to)); got != "b/c d" {
			t.Errorf("got %q", got)
		}
		if err := o.Check(t.Context()); err == nil {
			t.Error("lists too")
		}
		if _, err := o.Put(t.Context(), "", []byte("x"), nil); ProblemOf(err) != NotPermitted {
			t.Errorf("writing: %v", err)
		}
		grant.Location = c.Location().Below("a")
		other := over(t, grant, nil)
		if _, err := other.Stat(t.Context(), ""); err == nil {
			t.Error("reads another blob too")
		}
	})
	t.Run("many, each with its own", func(t *testing.T) {
		var all []Download
		dir := t.TempDir()
		for b, err := range c.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			grant, err := g.Blob(b.Name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Download{Blob: b, To: filepath.Join(dir, b.Name), SAS: grant.SAS})
		}
		anonymous, err := Open(c.Location(), Credential{}, Options{RootCAs: s.Trust.Pool})
		if err != nil {
			t.Fatal(err)
		}
		defer anonymous.Close()
		if err := anonymous.DownloadAll(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if got := string(read(t, filepath.Join(dir, "b", "c d"))); got != "b/c d" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("one that has run out", func(t *testing.T) {
		late, err := c.Granter(t.Context(), -time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		old, err := late.Blob("a")
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := g.Blob("a")
		if err != nil {
			t.Fatal(err)
		}
		anonymous, err := Open(c.Location(), Credential{}, Options{RootCAs: s.Trust.Pool})
		if err != nil {
			t.Fatal(err)
		}
		defer anonymous.Close()
		known, err := c.Stat(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "x")
		for _, blob := range []Blob{known, {Name: "a"}} { // asked for its content at once, or what it is first
			err := anonymous.Download(t.Context(), Download{Blob: blob, To: to, SAS: old.SAS})
			if ProblemOf(err) != Expired || strings.Contains(err.Error(), "sig=") {
				t.Errorf("got %v", err)
			}
		}
		if err := anonymous.Download(t.Context(), Download{Blob: known, To: to, SAS: fresh.SAS}); err != nil {
			t.Errorf("with a new one: %v", err)
		}
	})
	t.Run("the container", func(t *testing.T) {
		grant, err := g.Container()
		o := over(t, grant, err)
		n := 0
		for _, err := range o.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("lists %d", n)
		}
		if _, err := o.Put(t.Context(), "a", []byte("x"), nil); ProblemOf(err) != NotPermitted {
			t.Errorf("writing: %v", err)
		}
		if _, err := o.Granter(t.Context(), time.Hour); ProblemOf(err) != NotPermitted {
			t.Errorf("granting what was granted: %v", err)
		}
	})
}

func TestCredentials(t *testing.T) {
	const key = "c2VjcmV0c2VjcmV0"
	for _, test := range []struct {
		name, text string
		want       string // the kind, or what the error has
	}{
		{"connection string", "DefaultEndpointsProtocol=https;AccountName=team;AccountKey=" + key + ";EndpointSuffix=core.windows.net", kindConnection},
		{"connection string with a SAS", "BlobEndpoint=https://team.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=" + key, kindConnection},
		{"SAS", "?sv=1&sig=" + key, kindSAS},
		{"URL with a SAS", "https://team.blob.core.windows.net/c?sv=1&sig=" + key, kindSAS},
		{"key", key + "\n", kindKey},
		{"no key", "secret!" + key, "an account key is base64"},
		{"half a connection string", "AccountName=team;AccountKey=", "neither AccountKey nor SharedAccessSignature"},
		{"no account", "AccountKey=" + key, "neither AccountName nor BlobEndpoint"},
		{"spoilt key", "AccountName=team;AccountKey=%%" + key, "its AccountKey is no base64"},
		{"URL without a SAS", "https://team.blob.core.windows.net/c", "has a part sig="},
		{"endpoint", "AccountName=team;AccountKey=" + key + ";BlobEndpoint=team", "its BlobEndpoint is no URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := FromSecret("team", test.text)
			got := c.String()
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			raw, _ := json.Marshal(c)
			if text := fmt.Sprintf("%v %+v %#v %s %v", c, c, c, raw, err); strings.Contains(text, key) {
				t.Errorf("tells the secret: %s", text)
			}
		})
	}
}
