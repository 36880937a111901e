package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/server/servertest"
)

// bigLog is a Service whose log is made as it is read.
type bigLog struct {
	server.Service
	size int64
	err  error // after size bytes, instead of the end
}

func (b bigLog) Logs(_ context.Context, _ string, q controller.LogQuery) (io.ReadCloser, error) {
	return io.NopCloser(&pattern{at: q.Offset, size: b.size, err: b.err}), nil
}

type pattern struct {
	at, size int64
	err      error
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.at >= p.size {
		if p.err != nil {
			return 0, p.err
		}
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.size-p.at))
	for i := range b[:n] {
		b[i] = byte(p.at+int64(i)) | 1
	}
	p.at += int64(n)
	return n, nil
}

func TestBigLogInConstantMemory(t *testing.T) {
	const total = 256 << 20
	c := dialing(t, servertest.Serve(t, bigLog{size: total}, nil).Home)
	var got int64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	err := c.Logs(t.Context(), "x", controller.LogQuery{Attempt: 1, Tail: -1}, writer(func(p []byte) (int, error) {
		got += int64(len(p))
		return len(p), nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f MB/s", float64(total)/1e6/time.Since(begun).Seconds())
	runtime.ReadMemStats(&after)
	if got != total {
		t.Errorf("%d bytes, want %d", got, total)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d bytes were allocated on the way", used)
	}
}

func TestErrorInTheMiddleOfALog(t *testing.T) {
	wrong := &server.Problem{Code: "target_unreachable", Message: "the disk is ür broken\n", Hint: "look"}
	c := dialing(t, servertest.Serve(t, bigLog{size: 100, err: wrong}, nil).Home)
	var log bytes.Buffer
	err := c.Logs(t.Context(), "x", controller.LogQuery{Attempt: 1, Tail: -1}, &log)
	p, ok := errors.AsType[*server.Problem](err)
	if !ok || p.Message != wrong.Message || p.Hint != "look" || p.Code.Exit() != 3 {
		t.Errorf("got %v", err)
	}
	if log.Len() != 100 {
		t.Errorf("%d bytes came before", log.Len())
	}
}

func BenchmarkLogs(b *testing.B) {
	const total = 256 << 20
	a := servertest.Serve(b, bigLog{size: total}, nil)
	c := client.New(client.Options{Dial: a.Home.Dial})
	defer c.Close()
	b.SetBytes(total)
	for b.Loop() {
		if err := c.Logs(b.Context(), "x", controller.LogQuery{Attempt: 1, Tail: -1}, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
