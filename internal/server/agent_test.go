package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/server/servertest"
)

func TestSocketIsPrivate(t *testing.T) {
	a := servertest.Serve(t, servertest.New(t), nil)
	info, err := os.Stat(a.Home.Socket())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	a.End()
	if _, err := os.Stat(a.Home.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestHomeIsPrivate(t *testing.T) {
	h := server.Home(filepath.Join(t.TempDir(), "a", "home"))
	if err := h.Make(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(string(h))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestLongHome(t *testing.T) {
	h := server.Home(filepath.Join(t.TempDir(), strings.Repeat("long/", 40)))
	if err := h.Make(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error)
	agent := &server.Agent{
		Home: h, Log: slog.New(slog.DiscardHandler), Ready: func() { close(ready) },
		Server: server.New(server.Options{Service: servertest.New(t), Log: slog.New(slog.DiscardHandler)}),
	}
	go func() { ended <- agent.Serve(ctx) }()
	<-ready
	conn, err := h.Dial(t.Context())
	if err != nil {
		t.Error(err)
	} else if err := conn.Close(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOneAgentAHome(t *testing.T) {
	h := server.Home(t.TempDir())
	first, err := h.Acquire(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Acquire(t.Context(), func(context.Context) bool { return true }); !errors.Is(err, server.ErrServed) {
		t.Errorf("while another serves: %v", err)
	}
	// One that holds the lock without serving is waited for.
	var asked atomic.Int32
	second := make(chan error)
	go func() {
		l, err := h.Acquire(t.Context(), func(context.Context) bool { asked.Add(1); return false })
		if err == nil {
			err = l.Release()
		}
		second <- err
	}()
	for asked.Load() < 3 {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if err := h.AwaitFree(t.Context(), time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestAgentEndsWhenIdle(t *testing.T) {
	var busy atomic.Bool
	busy.Store(true)
	asked := make(chan struct{}, 100)
	h := server.Home(t.TempDir())
	agent := &server.Agent{
		Home: h, Log: slog.New(slog.DiscardHandler), Idle: 20 * time.Millisecond,
		Server: server.New(server.Options{Service: servertest.New(t), Log: slog.New(slog.DiscardHandler)}),
		Busy: func(context.Context) (bool, error) {
			asked <- struct{}{}
			return busy.Load(), nil
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- agent.Serve(t.Context()) }()
	<-asked
	<-asked // it stayed, because there was work
	select {
	case err := <-ended:
		t.Fatalf("ended with work to do: %v", err)
	default:
	}
	busy.Store(false)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStopAsksOnce(t *testing.T) {
	stops := 0
	s := server.New(server.Options{Stop: func() { stops++ }, Log: slog.New(slog.DiscardHandler)})
	for range 2 {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/agent/stop", nil))
		if w.Code != http.StatusAccepted {
			t.Errorf("status %d", w.Code)
		}
	}
	if stops != 1 {
		t.Errorf("stopped %d times", stops)
	}
}
