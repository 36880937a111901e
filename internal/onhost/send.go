package onhost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/runnerml/runner/internal/snapshot"
)

// Unpacker writes snapshots of a store here into directories of the machine.
type Unpacker struct {
	Client *Client
	// Store here, where they come from; Dir is the machine's own store.
	Store *snapshot.Store
	Dir   string
}

// Unpack sends what the machine's store lacks and unpacks the snapshot to dst,
// in place of what an unpacking that was cut off left there.
func (u *Unpacker) Unpack(ctx context.Context, id snapshot.ID, dst string, progress func(snapshot.Progress)) error {
	return u.Client.again(ctx, "send the source", func() error {
		return u.Client.talk(ctx, []string{"unpack", u.Dir, string(id), dst}, func(in *listener, out *speaker) error {
			return u.serve(ctx, id, progress, in, out)
		})
	})
}

// Keep is Unpack to a directory that many read and nobody changes: it is made
// once.
func (u *Unpacker) Keep(ctx context.Context, id snapshot.ID, dst string, progress func(snapshot.Progress)) error {
	return u.Client.again(ctx, "send", func() error {
		return u.Client.talk(ctx, []string{"unpack", "--keep", u.Dir, string(id), dst}, func(in *listener, out *speaker) error {
			return u.serve(ctx, id, progress, in, out)
		})
	})
}

func (u *Unpacker) serve(ctx context.Context, id snapshot.ID, progress func(snapshot.Progress), in *listener, out *speaker) error {
	var found hello
	if err := in.value(markHello, &found); err != nil {
		return err
	}
	if !found.Have && !found.There {
		if err := u.send(ctx, id, in, out); err != nil {
			return err
		}
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
			return fmt.Errorf("a frame %q while it unpacks: %w", mark, errFrame)
		case progress != nil:
			var p snapshot.Progress
			if err := json.Unmarshal(payload, &p); err != nil {
				return err
			}
			progress(p)
		}
	}
}

func (u *Unpacker) send(ctx context.Context, id snapshot.ID, in *listener, out *speaker) error {
	m, err := u.Store.Manifest(ctx, id)
	if err != nil {
		return err
	}
	data, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	manifest := out.stream()
	if _, err := manifest.Write(data); err != nil {
		return err
	}
	if err := manifest.Close(); err != nil {
		return err
	}
	answer, err := io.ReadAll(in.stream())
	if err != nil {
		return err
	}
	wants, err := decodeWants(answer)
	if err != nil {
		return err
	}
	blobs := out.stream()
	if err := u.Store.Export(ctx, blobs, id, wants); err != nil {
		return err
	}
	return blobs.Close()
}
