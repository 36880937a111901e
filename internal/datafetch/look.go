package datafetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Web is how https:// addresses are read. Its zero value is right.
type Web struct {
	// Client; nil: one of our own.
	Client *http.Client
	// Connections at once; 0: 8.
	Connections int
	// RangeSize in bytes; 0: 8 MiB.
	RangeSize int64
	// Patience is how long nothing may go well before it is given up; 0: 2
	// minutes.
	Patience time.Duration
	// Stall is how long no byte may come before a request is made again; 0: 1
	// minute.
	Stall time.Duration
	// firstWait before the first repetition.
	firstWait time.Duration
}

const (
	defaultConnections = 8
	defaultRange       = 8 << 20
	defaultPatience    = 2 * time.Minute
	defaultStall       = time.Minute
	defaultFirstWait   = 300 * time.Millisecond
	longestWait        = 30 * time.Second
	maxRedirects       = 10
	lookTimeout        = 30 * time.Second
)

func (w Web) filled() Web {
	if w.Client == nil {
		w.Client = &http.Client{Transport: transport(max(w.Connections, defaultConnections))}
	}
	own := *w.Client
	own.CheckRedirect = onlyHTTPS
	w.Client = &own
	if w.Connections <= 0 {
		w.Connections = defaultConnections
	}
	if w.RangeSize <= 0 {
		w.RangeSize = defaultRange
	}
	if w.Patience <= 0 {
		w.Patience = defaultPatience
	}
	if w.Stall <= 0 {
		w.Stall = defaultStall
	}
	if w.firstWait <= 0 {
		w.firstWait = defaultFirstWait
	}
	return w
}

func transport(connections int) *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return &http.Transport{}
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = connections
	t.DisableCompression = true                                             // the file as it is
	t.ForceAttemptHTTP2 = false                                             // one connection would carry all ranges
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{} // as above
	t.ResponseHeaderTimeout = lookTimeout
	return t
}

var errDowngrade = errors.New("the server sends us on to an address that is not https://")

func onlyHTTPS(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != "https" {
		return errDowngrade
	}
	if len(via) >= maxRedirects {
		return errors.New("the server sends us on for ever")
	}
	return nil
}

// File is what a server says of a file.
type File struct {
	// Name to keep it under.
	Name string `json:"name"`
	// Size in bytes; -1: the server does not say.
	Size int64 `json:"size"`
	// ETag, or another sign of which content it is; empty: the server has none.
	ETag string `json:"etag,omitempty"`
	// Ranges: it can be read in parts.
	Ranges bool `json:"ranges"`
}

// Look asks what is at an address. A passing trouble is waited out for a little
// while only.
func (w Web) Look(ctx context.Context, address string) (File, error) {
	w = w.filled()
	w.Patience = min(w.Patience, lookTimeout)
	var f File
	err := w.try(ctx, where(address), func(ctx context.Context) error {
		r, err := w.get(ctx, address, 0, 0, "")
		if err != nil {
			return err
		}
		defer drain(r)
		f, err = fileOf(r, address)
		return err
	})
	return f, err
}

// fileOf reads what an answer to a question for the first byte says.
func fileOf(r *http.Response, address string) (File, error) {
	f := File{Name: nameOf(address), Size: r.ContentLength, ETag: signOf(r)}
	switch r.StatusCode {
	case http.StatusOK:
	case http.StatusPartialContent:
		_, total, err := contentRange(r)
		if err != nil {
			return f, &Error{What: err.Error(), Where: where(address)}
		}
		f.Size, f.Ranges = total, true
	case http.StatusRequestedRangeNotSatisfiable: // of nothing there is no first byte
		f.Size = 0
	default:
		return f, refusal(r, where(address))
	}
	return f, nil
}

// get asks for bytes of a file; n 0: for its first, if there is one; n < 0: for
// all. sign, when it is an ETag, makes a server that has another content now
// answer with all of it.
func (w Web) get(ctx context.Context, address string, off, n int64, sign string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, &Error{What: "this is no address", Where: where(address)}
	}
	r.Header.Set("User-Agent", "runner")
	r.Header.Set("Accept-Encoding", "identity")
	if n >= 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+max(n, 1)-1))
		if strings.HasPrefix(sign, `"`) {
			r.Header.Set("If-Range", sign)
		}
	}
	return w.Client.Do(r)
}

// signOf is what tells one content of a file from another.
func signOf(r *http.Response) string {
	if etag := r.Header.Get("ETag"); etag != "" {
		return etag
	}
	return r.Header.Get("Last-Modified")
}

// contentRange reads "bytes FIRST-LAST/TOTAL".
func contentRange(r *http.Response) (first, total int64, err error) {
	text, ok := strings.CutPrefix(r.Header.Get("Content-Range"), "bytes ")
	span, all, ok2 := strings.Cut(text, "/")
	from, _, ok3 := strings.Cut(span, "-")
	first, firstErr := strconv.ParseInt(from, 10, 64)
	total, totalErr := strconv.ParseInt(all, 10, 64)
	if !ok || !ok2 || !ok3 || firstErr != nil || totalErr != nil {
		return 0, 0, errors.New("the server's answer does not say which part it is")
	}
	return first, total, nil
}

// nameOf is the last part of an address' path, fit for a file's name.
func nameOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "data"
	}
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == '/' || r == 0x7f {
			return '_'
		}
		return r
	}, path.Base(u.Path))
	const most = 200
	if name == "." || name == ".." || name == "/" || name == "_" || len(name) > most {
		return "data"
	}
	return name
}

// where is an address without its query, which may hold more than is to be told.
func where(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

// drain ends an answer so that its connection can be used again.
func drain(r *http.Response) {
	const little = 64 << 10
	_, _ = io.CopyN(io.Discard, r.Body, little)
	_ = r.Body.Close()
}
