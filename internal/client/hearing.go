package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptrace"
	"net/textproto"
	"time"

	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
)

var errNoWord = fmt.Errorf("nothing was heard from it for %s", headerTimeout)

// hearing passes on how far a request is, and ends it when nothing is heard of
// it for too long.
func hearing(ctx context.Context, told func(controller.Progress)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	clock := time.AfterFunc(headerTimeout, func() { cancel(&final{errNoWord}) })
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, header textproto.MIMEHeader) error {
			clock.Reset(headerTimeout)
			var p controller.Progress
			if json.Unmarshal([]byte(header.Get(server.StepHeader)), &p) == nil {
				told(p)
			}
			return nil
		},
		GotFirstResponseByte: func() { clock.Reset(headerTimeout) },
	})
	return ctx, func() { clock.Stop(); cancel(nil) }
}
