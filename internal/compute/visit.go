package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
	"github.com/runnerml/runner/internal/inventory"
)

// Connection is a machine that we are logged in to.
type Connection interface {
	host.Host
	// Greeting is what the machine said at the newest login; of the files, those
	// that AskAtLogin names.
	Greeting() sshhost.Greeting
	// Judge has f see each later greeting: while it is against it, the machine
	// cannot be reached.
	Judge(f func(sshhost.Greeting) error)
	// HostKey is the fingerprint of the key that the machine showed.
	HostKey() string
	// Trouble says since when the machine does not answer, and why; a nil error:
	// it answered the last time. It asks nobody.
	Trouble() (since time.Time, err error)
	Close() error
}

// Machines reaches the machines that targets are.
type Machines struct {
	// Installation is our own name, and By who and where we are, for people.
	Installation, By string
	// Here is this computer.
	Here host.Host
	// Connect logs in. It asks for secrets when the machine wants them.
	Connect func(ctx context.Context, t *Target, secrets Secrets) (Connection, error)
	// Backend opens the door to a machine that we are logged in to. One that is
	// an io.Closer is closed before the connection.
	// opening hears how far that is; it may be nil.
	Backend func(ctx context.Context, t *Target, c Connection, opening backends.Progress) (backends.Backend, error)
	// ClusterID tells a cluster apart from others; empty: it cannot be told.
	ClusterID func(ctx context.Context, t *Target, c Connection) (string, error)
	// Take asks a machine for all it has; nil: inventory.Take.
	Take func(ctx context.Context, h host.Host) (*inventory.Inventory, error)
	// Now; nil: time.Now.
	Now func() time.Time
}

func (m *Machines) take(ctx context.Context, h host.Host) (*inventory.Inventory, error) {
	if m.Take != nil {
		return m.Take(ctx, h)
	}
	return inventory.Take(ctx, h, inventory.Options{})
}

// TakeHere asks this computer for all it has.
func (m *Machines) TakeHere(ctx context.Context) (*inventory.Inventory, error) {
	return m.take(ctx, m.Here)
}

// Secrets finds a target's secrets when they are needed.
type Secrets struct {
	// Given are values that are kept sealed, by purpose.
	Given map[string]string
	// Lookup finds variables; nil: os.LookupEnv.
	Lookup func(string) (string, bool)
	// Stored gives a secret that is stored by name; nil: there are none.
	Stored func(ctx context.Context, name string) (string, error)
}

// read gives the secret that a reference names.
func (s Secrets) read(ctx context.Context, purpose string, r Reference) (string, error) {
	if name, ok := r.Stored(); ok {
		if s.Stored == nil {
			return "", fmt.Errorf("%s: %w", purpose, &ReferenceError{What: "no secrets are stored here"})
		}
		value, err := s.Stored(ctx, name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", purpose, err)
		}
		return value, nil
	}
	lookup := s.Lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	value, err := r.Read(s.Given[purpose], lookup)
	if err != nil {
		return "", fmt.Errorf("%s: %w", purpose, err)
	}
	return value, nil
}

// HereID is the machine id of this computer.
func (m *Machines) HereID(ctx context.Context) (string, error) { return MachineID(ctx, m.Here) }

// Visit logs in to a target's machine. Close the visit, unless Open took it.
func (m *Machines) Visit(ctx context.Context, t *Target, secrets Secrets) (*Visit, error) {
	c, err := m.Connect(ctx, t, secrets)
	if err != nil {
		return nil, err
	}
	return &Visit{m: m, t: t, c: c}, nil
}

// Visit is a connection to a target's machine.
type Visit struct {
	m *Machines
	t *Target
	c Connection
}

// Close ends the visit.
func (v *Visit) Close() error { return v.c.Close() }

// HostKey is the fingerprint of the key that the machine showed.
func (v *Visit) HostKey() string { return v.c.HostKey() }

// Root is our directory on the machine.
func (v *Visit) Root() string { return v.c.Root() }

// MachineID tells the machine, or the cluster, apart from others.
func (v *Visit) MachineID(ctx context.Context) (string, error) { return v.identity(ctx) }

// NotWritableError is a directory on the machine that we cannot use.
type NotWritableError struct {
	Path string
	// Why, in words.
	Why string
}

func (e *NotWritableError) Error() string {
	return fmt.Sprintf("nothing can be kept in %s on the machine: %s", e.Path, e.Why)
}

// Hint says what a person can do.
func (e *NotWritableError) Hint() string { return "name another directory with --remote-dir" }

// leastFree is how much room on the disk a machine must have at least, in bytes.
const leastFree = 32 << 20

// Take asks the machine for all it has, and sees that we can work there.
func (v *Visit) Take(ctx context.Context) (*inventory.Inventory, error) {
	inv, err := v.take(ctx)
	if err != nil {
		return nil, err
	}
	d := inv.Disk
	switch {
	case d.ReadOnly:
		return nil, &NotWritableError{Path: v.c.Root(), Why: "its file system is read-only"}
	case !d.Writable:
		return nil, &NotWritableError{Path: v.c.Root(), Why: "we may not write there"}
	case d.NoExec:
		return nil, &NotWritableError{Path: v.c.Root(), Why: "its file system runs no programs (noexec)"}
	case d.Total > 0 && d.Free < leastFree:
		return nil, &NotWritableError{Path: v.c.Root(), Why: fmt.Sprintf("only %d MiB are free on its disk", d.Free>>20)}
	}
	return inv, nil
}

func (v *Visit) take(ctx context.Context) (*inventory.Inventory, error) {
	if _, here := v.c.(host.Local); here {
		return v.m.take(ctx, v.c)
	}
	within, end := context.WithCancelCause(ctx)
	defer end(nil)
	a := &asking{Host: v.c, end: end}
	inv, err := v.m.take(within, a)
	if lost := a.why(); lost != nil {
		return nil, fmt.Errorf("ask what the machine has: %w", lost)
	}
	return inv, err
}

// Claim marks the machine as ours, unless it is somebody's. made tells that it
// was not ours before.
func (v *Visit) Claim(ctx context.Context) (made bool, err error) {
	return putClaim(ctx, v.c, v.claim())
}

func (v *Visit) claim() Claim {
	now := time.Now
	if v.m.Now != nil {
		now = v.m.Now
	}
	return Claim{Installation: v.m.Installation, Target: v.t.Name, By: v.m.By, Since: now().UTC().Truncate(time.Second)}
}

// TakeOver marks the machine as ours, whosever it is. before is the claim that
// there was, to be given back when nothing comes of it; nil: none.
func (v *Visit) TakeOver(ctx context.Context) (before *Claim, err error) {
	if before, err = ReadClaim(ctx, v.c); err != nil && !errors.Is(err, errUnreadable) {
		return nil, err
	}
	ours := v.claim()
	return before, replaceClaim(ctx, v.c, &ours)
}

// GiveBack puts a claim in the place of ours, if it is still there; nil: none.
func (v *Visit) GiveBack(ctx context.Context, before *Claim) error {
	if ours, err := v.Ours(ctx); err != nil || !ours {
		return err
	}
	return errors.Join(replaceClaim(ctx, v.c, before), v.unnote(ctx))
}

// Check sees that the machine was still the one that was attached, and ours,
// when we logged in.
func (v *Visit) Check() error { return v.judge(v.c.Greeting()) }

func (v *Visit) judge(g sshhost.Greeting) error {
	if !v.t.Kind.OnCluster() && v.t.MachineID != "" && machineIDOf(g) != v.t.MachineID {
		return &OtherMachineError{Name: v.t.Name}
	}
	claim, err := claimAtLogin(g)
	if err != nil {
		return err
	}
	return claim.check(v.m.Installation, v.t.Name, path.Join(g.Root, claimName))
}

// OtherMachineError is an address that leads to another machine than the one
// that was attached.
type OtherMachineError struct{ Name string }

func (e *OtherMachineError) Error() string {
	return "the address of " + e.Name + " leads to another machine than the one that was attached"
}

// Hint says what a person can do.
func (e *OtherMachineError) Hint() string {
	return "if that is meant, runner compute detach --forget " + e.Name + " and attach it again"
}

// Open opens the machine's backend, which takes the visit over: closing the
// door ends both. From now on each login checks again. opening hears how far it
// is; it may be nil.
func (v *Visit) Open(ctx context.Context, opening backends.Progress) (*Door, error) {
	v.c.Judge(v.judge)
	if err := v.sameCluster(ctx); err != nil {
		return nil, err
	}
	b, err := v.m.Backend(ctx, v.t, v.c, opening)
	if err != nil {
		return nil, err
	}
	return &Door{Backend: b, c: v.c}, nil
}

// Door is an open backend and the connection under it.
type Door struct {
	Backend backends.Backend
	c       Connection
}

// Trouble says since when the machine does not answer, and why; a nil error: it
// answered the last time.
func (d *Door) Trouble() (since time.Time, err error) { return d.c.Trouble() }

// Close closes the backend, then the connection.
func (d *Door) Close() error {
	var err error
	if c, ok := d.Backend.(io.Closer); ok {
		err = c.Close()
	}
	return errors.Join(err, d.c.Close())
}

// Clear removes what we put on the machine, and our claim. A machine that is
// not ours any more is left as it is.
func (v *Visit) Clear(ctx context.Context) error {
	ours, err := v.Ours(ctx)
	if err != nil {
		return err
	}
	if ours {
		err = removeOurs(ctx, v.c, v.m.Installation)
	}
	return errors.Join(err, v.unnote(ctx))
}

// Ours tells a machine that has our claim: without it nothing says that what
// lies in the directory is ours.
func (v *Visit) Ours(ctx context.Context) (bool, error) {
	err := checkClaim(ctx, v.c, v.m.Installation, v.t.Name)
	if isNotOurs(err) {
		return false, nil
	}
	return err == nil, err
}

// isNotOurs tells a machine without our claim.
func isNotOurs(err error) bool {
	_, gone := errors.AsType[*UnclaimedError](err)
	claimed, theirs := errors.AsType[*ClaimedError](err)
	return gone || theirs && !claimed.Ours
}

// Explain says of an error of a visit what it means when the machine answers no
// more: what was being done ("attaching"), and what a person can do.
func (v *Visit) Explain(err error, doing, advice string) error {
	_, trouble := v.c.Trouble()
	if _, told := errors.AsType[*ReachError](err); err == nil || told || trouble == nil && !errors.Is(err, sshhost.ErrUnreachable) {
		return err
	}
	return &ReachError{
		Name: v.t.Name, Temporary: true, Advice: advice,
		Err: fmt.Errorf("%s %s was cut: %w", doing, v.t.Name, err),
	}
}

// Leave removes the directory that logging in made, when nothing is in it and
// nobody named it: the machine was refused.
func (v *Visit) Leave(ctx context.Context) {
	if _, trouble := v.c.Trouble(); trouble != nil || v.t.Config.RemoteDir != "" {
		return
	}
	// rmdir refuses what is in use; then it stays.
	_ = v.c.Run(ctx, host.Command{Argv: []string{"rmdir", "--", v.c.Root()}, Dir: "/"})
}
