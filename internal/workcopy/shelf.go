package workcopy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/snapshot"
)

// Dir is the name of a shelf in a machine's root.
const Dir = "copies"

const (
	// mostCopies and mostBytes bound what lies on a shelf, and longest is how
	// long it does.
	mostCopies = 8
	mostBytes  = 2 << 30
	longest    = 7 * 24 * time.Hour
)

// Shelf keeps working copies in a directory. Several processes may use it at
// once; it remembers nothing.
type Shelf struct {
	dir   string
	store *snapshot.Store
	// boot is that of the machine: what was made before it started is not
	// trusted.
	boot string
	now  func() time.Time
}

// Open gives the shelf in a directory, which is made when it is first needed.
// boot changes with each start of the machine; empty: nothing is kept.
func Open(dir string, store *snapshot.Store, boot string) *Shelf {
	return &Shelf{dir: dir, store: store, boot: boot, now: time.Now}
}

// Place is where a working copy is with whoever uses it, in three names of one
// directory on the shelf's file system.
type Place struct {
	// Dir holds the snapshot.
	Dir string
	// List is what is known of Dir. Without it Dir is not taken back.
	List string
	// Unit is used while a copy comes or goes.
	Unit string
}

// The two things of a copy on the shelf.
const (
	treeName = "tree"
	listName = "list"
)

// Offer is a copy on the shelf.
type Offer struct {
	// ID of the snapshot it holds.
	ID snapshot.ID
	// Files and Bytes of it.
	Files int
	Bytes int64
	// At is when it was put there.
	At time.Time

	name string
}

// A copy's name says all about it. It is never used again.
func (o *Offer) text() string {
	return fmt.Sprintf("%d-%s-%d-%d-%s", o.At.UnixNano(), o.ID.Hex(), o.Files, o.Bytes, strings.ToLower(rand.Text()[:8]))
}

func parseOffer(name string) (o Offer, ok bool) {
	parts := strings.Split(name, "-")
	const count = 5
	if len(parts) != count {
		return o, false
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	id, err2 := snapshot.ParseID("sha256:" + parts[1])
	files, err3 := strconv.Atoi(parts[2])
	bytes, err4 := strconv.ParseInt(parts[3], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil || strings.Contains(parts[4], ".") {
		return o, false
	}
	return Offer{ID: id, Files: files, Bytes: bytes, At: time.Unix(0, at), name: name}, true
}

// Offers lists what is on the shelf, the latest first.
func (s *Shelf) Offers() ([]Offer, error) {
	offers, _, err := s.list()
	return offers, err
}

// list tells the copies from what was left of others.
func (s *Shelf) list() (offers []Offer, rest []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list working copies: %w", err)
	}
	for _, e := range entries {
		if o, ok := parseOffer(e.Name()); ok {
			offers = append(offers, o)
		} else {
			rest = append(rest, e.Name())
		}
	}
	slices.SortFunc(offers, func(a, b Offer) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
	return offers, rest, nil
}

// take moves a copy to unit. Another may have been faster: then there is none.
func (s *Shelf) take(ctx context.Context, o Offer, unit string) (*snapshot.Copy, error) {
	err := os.Rename(filepath.Join(s.dir, o.name), unit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // it went
	}
	if err != nil {
		return nil, err
	}
	c, err := readList(filepath.Join(unit, listName))
	if err != nil || c.ID != o.ID || c.Boot != s.boot {
		return nil, remove(context.WithoutCancel(ctx), unit)
	}
	return c, nil
}

func readList(name string) (*snapshot.Copy, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var c snapshot.Copy
	if err := c.UnmarshalBinary(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &c, nil
}

func (s *Shelf) writeList(c *snapshot.Copy, name string) error {
	c.Boot = s.boot
	data, err := c.MarshalBinary()
	if err != nil {
		return err
	}
	const private = 0o600
	return os.WriteFile(name, data, private)
}

// remove removes a tree, also where its modes forbid it.
func remove(ctx context.Context, name string) error {
	here := host.NewHere(filepath.Dir(name))
	defer func() { _ = here.Close() }() // nothing was spawned
	return here.RemoveAll(ctx, name)
}

// Pruned is what was removed, or would be.
type Pruned struct {
	Copies int
	Bytes  int64
}

// Policy says which copies a Prune keeps.
type Policy struct {
	// Before: what was put on the shelf before then goes.
	Before time.Time
	// MaxBytes is how much all may have; the oldest goes first. Zero: what a
	// shelf has room for.
	MaxBytes int64
	// DryRun: nothing is changed.
	DryRun bool
}

// Prune removes the copies that the policy does not keep, those that a shelf has
// no room for, and what killed processes left there.
func (s *Shelf) Prune(ctx context.Context, policy Policy) (p Pruned, err error) {
	offers, rest, err := s.list()
	if err != nil {
		return p, err
	}
	room := int64(mostBytes)
	if policy.MaxBytes > 0 {
		room = min(room, policy.MaxBytes)
	}
	for i, o := range offers {
		if room -= o.Bytes; i < mostCopies && room >= 0 && !o.At.Before(policy.Before) {
			continue
		}
		if !policy.DryRun {
			gone := o.name + ".gone" // so that nobody takes it half
			err := os.Rename(filepath.Join(s.dir, o.name), filepath.Join(s.dir, gone))
			if errors.Is(err, fs.ErrNotExist) {
				continue // somebody took it
			}
			if err != nil {
				return p, fmt.Errorf("remove a working copy: %w", err)
			}
			rest = append(rest, gone)
		}
		p.Copies++
		p.Bytes += o.Bytes
	}
	if policy.DryRun {
		return p, nil
	}
	for _, name := range rest {
		if err := remove(ctx, filepath.Join(s.dir, name)); err != nil {
			return p, fmt.Errorf("remove a working copy: %w", err)
		}
	}
	return p, nil
}
