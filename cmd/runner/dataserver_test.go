package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// dataSize is how large the file is that a data server has.
const dataSize = 20 << 20

// dataServer is an HTTPS server on loopback of /big.bin, a file of dataSize
// bytes, and /small.txt; /sent says how many bytes of the first went out. cert is
// a file of what to trust.
func dataServer(t testing.TB) (address, cert string) {
	t.Helper()
	big := make([]byte, dataSize)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(big) // never fails
	var sent atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big.bin":
			w.Header().Set("ETag", `"big"`)
			http.ServeContent(&countedAnswer{w, &sent}, r, "", time.Time{}, bytes.NewReader(big))
		case "/small.txt":
			w.Header().Set("ETag", `"small"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte("from the web\n")))
		case "/sent":
			fmt.Fprintf(w, "%d\n", sent.Load())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	dir, err := os.MkdirTemp("", "runner-data-server-") // others read it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cert = filepath.Join(dir, "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(cert, block, 0o644); err != nil {
		t.Fatal(err)
	}
	return s.URL, cert
}

type countedAnswer struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *countedAnswer) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}
