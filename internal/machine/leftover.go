package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/runnerml/runner/internal/attemptdir"
	"github.com/runnerml/runner/internal/snapshot"
)

// maxLeft is how many names of what was left outside are told.
const maxLeft = 10

// outside ends the lines of logs/not_collected.txt that name what a script left
// at the top of its working directory, outside of outputs/ and logs/.
const outside = " outside outputs/ and logs/"

// leftOutside says in lines what a script left beside outputs/ and logs/: what
// is new at the top of its working directory, or of another size or kind than in
// its source. It goes with the working directory.
func (m *Machine) leftOutside(ctx context.Context, entries []attemptdir.Entry, source string) (string, error) {
	id, err := snapshot.ParseID(source)
	if err != nil {
		return "", nil //nolint:nilerr // a record that was cut
	}
	manifest, err := m.config.Store.Manifest(ctx, id)
	if err != nil {
		return "", ctx.Err() // pruned or damaged: then we cannot tell
	}
	var b strings.Builder
	count := 0
	for _, e := range entries {
		name := string(e.Name)
		if ofNoInterest(name) || asInSource(manifest, e) {
			continue
		}
		if count++; count > maxLeft {
			continue
		}
		if e.Mode.IsDir() {
			name += "/"
		}
		fmt.Fprintf(&b, "%q is%s\n", name, outside)
	}
	if more := count - maxLeft; more > 0 {
		fmt.Fprintf(&b, "%d more are%s\n", more, outside)
	}
	return b.String(), nil
}

// ofNoInterest is what comes home, and what no one misses.
func ofNoInterest(name string) bool {
	return name == "outputs" || name == "logs" || name == "__pycache__"
}

func asInSource(m *snapshot.Manifest, e attemptdir.Entry) bool {
	before, found := m.Find(string(e.Name))
	if !found {
		return false
	}
	switch before.Kind {
	case snapshot.KindDir:
		return e.Mode.IsDir()
	case snapshot.KindLink:
		return e.Mode&fs.ModeSymlink != 0
	default:
		return e.Mode.IsRegular() && e.Size == before.Size
	}
}

// LeftOutside reads from logs/not_collected.txt what a script left outside
// outputs/ and logs/: the first names, directories with a slash at the end, and
// how many more there were.
func LeftOutside(notCollected io.Reader) (names []string, more int, err error) {
	lines := bufio.NewScanner(notCollected)
	for lines.Scan() {
		what, ok := strings.CutSuffix(lines.Text(), outside)
		if !ok {
			continue
		}
		if quoted, ok := strings.CutSuffix(what, " is"); ok {
			if name, err := strconv.Unquote(quoted); err == nil {
				names = append(names, name)
			}
			continue
		}
		if number, ok := strings.CutSuffix(what, " more are"); ok {
			if n, err := strconv.Atoi(number); err == nil {
				more = n
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, 0, fmt.Errorf("read what was not collected: %w", err)
	}
	return names, more, nil
}
