package workcopy_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/workcopy"
)

// TestTakenAhead takes a copy before it is known what is wanted of it.
func TestTakenAhead(t *testing.T) {
	tests := map[string]struct {
		// base is what is then said to be wanted, of the two on the shelf, of
		// which "second" lies there longer; "": none.
		guess, base string
		// used is the copy whose files are worked in; "": none is.
		used string
	}{
		"the latest is guessed, and right":   {base: "first", used: "first"},
		"the latest is guessed, and wrong":   {base: "second", used: "second"},
		"the one of that snapshot":           {guess: "second", base: "second", used: "second"},
		"the one of that snapshot, unwanted": {guess: "second", base: "first", used: "first"},
		"none is wanted":                     {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			ids, marks := map[string]snapshot.ID{}, map[string]os.FileInfo{}
			for _, which := range []string{"second", "first"} {
				b.write("which", which)
				ids[which] = b.take()
				p := b.place()
				// Each is made anew: else one would be made of the other.
				m, err := b.store.Manifest(t.Context(), ids[which])
				must(t, err)
				must(t, b.shelf.Carry(t.Context(), &workcopy.Filling{Manifest: m, Place: p}))
				marks[which] = inode(t, p.Dir+"/d1/f1")
				b.park(p, true)
			}
			b.write("which", "a third")
			wanted := b.take()
			m, err := b.store.Manifest(t.Context(), wanted)
			must(t, err)
			p := b.place()
			guess := wanted
			if test.guess != "" {
				guess = ids[test.guess]
			}
			ahead, err := b.shelf.TakeAhead(t.Context(), guess, p)
			must(t, err)
			if ahead == nil || b.shelved() != 1 {
				t.Fatalf("%d copies lie on the shelf when one of two was taken", b.shelved())
			}
			must(t, b.shelf.Carry(t.Context(), &workcopy.Filling{Manifest: m, Base: ids[test.base], Place: p, Ahead: ahead}))
			if diff := cmp.Diff(read(t, b.src), read(t, p.Dir)); diff != "" {
				t.Errorf("the working directory (-want +got):\n%s", diff)
			}
			used := ""
			for which, mark := range marks {
				if os.SameFile(mark, inode(t, p.Dir+"/d1/f1")) {
					used = which
				}
			}
			want := 2
			if test.used != "" {
				want = 1
			}
			if used != test.used || b.shelved() != want {
				t.Errorf("it is made of %q and %d copies are left, want %q and %d", used, b.shelved(), test.used, want)
			}
			b.park(p, true)
		})
	}
}

// TestTakenAheadPutBack cuts the line before it is known what is wanted.
func TestTakenAheadPutBack(t *testing.T) {
	b := newBench(t)
	id := b.take()
	p := b.place()
	b.fill(p, id)
	b.park(p, true)
	was, err := b.shelf.Offers()
	must(t, err)
	p = b.place()
	ahead, err := b.shelf.TakeAhead(t.Context(), id, p)
	must(t, err)
	must(t, ahead.PutBack(t.Context()))
	is, err := b.shelf.Offers()
	must(t, err)
	say := func(all []workcopy.Offer) (words []string) {
		for _, o := range all {
			words = append(words, fmt.Sprint(o.ID, o.At, o.Files, o.Bytes))
		}
		return words
	}
	if diff := cmp.Diff(say(was), say(is)); diff != "" {
		t.Errorf("the shelf (-before +after):\n%s", diff)
	}
	for _, name := range []string{p.Dir, p.Unit, p.List} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	b.fill(p, id)
}
