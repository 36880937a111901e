package onhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
	"github.com/runnerml/runner/internal/program"
	"github.com/runnerml/runner/internal/supervise"
)

// Host is a host that is asked through one process of ours on it, which is
// started when it is needed and lives as long as the line: a question then
// costs one way there and back, whatever the user's shell does at a login.
// What is not asked for here goes the host's own way. Close it.
type Host struct {
	host.Host
	bin string

	mu     sync.Mutex
	closed bool
	cur    *link
}

// NewHost is h with our program bin on it.
func NewHost(h host.Host, bin string) *Host {
	return &Host{Host: h, bin: bin}
}

// ServeAhead is the command line of the process there, as sshhost.Config.Ahead
// has it, for the program with this digest.
func ServeAhead(digest string) []string {
	return []string{supervise.BinName(digest), "onhost", "serve"}
}

// Program says which program it is that we speak with.
func (h *Host) Program(ctx context.Context) (who program.Identity, err error) {
	err = h.value(ctx, opProgram, "", request{}, &who)
	return who, err
}

// Probe asks for what inventory.Probe does, in one question.
func (h *Host) Probe(ctx context.Context) (*inventory.Inventory, error) {
	inv := &inventory.Inventory{}
	if err := h.value(ctx, opProbe, "", request{}, inv); err != nil {
		return nil, err
	}
	inv.Local = false // it was for who answered
	return inv, nil
}

// errHostClosed is use after Close.
var errHostClosed = errors.New("the host was closed by us")

// Close ends our process on the host; what it started there goes on.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	cur := h.cur
	h.mu.Unlock()
	if cur != nil {
		_ = cur.session.Close() // always nil
		<-cur.done
	}
	return nil
}

// endGrace is how long our process there, and what it runs, has to end when
// nobody speaks with it.
const endGrace = 2 * time.Second

// link is one such process.
type link struct {
	session *yamux.Session
	done    chan struct{}
	err     error // of the process, once done
}

// connect gives the process there is, or starts one.
func (h *Host) connect() (*link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errHostClosed
	}
	if h.cur != nil && !h.cur.session.IsClosed() {
		return h.cur, nil
	}
	// What is small goes into it at once, also while nobody there takes it: who
	// asks something can go away again.
	in := newPipe()
	out := newPipe()
	session, err := yamux.Client(twoWay{out, in, func() error { out.end(io.EOF); in.end(io.EOF); return nil }}, muxConfig())
	if err != nil {
		return nil, err
	}
	l := &link{session: session, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(l.done)
		defer cancel()
		l.err = h.Host.Run(ctx, host.Command{Argv: []string{h.bin, "onhost", "serve", h.Root()}, Stdin: in, Stdout: out})
		in.end(ErrCut)
		out.end(io.EOF)
		_ = session.Close() // it has no more to say
	}()
	go sayHere(session)
	go func() {
		<-session.CloseChan()
		grace := time.NewTimer(endGrace) // its standard input has ended
		defer grace.Stop()
		select {
		case <-l.done:
		case <-grace.C:
			cancel()
		}
	}()
	h.cur = l
	return l, nil
}

// why is what ended the process, for somebody whom that cut off.
func (l *link) why(err error) error {
	if !l.session.IsClosed() {
		return err
	}
	<-l.done
	if l.err != nil {
		return l.err
	}
	return ErrCut
}

// ask opens a stream, says what is wanted and lets f hear the answer. repeat
// says that it may be asked again when the process goes away.
func (h *Host) ask(ctx context.Context, repeat bool, r request, f func(*listener, *speaker) error) error {
	for try := 1; ; try++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l, err := h.connect()
		if err != nil {
			return err
		}
		err = l.ask(ctx, r, f)
		_, onHost := errors.AsType[*HostError](err)
		_, exited := errors.AsType[*host.ExitError](err)
		switch {
		case err == nil, onHost, exited:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%s was cut off: %w", r.Op, context.Cause(ctx))
		case !l.session.IsClosed() && !errors.Is(err, ErrCut):
			return err
		}
		err = l.why(err)
		const most = 2
		if !repeat || try == most {
			return err
		}
	}
}

func (l *link) ask(ctx context.Context, r request, f func(*listener, *speaker) error) error {
	stream, err := l.session.OpenStream()
	if err != nil {
		return errors.Join(ErrCut, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.drop(stream) })
	defer stop()
	defer func() { _ = stream.Close() }()
	out := &speaker{w: stream}
	if err := out.value(markAsk, r); err != nil {
		return errors.Join(ErrCut, err)
	}
	return f(newListener(stream), out)
}

// drop makes that nobody waits for a stream any more.
func (l *link) drop(stream *yamux.Stream) error {
	return errors.Join(stream.SetReadDeadline(aLongTimeAgo), stream.SetWriteDeadline(aLongTimeAgo), stream.Close())
}

// value asks for something that is answered by a value.
func (h *Host) value(ctx context.Context, op, name string, r request, into any) error {
	r.Op, r.Path = op, []byte(name)
	err := h.ask(ctx, true, r, func(in *listener, _ *speaker) error {
		payload, err := in.expect(markDone)
		if err != nil || into == nil {
			return err
		}
		return json.Unmarshal(payload, into)
	})
	return asPathError(op, name, err)
}

func asPathError(op, name string, err error) error {
	if failed, ok := errors.AsType[*HostError](err); ok && failed.errno != 0 {
		return &fs.PathError{Op: op, Path: name, Err: failed.errno}
	}
	return err
}

// Stat follows links.
func (h *Host) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	return h.look(ctx, opStat, name)
}

// Lstat does not follow links.
func (h *Host) Lstat(ctx context.Context, name string) (fs.FileInfo, error) {
	return h.look(ctx, opLstat, name)
}

func (h *Host) look(ctx context.Context, op, name string) (fs.FileInfo, error) {
	var e entry
	if err := h.value(ctx, op, name, request{}, &e); err != nil {
		return nil, err
	}
	return info{e}, nil
}

// ReadDir lists a directory, sorted by name.
func (h *Host) ReadDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	var list []entry
	if err := h.value(ctx, opReadDir, name, request{}, &list); err != nil {
		return nil, err
	}
	entries := make([]fs.DirEntry, len(list))
	for i, e := range list {
		entries[i] = info{e}
	}
	return entries, nil
}

// Readlink says where a link points.
func (h *Host) Readlink(ctx context.Context, name string) (string, error) {
	var target []byte
	err := h.value(ctx, opReadlink, name, request{}, &target)
	return string(target), err
}

// MkdirAll makes a directory and its parents.
func (h *Host) MkdirAll(ctx context.Context, name string, mode fs.FileMode) error {
	return h.value(ctx, opMkdir, name, request{Mode: mode}, nil)
}

// RemoveAll removes a tree.
func (h *Host) RemoveAll(ctx context.Context, name string) error {
	return h.value(ctx, opRemove, name, request{}, nil)
}

// Rename moves a file or directory within one file system.
func (h *Host) Rename(ctx context.Context, from, to string) error {
	r := request{Op: opRename, Path: []byte(from), To: []byte(to)}
	err := h.ask(ctx, false, r, func(in *listener, _ *speaker) error {
		_, err := in.expect(markDone)
		return err
	})
	return asPathError(opRename, from, err)
}

// WriteFile stores data whole or not at all.
func (h *Host) WriteFile(ctx context.Context, name string, data []byte, mode fs.FileMode) error {
	r := request{Op: opWrite, Path: []byte(name), Mode: mode}
	err := h.ask(ctx, true, r, func(in *listener, out *speaker) error {
		content := out.stream()
		if _, err := content.Write(data); err != nil {
			return errors.Join(ErrCut, err)
		}
		if err := content.Close(); err != nil {
			return errors.Join(ErrCut, err)
		}
		_, err := in.expect(markDone)
		return err
	})
	return asPathError(opWrite, name, err)
}

// Open reads a file: a small one at once.
func (h *Host) Open(ctx context.Context, name string) (host.File, error) {
	var e entry
	var data []byte
	large := false
	r := request{Op: opRead, Path: []byte(name)}
	err := h.ask(ctx, true, r, func(in *listener, _ *speaker) error {
		mark, payload, err := in.frame()
		switch {
		case err != nil:
			return err
		case mark == markFailed:
			return decodeFailure(payload)
		case mark == markHello:
			large = true
			return nil
		}
		if err := json.Unmarshal(payload, &e); err != nil {
			return err
		}
		data, err = io.ReadAll(in.stream())
		return err
	})
	if err != nil {
		return nil, asPathError("open", name, err)
	}
	if large {
		return h.Host.Open(ctx, name)
	}
	return &smallFile{Reader: bytes.NewReader(data), info: info{e}}, nil
}

// smallFile is a file that was read at once.
type smallFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *smallFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *smallFile) Close() error               { return nil }

// Run runs a command to its end. It is never run twice.
func (h *Host) Run(ctx context.Context, c host.Command) error {
	r := request{Op: opRun, Argv: raws(c.Argv), Env: raws(c.Env), Dir: []byte(c.Dir)}
	r.Own = len(c.Argv) > 0 && c.Argv[0] == h.bin
	return h.ask(ctx, false, r, func(in *listener, out *speaker) error {
		go send(out, c.Stdin) // nobody waits for it: a reader of the caller may never end
		_, err := hear(in, c)
		return err
	})
}

// Spawn starts a command that outlives us.
func (h *Host) Spawn(ctx context.Context, c host.Command) (answer string, err error) {
	r := request{Op: opSpawn, Argv: raws(c.Argv), Env: raws(c.Env), Dir: []byte(c.Dir)}
	err = h.ask(ctx, false, r, func(in *listener, out *speaker) error {
		go send(out, c.Stdin)
		answer, err = hear(in, c)
		return err
	})
	return answer, err
}

// send is a command's standard input.
func send(out *speaker, from io.Reader) {
	s := frameWriter{out}
	if from != nil {
		_, _ = io.Copy(s, from) // a command need not read it all
	}
	_ = out.frame(markEnd, nil) // the command may have gone
}

// hear takes what a command says, and how it ends.
func hear(in *listener, c host.Command) (answer string, err error) {
	for {
		mark, payload, err := in.frame()
		if err != nil {
			return "", err
		}
		switch mark {
		case markData:
			if c.Stdout != nil {
				_, err = c.Stdout.Write(payload)
			}
		case markStderr:
			if c.Stderr != nil {
				_, err = c.Stderr.Write(payload)
			}
		case markHello:
			answer = string(payload)
		case markFailed:
			return "", decodeFailure(payload)
		case markExit:
			var end ending
			if err := json.Unmarshal(payload, &end); err != nil || end.Code == 0 {
				return answer, err
			}
			failed := &host.ExitError{Argv: c.Argv, Code: end.Code, Signal: end.Signal}
			if c.Stderr == nil {
				failed.Stderr = end.Stderr
			}
			return answer, failed
		}
		if err != nil {
			return "", fmt.Errorf("write the output of %s: %w", c.Argv[0], err)
		}
	}
}
