package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"
)

// sshServer is an OpenSSH server on loopback that lets us in, as ourselves.
type sshServer struct {
	dir, address, user string
	key, fingerprint   string
	cmd                *exec.Cmd
}

func newSSHServer(ctx context.Context, l *lab) (_ *sshServer, err error) {
	who, err := user.Current()
	if err != nil {
		return nil, err
	}
	s := &sshServer{user: who.Username}
	if s.dir, err = os.MkdirTemp(l.dir, "sshd-"); err != nil {
		return nil, err
	}
	s.key = filepath.Join(s.dir, "key")
	for _, name := range []string{"key", "host"} {
		if err := quietly(exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, name))); err != nil {
			return nil, err
		}
	}
	said, err := answer(exec.CommandContext(ctx, "ssh-keygen", "-l", "-f", filepath.Join(s.dir, "host.pub")))
	if err != nil {
		return nil, err
	}
	s.fingerprint = strings.Fields(said)[1]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	return s, s.start(ctx)
}

func (s *sshServer) start(ctx context.Context) error {
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return err
		}
	}
	config := filepath.Join(s.dir, "config")
	text := fmt.Sprintf("ListenAddress %s\nPort %s\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nHostKey %s\nAuthorizedKeysFile %s\n"+
		"MaxStartups 100\nSubsystem sftp internal-sftp\n", host, port, filepath.Join(s.dir, "host"), s.key+".pub")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	s.cmd = exec.Command("/usr/sbin/sshd", "-D", "-f", config)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if err := quietly(s.ssh(ctx, "true")); err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		<-tick.C
	}
}

func (s *sshServer) close() error {
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
	return err
}

// options of ssh: a connection of its own each time, and no files of ours.
func (s *sshServer) options() []string {
	_, port, _ := net.SplitHostPort(s.address) // we made it
	return []string{
		"-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(s.dir, "known"), "-o", "LogLevel=ERROR",
		"-o", "ControlPath=none", "-i", s.key, "-p", port,
	}
}

// where is USER@HOST.
func (s *sshServer) where() string { return s.user + "@127.0.0.1" }

// ssh runs a line of shell there, over a fresh connection.
func (s *sshServer) ssh(ctx context.Context, line string) *exec.Cmd {
	return exec.CommandContext(ctx, "ssh", append(s.options(), s.where(), line)...)
}

// rsync copies with -az over a fresh connection; "there:" begins a path there.
func (s *sshServer) rsync(ctx context.Context, from, to string) *exec.Cmd {
	there := func(path string) string { return strings.Replace(path, "there:", s.where()+":", 1) }
	return exec.CommandContext(ctx, "rsync", "-az", "-e", "ssh "+strings.Join(s.options(), " "), there(from), there(to))
}
