package sparksubmit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// driverLog passes on what a driver in the cluster writes: live from the page of
// the node it runs on, where that can be reached, and what is missing in the end
// from the logs that YARN collects.
type driverLog struct {
	client *http.Client
	// to is where each of its files goes, and passed how much has gone there,
	// which is also kept in the file kept, for whoever follows it after us.
	to     map[string]io.Writer
	passed map[string]int64
	kept   string
}

// The files of a container's log.
const (
	stdoutFile = "stdout"
	stderrFile = "stderr"
)

// passedFile says how much of the driver's log has been passed on.
const passedFile = "passed.json"

// newDriverLog begins where the one before us ended, as kept says.
func newDriverLog(kept string, stdout, stderr io.Writer) *driverLog {
	d := &driverLog{
		client: &http.Client{Timeout: askTimeout},
		to:     map[string]io.Writer{stdoutFile: stdout, stderrFile: stderr},
		passed: map[string]int64{}, kept: kept,
	}
	if data, err := os.ReadFile(kept); err == nil {
		_ = json.Unmarshal(data, &d.passed) // cut: it comes once more
	}
	return d
}

// keep keeps how much has been passed on.
func (d *driverLog) keep() error {
	data, err := json.Marshal(d.passed)
	if err != nil {
		return err
	}
	const readable = 0o600
	if err := os.WriteFile(d.kept+".half", data, readable); err != nil {
		return err
	}
	return os.Rename(d.kept+".half", d.kept)
}

// page is a container's place on its node.
type page struct{ at url.URL }

// pageOf reads .../node/containerlogs/CONTAINER/USER; false: it is no such page.
func pageOf(address string) (page, bool) {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" {
		return page{}, false
	}
	at.Path = "/ws/v1/node/containers/" + path.Base(path.Dir(at.Path))
	return page{at: *at}, true
}

func (p page) container() string { return p.at.String() }
func (p page) log(name string) string {
	return p.at.JoinPath("logs", name).String()
}

// errNoPage is a driver of which no page is known.
var errNoPage = errors.New("the driver's node has no page")

// pass passes on what is new at the driver's node. An error: not all could be had.
func (d *driverLog) pass(ctx context.Context, address string) error {
	p, ok := pageOf(address)
	if !ok {
		return errNoPage
	}
	var errs []error
	for _, name := range []string{stdoutFile, stderrFile} {
		errs = append(errs, d.passFile(ctx, p.log(name)))
	}
	return errors.Join(errs...)
}

// passFile passes one file on, which comes in the form of "yarn logs".
func (d *driverLog) passFile(ctx context.Context, address string) error {
	response, err := d.get(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	return d.collected(response.Body)
}

func (d *driverLog) get(ctx context.Context, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "*/*")
	response, err := d.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%w: %s", errRefused, response.Status), response.Body.Close())
	}
	return response, nil
}

// last passes on the end of a driver's log at its node, once its container is
// done: YARN calls an application finished before its driver has gone.
func (d *driverLog) last(ctx context.Context, address string) error {
	p, ok := pageOf(address)
	if !ok {
		return errNoPage
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for d.runs(ctx, p) {
		if !wait(ctx, endingEvery) {
			return ctx.Err()
		}
	}
	return d.pass(ctx, address)
}

// endingEvery is how often a container that is about to end is looked at.
const endingEvery = 200 * time.Millisecond

// runs reports whether a container's node says that it runs.
func (d *driverLog) runs(ctx context.Context, p page) bool {
	response, err := d.get(ctx, p.container())
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }() // only read
	var answer struct {
		Container struct {
			State string `json:"state"`
		} `json:"container"`
	}
	const most = 1 << 20
	return json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&answer) == nil && answer.Container.State == "RUNNING"
}

// rest passes on what is missing when an application has ended: from the
// driver's node, which has it at once, or else from the logs that YARN collects,
// for which it is asked until it says that it has them, or has none.
func (d *driverLog) rest(ctx context.Context, y yarn, p programs, a *application) error {
	nodeErr := d.last(ctx, a.DriverLogs)
	if nodeErr == nil {
		return nil
	}
	if meaning(a.State, a.Final, a.Diagnostics) == run.OutcomeNodeLost {
		return errors.Join(errLostWithNode, nodeErr)
	}
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	for {
		var err error
		switch a.LogAggregation {
		case "DISABLED":
			return errors.Join(errNoCollection, nodeErr)
		case "NOT_START", "RUNNING":
		default: // it has them, or some, or does not say
			var out string
			out, err = p.run(ctx, "logs", "-applicationId", a.ID, "-am", "1")
			if err == nil && strings.Contains(out, fileWords) {
				return d.collected(strings.NewReader(out))
			}
			if a.LogAggregation == "FAILED" {
				return errors.Join(errNoCollection, err, nodeErr)
			}
		}
		if !wait(ctx, askEvery) {
			return fmt.Errorf("YARN has not collected it: %w", orBoth(err, ctx.Err()))
		}
		if next, err := y.status(ctx, a.ID); err == nil {
			a = next
		}
	}
}

// errLostWithNode is a log that nobody has any more.
var errLostWithNode = errors.New("its node is lost, and what it had not passed on")

// errNoCollection is a cluster that keeps no logs of ended applications.
var errNoCollection = errors.New("YARN does not collect logs here, and the driver's node gives none")

const (
	collectTimeout = 5 * askTimeout
	fileWords      = "LogType:"
)

var lengthWords = regexp.MustCompile(`^LogLength:([0-9]+)`)

// collected passes on what "yarn logs" printed: each file with its length before
// it.
func (d *driverLog) collected(out io.Reader) error {
	r := bufio.NewReader(out)
	name, length := "", int64(-1)
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		switch m := lengthWords.FindStringSubmatch(line); {
		case strings.HasPrefix(line, fileWords):
			name, length = strings.TrimSpace(strings.TrimPrefix(line, fileWords)), -1
		case m != nil:
			length, err = strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				return err
			}
		case strings.HasPrefix(line, "LogContents:") && length >= 0:
			if err := d.file(r, name, length); err != nil {
				return err
			}
			name, length = "", -1
		}
	}
}

// file passes on what lies beyond what has been passed of one file.
func (d *driverLog) file(r io.Reader, name string, length int64) error {
	to, known := d.to[name]
	skip := length
	if known {
		skip = min(length, d.passed[name])
	}
	if _, err := io.CopyN(io.Discard, r, skip); err != nil {
		return fmt.Errorf("%s was cut: %w", name, err)
	}
	if skip == length {
		return nil
	}
	n, err := io.CopyN(to, r, length-skip)
	d.passed[name] += n
	err = errors.Join(err, d.keep())
	if err != nil {
		return fmt.Errorf("%s was cut: %w", name, err)
	}
	return nil
}
