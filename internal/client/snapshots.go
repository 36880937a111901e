package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/snapshot"
)

// Upload brings a snapshot of store to the server: only the contents that it
// has not. On the same RUNNER_HOME it is there already and nothing is sent.
// sent is called with the bytes sent so far; it may be nil.
func (c *Client) Upload(ctx context.Context, store *snapshot.Store, id snapshot.ID, sent func(int64)) error {
	have, err := get[server.MissingAnswer](ctx, c, "/v1/snapshots/"+url.PathEscape(string(id)), nil)
	if err != nil || have.Have {
		return err
	}
	m, err := store.Manifest(ctx, id)
	if err != nil {
		return err
	}
	manifest, err := m.MarshalBinary()
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	return c.again(ctx, func(ctx context.Context) error {
		var need server.MissingAnswer
		response, err := c.sendBody(ctx, request{method: http.MethodPost, path: "/v1/snapshots/missing"},
			"application/octet-stream", bytes.NewReader(manifest))
		if err != nil {
			return err
		}
		if err := decode(response, &need); err != nil {
			return err
		}
		return c.export(ctx, store, id, need.Missing, sent)
	})
}

func (c *Client) export(ctx context.Context, store *snapshot.Store, id snapshot.ID, want []snapshot.Digest, sent func(int64)) error {
	read, write := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		err := store.Export(ctx, &countingWriter{w: write, sent: sent}, id, snapshot.Whole(want))
		exported <- err
		_ = write.CloseWithError(err) // always nil
	}()
	response, err := c.sendBody(ctx, request{method: http.MethodPost, path: "/v1/snapshots"}, "application/octet-stream", read)
	_ = read.Close() // always nil; ends an export that nobody reads
	if failed := <-exported; failed != nil && err == nil {
		err = &final{failed}
	}
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// countingWriter says how much went through.
type countingWriter struct {
	w    io.Writer
	n    int64
	sent func(int64)
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if c.sent != nil {
		c.sent(c.n)
	}
	return n, err
}
