package onhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/runnerml/runner/internal/datacache"
	"github.com/runnerml/runner/internal/datafetch"
)

// Bring brings data into the cache of a root on this computer, unless it is
// there: whoever wants the same waits for the one who brings it. What was cut is
// gone on with.
func Bring(ctx context.Context, root string, s datafetch.Source, progress datafetch.Progress) error {
	cache := datacache.Open(filepath.Join(root, InputsDir))
	_, err := cache.Fill(ctx, s.Key, func(ctx context.Context, part string) error {
		const private = 0o700
		if err := os.MkdirAll(part, private); err != nil {
			return err
		}
		err := s.Fetch(ctx, part, progress)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return errors.Join(err, os.RemoveAll(part)) // others need the room
		}
		if err != nil {
			_ = os.Remove(part) // when nothing came, nothing stays
			return err
		}
		return closeTree(part)
	})
	return err
}

// brought is how far it is.
type brought struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// mainBring brings data into this machine's cache. What it needs to read it comes
// over its standard input, and is kept nowhere.
func mainBring(ctx context.Context, args []string, in *listener, out *speaker) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: a root directory is needed", errUsage)
	}
	if err := absolute(args[0]); err != nil {
		return err
	}
	var s datafetch.Source
	if err := hearSource(in, &s); err != nil {
		return err
	}
	ctx, cancel := untilCut(ctx, in)
	defer cancel(nil)
	told := &seldom{tell: func(done, total int64) {
		_ = out.value(markProgress, brought{done, total}) // whoever is gone needs none
	}}
	if err := Bring(ctx, args[0], s, told.progress); err != nil {
		return err
	}
	return out.frame(markDone, nil)
}

// Bring is Bring on the machine, by what the machine itself can reach.
func (c *Client) Bring(ctx context.Context, root string, s datafetch.Source, progress datafetch.Progress) error {
	return c.again(ctx, "bring data there", func() error {
		return c.talk(ctx, []string{"bring", root}, func(in *listener, out *speaker) error {
			if err := saySource(out, s); err != nil {
				return err
			}
			for {
				mark, payload, err := in.frame()
				switch {
				case err != nil:
					return err
				case mark == markDone:
					return nil
				case mark == markFailed:
					return decodeFailure(payload)
				case mark != markProgress:
					return fmt.Errorf("a frame %q while it is brought: %w", mark, errFrame)
				case progress != nil:
					var f brought
					if err := unmarshal(payload, &f); err != nil {
						return err
					}
					progress(f.Done, f.Total)
				}
			}
		})
	})
}

// looked is what is asked about an address or a path.
type looked struct {
	Address string `json:"address,omitempty"`
	Path    []byte `json:"path,omitempty"`
	Measure bool   `json:"measure,omitempty"`
}

// answer to it.
type answer struct {
	File     datafetch.File     `json:"file"`
	Measured datafetch.Measured `json:"measured"`
}

// mainLook says what is at an address, as seen from this machine.
func mainLook(ctx context.Context, args []string, in *listener, out *speaker) error {
	if len(args) != 0 {
		return fmt.Errorf("%w: none are needed", errUsage)
	}
	var ask looked
	if err := in.value(markAsk, &ask); err != nil {
		return err
	}
	var s datafetch.Source
	if ask.Measure && ask.Address == "" && ask.Path == nil {
		if err := hearSource(in, &s); err != nil {
			return err
		}
	}
	ctx, cancel := untilCut(ctx, in)
	defer cancel(nil)
	var a answer
	var err error
	switch {
	case ask.Path != nil:
		a.Measured, err = datafetch.MeasurePath(ctx, string(ask.Path))
	case ask.Address != "":
		a.File, err = datafetch.Web{}.Look(ctx, ask.Address)
	default:
		a.Measured, err = s.Measure(ctx)
	}
	if err != nil {
		return err
	}
	return out.value(markDone, a)
}

func (c *Client) look(ctx context.Context, ask looked, s *datafetch.Source) (a answer, err error) {
	err = c.again(ctx, "look at data", func() error {
		return c.talk(ctx, []string{"look"}, func(in *listener, out *speaker) error {
			if err := out.value(markAsk, ask); err != nil {
				return err
			}
			if s != nil {
				if err := saySource(out, *s); err != nil {
					return err
				}
			}
			return in.value(markDone, &a)
		})
	})
	return a, err
}

// Look asks what is at an address, as seen from the machine.
func (c *Client) Look(ctx context.Context, address string) (datafetch.File, error) {
	a, err := c.look(ctx, looked{Address: address}, nil)
	return a.File, err
}

// Measure reads some of a source on the machine.
func (c *Client) Measure(ctx context.Context, s datafetch.Source) (datafetch.Measured, error) {
	a, err := c.look(ctx, looked{Measure: true}, &s)
	return a.Measured, err
}

// MeasurePath reads some of a path of the machine.
func (c *Client) MeasurePath(ctx context.Context, name string) (datafetch.Measured, error) {
	a, err := c.look(ctx, looked{Path: []byte(name), Measure: true}, nil)
	return a.Measured, err
}
