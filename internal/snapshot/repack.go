package snapshot

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

// What makes a pack worth writing anew.
const (
	smallPack = 8 << 20 // bytes
	manySmall = 16      // so many small packs are put together
	// worthless: a pack is rewritten when the living are less than this part of it.
	worthless = 2
)

// packCensus is what is still needed of one pack.
type packCensus struct {
	pack  *packFile
	size  int64 // of the file
	live  []location
	alive int64 // stored bytes of the living
	dead  int   // blobs
	sick  bool  // some blobs are damaged
}

// dropPacks removes the packs that nothing needs and rewrites those that are
// mostly dead, have damage, or are too many and too small.
func (p *pruning) dropPacks(ctx context.Context) error {
	censuses, err := p.census(func(d Digest) bool { return p.live[d] })
	if err != nil {
		return err
	}
	small := 0
	for i := range censuses {
		if c := &censuses[i]; len(c.live) > 0 && c.size < smallPack {
			small++
		}
	}
	var old []*packCensus
	for i := range censuses {
		c := &censuses[i]
		switch {
		case len(c.live) == 0, c.sick, c.alive < c.size/worthless && c.dead > 0, small >= manySmall && c.size < smallPack:
			old = append(old, c)
			p.stats.Packs++
			p.stats.Blobs += c.dead
			p.stats.Bytes += c.size - c.alive
		}
	}
	if p.dry || len(old) == 0 {
		return nil
	}
	// The dead go first: on a full disk that is the room the others need.
	dead := func(c *packCensus) bool { return len(c.live) == 0 }
	if err := p.removePacks(old, dead); err != nil {
		return err
	}
	old = slices.DeleteFunc(old, dead)
	if err := p.rewrite(ctx, old); err != nil {
		return err
	}
	return p.removePacks(old, func(*packCensus) bool { return true })
}

func (p *pruning) removePacks(packs []*packCensus, which func(*packCensus) bool) error {
	for _, c := range packs {
		if !which(c) {
			continue
		}
		if err := os.Remove(c.pack.path); err != nil {
			return err
		}
		p.s.mu.Lock()
		delete(p.s.indexes, c.pack.name)
		p.s.mu.Unlock()
	}
	return syncDir(p.s.dirs.packs())
}

// census looks into every pack. Of a blob that is in several only the newest
// is alive. A pack whose index cannot be read is dead as a whole; one that
// cannot be opened at all is left alone.
func (p *pruning) census(live func(Digest) bool) ([]packCensus, error) {
	var list []packCensus
	seen := make(map[Digest]bool, len(p.live))
	for _, pack := range p.view.packs {
		pack.once.Do(func() { pack.err = p.view.open(pack) })
		if refused := (*os.PathError)(nil); errors.As(pack.err, &refused) {
			continue
		}
		info, err := pack.f.Stat()
		if err != nil {
			return nil, err
		}
		c := packCensus{pack: pack, size: info.Size()}
		if pack.err != nil {
			list = append(list, c)
			continue
		}
		for i := range pack.idx.len() {
			at := location{pack: pack, indexRecord: pack.idx.record(i)}
			switch {
			case pack.idx.isBad(at.digest):
				c.sick = true
				c.dead++
			case !live(at.digest) || seen[at.digest]:
				c.dead++
			default:
				seen[at.digest] = true
				c.live = append(c.live, at)
				for j := range at.count {
					c.alive += int64(pack.idx.chunk(at.first + j).stored)
				}
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// rewrite copies the living blobs of these packs to new ones. A blob that
// turns out to be damaged is left behind: taking its source again stores it.
func (p *pruning) rewrite(ctx context.Context, old []*packCensus) error {
	const rollover = 256 << 20
	var buf scratch
	w := newPackWriter(p.s.dirs, time.Now())
	defer func() { w.abort() }()
	for _, c := range old {
		for _, at := range c.live {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := p.copyTo(w, at, &buf); err != nil {
				return err
			}
			if w.written() >= rollover {
				if _, err := w.commit(ctx); err != nil {
					return err
				}
				w = newPackWriter(p.s.dirs, time.Now())
			}
		}
	}
	if _, err := w.commit(ctx); err != nil {
		return err
	}
	return syncDir(p.s.dirs.packs())
}

func (p *pruning) copyTo(w *packWriter, at location, buf *scratch) error {
	off, stored := w.mark()
	blob := packBlob{digest: at.digest, size: at.size}
	err := p.view.copyBlob(at, buf, func(_ int64, raw, stored []byte) error {
		c, err := w.chunk(stored, len(raw))
		blob.chunks = append(blob.chunks, c)
		return err
	})
	if isCorrupt(err) {
		p.stats.Blobs++
		return w.rewind(off, stored)
	}
	if err != nil {
		return err
	}
	w.add(blob)
	return nil
}

// What tidy puts together.
const (
	manyPacks = 64      // so many at least
	tinyPack  = 1 << 18 // bytes
)

// tidy joins the tiny packs that many pictures with small changes leave behind,
// so that the store stays quick without anybody pruning it. It does nothing
// while others are at work.
func (s *Store) tidy(ctx context.Context, packs int) error {
	if packs < manyPacks {
		return nil
	}
	lock, err := tryLock(s.dirs)
	if err != nil || lock == nil {
		return err
	}
	v, err := s.viewUnder(lock)
	if err != nil {
		return err
	}
	defer v.close()
	v.packs = slices.DeleteFunc(v.packs, func(p *packFile) bool {
		info, err := os.Stat(p.path)
		return err != nil || info.Size() > tinyPack
	})
	if len(v.packs) < manyPacks {
		return nil
	}
	p := &pruning{s: s, view: v}
	censuses, err := p.census(func(Digest) bool { return true })
	if err != nil {
		return err
	}
	old := make([]*packCensus, len(censuses))
	for i := range censuses {
		old[i] = &censuses[i]
	}
	if err := p.rewrite(ctx, old); err != nil {
		return err
	}
	return p.removePacks(old, func(c *packCensus) bool { return c.pack.err == nil })
}
