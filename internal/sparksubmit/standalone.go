package sparksubmit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/runnerml/runner/internal/run"
)

// standalone is a master of Spark's own, asked by the JSON that its page also is.
// With several masters one leads and the others stand by.
type standalone struct {
	pages  []string
	client *http.Client
}

// defaultPage is the port of a master's page, when spark.master.ui.port does not
// say another.
const defaultPage = "8080"

// newStandalone is the master of an address spark://HOST:PORT,HOST:PORT.
func newStandalone(master, port string) *standalone {
	if port == "" {
		port = defaultPage
	}
	s := &standalone{client: &http.Client{Timeout: askTimeout}}
	for address := range strings.SplitSeq(strings.TrimPrefix(master, "spark://"), ",") {
		name, _, err := net.SplitHostPort(address)
		if err != nil {
			name = address
		}
		s.pages = append(s.pages, "http://"+net.JoinHostPort(name, port))
	}
	return s
}

// The states of an application at a master, as far as they mean something to us.
const (
	masterWaiting = "WAITING"
	masterKilled  = "KILLED"
)

// errUnknownApplication is one that a master does not list.
var errUnknownApplication = errors.New("the master does not list it")

// state of an application in the master's own word.
func (s *standalone) state(ctx context.Context, id string) (string, error) {
	var errs []error
	for _, page := range s.pages {
		state, err := s.stateAt(ctx, page, id)
		if err == nil {
			return state, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func (s *standalone) stateAt(ctx context.Context, page, id string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"/json/", nil)
	if err != nil {
		return "", err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the master's page: %s", response.Status)
	}
	type application struct {
		ID    string `json:"id"`
		State string `json:"state"`
	}
	var answer struct {
		Active    []application `json:"activeapps"`
		Completed []application `json:"completedapps"`
	}
	const most = 16 << 20
	if err := json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&answer); err != nil {
		return "", fmt.Errorf("the master's page: %w", err)
	}
	for _, a := range append(answer.Active, answer.Completed...) {
		if a.ID == id {
			return a.State, nil
		}
	}
	return "", errUnknownApplication
}

// watchMaster notes what the master says of our application while its driver
// runs here. A page that cannot be had says nothing.
func (l *launcher) watchMaster(ctx context.Context) (stop func()) {
	if l.master == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait(ctx, askEvery) {
			id := l.report.now().Application
			if id == "" {
				continue
			}
			if state, err := l.master.state(ctx, id); err == nil {
				_ = l.report.change(func(r *Report) { r.atMaster(state) }) // it only explains
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// masterWaits is why an application without executors waits.
const masterWaits = "waits for workers with enough free cores and memory"

// atMaster takes over what a master says.
func (r *Report) atMaster(state string) {
	r.State = state
	switch {
	case state == masterWaiting:
		r.Reason = masterWaits
	case r.Reason == masterWaits:
		r.Reason = ""
	}
}

// concludeAtMaster asks the master once more of an application that failed:
// whether somebody ended it there.
func (l *launcher) concludeAtMaster(ctx context.Context) {
	id := l.report.now().Application
	if id == "" {
		return
	}
	state, err := l.master.state(ctx, id)
	if err != nil {
		return // the exit code is known
	}
	_ = l.report.change(func(r *Report) { // it only explains
		r.atMaster(state)
		if state == masterKilled {
			r.Outcome, r.Reason = run.OutcomeCanceled, "the application was killed at the master"
		}
	})
}
