package killtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnerml/runner/internal/testenv"
)

// lines are those that lead to a box on loopback: outer to a bastion, inner from there to the box, or to it at once.
type lines struct{ outer, inner *testenv.Line }

// newBoxVia makes a box that the ssh configuration knows as "box": behind a bastion, or not.
func newBoxVia(t *testing.T, bastion bool) (*box, lines) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{T: t}
	b.server = testenv.SSHD(t, testenv.SSHOptions{Config: []string{"SetEnv PIP_INDEX_URL=" + b.serveIndex(listener)}})
	b.user = b.server.User(testenv.SSHUser{})
	var l lines
	l.inner = testenv.Cut(t, b.server.Address)
	b.slow = l.inner.Slow
	config := hostOf("box", b.server, b.user, l.inner)
	if bastion {
		door := testenv.SSHD(t, testenv.SSHOptions{})
		l.outer = testenv.Cut(t, door.Address)
		config += "  ProxyJump door\n" + hostOf("door", door, door.User(testenv.SSHUser{Shell: "/usr/sbin/nologin"}), l.outer)
	}
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.write(filepath.Join(home, ".ssh", "config"), []byte(config))
	b.cli = testenv.Runner(t, "DOCKER_HOST=unix:///nowhere", "SSH_AUTH_SOCK=", "HOME="+home)
	return b, l
}

// hostOf describes a machine at the end of a line in an ssh configuration.
func hostOf(name string, s *testenv.SSHServer, a testenv.SSHAccount, l *testenv.Line) string {
	_, port, _ := strings.Cut(l.Address, ":")
	_, own, _ := strings.Cut(s.Address, ":")
	return fmt.Sprintf("Host %s\n  HostName 127.0.0.1\n  Port %s\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n  HostKeyAlias [127.0.0.1]:%s\n",
		name, port, a.Name, a.Key, s.KnownHosts, own)
}

// behindBastion are tests that take the line to a bastion away, and the one behind it, in every phase of a run.
func behindBastion() map[string]func(*testing.T) {
	tests := map[string]func(*testing.T){}
	for _, p := range phases(downTime()) {
		for name, which := range map[string]func(lines) *testenv.Line{
			"line to the bastion": func(l lines) *testenv.Line { return l.outer }, "line behind the bastion": func(l lines) *testenv.Line { return l.inner },
		} {
			tests[name+", "+p.name] = func(t *testing.T) {
				b, l := newBoxVia(t, true)
				line := which(l)
				p.in(t, b, harm{
					func(b *box) {
						if line.Ends() == 0 {
							b.Error("there was no connection to cut")
						}
						line.Stall()
					},
					func(b *box, id string, p phase) { b.cut(id, p, line.Heal) },
				})
			}
		}
	}
	return tests
}

// TestPoorLine carries a whole run out over a line that is slow, and on which all is late, more or less, and some
// lost and sent again: what comes is what was written, byte by byte, and nobody takes the machine for unreachable.
func TestPoorLine(t *testing.T) {
	t.Parallel()
	b, l := newBoxVia(t, false)
	l.inner.Lag(120*time.Millisecond, 100*time.Millisecond, 0.02)
	l.inner.Slow(slowly)
	b.attach()
	w := work{lines: 400, pause: "0.02", bytes: 8 << 20, python: true, code: 3}
	spec := b.source(w)
	id := b.submit(spec)
	f := b.follow(id)
	b.eventually("the end", func() bool {
		r := b.show(id)
		if strings.Contains(r.Message, "unreachable") {
			t.Errorf("it says: %s", r.Message)
		}
		return r.State.Ended()
	})
	b.ended(id, w, spec)
	f.whole(b, w)
	if passed := l.inner.Passed(); passed < 2*w.bytes {
		t.Errorf("only %d bytes went over the line", passed)
	}
}
