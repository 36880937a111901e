package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/run"
)

// errCut says that a stream ended before what it tells of had ended.
var errCut = errors.New("the connection was cut")

// Watch calls each for everything that happens to a run after event number
// after, every event once and in order, and returns the run as it ended. A
// broken line is taken up again. An error of each ends it.
func (c *Client) Watch(ctx context.Context, id string, after int, each func(controller.Notice) error) (*run.Run, error) {
	line := c.newLine()
	for {
		ended, err := c.watchOnce(ctx, id, &after, func(n controller.Notice) error {
			line.works()
			if err := each(n); err != nil {
				return &final{&callerError{err}}
			}
			return nil
		})
		if ended != nil {
			return ended, nil
		}
		if own, ok := errors.AsType[*callerError](err); ok {
			return nil, own.error
		}
		if err := line.broke(ctx, err); err != nil {
			return nil, err
		}
	}
}

// callerError came from the caller's own function, not from the line.
type callerError struct{ error }

func (c *Client) watchOnce(ctx context.Context, id string, after *int, each func(controller.Notice) error) (*run.Run, error) {
	response, err := c.send(ctx, request{
		method: http.MethodGet, path: runPath(id, "/watch"),
		query: url.Values{"after": {strconv.Itoa(*after)}},
	})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var last *run.Run
	for lines := json.NewDecoder(response.Body); ; {
		var notice controller.Notice
		err := lines.Decode(&notice)
		if errors.Is(err, io.EOF) {
			if last == nil || !last.State.Ended() {
				return nil, errCut
			}
			return last, nil
		}
		if err != nil {
			return nil, errors.Join(errCut, err)
		}
		if e := notice.Event; e != nil {
			if e.Seq <= *after {
				continue
			}
			*after = e.Seq
		}
		if notice.Run != nil {
			last = notice.Run
		}
		if err := each(notice); err != nil {
			return nil, err
		}
	}
}
