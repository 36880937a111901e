package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

// Logs writes the part of one attempt's log that q chooses to w, each byte
// once: when the line breaks it goes on at the byte after the last one. With
// q.Follow it ends with the attempt's log. q.Attempt should name an attempt
// when q.Follow is set; see Follow for a whole run.
func (c *Client) Logs(ctx context.Context, id string, q controller.LogQuery, w io.Writer) error {
	line := c.newLine()
	for {
		done, err := c.logsOnce(ctx, id, &q, line, w)
		if done {
			return err
		}
		if own, ok := errors.AsType[*callerError](err); ok {
			return own.error
		}
		if err := line.broke(ctx, err); err != nil {
			return err
		}
	}
}

// logsOnce copies until the stream ends. Afterwards q names the next byte.
func (c *Client) logsOnce(ctx context.Context, id string, q *controller.LogQuery, line *line, w io.Writer) (done bool, err error) {
	response, err := c.send(ctx, request{method: http.MethodGet, path: runPath(id, "/logs"), query: server.EncodeLogQuery(*q)})
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if known := position(response.Header, q); !known && (q.Tail >= 0 || !q.Since.IsZero()) {
		// Where this begins is not known, so it cannot be taken up again.
		defer func() {
			if !done {
				done, err = true, c.unreachable(err)
			}
		}()
	}
	buffer := make([]byte, streamBuffer)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			line.works()
			if _, err := w.Write(buffer[:n]); err != nil {
				return false, &callerError{err}
			}
			q.Offset += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF):
			if p := server.DecodeTrailer(response.Trailer.Get(server.TrailerError)); p != nil {
				return true, p
			}
			return true, nil
		case err != nil:
			return false, err
		}
	}
}

// position makes q name the byte at which the answer begins, when it says so.
func position(h http.Header, q *controller.LogQuery) bool {
	offset, err := strconv.ParseInt(h.Get(server.HeaderOffset), 10, 64)
	if err != nil {
		return false
	}
	attempt, err := strconv.Atoi(h.Get(server.HeaderAttempt))
	if err != nil {
		return false
	}
	q.Attempt, q.Offset, q.Tail = attempt, offset, -1
	q.Since = time.Time{}
	return true
}
