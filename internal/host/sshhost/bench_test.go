package sshhost_test

import (
	"io"
	"os/exec"
	"path"
	"testing"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/testenv"
)

// BenchmarkSSH measures what a command costs, beside the bare tool.
func BenchmarkSSH(b *testing.B) {
	s := testenv.SSHD(b, testenv.SSHOptions{})
	user := s.User(testenv.SSHUser{})
	cfg := config(s, user)
	h := open(b, cfg)
	data := make([]byte, 16<<20)
	large := path.Join(h.Root(), "large")
	run := func(b *testing.B, h *sshhost.Host) {
		b.Helper()
		if err := h.Run(b.Context(), host.Command{Argv: []string{"true"}}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("connect and command", func(b *testing.B) {
		for b.Loop() {
			h, err := sshhost.Open(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			run(b, h)
			if err := h.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare ssh", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("ssh", "-F", "none", "-o", "UserKnownHostsFile="+s.KnownHosts, "-o", "IdentitiesOnly=yes", "-i", user.Key, "-p", port(s.Address), user.Name+"@127.0.0.1", "true")
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	})
	b.Run("command", func(b *testing.B) {
		for b.Loop() {
			run(b, h)
		}
	})
	b.Run("spawn", func(b *testing.B) {
		for b.Loop() {
			if _, err := h.Spawn(b.Context(), host.Command{Argv: []string{"echo", "on"}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stat", func(b *testing.B) {
		for b.Loop() {
			if _, err := h.Stat(b.Context(), h.Root()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("small file", func(b *testing.B) {
		for b.Loop() {
			if err := h.WriteFile(b.Context(), path.Join(h.Root(), "small"), []byte("x"), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write 16 MiB", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := h.WriteFile(b.Context(), large, data, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read 16 MiB", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			f, err := h.Open(b.Context(), large)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, f); err != nil || n != int64(len(data)) {
				b.Fatal(n, err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
