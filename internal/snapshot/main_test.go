package snapshot_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/runnerml/runner/internal/snapshot"
)

// childEnv makes this test program a process that works on a store until it is
// killed: "ROLE" with the store, and the source, as arguments.
const childEnv = "SNAPSHOT_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		if err := beChild(role, os.Args[1], os.Args[2]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func beChild(role, store, src string) error {
	ctx := context.Background()
	s, err := snapshot.Open(store)
	if err != nil {
		return err
	}
	for round := 0; ; round++ {
		switch role {
		case "take": // ever new content
			err = os.WriteFile(filepath.Join(src, "f"+strconv.Itoa(round%50)), fmt.Appendf(nil, "%d %d", os.Getpid(), round), 0o600)
			var snap snapshot.Snapshot
			if err == nil {
				snap, err = s.Take(ctx, src, snapshot.Options{})
			}
			fmt.Println(snap.ID)
		case "take once, as nobody":
			if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
				return err
			}
			_, err := s.Take(ctx, src, snapshot.Options{})
			return err
		case "prune": // every other snapshot goes
			n := 0
			_, err = s.Prune(ctx, policy(s, func(snapshot.ID) bool { n++; return n%2 == 0 }, false))
			fmt.Println("pruned")
		case "tidy": // nothing goes, but packs are put together
			_, err = s.Prune(ctx, policy(s, keepAll, false))
			fmt.Println("tidied")
		case "unpack":
			dst := filepath.Join(src, strconv.Itoa(round))
			var list []snapshot.Info
			list, err = s.List()
			if err == nil && len(list) > 0 {
				err = s.Unpack(ctx, list[round%len(list)].ID, dst, nil)
				if errors.Is(err, snapshot.ErrNotFound) {
					err = nil // pruned meanwhile
				}
			}
			err = errors.Join(err, os.RemoveAll(dst))
			fmt.Println("unpacked")
		}
		if err != nil {
			return err
		}
	}
}

// child is such a process.
type child struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startChild(t testing.TB, role, store, src string) *child {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, store, src)
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	c := &child{t: t, cmd: cmd, lines: bufio.NewScanner(out)}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // for a test that failed; else both do nothing
	return c
}

// line waits for the next line the child prints.
func (c *child) line() string {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatal("the child is gone")
	}
	return c.lines.Text()
}

// kill ends the child and gives the lines it still printed.
func (c *child) kill() []string {
	c.t.Helper()
	must(c.t, c.cmd.Process.Kill())
	var rest []string
	for c.lines.Scan() {
		rest = append(rest, c.lines.Text())
	}
	_ = c.cmd.Wait() // says "killed"
	return rest
}
