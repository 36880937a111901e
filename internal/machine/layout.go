package machine

import (
	"fmt"
	"net/url"
	"path"
	"strconv"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/workcopy"
)

// layout names what is on the host; it is the host's root directory.
type layout string

func (l layout) runs() string              { return path.Join(string(l), "runs") }
func (l layout) run(id string) string      { return path.Join(l.runs(), url.PathEscape(id)) }
func (l layout) attempts(id string) string { return path.Join(l.run(id), "attempts") }

// checkpoint directory of a run, kept between its attempts.
func (l layout) checkpoint(run string) string { return path.Join(l.run(run), "checkpoint") }

func (l layout) attempt(ref backends.Ref) place {
	return place(path.Join(l.attempts(ref.Run), strconv.Itoa(ref.Number)))
}

// place is an attempt's directory on the host.
type place string

func (p place) record() string   { return path.Join(string(p), "attempt.json") }
func (p place) work() string     { return path.Join(string(p), "work") }
func (p place) half() string     { return path.Join(string(p), "work.half") }
func (p place) copyList() string { return path.Join(string(p), "work.list") }
func (p place) copyUnit() string { return path.Join(string(p), "work.unit") }
func (p place) sup() string      { return path.Join(string(p), "sup") }
func (p place) inputs() string   { return path.Join(string(p), "inputs") }

// ranks is where the processes of several nodes tell of the first that failed.
func (p place) ranks() string { return path.Join(string(p), "ranks") }

// engine is where a batch engine puts its own words.
func (p place) engine() string      { return path.Join(string(p), "engine.log") }
func (p place) launcher() string    { return path.Join(string(p), "launcher") }
func (p place) environment() string { return path.Join(string(p), "environment.log") }

// workNames are all that there may be of work/.
func (p place) workNames() []string {
	return []string{p.work(), p.half(), p.copyUnit(), p.copyList(), p.copyList() + ".new"}
}

// working is what is in work/, as the machine's shelf has to know it, under the
// name that it has while it is made, or its own.
func (p place) working(dir string) workcopy.Place {
	return workcopy.Place{Dir: dir, List: p.copyList(), Unit: p.copyUnit()}
}

// Where things are inside a container.
const (
	insideBin        = "/runner/bin/runner"
	insideWork       = "/runner/work"
	insideSup        = "/runner/sup"
	insideCheckpoint = "/runner/checkpoint"
	insideInputs     = "/runner/inputs"
)

// mark of an attempt's processes.
func mark(ref backends.Ref) string { return fmt.Sprintf("%s.%d", ref.Run, ref.Number) }

// unescape is the inverse of what a run's directory is called; what was not
// escaped stays as it is.
func unescape(name string) string {
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}
