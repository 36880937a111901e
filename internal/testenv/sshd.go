package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SSHOptions says how an SSH server differs from Debian's own.
type SSHOptions struct {
	MaxSessions  int  // per connection; 0: OpenSSH's default, 10
	NoSFTP       bool // no SFTP subsystem
	NoForwarding bool // nothing may be dialled through it
	// KeyboardInteractive: it takes passwords that way alone, by PAM.
	KeyboardInteractive bool
	NoPython            bool     // who logs in finds no Python
	Net                 *Netns   // where it is; nil: on loopback
	Config              []string // more lines of sshd_config
}

// SSHServer is an OpenSSH server that belongs to one test.
type SSHServer struct {
	Address     string // HOST:PORT, of loopback or in a namespace
	KnownHosts  string // a known_hosts file that knows it
	Fingerprint string // of its Ed25519 key, "SHA256:..."
	Dir         string // its configuration, keys and log

	t        testing.TB
	net      *Netns
	pid      int
	noPython bool
	boots    int
}

// sshdProgram is started by this name: sshd starts itself again for each connection.
const sshdProgram = "/usr/sbin/sshd"

// SSHD starts an OpenSSH server. It has no users who may log in until User makes some.
func SSHD(t testing.TB, o SSHOptions) *SSHServer {
	t.Helper()
	return begin(t, "OpenSSH server", func(ctx context.Context) (*SSHServer, error) { return startSSHD(ctx, t, o) })
}

func startSSHD(ctx context.Context, t testing.TB, o SSHOptions) (*SSHServer, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("start sshd: %w", errNeedsRoot)
	}
	if err := removeStaleSSH(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rt-sshd-") // users must get there, so not below a private state directory
	if err != nil {
		return nil, err
	}
	ledger, err := enterSSHLedger(filepath.Base(dir), dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	t.Cleanup(func() {
		if err := errors.Join(removeTree(dir), os.Remove(filepath.Join(ledger, filepath.Base(dir)))); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "keys"), 0o755)); err != nil {
		return nil, err
	}
	s := &SSHServer{Dir: dir, KnownHosts: filepath.Join(dir, "known_hosts"), t: t, net: o.Net, noPython: o.NoPython}
	for range 5 { // somebody else may take the port before sshd does
		err = s.settle(ctx, o)
		if err == nil || !strings.Contains(s.Log(), "Address already in use") {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	t.Cleanup(s.Stop)
	return s, nil
}

// settle finds a place for a server, with keys that are known there, and starts it.
func (s *SSHServer) settle(ctx context.Context, o SSHOptions) (err error) {
	if s.Address, err = sshAddress(o.Net); err != nil {
		return err
	}
	if err := os.Remove(s.KnownHosts); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(s.MakeHostKeys(ctx), s.configure(o), s.start(ctx))
}

// sshAddress is where a server can listen: on a free port of loopback, or in a namespace, which is its own.
func sshAddress(n *Netns) (string, error) {
	if n != nil {
		return net.JoinHostPort(n.Far, "22"), nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// MakeHostKeys gives the server new keys, in place of those it has; a running one keeps the old until it is started
// again. KnownHosts is not changed when it is there already.
func (s *SSHServer) MakeHostKeys(ctx context.Context) error {
	for _, kind := range []string{"ed25519", "ecdsa"} {
		path := filepath.Join(s.Dir, "host_"+kind)
		for _, old := range []string{path, path + ".pub"} {
			if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := makeKey(ctx, path, kind, ""); err != nil {
			return err
		}
	}
	public, err := os.ReadFile(filepath.Join(s.Dir, "host_ed25519.pub"))
	if err != nil {
		return err
	}
	said, err := output(exec.CommandContext(ctx, "ssh-keygen", "-l", "-f", filepath.Join(s.Dir, "host_ed25519.pub")))
	if err != nil {
		return err
	}
	s.Fingerprint = strings.Fields(said)[1]
	if _, err := os.Stat(s.KnownHosts); err == nil {
		return nil
	}
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("[%s]:%s %s", host, port, public)
	return os.WriteFile(s.KnownHosts, []byte(line), 0o644)
}

// makeKey makes a key pair with an optional passphrase, whose derivation has one round: more take seconds under the race
// detector.
func makeKey(ctx context.Context, path, kind, passphrase string) error {
	_, err := output(exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-a", "1", "-C", "runner test", "-f", path))
	return err
}

func (s *SSHServer) configure(o SSHOptions) error {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return err
	}
	lines := []string{}
	if o.KeyboardInteractive {
		lines = append(lines, "UsePAM yes", "KbdInteractiveAuthentication yes", "PasswordAuthentication no")
	}
	lines = append(lines, // of two that say the same the first counts
		"ListenAddress "+host, "Port "+port, "PidFile none", "UsePAM no", "StrictModes no", "PrintMotd no", "PrintLastLog no",
		"HostKey "+filepath.Join(s.Dir, "host_ed25519"), "HostKey "+filepath.Join(s.Dir, "host_ecdsa"),
		"AuthorizedKeysFile "+filepath.Join(s.Dir, "keys/%u")+" .ssh/authorized_keys", "LogLevel VERBOSE", "PermitRootLogin no",
	)
	if o.MaxSessions > 0 {
		lines = append(lines, fmt.Sprintf("MaxSessions %d", o.MaxSessions))
	}
	if !o.NoSFTP {
		lines = append(lines, "Subsystem sftp /usr/lib/openssh/sftp-server")
	}
	if o.NoForwarding {
		lines = append(lines, "AllowTcpForwarding no", "AllowStreamLocalForwarding no")
	}
	if !slices.ContainsFunc(o.Config, func(line string) bool { return strings.HasPrefix(line, "MaxStartups ") }) {
		lines = append(lines, "MaxStartups 100")
	}
	lines = append(lines, o.Config...)
	return os.WriteFile(s.config(), []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

func (s *SSHServer) config() string { return filepath.Join(s.Dir, "sshd_config") }

// Log is what the server wrote since it was started.
func (s *SSHServer) Log() string {
	raw, err := os.ReadFile(filepath.Join(s.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Logins is how many connections it let in since it was started.
func (s *SSHServer) Logins() (n int) {
	for line := range strings.Lines(s.Log()) {
		if strings.HasPrefix(line, "Accepted ") && strings.Contains(line, " from ") { // not what it says of a key before
			n++
		}
	}
	return n
}

// Start starts a stopped server on the same port.
func (s *SSHServer) Start() {
	s.t.Helper()
	if err := s.start(s.t.Context()); err != nil {
		s.t.Fatalf("testenv: start sshd: %v", err)
	}
}

func (s *SSHServer) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ledger, err := stateSubdir("owned")
	if err != nil {
		return err
	}
	if err := endOrphans(ctx, ledger, false); err != nil {
		return err
	}
	argv := []string{sshdProgram, "-D", "-e", "-f", s.config()}
	own := []string{"unshare", "--mount", "--propagation", "private", "sh", "-ec"} // its mounts are its own
	if s.noPython {
		argv = slices.Concat(own, []string{withoutPython, filepath.Join(s.Dir, "over")}, argv)
	}
	if s.boots > 0 {
		argv = slices.Concat(own, []string{withBootID, filepath.Join(s.Dir, fmt.Sprint("boot", s.boots))}, argv)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	if s.net != nil {
		cmd = s.net.Command(context.WithoutCancel(ctx), cmd.Args...)
	}
	if s.pid, err = daemon(ctx, cmd, filepath.Join(s.Dir, "log"), s.answers); err != nil {
		return err
	}
	owner := os.Getpid()
	line := fmt.Sprintf("%d %s %d %s\n", s.pid, startTicks(s.pid), owner, startTicks(owner))
	return writeWhole(filepath.Join(ledger, strconv.Itoa(s.pid)), []byte(line), 0o600)
}

// withoutPython removes Python from a layer over the directories with programs, and becomes the command.
const withoutPython = `mkdir -p "$0"; mount -t tmpfs tmpfs "$0"
for dir in /usr/local/bin /usr/bin; do
	mkdir -p "$0$dir/up" "$0$dir/work"
	mount -t overlay overlay -o "lowerdir=$dir,upperdir=$0$dir/up,workdir=$0$dir/work" "$dir"
	rm -f "$dir"/python*
done
exec "$@"`

// withBootID has those who log in find another boot of the machine, and becomes the command.
const withBootID = `cat /proc/sys/kernel/random/uuid >"$0"
chmod 644 "$0"
mount --bind "$0" /proc/sys/kernel/random/boot_id
exec "$@"`

// Reboot ends the server and all that accounts run, and starts it as a machine that was started anew.
func (s *SSHServer) Reboot(accounts ...SSHAccount) {
	s.t.Helper()
	s.Stop()
	ctx, cancel := cleanupContext(s.t)
	defer cancel()
	for _, a := range accounts {
		if err := endProcessesOf(ctx, a.UID); err != nil {
			s.t.Fatalf("testenv: reboot: %v", err)
		}
	}
	s.boots++
	s.Start()
}

// answers says whether a connection gets the server's greeting.
func (s *SSHServer) answers(ctx context.Context) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	greeting := make([]byte, 4)
	_, err = conn.Read(greeting)
	return err == nil && string(greeting) == "SSH-"
}

// Stop ends the server and its connections. What was started over them goes on. A stopped server stays stopped.
func (s *SSHServer) Stop() {
	s.t.Helper()
	if s.pid == 0 {
		return
	}
	ctx, cancel := cleanupContext(s.t)
	defer cancel()
	connections := s.connections()
	problems := []error{end(ctx, s.pid, 5*time.Second)}
	for _, pid := range connections {
		problems = append(problems, end(ctx, pid, time.Second))
	}
	if ledger, err := stateSubdir("owned"); err == nil {
		_ = os.Remove(filepath.Join(ledger, strconv.Itoa(s.pid)))
	}
	s.pid = 0
	if err := errors.Join(problems...); err != nil {
		s.t.Errorf("testenv: stop sshd: %v", err)
	}
}

// EndConnections ends all connections; the server goes on.
func (s *SSHServer) EndConnections() {
	s.t.Helper()
	ctx, cancel := cleanupContext(s.t)
	defer cancel()
	for _, pid := range s.connections() {
		if err := end(ctx, pid, time.Second); err != nil {
			s.t.Errorf("testenv: end connection: %v", err)
		}
	}
}

// connections are the processes of the server's connections: its children.
func (s *SSHServer) connections() []int {
	if s.pid == 0 { // it is stopped; 0 is the parent of init
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && ParentOf(pid) == s.pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ParentOf is a process's parent; zero for one that is gone.
func ParentOf(pid int) int {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}
