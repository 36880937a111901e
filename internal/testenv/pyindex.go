package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Index is a Python package index with these pure Python distributions, made by the test itself:
//
//	runner-words 1.0, 1.1   GREETING is "hello", "hello again"
//	runner-greet 1.0        needs runner-words<1.1; the command runner-greet prints "hello 1.0"
//	runner-greet 2.0        needs runner-words>=1.1; the command prints "hello again 2.0"
//	runner-alone 0.1        ANSWER is 42; needs nothing
//	torch 0.1, numpy 0.1    stand for the real ones
type Index struct {
	URL string // of the "simple" index (PEP 503), for --index-url
	Dir string // with the same wheels, for --find-links

	requests *atomic.Int64
}

// Requests is how often the index has been asked for anything.
func (i Index) Requests() int64 { return i.requests.Load() }

// PyIndex serves an index on loopback until the test ends.
func PyIndex(t testing.TB) Index {
	t.Helper()
	return PyIndexOn(t, "127.0.0.1")
}

// PyIndexOn is [PyIndex] on another address of this machine: that of [Engine].Gateway is reached from containers.
// (pip trusts plain http only on loopback: give it --trusted-host, or PIP_TRUSTED_HOST.)
func PyIndexOn(t testing.TB, ip string) Index {
	t.Helper()
	index := Index{Dir: t.TempDir(), requests: new(atomic.Int64)}
	pages := map[string]string{} // distribution -> the links of its page
	for _, w := range wheels() {
		packed, err := w.pack()
		if err != nil {
			t.Fatalf("testenv: wheel %s: %v", w.filename(), err)
		}
		if err := os.WriteFile(filepath.Join(index.Dir, w.filename()), packed, 0o644); err != nil {
			t.Fatalf("testenv: %v", err)
		}
		sum := sha256.Sum256(packed)
		pages[w.name] += fmt.Sprintf("<a href=\"../../files/%s#sha256=%s\" data-requires-python=\"%s\">%s</a><br>\n",
			w.filename(), hex.EncodeToString(sum[:]), html.EscapeString(">=3.7"), w.filename())
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatalf("testenv: package index: %v", err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: index.handler(pages)}}
	server.Start()
	t.Cleanup(server.Close)
	index.URL = server.URL + "/simple/"
	return index
}

func (i Index) handler(pages map[string]string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /files/", http.StripPrefix("/files/", http.FileServer(http.Dir(i.Dir))))
	mux.HandleFunc("GET /simple/{$}", func(w http.ResponseWriter, _ *http.Request) {
		var links strings.Builder
		for name := range pages {
			fmt.Fprintf(&links, "<a href=\"%s/\">%s</a><br>\n", name, name)
		}
		writePage(w, links.String())
	})
	mux.HandleFunc("GET /simple/{name}/{$}", func(w http.ResponseWriter, r *http.Request) {
		links, ok := pages[r.PathValue("name")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		writePage(w, links)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.requests.Add(1)
		mux.ServeHTTP(w, r)
	})
}

func writePage(w http.ResponseWriter, links string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, "<!DOCTYPE html>\n<html><body>\n%s</body></html>\n", links)
}
