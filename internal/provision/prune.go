package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/supervise"
)

// Policy says which environments a Prune keeps.
type Policy struct {
	// Keep are the digests that must stay, beside those in use.
	Keep map[string]bool
	// Before: what was used last before then goes.
	Before time.Time
	// MaxDirectories and MaxImages are how many bytes may stay of each, the
	// longest unused going first. Zero: no limit.
	MaxDirectories, MaxImages int64
	// SkipDirectories and SkipImages leave one of them alone.
	SkipDirectories, SkipImages bool
	DryRun                      bool
}

// Prune removes environments that nobody needs, images that we pulled for them,
// and what builds that were cut left, and says what that was. What an attempt has, or is being made, stays.
func (p *Provisioner) Prune(ctx context.Context, policy Policy) ([]Info, error) {
	all, err := p.List(ctx)
	if err != nil {
		return nil, err
	}
	halves, err := p.halves(ctx)
	if err != nil {
		return nil, fmt.Errorf("prune environments: %w", err)
	}
	used, err := p.inUse(ctx)
	if err != nil {
		return nil, fmt.Errorf("prune environments: %w", err)
	}
	for digest := range policy.Keep {
		used[digest] = true
	}
	var images []Info
	if !policy.SkipImages {
		if images, err = p.listPulled(ctx, used, policy.DryRun); err != nil {
			return nil, fmt.Errorf("prune environments: %w", err)
		}
	}
	var freed []Info
	for _, i := range policy.choose(slices.Concat(all, halves, images), used) {
		if policy.DryRun {
			freed = append(freed, i)
			continue
		}
		err := p.removeUnused(ctx, i, policy.Keep)
		if errors.Is(err, ErrInUse) {
			continue // since a moment
		}
		if err != nil {
			return freed, err
		}
		freed = append(freed, i)
	}
	return freed, nil
}

// removeUnused removes an environment unless somebody used it since it was
// listed.
func (p *Provisioner) removeUnused(ctx context.Context, i Info, keep map[string]bool) error {
	if i.Pulled {
		return p.removePulled(ctx, i, keep)
	}
	p.mu.Lock()
	touched := p.touched[i.Digest]
	p.mu.Unlock()
	if touched.After(i.UsedAt.Add(touchEvery)) {
		return ErrInUse
	}
	return p.Remove(ctx, i.Digest)
}

func (p *Provisioner) inUse(ctx context.Context) (map[string]bool, error) {
	if p.InUse == nil {
		return map[string]bool{}, nil
	}
	return p.InUse(ctx)
}

// choose is what goes of the environments, the longest unused first.
func (policy Policy) choose(all []Info, used map[string]bool) []Info {
	slices.SortStableFunc(all, func(a, b Info) int {
		if used[a.Digest] != used[b.Digest] { // what stays takes the room of others
			return map[bool]int{true: -1, false: 1}[used[a.Digest]]
		}
		return b.UsedAt.Compare(a.UsedAt)
	})
	room := map[bool]int64{false: policy.MaxDirectories, true: policy.MaxImages}
	kept := map[bool]int64{}
	var gone []Info
	for _, i := range all {
		image := i.Image != ""
		if image && policy.SkipImages || !image && policy.SkipDirectories {
			continue
		}
		full := room[image] > 0 && kept[image]+i.Bytes > room[image]
		if !used[i.Digest] && (i.UsedAt.Before(policy.Before) || full) {
			gone = append(gone, i)
			continue
		}
		kept[image] += i.Bytes
	}
	slices.Reverse(gone)
	return gone
}

// halves are the directories of environments that are not whole and that
// nobody makes.
func (p *Provisioner) halves(ctx context.Context) ([]Info, error) {
	entries, err := p.Host.ReadDir(ctx, p.root())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last := map[string]time.Time{}
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".") // HEX, HEX.make, HEX.recipe
		if !hexName.MatchString(name) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.ModTime().After(last[name]) {
			last[name] = info.ModTime()
		}
	}
	var halves []Info
	for name, changed := range last {
		at := p.place(name)
		if _, err := p.Host.Stat(ctx, path.Join(at.prefix, environment.ReadyFile)); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return nil, err
			}
			continue
		}
		status, err := p.status(ctx, at)
		if err != nil {
			return nil, err
		}
		if status.Phase == supervise.Running {
			continue
		}
		i := Info{Digest: digestPrefix + name, Kind: environment.Venv, UsedAt: changed}
		if i.Bytes, err = p.size(ctx, at.prefix); err != nil {
			return nil, err
		}
		halves = append(halves, i)
	}
	return halves, nil
}
