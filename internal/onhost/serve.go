package onhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/program"
)

// request is one thing that serve is asked for, on a stream of its own.
type request struct {
	Op   string      `json:"op"`
	Path []byte      `json:"path,omitempty"`
	To   []byte      `json:"to,omitempty"`
	Mode fs.FileMode `json:"mode,omitempty"`
	Argv [][]byte    `json:"argv,omitempty"`
	Env  [][]byte    `json:"env,omitempty"`
	Dir  []byte      `json:"dir,omitempty"`
	// Said is more, in the words of the operation.
	Said json.RawMessage `json:"said,omitempty"`
	// Own: Argv is our own program's.
	Own bool `json:"own,omitempty"`
}

// What can be asked for.
const (
	opStat     = "stat"
	opLstat    = "lstat"
	opReadDir  = "readdir"
	opReadlink = "readlink"
	opMkdir    = "mkdir"
	opRemove   = "remove"
	opRename   = "rename"
	opRead     = "read"
	opWrite    = "write"
	opRun      = "run"
	opSpawn    = "spawn"
	opProgram  = "program"
	opProbe    = "probe"
	opAlive    = "alive"

	opOpenAttempt   = "open_attempt"
	opWriteRecord   = "write_record"
	opLookAtAttempt = "look_at_attempt"
	opCloseAttempt  = "close_attempt"
)

const (
	markAsk    = 'q'
	markStderr = 'w'
	markExit   = 'y'
)

// maxRead is how large a file may be that is read in one answer.
const maxRead = 4 << 20

// ending is how a command ended.
type ending struct {
	Code   int    `json:"code,omitempty"`
	Signal string `json:"signal,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}

// muxConfig of both ends.
func muxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.MaxStreamWindowSize = 4 << 20
	c.KeepAliveInterval = aliveStep
	c.ConnectionWriteTimeout = aliveLimit
	c.StreamOpenTimeout = 0 // the keep-alive knows
	c.LogOutput = io.Discard
	return c
}

// twoWay makes one of two.
type twoWay struct {
	io.Reader
	io.Writer
	close func() error
}

func (t twoWay) Close() error { return t.close() }

// Serve does what it is asked for by the one who started it, until that one is
// gone, or silent for hereLimit; then it ends what it runs.
func serve(root string, stdin io.Reader, stdout io.Writer) error {
	ctx := context.Background()
	session, err := yamux.Server(twoWay{whileHeard(stdin, hereLimit), stdout, func() error { return nil }}, muxConfig())
	if err != nil {
		return err
	}
	here, own := host.NewHere(root), newTaking()
	var asked sync.WaitGroup
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			asked.Wait() // each ends what it runs
			return here.Close()
		}
		asked.Go(func() {
			defer func() { _ = stream.Close() }()
			s := &served{here: here, own: own, in: newListener(stream), out: &speaker{w: stream}}
			if err := s.answer(ctx); err != nil {
				_ = s.out.value(markFailed, failureOf(err)) // whoever is gone needs none
			}
		})
	}
}

// served is one request.
type served struct {
	here *host.Here
	own  *taking
	in   *listener
	out  *speaker
}

func (s *served) answer(ctx context.Context) error {
	var r request
	if err := s.in.value(markAsk, &r); err != nil {
		return err
	}
	name := string(r.Path)
	var answer any
	var err error
	switch r.Op {
	case opStat, opLstat:
		look := s.here.Stat
		if r.Op == opLstat {
			look = s.here.Lstat
		}
		var info fs.FileInfo
		if info, err = look(ctx, name); err == nil {
			answer = entryOf(info)
		}
	case opReadDir:
		answer, err = s.readDir(ctx, name)
	case opReadlink:
		var target string
		target, err = s.here.Readlink(ctx, name)
		answer = []byte(target)
	case opMkdir:
		err = s.here.MkdirAll(ctx, name, r.Mode)
	case opRemove:
		err = s.here.RemoveAll(ctx, name)
	case opRename:
		err = s.here.Rename(ctx, name, string(r.To))
	case opRead:
		return s.read(name)
	case opWrite:
		var data []byte
		if data, err = io.ReadAll(s.in.stream()); err == nil {
			err = s.here.WriteFile(ctx, name, data, r.Mode)
		}
	case opProgram:
		answer, err = program.Identify(filepath.Join(s.here.Root(), program.BinDir))
	case opProbe:
		answer, err = inventory.Probe(ctx, s.here)
	case opRun, opSpawn:
		return s.run(ctx, r)
	case opOpenAttempt, opWriteRecord, opLookAtAttempt, opCloseAttempt:
		answer, err = s.attempt(ctx, &r)
	case opAlive:
		return hearHere(s.in)
	default:
		err = fmt.Errorf("%q: %w", r.Op, errFrame)
	}
	if err != nil {
		return err
	}
	return s.out.value(markDone, answer)
}

func (s *served) readDir(ctx context.Context, name string) ([]entry, error) {
	list, err := s.here.ReadDir(ctx, name)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(list))
	for _, e := range list {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entryOf(info))
	}
	return entries, nil
}

func (s *served) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() || info.Size() > maxRead {
		return s.out.value(markHello, entryOf(info)) // read another way
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	content := s.out.stream()
	if err := s.out.value(markDone, entryOf(info)); err != nil {
		return err
	}
	if _, err := content.Write(data); err != nil {
		return err
	}
	return content.Close()
}

// run carries a command out for as long as somebody listens.
func (s *served) run(ctx context.Context, r request) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stdin, feed := io.Pipe()
	defer func() { _ = stdin.Close() }()
	go s.feed(ctx, feed, cancel)
	if r.Own && r.Op == opRun {
		if known, err := s.own.inside(ctx, texts(r.Argv)[1:], stdin, frameWriter{s.out}); known {
			return s.exit("", err)
		}
	}
	c := host.Command{Argv: texts(r.Argv), Env: texts(r.Env), Dir: string(r.Dir), Stdin: stdin}
	if r.Op == opSpawn {
		answer, err := s.here.Spawn(ctx, c)
		return s.exit(answer, err)
	}
	var said host.Tail
	c.Stdout, c.Stderr = frameWriter{s.out}, io.MultiWriter(&said, stderrWriter{s.out})
	err := s.here.Run(ctx, c)
	if failed, ok := errors.AsType[*host.ExitError](err); ok {
		failed.Stderr = said.String()
	}
	return s.exit("", err)
}

// exit says how a command ended.
func (s *served) exit(answer string, err error) error {
	var end ending
	if failed, ok := errors.AsType[*host.ExitError](err); ok {
		end = ending{Code: failed.Code, Signal: failed.Signal, Stderr: failed.Stderr}
	} else if err != nil {
		return err
	}
	if answer != "" {
		if err := s.out.frame(markHello, []byte(answer)); err != nil {
			return err
		}
	}
	return s.out.value(markExit, end)
}

// feed gives a command its standard input, and ends it when nobody listens.
func (s *served) feed(ctx context.Context, feed *io.PipeWriter, cancel context.CancelCauseFunc) {
	for {
		mark, payload, err := s.in.frame()
		switch {
		case err != nil:
			_ = feed.Close() // always nil; what reads it ends by that, and keeps what came
			grace := time.NewTimer(endGrace)
			defer grace.Stop()
			select {
			case <-grace.C:
				cancel(ErrCut)
			case <-ctx.Done():
			}
			return
		case mark == markData:
			_, _ = feed.Write(payload) // a command need not read it all
		case mark == markEnd:
			_ = feed.Close()
		}
	}
}

type stderrWriter struct{ s *speaker }

func (w stderrWriter) Write(p []byte) (int, error) {
	for at := 0; at < len(p); at += dataFrame {
		if err := w.s.frame(markStderr, p[at:min(at+dataFrame, len(p))]); err != nil {
			return at, err
		}
	}
	return len(p), nil
}

// entry is a file's or directory's state on its way.
type entry struct {
	Name  []byte      `json:"name"`
	Bytes int64       `json:"size"`
	Perm  fs.FileMode `json:"mode"`
	Time  time.Time   `json:"time"`
}

func entryOf(i fs.FileInfo) entry {
	return entry{Name: []byte(i.Name()), Bytes: i.Size(), Perm: i.Mode(), Time: i.ModTime()}
}

func texts(raw [][]byte) []string {
	out := make([]string, len(raw))
	for i, b := range raw {
		out[i] = string(b)
	}
	return out
}

func raws(texts []string) [][]byte {
	out := make([][]byte, len(texts))
	for i, s := range texts {
		out[i] = []byte(s)
	}
	return out
}
