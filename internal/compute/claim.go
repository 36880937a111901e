package compute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/host/sshhost"
)

// Claim is the mark of a target's owner: a file in our directory on the
// machine.
type Claim struct {
	// Installation that owns it, and the name that it has there.
	Installation string `json:"installation"`
	Target       string `json:"target"`
	// By is who and where that is, for people: "ana@laptop".
	By    string    `json:"by"`
	Since time.Time `json:"since"`
}

// ClaimedError is a machine that another installation, or another target of
// ours, has claimed.
type ClaimedError struct {
	Claim Claim
	// Ours: the claim is of this installation.
	Ours bool
}

func (e *ClaimedError) Error() string {
	since := e.Claim.Since.UTC().Format("2006-01-02 15:04 UTC")
	if e.Ours {
		return fmt.Sprintf("this directory of the machine belongs to the target %q since %s", e.Claim.Target, since)
	}
	who := "installation " + e.Claim.Installation
	if e.Claim.By != "" {
		who = e.Claim.By + " (" + who + ")"
	}
	return fmt.Sprintf("the machine is attached as %q by %s since %s", e.Claim.Target, who, since)
}

// UnclaimedError is an attached machine without our claim: somebody removed
// our directory there.
type UnclaimedError struct{ Path string }

func (e *UnclaimedError) Error() string {
	return "our claim is gone from the machine: " + e.Path
}

const (
	claimName = "claim.json"
	// maxClaim is how large a claim can be, in bytes.
	maxClaim    = 64 << 10
	privateDir  = 0o700
	privateFile = 0o600
)

func claimPath(h host.Host) string { return path.Join(h.Root(), claimName) }

// ReadClaim gives the claim on a machine; nil: there is none.
func ReadClaim(ctx context.Context, h host.Host) (*Claim, error) {
	return readClaim(ctx, h, claimPath(h))
}

func readClaim(ctx context.Context, h host.Host, name string) (*Claim, error) {
	data, err := readSmall(ctx, h, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nobody has claimed it
	}
	if err != nil {
		return nil, fmt.Errorf("read the claim on the machine: %w", err)
	}
	return parseClaim(data, name)
}

// claimAtLogin gives the claim that a login found; nil: there was none.
func claimAtLogin(g sshhost.Greeting) (*Claim, error) {
	name := path.Join(g.Root, claimName)
	found, known := g.Files[name]
	switch {
	case !known:
		return nil, unreadableClaim(name)
	case !found.There:
		return nil, nil //nolint:nilnil // nobody has claimed it
	}
	return parseClaim([]byte(found.Content), name)
}

func parseClaim(data []byte, name string) (*Claim, error) {
	var c Claim
	if err := json.Unmarshal(data, &c); err != nil || c.Installation == "" {
		return nil, unreadableClaim(name)
	}
	return &c, nil
}

var errUnreadable = errors.New("the claim on the machine cannot be read")

func unreadableClaim(name string) error { return fmt.Errorf("%w: %s", errUnreadable, name) }

// putClaim claims a machine. Of two that do so at once one wins, and the other
// gets a *ClaimedError. made tells whether there was none before, also with an
// error: then there may be one now.
func putClaim(ctx context.Context, h host.Host, c Claim) (made bool, err error) {
	data, err := c.text()
	if err != nil {
		return false, err
	}
	if err := h.MkdirAll(ctx, h.Root(), privateDir); err != nil {
		return false, fmt.Errorf("make our directory on the machine: %w", err)
	}
	before, err := ReadClaim(ctx, h)
	if err == nil && before == nil {
		err = checkForeign(ctx, h)
	}
	if err != nil {
		return false, err
	}
	made = before == nil
	// A hard link is made by one of two only.
	half := path.Join(h.Root(), halfClaims(c.Installation)+c.Target)
	if err := h.WriteFile(ctx, half, data, privateFile); err != nil {
		return made, fmt.Errorf("claim the machine: %w", err)
	}
	linkErr := h.Run(ctx, host.Command{Argv: []string{"ln", "--", half, claimPath(h)}})
	if err := h.RemoveAll(ctx, half); err != nil {
		return made, fmt.Errorf("claim the machine: %w", err)
	}
	found, err := ReadClaim(ctx, h)
	switch {
	case err != nil:
		return made, err
	case found == nil:
		return made, fmt.Errorf("claim the machine: %w", linkErr)
	case found.Installation != c.Installation || found.Target != c.Target:
		return false, &ClaimedError{Claim: *found, Ours: found.Installation == c.Installation}
	}
	return linkErr == nil, nil
}

// text is what a claim's file holds.
func (c *Claim) text() ([]byte, error) {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("claim the machine: %w", err)
	}
	return append(data, '\n'), nil
}

// replaceClaim puts a claim in the place of what is there; nil: none.
func replaceClaim(ctx context.Context, h host.Host, c *Claim) error {
	if c == nil {
		if err := h.RemoveAll(ctx, claimPath(h)); err != nil {
			return fmt.Errorf("remove our claim from the machine: %w", err)
		}
		return nil
	}
	data, err := c.text()
	if err != nil {
		return err
	}
	if err := h.MkdirAll(ctx, h.Root(), privateDir); err != nil {
		return fmt.Errorf("make our directory on the machine: %w", err)
	}
	if err := h.WriteFile(ctx, claimPath(h), data, privateFile); err != nil {
		return fmt.Errorf("claim the machine: %w", err)
	}
	return nil
}

// halfClaims is how the names of claims begin that an installation is making.
func halfClaims(installation string) string { return claimName + "." + installation + "." }

// ForeignError is a directory for our things that holds somebody else's under
// the names of ours.
type ForeignError struct {
	Path  string
	Names []string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s on the machine holds what is not of this target: %s", e.Path, strings.Join(e.Names, ", "))
}

// Hint says what a person can do.
func (e *ForeignError) Hint() string {
	return "name another directory with --remote-dir, or make what is there part of the target with --take-over"
}

// checkForeign refuses a directory without a claim that holds names of ours:
// detaching would remove them.
func checkForeign(ctx context.Context, h host.Host) error {
	entries, err := h.ReadDir(ctx, h.Root())
	if err != nil {
		return fmt.Errorf("look into our directory on the machine: %w", err)
	}
	var names []string
	for _, e := range entries {
		if slices.Contains(ours, e.Name()) {
			names = append(names, e.Name())
		}
	}
	if len(names) > 0 {
		return &ForeignError{Path: h.Root(), Names: names}
	}
	return nil
}

// checkClaim sees that a machine is still claimed for a target.
func checkClaim(ctx context.Context, h host.Host, installation, target string) error {
	found, err := ReadClaim(ctx, h)
	if err != nil {
		return err
	}
	return found.check(installation, target, claimPath(h))
}

// check sees that a claim, found at path, is that of a target; nil: there is none.
func (c *Claim) check(installation, target, path string) error {
	switch {
	case c == nil:
		return &UnclaimedError{Path: path}
	case c.Installation != installation || c.Target != target:
		return &ClaimedError{Claim: *c, Ours: c.Installation == installation}
	}
	return nil
}
