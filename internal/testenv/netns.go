package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Netns is a network namespace that belongs to one test: another machine, as far as the network goes, at the end of a
// line that can be cut as lines are. A cut one tells nobody: no connection is reset, none is refused.
type Netns struct {
	Near string // the address of this computer, as the namespace sees it
	Far  string // the address in the namespace

	network string // both
	t       testing.TB
	index   int
}

const (
	// netnsNetwork is the first half of 198.18.0.0/15, which is set apart for tests (RFC 2544): no real network has
	// it. Each namespace has a /30 of it.
	netnsNetwork = "198.18"
	netnsMost    = 1 << 14
	// netnsLink is the line's end inside.
	netnsLink = "eth0"
)

// Namespace makes a network namespace. It goes with the test.
func Namespace(t testing.TB) *Netns {
	t.Helper()
	return begin(t, "network namespace", func(ctx context.Context) (*Netns, error) { return makeNetns(ctx, t) })
}

func makeNetns(ctx context.Context, t testing.TB) (*Netns, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("make a network namespace: %w", errNeedsRoot)
	}
	n, err := reserveNetns(ctx, t)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		if err := removeNetns(ctx, n.index); err != nil {
			t.Errorf("testenv: remove namespace %s: %v", n.name(), err)
		}
	})
	for _, args := range [][]string{
		{"ip", "link", "add", n.near(), "type", "veth", "peer", "name", netnsLink, "netns", n.name()},
		{"ip", "address", "add", n.Near + "/30", "dev", n.near()},
		{"ip", "link", "set", n.near(), "up"},
		// Nothing for there takes the way out when the line's end here is down.
		append([]string{"ip", "route", "replace"}, n.lastRoute()...),
		{"ip", "-n", n.name(), "address", "add", n.Far + "/30", "dev", netnsLink},
		{"ip", "-n", n.name(), "link", "set", "lo", "up"},
		{"ip", "-n", n.name(), "link", "set", netnsLink, "up"},
	} {
		if _, err := output(exec.CommandContext(ctx, args[0], args[1:]...)); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// reserveNetns makes an empty namespace that nobody has yet, written down before it is made.
func reserveNetns(ctx context.Context, t testing.TB) (*Netns, error) {
	ledger, err := stateSubdir("netns")
	if err != nil {
		return nil, err
	}
	release, err := lock(ctx, ledger+".lock")
	if err != nil {
		return nil, err
	}
	defer release()
	if err := removeStaleNetns(ctx, ledger); err != nil {
		return nil, err
	}
	owner := os.Getpid()
	line := fmt.Sprintf("%d %s\n", owner, startTicks(owner))
	for index := range netnsMost {
		n := netnsOf(t, index)
		entry := filepath.Join(ledger, strconv.Itoa(index))
		if _, err := os.Stat(entry); err == nil {
			continue
		}
		if _, err := os.Stat(n.path()); err == nil {
			continue // somebody else's
		}
		if err := writeWhole(entry, []byte(line), 0o600); err != nil {
			return nil, err
		}
		_, err := output(exec.CommandContext(ctx, "ip", "netns", "add", n.name()))
		if err == nil {
			return n, nil
		}
		if removeErr := os.Remove(entry); removeErr != nil || !strings.Contains(err.Error(), "File exists") {
			return nil, errors.Join(err, removeErr)
		}
	}
	return nil, errors.New("no network namespace is free")
}

func netnsOf(t testing.TB, index int) *Netns {
	at := func(host int) string {
		const size, perByte = 4, 256
		first := index * size
		return fmt.Sprintf("%s.%d.%d", netnsNetwork, first/perByte, first%perByte+host)
	}
	return &Netns{Near: at(1), Far: at(2), network: at(0) + "/30", t: t, index: index}
}

func (n *Netns) name() string { return "rt-" + strconv.Itoa(n.index) }
func (n *Netns) near() string { return "rtn" + strconv.Itoa(n.index) }
func (n *Netns) path() string { return "/run/netns/" + n.name() }

// lastRoute is where packets for there go when no other route is left.
func (n *Netns) lastRoute() []string {
	return []string{"unreachable", n.network, "metric", "4294967295"}
}

// Command is a command that runs in the namespace. It is that command's own process, not a child of one.
func (n *Netns) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.path(), "--"}, argv...)...)
}

// Down takes the machine's end of the line down: what is sent is lost, and nobody is told.
func (n *Netns) Down() { n.must("ip", "-n", n.name(), "link", "set", netnsLink, "down") }

// DownHere takes this computer's end down: there is no network, as programs here are told when they connect.
func (n *Netns) DownHere() { n.must("ip", "link", "set", n.near(), "down") }

// Drop loses all packets on their way to the machine, or from it, or both; the line looks well.
func (n *Netns) Drop(to, from bool) {
	for _, way := range []struct {
		chain, flag string
		lost        bool
	}{{"INPUT", "-i", to}, {"OUTPUT", "-o", from}} {
		if way.lost {
			n.inside("iptables", "-w", "-I", way.chain, way.flag, netnsLink, "-j", "DROP")
		}
	}
}

// Up makes the line whole again.
func (n *Netns) Up() {
	n.inside("iptables", "-w", "-F")
	n.must("ip", "-n", n.name(), "link", "set", netnsLink, "up")
	n.must("ip", "link", "set", n.near(), "up")
}

// Reset resets all connections there are to the machine, and says how many there were.
func (n *Netns) Reset() (connections int) {
	killed := n.inside("ss", "--kill", "--tcp", "--no-header", "state", "connected")
	return strings.Count(killed, "\n")
}

// Slow lets no more than so many bytes a second pass, each way; zero: as many as there are.
func (n *Netns) Slow(bytesPerSecond int64) {
	ends := [][]string{{"tc"}, {"tc", "-n", n.name()}}
	for i, link := range []string{n.near(), netnsLink} {
		if bytesPerSecond == 0 {
			_ = exec.CommandContext(n.t.Context(), ends[i][0], append(ends[i][1:], "qdisc", "del", "dev", link, "root")...).Run() // it has none
			continue
		}
		n.must(append(ends[i], "qdisc", "replace", "dev", link, "root", "tbf", "rate", strconv.FormatInt(bytesPerSecond, 10)+"bps",
			"burst", "64kb", "latency", "400ms")...)
	}
}

func (n *Netns) inside(argv ...string) (said string) { n.t.Helper(); return n.finish(n.Command, argv) }

func (n *Netns) must(argv ...string) {
	n.t.Helper()
	n.finish(func(ctx context.Context, argv ...string) *exec.Cmd {
		return exec.CommandContext(ctx, argv[0], argv[1:]...)
	}, argv)
}

// finish runs a command that has to work. It may be called from any goroutine of the test.
func (n *Netns) finish(command func(context.Context, ...string) *exec.Cmd, argv []string) (said string) {
	n.t.Helper()
	ctx, cancel := cleanupContext(n.t)
	defer cancel()
	said, err := output(command(ctx, argv...))
	if err != nil {
		n.t.Errorf("testenv: namespace %s: %v", n.name(), err)
	}
	return said
}

// removeNetns removes a namespace, its line and its entry. What runs in it goes on, alone.
func removeNetns(ctx context.Context, index int) error {
	ledger, err := stateSubdir("netns")
	if err != nil {
		return err
	}
	n := netnsOf(nil, index)
	var problems []error
	for _, args := range [][]string{
		{"ip", "link", "delete", n.near()}, {"ip", "netns", "delete", n.name()}, append([]string{"ip", "route", "delete"}, n.lastRoute()...),
	} {
		_, err := output(exec.CommandContext(ctx, args[0], args[1:]...))
		if err != nil && !isGone(err) {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return os.Remove(filepath.Join(ledger, strconv.Itoa(index)))
}

// isGone tells that there was nothing to remove, in the words of ip.
func isGone(err error) bool {
	for _, words := range []string{"Cannot find device", "No such file or directory", "No such process"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// removeStaleNetns removes what test processes left that were killed; the caller holds the ledger's lock.
func removeStaleNetns(ctx context.Context, ledger string) error {
	entries, err := os.ReadDir(ledger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var problems []error
	for _, entry := range entries {
		index, err := strconv.Atoi(entry.Name())
		if err != nil { // one that is being written
			continue
		}
		raw, err := os.ReadFile(filepath.Join(ledger, entry.Name()))
		if err != nil { // its owner has just removed it
			continue
		}
		var owner int
		var started string
		if _, err := fmt.Sscan(string(raw), &owner, &started); err != nil || startTicks(owner) == started {
			continue
		}
		if err := removeNetns(ctx, index); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// stopNetns removes the namespaces whose owner is gone.
func stopNetns(ctx context.Context) error {
	ledger, err := stateSubdir("netns")
	if err != nil {
		return err
	}
	release, err := lock(ctx, ledger+".lock")
	if err != nil {
		return err
	}
	defer release()
	return removeStaleNetns(ctx, ledger)
}
