package sshhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// shellFiles are a host's files by commands that every system has, for servers
// without SFTP and for those that give too few sessions to keep one for it.
type shellFiles struct{ conn *conn }

// statWords makes stat print mode, size and time of change, in the words of
// GNU and busybox or, where those are not known, of BSD: "hex 81a4 10 1700000000".
func statWords(flags, operands string) string {
	return fmt.Sprintf("if stat -c %%f / >/dev/null 2>&1; then stat %s -c 'x%%f %%s %%Y' -- %s; else stat %s -f '0%%p %%z %%m' -- %s; fi", flags, operands, flags, operands)
}

func (s shellFiles) stat(ctx context.Context, name string, follow bool) (fs.FileInfo, error) {
	flags := ""
	if follow {
		flags = "-L"
	}
	var out bytes.Buffer
	if err := s.conn.script(ctx, "stat", statWords(flags, host.Quote(name)), nil, &out); err != nil {
		return nil, err
	}
	return parseStat(path.Base(name), strings.TrimSpace(out.String()))
}

var errStat = errors.New("the host's stat says something else than expected")

func parseStat(name, line string) (fs.FileInfo, error) {
	words := strings.Fields(line)
	if len(words) != 3 {
		return nil, fmt.Errorf("%w: %q", errStat, line)
	}
	base := 8
	number := words[0]
	if rest, ok := strings.CutPrefix(number, "x"); ok {
		number, base = rest, 16
	}
	mode, modeErr := strconv.ParseUint(number, base, 32)
	size, sizeErr := strconv.ParseInt(words[1], 10, 64)
	at, timeErr := strconv.ParseInt(words[2], 10, 64)
	if err := errors.Join(modeErr, sizeErr, timeErr); err != nil {
		return nil, fmt.Errorf("%w: %q", errStat, line)
	}
	return fileInfo{name: name, size: size, mode: modeOf(uint32(mode)), at: time.Unix(at, 0)}, nil
}

// modeOf is a mode of stat(2) in Go's words.
func modeOf(st uint32) fs.FileMode {
	mode := fs.FileMode(st & 0o777)
	switch st & 0o170000 {
	case 0o040000:
		mode |= fs.ModeDir
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o010000:
		mode |= fs.ModeNamedPipe
	case 0o140000:
		mode |= fs.ModeSocket
	case 0o060000:
		mode |= fs.ModeDevice
	case 0o020000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	for bit, m := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if st&bit != 0 {
			mode |= m
		}
	}
	return mode
}

// listTries is how often a directory is listed that changes meanwhile.
const listTries = 5

func (s shellFiles) readDir(ctx context.Context, name string) ([]fs.DirEntry, error) {
	// The names, each with a zero byte, an empty one, and what stat says of each.
	script := "ls -a -- " + host.Quote(name+"/.") + " >/dev/null || exit 1\ncd -- " + host.Quote(name) + ` || exit 1
set --
for f in .* *; do
case $f in .|..) continue;; esac
if [ -e "$f" ] || [ -L "$f" ]; then set -- "$@" "./$f"; fi
done
[ $# -gt 0 ] || exit 0
printf '%s\0' "$@"; printf '\0'
if stat -c %f / >/dev/null 2>&1; then printf '%s\0' "$@" | xargs -0 stat -c 'x%f %s %Y' --
else printf '%s\0' "$@" | xargs -0 stat -f '0%p %z %m' --; fi`
	var last error
	for range listTries {
		var out bytes.Buffer
		if err := s.conn.script(ctx, "list", script, nil, &out); err != nil {
			if ctx.Err() == nil && errors.Is(err, fs.ErrNotExist) {
				if _, statErr := s.stat(ctx, name, true); statErr == nil {
					last = err
					continue // a file went between its name and its stat
				}
			}
			return nil, err
		}
		names, stats, _ := strings.Cut(out.String(), "\x00\x00")
		if names == "" {
			return nil, nil
		}
		var infos []fs.FileInfo
		lines := strings.Split(strings.TrimSuffix(stats, "\n"), "\n")
		list := strings.Split(names, "\x00")
		if len(lines) != len(list) {
			last = fmt.Errorf("%w: %d lines for %d files", errStat, len(lines), len(list))
			continue
		}
		for i, n := range list {
			info, err := parseStat(strings.TrimPrefix(n, "./"), lines[i])
			if err != nil {
				return nil, err
			}
			infos = append(infos, info)
		}
		return entriesOf(infos), nil
	}
	return nil, last
}

func (s shellFiles) readlink(ctx context.Context, name string) (string, error) {
	q := host.Quote(name)
	script := fmt.Sprintf("if [ -L %s ]; then readlink -n -- %s; else ls -d -- %s >/dev/null && echo 'Invalid argument' >&2; exit 1; fi", q, q, q)
	var out bytes.Buffer
	err := s.conn.script(ctx, "readlink", script, nil, &out)
	return out.String(), err
}

func (s shellFiles) read(ctx context.Context, name string, offset int64, n int) ([]byte, error) {
	// The shell opens it, so that its own words say what is wrong.
	script := fmt.Sprintf("exec <%s || exit 1\ntail -c +%d | head -c %d", host.Quote(name), offset+1, n)
	var out bytes.Buffer
	if err := s.conn.script(ctx, "read", script, nil, &out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// put checks the size before the rename: a connection that breaks looks like
// the end of the data.
func (s shellFiles) put(ctx context.Context, name, temporary string, data []byte, mode fs.FileMode) error {
	t, q := host.Quote(temporary), host.Quote(name)
	script := fmt.Sprintf(`trap 'rm -f -- %s' EXIT
umask 077
cat >%s || exit 1
n=$(wc -c <%s)
[ "$n" -eq %d ] || { echo "$n bytes of %d arrived" >&2; exit 1; }
chmod %04o %s || exit 1
sync %s 2>/dev/null || sync
[ ! -d %s ] || { echo 'Is a directory' >&2; exit 1; }
mv -f -- %s %s || exit 1
trap - EXIT`, quoteAgain(t), t, t, len(data), len(data), mode, t, t, q, t, q)
	if data == nil {
		data = []byte{}
	}
	return s.conn.script(ctx, "write", script, data, nil)
}

// quoteAgain makes a quoted word fit between single quotes.
func quoteAgain(quoted string) string { return strings.ReplaceAll(quoted, "'", `'\''`) }

func (s shellFiles) rename(ctx context.Context, from, to string) error {
	f, t := host.Quote(from), host.Quote(to)
	// mv would move into a directory that is there; rename(2) takes its place
	// when both are directories and it is empty.
	script := fmt.Sprintf(`if [ -d %s ] && [ ! -L %s ]; then
if [ -d %s ] && [ ! -L %s ]; then rmdir -- %s || exit 1; else ls -d -- %s >/dev/null && echo 'Is a directory' >&2; exit 1; fi
fi
mv -f -- %s %s`, t, t, f, f, t, f, f, t)
	return s.conn.script(ctx, "rename", script, nil, nil)
}

// fileInfo is what stat said.
type fileInfo struct {
	name string
	size int64
	mode fs.FileMode
	at   time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.at }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }
