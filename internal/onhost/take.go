package onhost

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"
)

// Wish is one file of a list that is wanted.
type Wish struct {
	// Index in the list.
	Index int
	// Have is the SHA-256 of what is here already; nil: nothing is. A file with
	// that content does not come.
	Have []byte
	// At is how many bytes of it are here, and Begun their SHA-256. If the file
	// begins with these, only the rest comes.
	At    int64
	Begun []byte
	// Quiet says that the content ends with ErrTorn when the file is changed
	// while it is read.
	Quiet bool
}

// ErrTorn is a file that was changed while it was read. Take may return it: the
// others come all the same.
var ErrTorn = errors.New("it was changed while it was read")

// newCheck is what a file's content is checked with on its way, from its disk
// to ours: XXH3 of 128 bits, a tenth of the work of a SHA. Against somebody who
// changes it on the line there is SSH.
func newCheck() *xxh3.Hasher { return xxh3.New() }

func checkSum(h *xxh3.Hasher) []byte {
	sum := h.Sum128().Bytes()
	return sum[:]
}

// errDigest is content that is not what was read on the host.
var errDigest = errors.New("its digest is not that of what was sent")

// Take gets a file that comes: the one with that index, from byte at on. Its
// content ends with an error unless all of it came and has the digest that it
// had there. It is called for several at once.
type Take func(index int, at int64, content io.Reader) error

// Fetch lists all there is below paths of the host and brings what choose wants
// of it, in several streams if it is much. Both are called again when the line
// breaks: choose then leaves out what take has had.
func (c *Client) Fetch(ctx context.Context, paths []string, choose func([]Item) ([]Wish, error), take Take) error {
	return c.again(ctx, "bring files home", func() error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		var beside errgroup.Group
		err := c.talk(ctx, append([]string{"fetch"}, paths...), func(in *listener, out *speaker) error {
			items, err := readList(in)
			if err != nil {
				return err
			}
			wanted, err := choose(items)
			if err != nil {
				return err
			}
			streams := share(items, wanted)
			for _, wishes := range streams[1:] {
				beside.Go(func() error {
					err := c.talk(ctx, []string{"send"}, func(in *listener, out *speaker) error {
						return takeWanted(in, out, wishes, len(items), take)
					})
					if err != nil {
						cancel(err)
					}
					return err
				})
			}
			return takeWanted(in, out, streams[0], len(items), take)
		})
		if err != nil {
			cancel(err)
		}
		if besideErr := beside.Wait(); besideErr != nil && (err == nil || errors.Is(err, besideErr)) {
			return besideErr
		}
		return err
	})
}

// takeWanted says what is wanted, and takes it.
func takeWanted(in *listener, out *speaker, wishes []wish, count int, take Take) error {
	said := out.stream()
	if err := json.NewEncoder(said).Encode(wishes); err != nil {
		return err
	}
	if err := said.Close(); err != nil {
		return err
	}
	return takeFiles(in, count, take)
}

const (
	// streamSize is how much is worth one more stream: a connection's end costs
	// less than this takes.
	streamSize = 256 << 20
	// mostStreams that are used. One that waits for its window, for a disk or
	// for a checksum leaves the line to the others.
	mostStreams = 3
)

// share spreads wishes over streams, the largest first, so that all end at
// about the same time.
func share(items []Item, wanted []Wish) [][]wish {
	var total int64
	for _, w := range wanted {
		total += items[w.Index].Size - w.At
	}
	streams := make([][]wish, 1+min(max(0, total/streamSize), mostStreams-1))
	filled := make([]int64, len(streams))
	sorted := slices.SortedStableFunc(slices.Values(wanted), func(a, b Wish) int {
		return cmp.Compare(items[b.Index].Size-b.At, items[a.Index].Size-a.At)
	})
	if len(streams) == 1 {
		sorted = wanted
	}
	for _, w := range sorted {
		least := 0
		for i := range filled {
			if filled[i] < filled[least] {
				least = i
			}
		}
		filled[least] += items[w.Index].Size - w.At
		said := wish{Index: w.Index, Have: w.Have, At: w.At, Begun: w.Begun, Quiet: w.Quiet}
		if least > 0 { // the first has made the list
			said.Path = []byte(items[w.Index].Path)
		}
		streams[least] = append(streams[least], said)
	}
	return streams
}

func readList(in *listener) ([]Item, error) {
	said := in.stream()
	var raw []item
	if err := json.NewDecoder(said).Decode(&raw); err != nil {
		if said.err != nil && !errors.Is(said.err, io.EOF) {
			return nil, said.err
		}
		return nil, fmt.Errorf("list of files: %w", err)
	}
	if err := said.rest(); err != nil {
		return nil, err
	}
	items := make([]Item, len(raw))
	for i, r := range raw {
		items[i] = Item{Path: string(r.Path), Mode: r.Mode, Size: r.Size, Changed: r.Changed, Fresh: r.Fresh, Target: string(r.Target), Empty: r.Empty}
	}
	return items, nil
}

func takeFiles(in *listener, count int, take Take) error {
	for {
		mark, payload, err := in.frame()
		switch {
		case err != nil:
			return err
		case mark == markDone:
			return nil
		case mark == markFailed:
			return decodeFailure(payload)
		case mark != markFile:
			return fmt.Errorf("a frame %q between files: %w", mark, errFrame)
		}
		index, n := binary.Uvarint(payload)
		if n <= 0 || index >= uint64(count) {
			return fmt.Errorf("file %d of %d: %w", index, count, errFrame)
		}
		at, n := binary.Uvarint(payload[n:])
		if n <= 0 || at > math.MaxInt64 {
			return fmt.Errorf("file %d, from byte %d: %w", index, at, errFrame)
		}
		content := &checked{in: in, stream: in.stream(), sum: newCheck()}
		if err := take(int(index), int64(at), content); err != nil && !errors.Is(err, ErrTorn) {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil && !errors.Is(err, ErrTorn) {
			return err
		}
	}
}

// checked is a file's content, which ends well only when its digest is right.
type checked struct {
	in     *listener
	stream *streamReader
	sum    *xxh3.Hasher
	err    error
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.stream.Read(p)
	_, _ = c.sum.Write(p[:n]) // never fails
	if errors.Is(err, io.EOF) {
		mark, want, sumErr := c.in.frame()
		switch {
		case sumErr != nil:
			err = sumErr
		case mark == markFailed:
			err = decodeFailure(want)
		case mark == markTorn:
			err = ErrTorn
		case mark != markSum:
			err = fmt.Errorf("a frame %q after a file: %w", mark, errFrame)
		case !bytes.Equal(want, checkSum(c.sum)):
			err = errDigest
		}
	}
	c.err = err
	return n, err
}
