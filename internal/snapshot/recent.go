package snapshot

import (
	"os"
	"slices"
	"sync"
)

// recent are the manifests that were read last: a submission needs one several
// times, and the one before it.
type recent struct {
	mu  sync.Mutex
	all []recentManifest // the latest first
}

type recentManifest struct {
	file os.FileInfo
	m    *Manifest
}

const (
	// mostRecent manifests are kept, of together at most recentEntries.
	mostRecent    = 2
	recentEntries = 60_000
)

// find gives the manifest of an ID if its file is the one that was read.
func (r *recent) find(id ID, file os.FileInfo) *Manifest {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, k := range r.all {
		if k.m.ID != id {
			continue
		}
		if !k.is(file) {
			return nil
		}
		r.all = slices.Insert(slices.Delete(r.all, i, i+1), 0, k)
		return k.m
	}
	return nil
}

// restamped notes that the file of one that is kept was given another time by
// us: it is still what was read.
func (r *recent) restamped(id ID, before, after os.FileInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.all {
		if k := &r.all[i]; k.m.ID == id && k.is(before) && os.SameFile(before, after) && before.Size() == after.Size() {
			k.file = after
		}
	}
}

// is says whether it is the file that was read.
func (k *recentManifest) is(file os.FileInfo) bool {
	return os.SameFile(k.file, file) && k.file.Size() == file.Size() && k.file.ModTime().Equal(file.ModTime())
}

func (r *recent) keep(m *Manifest, file os.FileInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(r.all, func(k recentManifest) bool { return k.m.ID == m.ID })
	r.all = slices.Insert(r.all, 0, recentManifest{file, m})
	entries := 0
	for i, k := range r.all {
		if entries += len(k.m.Entries); i == mostRecent || entries > recentEntries {
			clear(r.all[i:])
			r.all = r.all[:i]
			return
		}
	}
}
