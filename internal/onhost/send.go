package onhost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/workcopy"
)

// Unpacker writes snapshots of a store here into directories of the machine.
type Unpacker struct {
	Client *Client
	// Store here, where they come from; Dir is the machine's own store, and
	// Shelf its shelf of working copies.
	Store      *snapshot.Store
	Dir, Shelf string
}

// Fill sends what the machine lacks of a snapshot and makes a working directory
// that holds it, in place of what a filling that was cut off left there.
func (u *Unpacker) Fill(ctx context.Context, id snapshot.ID, p workcopy.Place, f attemptdir.Finishing, progress func(snapshot.Progress)) (found attemptdir.Finished, err error) {
	args := append([]string{"fill", "--work", f.Work, "--script", f.Script, "--head", strconv.Itoa(f.Head)}, u.place(p)...)
	for _, name := range f.Make {
		args = append(args, "--make", name)
	}
	err = u.send(ctx, "send the source", append(args, u.Dir, string(id)), id, progress, &found)
	return found, err
}

func (u *Unpacker) place(p workcopy.Place) []string {
	return []string{"--dir", p.Dir, "--list", p.List, "--unit", p.Unit, "--shelf", u.Shelf}
}

// Keep unpacks a snapshot to a directory that many read and nobody changes: it
// is made once.
func (u *Unpacker) Keep(ctx context.Context, id snapshot.ID, dst string, progress func(snapshot.Progress)) error {
	return u.send(ctx, "send", []string{"keep", u.Dir, string(id), dst}, id, progress, nil)
}

func (u *Unpacker) send(ctx context.Context, what string, args []string, id snapshot.ID, progress func(snapshot.Progress), found *attemptdir.Finished) error {
	return u.Client.again(ctx, what, func() error {
		return u.Client.talk(ctx, args, func(in *listener, out *speaker) error {
			s := &sender{store: u.Store, id: id, in: in, out: out}
			return s.serve(ctx, progress, found)
		})
	})
}

// sender is our side of what receive.go tells of.
type sender struct {
	store *snapshot.Store
	id    snapshot.ID
	in    *listener
	out   *speaker
	m     *snapshot.Manifest // once it was needed
}

// serve goes on until all is done; found may be nil.
func (s *sender) serve(ctx context.Context, progress func(snapshot.Progress), found *attemptdir.Finished) error {
	var first hello
	if err := s.in.value(markHello, &first); err != nil {
		return err
	}
	if !first.Have && !first.There {
		if err := s.sendManifest(ctx, first.Bases); err != nil {
			return err
		}
	}
	for {
		mark, payload, err := s.in.frame()
		switch {
		case err != nil:
			return err
		case mark == markDone && found != nil:
			return json.Unmarshal(payload, found)
		case mark == markDone:
			return nil
		case mark == markFailed:
			return decodeFailure(payload)
		case mark == markWanted:
			err = s.sendContents(ctx)
		case mark != markProgress:
			err = fmt.Errorf("a frame %q while it unpacks: %w", mark, errFrame)
		case progress != nil:
			var p snapshot.Progress
			if err = json.Unmarshal(payload, &p); err == nil {
				progress(p)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (s *sender) manifest(ctx context.Context) (*snapshot.Manifest, error) {
	if s.m != nil {
		return s.m, nil
	}
	m, err := s.store.Manifest(ctx, s.id)
	s.m = m
	return m, err
}

// sendManifest sends it as what one of the bases has not, if it is like one.
func (s *sender) sendManifest(ctx context.Context, bases []snapshot.ID) error {
	m, err := s.manifest(ctx)
	if err != nil {
		return err
	}
	var as plan
	var data []byte
	for _, id := range bases {
		base, err := s.store.Manifest(ctx, id)
		if err == nil && workcopy.Near(m, base) { // else it is not ours
			as.Base, data = id, m.Delta(base)
			break
		}
	}
	if data == nil {
		if data, err = m.MarshalBinary(); err != nil {
			return err
		}
	}
	if err := s.out.value(markPlan, as); err != nil {
		return err
	}
	said := s.out.stream()
	if _, err := said.Write(data); err != nil {
		return err
	}
	return said.Close()
}

func (s *sender) sendContents(ctx context.Context) error {
	m, err := s.manifest(ctx)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(s.in.stream())
	if err != nil {
		return err
	}
	wants, err := decodeWants(answer)
	if err != nil {
		return err
	}
	blobs := s.out.stream()
	if err := s.store.Send(ctx, blobs, m, wants); err != nil {
		return err
	}
	return blobs.Close()
}
