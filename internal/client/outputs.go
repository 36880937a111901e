package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/runnerml/runner/internal/controller"
)

// Outputs lists what an attempt left; attempt zero is the last one.
func (c *Client) Outputs(ctx context.Context, id string, attempt int) ([]controller.OutputFile, error) {
	files, err := get[[]controller.OutputFile](ctx, c, runPath(id, "/outputs"), url.Values{"attempt": {strconv.Itoa(attempt)}})
	return value(files), err
}

// OpenOutput reads one file of an attempt, from byte offset on. A line that
// breaks is taken up again at the byte after the last one that came, so what
// was read may be of two versions of a file that changed meanwhile: its digest
// tells.
func (c *Client) OpenOutput(ctx context.Context, id string, attempt int, path string, offset int64) (io.ReadCloser, error) {
	o := &outputReader{c: c, ctx: ctx, id: id, query: url.Values{"attempt": {strconv.Itoa(attempt)}, "path": {path}}, at: offset, line: c.newLine()}
	return o, o.open()
}

// outputReader is the content of a file, over as many connections as it takes.
type outputReader struct {
	c     *Client
	ctx   context.Context //nolint:containedctx // Read has none, and asks again when a line breaks: for as long as whoever opened it wants
	id    string
	query url.Values
	at    int64 // the next byte
	line  *line
	body  io.ReadCloser // nil: the end is reached
}

// errStalled is a line over which nothing comes, and that nobody says is broken.
var errStalled = errors.New("nothing comes any more")

// open asks for what follows the bytes that came, until it is answered.
func (o *outputReader) open() error {
	for {
		err := o.ask()
		if err == nil {
			return nil
		}
		if err := o.line.broke(o.ctx, err); err != nil {
			return err
		}
	}
}

func (o *outputReader) ask() error {
	r := request{method: http.MethodGet, path: runPath(o.id, "/outputs/content"), query: o.query, fine: http.StatusRequestedRangeNotSatisfiable}
	if o.at > 0 {
		r.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-", o.at)}}
	}
	response, err := o.c.send(o.ctx, r)
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		o.body = nil // that was all, or it is shorter now: the digest tells
		return response.Body.Close()
	case o.at > 0 && response.StatusCode != http.StatusPartialContent:
		return errors.Join(&final{errNoRange}, response.Body.Close())
	}
	o.body = response.Body
	return nil
}

// errNoRange is a server that sends a file only from its beginning.
var errNoRange = errors.New("the server cannot send the rest of a file")

// Read reads on, from another connection when this one broke.
func (o *outputReader) Read(p []byte) (int, error) {
	for {
		if o.body == nil {
			return 0, io.EOF
		}
		n, err := o.readSome(p)
		if n > 0 {
			o.at += int64(n)
			o.line.works()
			return n, nil
		}
		if err == nil || errors.Is(err, io.EOF) {
			return 0, err
		}
		_ = o.body.Close() // it is broken
		if err := o.line.broke(o.ctx, err); err != nil {
			return 0, err
		}
		if err := o.open(); err != nil {
			return 0, err
		}
	}
}

// readSome reads what comes, or finds that nothing does for too long.
func (o *outputReader) readSome(p []byte) (int, error) {
	var stalled atomic.Bool
	body := o.body
	timer := time.AfterFunc(o.c.Stall, func() {
		stalled.Store(true)
		_ = body.Close() // ends Read
	})
	n, err := body.Read(p)
	timer.Stop()
	if stalled.Load() && n == 0 {
		err = errStalled
	}
	return n, err
}

// Close drops the connection.
func (o *outputReader) Close() error {
	if o.body == nil {
		return nil
	}
	return o.body.Close()
}
