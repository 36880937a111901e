package sshhost

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// proxy is a ProxyCommand of the user's ssh configuration, as the stream that a
// connection goes through. It is a process group of its own that ends with the
// stream; what it says on standard error is kept for errors.
type proxy struct {
	in, out *os.File
	said    *said
	cmd     *exec.Cmd
	closing sync.Once
	// ended is closed when the command has ended.
	ended chan struct{}
}

// proxyGrace is how long a command may take to end when its stream is closed.
const proxyGrace = time.Second

// errUnsafe is a name that a shell would not take as a name.
var errUnsafe = errors.New("it has characters that cannot be given to the ProxyCommand of the ssh configuration")

// expandCommand replaces the marks of ssh_config(5) that a ProxyCommand may
// have. As in ssh, what would mean something to a shell is refused: quoting it
// here is not possible, since the command may have quotes around the mark.
func (h *hop) expandCommand(command string) (string, error) {
	if command == "" {
		return "", nil
	}
	for _, one := range []struct{ what, value string }{{"host", h.host}, {"name", h.name}, {"user", h.user}} {
		if strings.HasPrefix(one.value, "-") || strings.ContainsAny(one.value, "'`\"$\\;&<>|(){}*?!#~[]\x00 \t\r\n") {
			return "", fmt.Errorf("%s %q: %w", one.what, one.value, errUnsafe)
		}
	}
	return strings.NewReplacer("%%", "%", "%h", h.host, "%n", h.name, "%p", h.port, "%r", h.user).Replace(command), nil
}

// startProxy runs a command by the user's shell, as ssh does. The goroutines
// that it starts are in group.
func startProxy(command, agent string, group *sync.WaitGroup) (*proxy, error) {
	shell := os.Getenv("SHELL")
	if shell == "" {
		shell = "/bin/sh"
	}
	p := &proxy{said: &said{}, ended: make(chan struct{})}
	p.cmd = exec.Command(shell, "-c", "exec "+command)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+agent)
	p.cmd.Stderr = p.said
	p.cmd.WaitDelay = proxyGrace // a grandchild may hold standard error
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the ProxyCommand: %w", err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the ProxyCommand: %w", err), theirIn.Close(), in.Close())
	}
	p.in, p.out, p.cmd.Stdin, p.cmd.Stdout = in, out, theirIn, theirOut
	err = p.cmd.Start()
	closeErr := errors.Join(theirIn.Close(), theirOut.Close())
	if err = errors.Join(err, closeErr); err != nil {
		return nil, errors.Join(fmt.Errorf("start the ProxyCommand: %w", err), in.Close(), out.Close())
	}
	group.Go(func() {
		_ = p.cmd.Wait()          // what it said tells more than how it ended
		p.signal(syscall.SIGKILL) // what it started and left
		close(p.ended)
	})
	return p, nil
}

func (p *proxy) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if errors.Is(err, io.EOF) {
		err = p.why(err)
	}
	return n, err
}

func (p *proxy) Write(b []byte) (int, error) {
	n, err := p.in.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = p.why(err)
	}
	return n, err
}

// Close ends the command: asked first, then by force.
func (p *proxy) Close() error {
	var err error
	p.closing.Do(func() {
		err = errors.Join(p.in.Close(), p.out.Close())
		p.signal(syscall.SIGTERM)
		time.AfterFunc(proxyGrace, func() { p.signal(syscall.SIGKILL) })
	})
	return err
}

// signal its process group, unless that has ended and its number may be
// somebody else's.
func (p *proxy) signal(s syscall.Signal) {
	select {
	case <-p.ended:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, s) // it may be ending
	}
}

// why adds what the command said to the end of its stream. Its last words are
// waited for, a little.
func (p *proxy) why(err error) error {
	patience := time.NewTimer(2 * proxyGrace)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
	}
	words := strings.TrimSpace(p.said.String())
	if words == "" {
		return fmt.Errorf("the ProxyCommand of the ssh configuration ended: %w", err)
	}
	return fmt.Errorf("the ProxyCommand of the ssh configuration ended: %s: %w", words, err)
}

// said keeps the last that a command says while it runs.
type said struct {
	mu   sync.Mutex
	tail host.Tail
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail.String()
}

// LocalAddr and RemoteAddr are of no network.
func (p *proxy) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr see LocalAddr.
func (p *proxy) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline bounds reads and writes.
func (p *proxy) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads.
func (p *proxy) SetReadDeadline(t time.Time) error { return p.out.SetReadDeadline(t) }

// SetWriteDeadline bounds writes.
func (p *proxy) SetWriteDeadline(t time.Time) error { return p.in.SetWriteDeadline(t) }

var _ net.Conn = (*proxy)(nil)
