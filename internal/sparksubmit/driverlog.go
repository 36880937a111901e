package sparksubmit

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// driverLog passes on what a driver in the cluster writes: live from the page of
// the node it runs on, where that can be reached, and whole in the end from the
// logs that YARN collects.
type driverLog struct {
	client *http.Client
	// to is where each of its files goes, and passed how much has gone there.
	to     map[string]io.Writer
	passed map[string]int64
}

// The files of a container's log.
const (
	stdoutFile = "stdout"
	stderrFile = "stderr"
)

func newDriverLog(stdout, stderr io.Writer) *driverLog {
	return &driverLog{
		client: &http.Client{Timeout: askTimeout},
		to:     map[string]io.Writer{stdoutFile: stdout, stderrFile: stderr},
		passed: map[string]int64{},
	}
}

// pass passes on what is new at the driver's node. What cannot be had now comes
// later.
func (d *driverLog) pass(ctx context.Context, page string) {
	at, err := url.Parse(page)
	if err != nil || page == "" {
		return
	}
	// .../node/containerlogs/CONTAINER/USER
	container := path.Base(path.Dir(at.Path))
	for _, name := range []string{stdoutFile, stderrFile} {
		at.Path = "/ws/v1/node/containers/" + container + "/logs/" + name
		_ = d.passFile(ctx, at.String()) // later
	}
}

// passFile passes one file on, which comes in the form of "yarn logs".
func (d *driverLog) passFile(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := d.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errRefused, response.Status)
	}
	return d.collected(response.Body)
}

// beyond passes on what lies beyond what has been passed.
func (d *driverLog) beyond(r io.Reader, name string) error {
	if _, err := io.CopyN(io.Discard, r, d.passed[name]); err != nil {
		return nil //nolint:nilerr // shorter than what came: nothing is new
	}
	n, err := io.Copy(d.to[name], r)
	d.passed[name] += n
	return err
}

// rest passes on what is missing, from the logs that YARN collects when an
// application has ended.
func (d *driverLog) rest(ctx context.Context, p programs, a *application) error {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	for {
		out, err := p.run(ctx, "logs", "-applicationId", a.ID, "-am", "1")
		if err == nil && strings.Contains(out, containerWords) {
			return d.collected(strings.NewReader(out))
		}
		if !wait(ctx, askEvery) {
			return fmt.Errorf("YARN has not collected it: %w", orBoth(err, ctx.Err()))
		}
	}
}

const (
	collectTimeout = 5 * askTimeout
	containerWords = "LogType:"
)

var lengthWords = regexp.MustCompile(`^LogLength:([0-9]+)`)

// collected passes on what "yarn logs" printed: each file with its length before
// it.
func (d *driverLog) collected(out io.Reader) error {
	r := bufio.NewReader(out)
	name, length := "", int64(-1)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil //nolint:nilerr // the end
		}
		line = strings.TrimRight(line, "\r\n")
		switch m := lengthWords.FindStringSubmatch(line); {
		case strings.HasPrefix(line, containerWords):
			name, length = strings.TrimSpace(strings.TrimPrefix(line, containerWords)), -1
		case m != nil:
			length, err = strconv.ParseInt(m[1], 10, 64)
			if err != nil {
				return err
			}
		case strings.HasPrefix(line, "LogContents:") && length >= 0:
			body := io.LimitReader(r, length)
			if _, known := d.to[name]; known {
				if err := d.beyond(body, name); err != nil {
					return err
				}
			}
			if _, err := io.Copy(io.Discard, body); err != nil {
				return err
			}
			name, length = "", -1
		}
	}
}
