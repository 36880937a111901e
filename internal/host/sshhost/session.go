package sshhost

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// session is one channel in which the server runs something.
type session struct {
	conn *conn
	ch   ssh.Channel
	// ended is closed when the server said how the command ended, or closed the
	// channel. The fields below may be read after that.
	ended    chan struct{}
	reported bool
	code     int
	signal   string
}

func newSession(c *conn, ch ssh.Channel, reqs <-chan *ssh.Request) *session {
	s := &session{conn: c, ch: ch, ended: make(chan struct{}), code: -1}
	c.tasks.Go(func() {
		defer c.slots.give() // only now is it free at the server
		s.listen(reqs)
	})
	return s
}

// listen takes what the server says about the command, until the channel is
// closed on both sides.
func (s *session) listen(reqs <-chan *ssh.Request) {
	var once sync.Once
	end := func() { close(s.ended) }
	defer once.Do(end)
	for req := range reqs {
		switch req.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if ssh.Unmarshal(req.Payload, &m) == nil {
				once.Do(func() { s.code, s.reported = int(m.Status), true; end() })
			}
		case "exit-signal":
			var m struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if ssh.Unmarshal(req.Payload, &m) == nil {
				once.Do(func() { s.signal, s.code, s.reported = "SIG"+m.Signal, codeOf(m.Signal), true; end() })
			}
		}
		if req.WantReply {
			_ = req.Reply(false, nil) // the channel is gone otherwise
		}
	}
}

// codeOf is the exit code of a shell for a signal that ended a command.
func codeOf(signal string) int {
	numbers := map[string]int{
		"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
		"USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
	}
	const bySignal = 128
	return bySignal + numbers[signal]
}

// exec asks the server to run a line of shell.
func (s *session) exec(line string) error {
	ok, err := s.ch.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{line}))
	switch {
	case err != nil:
		return s.conn.lost(false, err)
	case !ok:
		return &RefusedError{Address: s.conn.address, Err: errors.New("it runs no commands")}
	}
	return nil
}

// kill sends a signal to the command's process group. It says whether the
// server takes signals (OpenSSH does since 7.9).
func (s *session) kill(ctx context.Context, signal ssh.Signal) bool {
	taken := make(chan bool, 1)
	s.conn.tasks.Go(func() {
		ok, err := s.ch.SendRequest("signal", true, ssh.Marshal(struct{ Signal string }{string(signal)}))
		taken <- ok && err == nil
	})
	select {
	case ok := <-taken:
		return ok
	case <-s.ended:
		return true
	case <-ctx.Done():
		return true // we shall not know
	}
}

// ping waits until all that the server had sent has arrived.
func (s *session) ping(ctx context.Context) {
	answered := make(chan struct{})
	s.conn.tasks.Go(func() {
		defer close(answered)
		_, _ = s.ch.SendRequest("keepalive@openssh.com", true, nil) // any answer will do
	})
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

func (s *session) close() { _ = s.ch.Close() } // it may be closed already

// marked is an output of a command. What comes before the mark is noise of the
// login shell.
type marked struct {
	mark []byte
	to   io.Writer
	// gate is held while something is written, so that nothing is after shut.
	gate   chan struct{}
	isShut bool

	found  bool
	before []byte
	after  string // in the line of the mark
	moved  atomic.Int64
	// broke is closed when to takes no more; err says why.
	broke chan struct{}
	err   error
}

func newMarked(mark string, to io.Writer) *marked {
	return &marked{mark: []byte("\n" + mark), to: to, gate: make(chan struct{}, 1), broke: make(chan struct{})}
}

// carry reads to the end.
func (m *marked) carry(r io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && !m.take(buf[:n]) {
			return
		}
		if err != nil {
			return // the channel's end, or the connection's: the session knows
		}
	}
}

// take says false when nobody wants more.
func (m *marked) take(p []byte) bool {
	m.gate <- struct{}{}
	defer func() { <-m.gate }()
	if m.isShut {
		return false
	}
	defer m.moved.Add(1)
	if !m.found {
		if p = m.seek(p); p == nil {
			return true
		}
	}
	if m.to == nil || len(p) == 0 {
		return true
	}
	if _, err := m.to.Write(p); err != nil {
		m.err, m.isShut = err, true
		close(m.broke)
		return false
	}
	return true
}

// shut makes that nothing more is written. A write that hangs is left alone.
func (m *marked) shut() {
	timer := time.NewTimer(pipeGrace)
	defer timer.Stop()
	select {
	case m.gate <- struct{}{}:
		m.isShut = true
		<-m.gate
	case <-timer.C:
	}
}

// busy says whether something is being written now.
func (m *marked) busy() bool { return len(m.gate) > 0 }
