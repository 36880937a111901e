package onhost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Wish is one file of a list that is wanted.
type Wish struct {
	// Index in the list.
	Index int
	// Have is the SHA-256 of what is here already; nil: nothing is. A file with
	// that content does not come.
	Have []byte
}

// errDigest is content that is not what was read on the host.
var errDigest = errors.New("its digest is not that of what was sent")

// Fetch lists all there is below paths of the host and brings what choose wants
// of it. take gets each file in turn; its content ends with an error unless all
// of it came and has the digest that it had there. Both are called again when
// the line breaks: choose then leaves out what take has had.
func (c *Client) Fetch(ctx context.Context, paths []string, choose func([]Item) ([]Wish, error), take func(int, io.Reader) error) error {
	return c.again(ctx, "bring files home", func() error {
		return c.talk(ctx, append([]string{"fetch"}, paths...), func(in *listener, out *speaker) error {
			items, err := readList(in)
			if err != nil {
				return err
			}
			wanted, err := choose(items)
			if err != nil {
				return err
			}
			wishes := make([]wish, len(wanted))
			for i, w := range wanted {
				wishes[i] = wish(w)
			}
			said := out.stream()
			if err := json.NewEncoder(said).Encode(wishes); err != nil {
				return err
			}
			if err := said.Close(); err != nil {
				return err
			}
			return takeFiles(in, len(items), take)
		})
	})
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
		items[i] = Item{Path: string(r.Path), Mode: r.Mode, Size: r.Size, Changed: r.Changed, Target: string(r.Target), Empty: r.Empty}
	}
	return items, nil
}

func takeFiles(in *listener, count int, take func(int, io.Reader) error) error {
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
		content := &checked{in: in, stream: in.stream(), sum: sha256.New()}
		if err := take(int(index), content); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return err
		}
	}
}

// checked is a file's content, which ends well only when its digest is right.
type checked struct {
	in     *listener
	stream *streamReader
	sum    hash.Hash
	err    error
}

func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.stream.Read(p)
	c.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		want, sumErr := c.in.expect(markSum)
		switch {
		case sumErr != nil:
			err = sumErr
		case !bytes.Equal(want, c.sum.Sum(nil)):
			err = errDigest
		}
	}
	c.err = err
	return n, err
}
