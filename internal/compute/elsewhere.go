package compute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/runnerml/runner/internal/host"
)

// A machine is claimed in our directory there. A target with a directory of its
// own leaves a note of it in the usual one, where others look: else the claims of
// two installations would not meet.
const (
	usualDir      = ".runner"
	elsewhereName = "elsewhere"
)

// note is a claim that lies elsewhere.
type note struct {
	Claim
	// Root is the directory that the claim is in.
	Root string `json:"root"`
}

// ElsewhereError is a machine that another installation has attached with
// another directory.
type ElsewhereError struct {
	ClaimedError
	// Root is that directory.
	Root string
}

func (e *ElsewhereError) Error() string { return e.ClaimedError.Error() + ", in " + e.Root }

// Hint says what a person can do.
func (e *ElsewhereError) Hint() string {
	return "to take it over: --remote-dir " + e.Root + " --take-over; to share the machine, each with a queue of its own: --allow-same-machine"
}

// Elsewhere sees that no other installation has attached the machine with
// another directory than ours. It is for machines that are claimed already: of
// two that come at once at least one sees the other.
func (v *Visit) Elsewhere(ctx context.Context) error {
	usual, err := v.usual(ctx)
	if err != nil {
		return err
	}
	var others []note
	if usual != v.c.Root() {
		claim, err := readClaim(ctx, v.c, path.Join(usual, claimName))
		if err != nil && !errors.Is(err, errUnreadable) {
			return err
		}
		if claim != nil {
			others = append(others, note{*claim, usual})
		}
	}
	noted, err := v.notes(ctx, usual)
	if err != nil {
		return err
	}
	for _, n := range append(others, noted...) {
		if n.Installation == v.m.Installation || n.Root == v.c.Root() {
			continue
		}
		found, err := readClaim(ctx, v.c, path.Join(n.Root, claimName))
		if err != nil && !errors.Is(err, errUnreadable) {
			return err
		}
		if found != nil && found.Installation == n.Installation && found.Target == n.Target { // else it was given up
			return &ElsewhereError{ClaimedError: ClaimedError{Claim: n.Claim}, Root: n.Root}
		}
	}
	return nil
}

// notes are those that were left in the usual directory.
func (v *Visit) notes(ctx context.Context, usual string) (all []note, err error) {
	dir := path.Join(usual, elsewhereName)
	entries, err := v.c.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("see who else has the machine: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), host.Unfinished) {
			continue
		}
		data, err := readSmall(ctx, v.c, path.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("see who else has the machine: %w", err)
		}
		var n note
		if json.Unmarshal(data, &n) == nil && n.Installation != "" && path.IsAbs(n.Root) {
			all = append(all, n)
		}
	}
	return all, nil
}

// Note leaves a note of our claim where others look.
func (v *Visit) Note(ctx context.Context) error {
	usual, err := v.usual(ctx)
	if err != nil || usual == v.c.Root() {
		return err
	}
	data, err := json.Marshal(note{v.claim(), v.c.Root()})
	if err != nil {
		return fmt.Errorf("note the claim: %w", err)
	}
	if err = v.c.MkdirAll(ctx, path.Join(usual, elsewhereName), privateDir); err == nil {
		err = v.c.WriteFile(ctx, v.noteFile(usual), data, privateFile)
	}
	if err != nil {
		return fmt.Errorf("note the claim: %w", err)
	}
	return nil
}

// unnote takes the note away.
func (v *Visit) unnote(ctx context.Context) error {
	usual, err := v.usual(ctx)
	if err != nil || usual == v.c.Root() {
		return err
	}
	if _, err := v.c.Lstat(ctx, v.noteFile(usual)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := v.c.RemoveAll(ctx, v.noteFile(usual)); err != nil {
		return fmt.Errorf("remove the note of our claim: %w", err)
	}
	for _, dir := range []string{path.Join(usual, elsewhereName), usual} {
		// rmdir refuses what is in use; then it stays.
		_ = v.c.Run(ctx, host.Command{Argv: []string{"rmdir", "--", dir}, Dir: "/"})
	}
	return nil
}

func (v *Visit) noteFile(usual string) string {
	return path.Join(usual, elsewhereName, v.m.Installation+"."+v.t.Name+".json")
}

// usual is where our things are when nobody names another directory; our own
// root when nobody did, or when it cannot be told.
func (v *Visit) usual(ctx context.Context) (string, error) {
	if v.t.Config.RemoteDir == "" || v.t.Kind.OnCluster() {
		return v.c.Root(), nil
	}
	p, err := v.c.Platform(ctx)
	if err != nil {
		return "", fmt.Errorf("ask for the home directory: %w", err)
	}
	if !path.IsAbs(p.Home) {
		return v.c.Root(), nil
	}
	return path.Join(p.Home, usualDir), nil
}

// readSmall reads a file that is no larger than a claim.
func readSmall(ctx context.Context, h host.Host, name string) ([]byte, error) {
	f, err := h.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxClaim))
	return data, errors.Join(err, f.Close())
}
