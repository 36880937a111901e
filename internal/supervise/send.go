package supervise

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/program"
)

// Sending hears how many bytes of how many of our program have arrived on a
// host. It must not block.
type Sending func(there, all int64)

const (
	// partPrefix begins the name of what has arrived of a program; so many
	// digits of the digest of what is sent follow. So each of two who send at once
	// writes the same bytes at the same places, and neither spoils anything.
	partPrefix = ".part-"
	partDigits = 16
	// partBlock is in what pieces a part grows, in bytes.
	partBlock = 4096
	// silence is how long a part may not grow before sending is given up. How
	// long it all takes does not matter.
	silence = 2 * time.Minute
	// mostInVain is how many tries in a row may bring nothing.
	mostInVain = 3
)

// What the scripts say by their exit code.
const (
	codeSpoiled = 3 // what arrived is not what was sent; it was removed
	codeGone    = 4 // the part is gone, or shorter than it was
)

// partScript says how long a part is: FILE.
const partScript = `if [ -f "$1" ]; then wc -c <"$1"; else echo 0; fi`

// restScript appends its input to a part, and says again and again how long that
// is: FILE, BLOCKS that are there. What cannot be written is no part any more.
const restScript = `LC_ALL=C; export LC_ALL; umask 077
[ "$2" -gt 0 ] || : >>"$1" || exit 1
n=$(wc -c <"$1") && [ "$n" -ge $(($2 * 4096)) ] || exit 4
(while sleep 2 >/dev/null 2>&1 && wc -c <"$1" && kill -0 $$; do :; done) 2>/dev/null &
w=$!
said=$(dd of="$1" ibs=65536 obs=4096 seek="$2" conv=notrunc 2>&1)
code=$?
kill $w 2>/dev/null
[ $code -eq 0 ] || { rm -f -- "$1"; printf '%s\n' "$said" >&2; exit 1; }
wc -c <"$1"`

// wholeScript makes a part that is whole into the program: FILE, NEW, BIN,
// SHA-256 of the program, how it is packed. Where nothing can tell a SHA-256,
// the program says its own when it is asked.
const wholeScript = `LC_ALL=C; export LC_ALL; umask 077
[ -f "$1" ] || exit 4
[ ! -d "$3" ] || { echo "$3: Is a directory" >&2; exit 1; }
trap 'rm -f -- "$2"' EXIT
if [ "$5" = gzip ]; then unpack() { gzip -dc; }; else unpack() { cat; }; fi
said=$( { unpack <"$1" >"$2"; } 2>&1 ) || {
rm -f -- "$1"; printf '%s\n' "$said" >&2
case $said in *'No space left'*|*quota*) exit 1;; esac
exit 3; }
if command -v sha256sum >/dev/null 2>&1; then sum=$(sha256sum <"$2")
elif command -v shasum >/dev/null 2>&1; then sum=$(shasum -a 256 <"$2")
elif command -v openssl >/dev/null 2>&1; then sum=$(openssl dgst -sha256 -r <"$2")
else sum=$4; fi
case $sum in
"$4"*) ;;
*) echo "its SHA-256 is $sum" >&2; rm -f -- "$1"; exit 3;;
esac
chmod 755 "$2" && { sync "$2" 2>/dev/null || sync; } && mv -f -- "$2" "$3" && rm -f -- "$1"`

// sender brings a program to a host of which nothing is known but that it has a
// shell and what every system has.
type sender struct {
	host    host.Host
	program *program.Program
	bin     string
	sending Sending

	packed string // "gzip", or "raw"
	stream []byte
	part   string
	// best is the most that was there at any time, in bytes.
	best int64
}

// putThere sends a program packed, and goes on where it was when the line
// breaks, or somebody tried before. It is given up when nothing arrives any
// more.
func putThere(ctx context.Context, h host.Host, bin string, p *program.Program, sending Sending) error {
	s := &sender{host: h, program: p, bin: bin, sending: sending}
	if err := s.pack(ctx); err != nil {
		return err
	}
	spoiled := false
	for vain := 0; ; {
		before := s.best
		err := s.try(ctx)
		if err == nil {
			return nil
		}
		code := exitCode(err)
		switch {
		case ctx.Err() != nil, errors.Is(err, errNoGrowth), code == codeSpoiled && spoiled:
			return s.failed(err)
		case code == codeSpoiled:
			spoiled, s.best = true, 0
		case code != 0 && code != codeGone:
			return s.failed(err)
		case s.best > before:
			vain = 0
		default:
			if vain++; vain == mostInVain {
				return s.failed(err)
			}
		}
		if checkThere(ctx, h, bin, p) == nil { // by somebody else, or us: the answer was lost
			return nil
		}
	}
}

func (s *sender) failed(err error) error {
	exit, ok := errors.AsType[*host.ExitError](err)
	for text, meaning := range map[string]error{"No space left on device": syscall.ENOSPC, "Disk quota exceeded": syscall.EDQUOT} {
		if ok && strings.Contains(exit.Stderr, text) {
			return &fs.PathError{Op: "write", Path: s.bin, Err: meaning}
		}
	}
	return fmt.Errorf("send the program to the machine (%d of %d bytes are there): %w", s.best, len(s.stream), err)
}

// exitCode of a script of ours; zero: it is another error.
func exitCode(err error) int {
	if exit, ok := errors.AsType[*host.ExitError](err); ok {
		return exit.Code
	}
	return 0
}

// pack makes what is sent: packed, if the host can unpack it.
func (s *sender) pack(ctx context.Context) error {
	err := s.run(ctx, "command -v gzip >/dev/null 2>&1 || exit 4", nil, nil)
	switch {
	case err == nil:
		s.packed = "gzip"
	case exitCode(err) == codeGone:
		s.packed = "raw"
	default:
		return err
	}
	f, err := s.program.Open()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if s.packed == "gzip" {
		z := gzip.NewWriter(&out)
		_, err = io.Copy(z, f)
		err = errors.Join(err, z.Close())
	} else {
		_, err = out.ReadFrom(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	s.stream = out.Bytes()
	sum := sha256.Sum256(s.stream)
	s.part = path.Join(path.Dir(s.bin), partPrefix+hex.EncodeToString(sum[:])[:partDigits])
	return nil
}

// try brings what is missing, and makes it the program.
func (s *sender) try(ctx context.Context) error {
	var said bytes.Buffer
	if err := s.run(ctx, partScript, nil, &said, s.part); err != nil {
		return err
	}
	there, err := strconv.ParseInt(strings.TrimSpace(said.String()), 10, 64)
	if err != nil {
		return fmt.Errorf("length of %s: %w", s.part, err)
	}
	s.saw(there)
	if there < int64(len(s.stream)) {
		if err := s.rest(ctx, there/partBlock); err != nil {
			return err
		}
	}
	unfinished := path.Join(path.Dir(s.bin), host.Unfinished+rand.Text())
	return s.run(ctx, wholeScript, nil, nil, s.part, unfinished, s.bin, s.program.Digest, s.packed)
}

// saw notes how much is there; it says whether that is more than before.
func (s *sender) saw(there int64) bool {
	if there <= s.best {
		return false
	}
	s.best = there
	if s.sending != nil {
		s.sending(min(there, int64(len(s.stream))), int64(len(s.stream)))
	}
	return true
}

var errNoGrowth = fmt.Errorf("no byte arrived for %s", silence)

// rest sends what comes after so many blocks.
func (s *sender) rest(ctx context.Context, blocks int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	clock := time.AfterFunc(silence, func() { cancel(errNoGrowth) })
	defer clock.Stop()
	sizes := &sizeReader{saw: func(there int64) {
		if s.saw(there) {
			clock.Reset(silence)
		}
	}}
	return s.run(ctx, restScript, bytes.NewReader(s.stream[blocks*partBlock:]), sizes, s.part, strconv.FormatInt(blocks, 10))
}

func (s *sender) run(ctx context.Context, script string, stdin io.Reader, stdout io.Writer, args ...string) error {
	return s.host.Run(ctx, host.Command{Argv: append([]string{"sh", "-c", script, "sh"}, args...), Stdin: stdin, Stdout: stdout})
}

// sizeReader takes lines that are numbers.
type sizeReader struct {
	saw  func(int64)
	line []byte
}

func (r *sizeReader) Write(p []byte) (int, error) {
	r.line = append(r.line, p...)
	for {
		line, rest, whole := bytes.Cut(r.line, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		r.line = rest
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64); err == nil {
			r.saw(n)
		}
	}
}
