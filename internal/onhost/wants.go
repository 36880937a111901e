package onhost

import (
	"encoding/binary"
	"fmt"

	"github.com/runnerml/runner/internal/snapshot"
)

// A want on its way is its digest and how many bytes of its beginning are
// there, and, when there are any, their digest.

func encodeWants(wants []snapshot.Want) []byte {
	var b []byte
	for i := range wants {
		w := &wants[i]
		b = binary.AppendUvarint(append(b, w.Digest[:]...), uint64(w.Have))
		if w.Have > 0 {
			b = append(b, w.Sum[:]...)
		}
	}
	return b
}

func decodeWants(b []byte) (wants []snapshot.Want, err error) {
	digest := func() (d snapshot.Digest) {
		if len(b) < len(d) {
			err = fmt.Errorf("what is missing there: %w", errFrame)
			return d
		}
		b = b[copy(d[:], b):]
		return d
	}
	for len(b) > 0 && err == nil {
		w := snapshot.Want{Digest: digest()}
		have, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, fmt.Errorf("what is missing there: %w", errFrame)
		}
		b = b[n:]
		if w.Have = int64(have); w.Have > 0 {
			w.Sum = digest()
		}
		wants = append(wants, w)
	}
	return wants, err
}
