package datafetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"time"

	"github.com/runnerml/runner/internal/blob"
)

// Source is data as it was looked at, with all that is needed to read it on
// this machine or another: it may hold short-lived rights, and is not to be
// shown or kept.
type Source struct {
	// Key says what is in it: the same key is the same content.
	Key string `json:"key"`
	// Name of the file in the directory that Fetch fills; empty: the directory
	// is what is meant.
	Name string `json:"name,omitempty"`
	// Size in bytes; -1: unknown.
	Size int64 `json:"size"`
	Web  *web  `json:"web,omitempty"`
	Blob *many `json:"blob,omitempty"`
}

// web is a file from an address.
type web struct {
	Address string `json:"address"`
	File    File   `json:"file"`
	SHA256  string `json:"sha256,omitempty"`
}

// many are blobs of a container.
type many struct {
	Location blob.Location `json:"location"`
	Blobs    []one         `json:"blobs"`

	container *blob.Container // open here; nil on another machine
}

// one is a blob with the right to read it.
type one struct {
	blob.Blob
	// To is the file, relative to the directory.
	To  string `json:"to"`
	SAS string `json:"sas,omitempty"`
}

// ErrNoSign is a file of which nobody could say later whether it is still the
// same.
var ErrNoSign = errors.New("the server does not say which content it is (no ETag, no Last-Modified)")

// OfFile is the source of a file at an address. sum is its SHA-256 in hex, or
// empty.
func OfFile(address string, f File, sum string) (Source, error) {
	s := Source{Name: f.Name, Size: f.Size, Web: &web{Address: address, File: f, SHA256: sum}}
	switch {
	case sum != "":
		s.Key = key("sha256", sum, f.Name)
	case f.ETag == "":
		return s, &Error{What: ErrNoSign.Error(), Where: where(address), Hint: "give the file's sha256 in the spec", cause: ErrNoSign}
	default:
		s.Key = key("web", address, f.ETag, strconv.FormatInt(f.Size, 10))
	}
	return s, nil
}

// Unchecked is a file at an address that is only measured.
func Unchecked(address string, f File) Source {
	return Source{Name: f.Name, Size: f.Size, Web: &web{Address: address, File: f}}
}

// key is a file's name that is the same for the same parts alone.
func key(kind string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	const enough = 20
	return kind + "-" + hex.EncodeToString(h.Sum(nil)[:enough])
}

// OfBlobs looks at the blob at a container's location, or at all below it.
func OfBlobs(ctx context.Context, c *blob.Container) (Source, error) {
	l := c.Location()
	s := Source{Blob: &many{Location: l, container: c}}
	if l.Path != "" {
		b, err := c.Stat(ctx, "")
		if err == nil {
			s.Name, s.Size = path.Base(l.Path), b.Size
			s.Blob.Blobs = []one{{Blob: b, To: s.Name}}
			s.Key = key("blob", l.String(), b.ETag, strconv.FormatInt(b.Size, 10))
			return s, nil
		}
		if blob.ProblemOf(err) != blob.NotFound {
			return s, err
		}
	}
	signs := []string{l.String()}
	for b, err := range c.List(ctx, "") {
		if err != nil {
			return s, err
		}
		if !filepath.IsLocal(filepath.FromSlash(b.Name)) {
			return s, &Error{What: fmt.Sprintf("the blob's name %q is no path of a file", b.Name), Where: l.String()}
		}
		s.Blob.Blobs = append(s.Blob.Blobs, one{Blob: b, To: b.Name})
		s.Size += b.Size
		signs = append(signs, b.Name, b.ETag, strconv.FormatInt(b.Size, 10))
	}
	if len(s.Blob.Blobs) == 0 {
		return s, &Error{What: "nothing is there", Where: l.String(), Hint: "neither a blob has this name nor does one begin with it and a slash"}
	}
	s.Key = key("blob", signs...)
	return s, nil
}

// grantTime is how long a right to read is good that another machine gets. What
// takes longer gets another.
const grantTime = time.Hour

// Grant puts into the source what another machine needs to read it: rights to
// these blobs alone, for a while. false: none can be given, as we have none to
// give away.
func (s Source) Grant(ctx context.Context) (Source, bool, error) {
	if s.Blob == nil {
		return s, true, nil
	}
	g, err := s.Blob.container.Granter(ctx, grantTime)
	if blob.ProblemOf(err) == blob.NotPermitted {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	granted := many{Location: s.Blob.Location, Blobs: make([]one, len(s.Blob.Blobs))}
	for i, b := range s.Blob.Blobs {
		right, err := g.Blob(b.Name)
		if err != nil {
			return s, false, err
		}
		b.SAS = right.SAS
		granted.Blobs[i] = b
	}
	s.Blob = &granted
	return s, true, nil
}

// Fetch brings the data into dir, which nobody else writes to. What an earlier
// Fetch left there is gone on with.
func (s Source) Fetch(ctx context.Context, dir string, progress Progress) error {
	switch {
	case s.Web != nil:
		return Web{}.Fetch(ctx, s.Web.Address, s.Web.File, s.Web.SHA256, dir, progress)
	case s.Blob != nil:
		return s.Blob.fetch(ctx, dir, progress)
	default:
		return errors.New("a source of nothing")
	}
}

func (m *many) fetch(ctx context.Context, dir string, progress Progress) error {
	c := m.container
	if c == nil {
		// The rights are the blobs' own: the container's is never used.
		opened, err := blob.Open(m.Location, blob.Credential{}, blob.Options{})
		if err != nil {
			return err
		}
		defer opened.Close()
		c = opened
	}
	all := make([]blob.Download, len(m.Blobs))
	for i, b := range m.Blobs {
		if !filepath.IsLocal(filepath.FromSlash(b.To)) {
			return &Error{What: fmt.Sprintf("the blob's name %q is no path of a file", b.To), Where: m.Location.String()}
		}
		all[i] = blob.Download{Blob: b.Blob, To: filepath.Join(dir, filepath.FromSlash(b.To)), SAS: b.SAS}
	}
	if progress != nil {
		c = c.Reporting(blob.Report{Progress: func(p blob.Progress) { progress(p.Bytes, p.AllBytes) }})
	}
	return c.DownloadAll(ctx, all)
}

// HasExpired says whether err means that a right to read has run out, so that
// another helps.
func HasExpired(err error) bool { return blob.ProblemOf(err) == blob.Expired }
