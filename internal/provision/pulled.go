package provision

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
)

// An image that was pulled cannot be labelled as ours, so a note of it lies on
// the host: one that has none was there before us, or is somebody else's, and
// stays. A note that is lost costs room, never an image.

// pulled is the note of an image that we pulled.
type pulled struct {
	// Reference that it was pulled by, and ID that it had.
	Reference string `json:"reference"`
	ID        string `json:"id"`
	// TaggedAt is what the engine says of when that name was given last. When it
	// changes, somebody else has pulled or tagged it: it is not ours alone.
	TaggedAt time.Time `json:"tagged_at"`
	PulledAt time.Time `json:"pulled_at"`
	// UsedAt is exact to touchEvery.
	UsedAt time.Time `json:"used_at"`
	// Environments that it is the image of, or that are made from it.
	Environments []string `json:"environments"`
}

// isOf reports whether the note is still of an image.
func (n *pulled) isOf(i container.Image) bool { return n.ID == i.ID && n.TaggedAt.Equal(i.TaggedAt) }

func (n *pulled) info(i container.Image) Info {
	return Info{Digest: n.Reference, Kind: environment.Image, Image: n.Reference, Pulled: true, Bytes: i.Size, MadeAt: n.PulledAt, UsedAt: n.UsedAt}
}

func (p *Provisioner) notes() string { return path.Join(p.Host.Root(), "images") }

func (p *Provisioner) note(reference string) string {
	sum := sha256.Sum256([]byte(reference))
	return path.Join(p.notes(), hex.EncodeToString(sum[:])+".json")
}

// ensurePulled makes sure that the engine has an image that an environment needs.
func (p *Provisioner) ensurePulled(
	ctx context.Context, engine *container.Engine, digest, reference string, auth *container.Auth, report func(container.Progress),
) error {
	if found, err := p.foundPulled(ctx, engine, digest, reference); found || err != nil {
		return err
	}
	image, err := engine.Pull(ctx, reference, auth, report)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// The engine forgets that with the image: one that somebody else has pulled
	// after removing ours has another time, or none.
	if err := engine.Touch(ctx, reference); err == nil {
		if image, err = engine.Inspect(ctx, reference); err != nil {
			return err
		}
	}
	now := time.Now().UTC()
	p.wanted[reference] = now
	n := &pulled{Reference: reference, ID: image.ID, TaggedAt: image.TaggedAt, PulledAt: now, UsedAt: now, Environments: []string{digest}}
	_ = p.writeNote(ctx, n) // else it is nobody's, and stays
	return nil
}

// foundPulled looks for an image, and marks it as used when it is ours. Removal
// waits meanwhile, and then sees that somebody wants it.
func (p *Provisioner) foundPulled(ctx context.Context, engine *container.Engine, digest, reference string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	image, err := engine.Inspect(ctx, reference)
	if container.KindOf(err) == container.ImageNotFound {
		return false, nil
	} else if err != nil {
		return false, err
	}
	now := time.Now().UTC()
	p.wanted[reference] = now
	n, err := p.readNote(ctx, p.note(reference))
	if n == nil || err != nil || !n.isOf(image) {
		return true, nil // it only seems unused for longer, or is not ours
	}
	known := slices.Contains(n.Environments, digest)
	if known && now.Sub(n.UsedAt) < touchEvery {
		return true, nil
	}
	n.UsedAt = now
	if !known {
		n.Environments = append(n.Environments, digest)
	}
	_ = p.writeNote(ctx, n) // as above
	return true, nil
}

// readNote gives a note; nil: there is none, or one that nobody can read.
func (p *Provisioner) readNote(ctx context.Context, name string) (*pulled, error) {
	data, err := readAll(ctx, p.Host, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n pulled
	if json.Unmarshal(data, &n) != nil || p.note(n.Reference) != name {
		return nil, nil //nolint:nilerr // one that was cut says nothing
	}
	return &n, nil
}

func (p *Provisioner) writeNote(ctx context.Context, n *pulled) error {
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	const private, readable = 0o700, 0o600
	if err := p.Host.MkdirAll(ctx, p.notes(), private); err != nil {
		return err
	}
	return p.Host.WriteFile(ctx, p.note(n.Reference), data, readable)
}

// listPulled tells the images that we pulled and that are still as they were.
// Those of an environment in use are added to used. Notes of others go, unless
// nothing is to be changed.
func (p *Provisioner) listPulled(ctx context.Context, used map[string]bool, dry bool) ([]Info, error) {
	entries, err := p.Host.ReadDir(ctx, p.notes())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list pulled images: %w", err)
	}
	engine, err := p.engine(ctx)
	if err != nil {
		return nil, nil //nolint:nilerr // as listImages
	}
	var all []Info
	for _, e := range entries {
		name := path.Join(p.notes(), e.Name())
		n, image, err := p.inspectNoted(ctx, engine, name)
		if err != nil {
			return nil, fmt.Errorf("list pulled images: %w", err)
		}
		if n == nil {
			if !dry {
				_ = p.Host.RemoveAll(ctx, name) // it says nothing any more; the next time then
			}
			continue
		}
		all = append(all, n.info(image))
		if slices.ContainsFunc(n.Environments, func(digest string) bool { return used[digest] }) {
			used[n.Reference] = true
		}
	}
	return all, nil
}

// inspectNoted gives a note and its image; nil: there is none that is still ours.
func (p *Provisioner) inspectNoted(ctx context.Context, engine *container.Engine, name string) (*pulled, container.Image, error) {
	n, err := p.readNote(ctx, name)
	if n == nil || err != nil {
		return nil, container.Image{}, err
	}
	image, err := engine.Inspect(ctx, n.Reference)
	if container.KindOf(err) == container.ImageNotFound || err == nil && !n.isOf(image) {
		return nil, image, nil
	}
	return n, image, err
}

// removePulled removes an image that we pulled, unless it is wanted since a
// moment, or some container has it.
func (p *Provisioner) removePulled(ctx context.Context, i Info, keep map[string]bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted[i.Image].After(i.UsedAt.Add(touchEvery)) {
		return ErrInUse
	}
	engine, err := p.engine(ctx)
	if err != nil {
		return err
	}
	used, err := p.inUse(ctx)
	if err != nil {
		return err
	}
	n, _, err := p.inspectNoted(ctx, engine, p.note(i.Image))
	if err != nil {
		return err
	}
	if n == nil || slices.ContainsFunc(n.Environments, func(digest string) bool { return used[digest] || keep[digest] }) {
		return ErrInUse
	}
	switch err := engine.RemoveImage(ctx, n.Reference); {
	case container.KindOf(err) == container.InUse:
		return ErrInUse
	case err != nil:
		return fmt.Errorf("remove image %s: %w", n.Reference, err)
	}
	return p.Host.RemoveAll(ctx, p.note(n.Reference))
}
