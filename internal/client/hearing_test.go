package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"github.com/runnerml/runner/internal/controller"
)

// A request may last, as long as something is heard of it.
func TestHearing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := hearing(t.Context(), func(controller.Progress) {})
		defer stop()
		for range 10 {
			time.Sleep(headerTimeout - time.Second)
			if err := httptrace.ContextClientTrace(ctx).Got1xxResponse(http.StatusProcessing, nil); err != nil {
				t.Fatal(err)
			}
		}
		if ctx.Err() != nil {
			t.Error("it was ended while it was heard of")
		}
		time.Sleep(headerTimeout)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), errNoWord) {
			t.Error("it goes on without a word:", context.Cause(ctx))
		}
	})
}
