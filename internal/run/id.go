package run

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// A run's id is the experiment's slug, a dash and a suffix of ten characters,
// for example "iris-01jd8k3v9q". The suffix is one number of 50 bits, written
// in Crockford's base 32 (no i, l, o, u):
//
//	| 41 bits: milliseconds since 2020-01-01 UTC | 9 bits: random |
//
// The characters sort as the numbers do, so within an experiment ids sort by
// the time they were made, to the millisecond, until the year 2089. Two made
// in the same millisecond differ but for one chance in 512; the store, which
// sees them all, then takes the next free number (NextID).
const (
	suffixLen   = 10
	randomBits  = 9
	maxSlugLen  = 24
	idAlphabet  = "0123456789abcdefghjkmnpqrstvwxyz"
	defaultSlug = "run"
)

// idEpoch is the zero of the time in an id: 2020-01-01 UTC, in milliseconds
// since 1970.
const idEpoch = 1577836800000

// ErrBadID is what NextID says of an id that NewID cannot have made.
var ErrBadID = errors.New("not a run id")

// NewID makes a run's id from the slug of its experiment (see Slug), the time
// now and two bytes of entropy. A time outside 2020 to 2089 is taken as the
// nearest one inside; entropy that cannot be read counts as zeros, since ids
// need not be secret and the store settles conflicts.
func NewID(slug string, now time.Time, entropy io.Reader) string {
	const last = 1<<41 - 1
	ms := min(max(now.UnixMilli()-idEpoch, 0), last)
	var b [2]byte
	if _, err := io.ReadFull(entropy, b[:]); err != nil {
		b = [2]byte{}
	}
	random := (uint64(b[0])<<8 | uint64(b[1])) & (1<<randomBits - 1)
	return Slug(slug) + "-" + suffix(uint64(ms)<<randomBits|random)
}

// NextID returns the id that follows id within its experiment: what to take
// when id is in use already.
func NextID(id string) (string, error) {
	cut := len(id) - suffixLen
	if cut < 2 || id[cut-1] != '-' {
		return "", fmt.Errorf("%w: %q", ErrBadID, id)
	}
	var n uint64
	for _, c := range []byte(id[cut:]) {
		digit := strings.IndexByte(idAlphabet, c)
		if digit < 0 {
			return "", fmt.Errorf("%w: %q", ErrBadID, id)
		}
		n = n<<5 | uint64(digit)
	}
	return id[:cut] + suffix((n+1)&(1<<(5*suffixLen)-1)), nil
}

func suffix(n uint64) string {
	var b [suffixLen]byte
	for i := suffixLen - 1; i >= 0; i-- {
		b[i] = idAlphabet[n&31]
		n >>= 5
	}
	return string(b[:])
}

// Slug turns an experiment's name into the first part of its runs' ids:
// lower-case letters, digits and single dashes, at most 24 characters, "run"
// when nothing is left. A slug is its own slug.
func Slug(experiment string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(experiment) {
		if b.Len() == maxSlugLen {
			break
		}
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if s := strings.TrimRight(b.String(), "-"); s != "" {
		return s
	}
	return defaultSlug
}
