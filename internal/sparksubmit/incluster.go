package sparksubmit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/runnerml/runner/internal/run"
)

// askEvery is how often YARN is asked how the application does.
const askEvery = 2 * time.Second

// inCluster submits an application whose driver runs in the cluster, and follows
// it there.
func (l *launcher) inCluster(ctx context.Context, s sent) (int, error) {
	code, err := l.submitted(ctx, s, os.Stderr)
	_ = os.Remove(s.config) // it may hold secrets, and is with the cluster now
	if err != nil {
		return 0, err
	}
	found, err := l.findPatiently(ctx, code == 0 || l.report.now().Application != "")
	switch {
	case err != nil:
		return 0, err
	case found == nil && code != 0:
		return code, l.report.change(func(r *Report) { r.Home = true }) // spark-submit has said why
	case found == nil:
		return 0, errNotSubmitted
	}
	return l.follow(ctx, found.ID)
}

var errNotSubmitted = errors.New("spark-submit succeeded, and the cluster has no such application")

// patience with a cluster that does not say whether there is an application.
const patience = 10 * time.Minute

// findPatiently finds the application by its mark. The cluster being away is no
// reason to give one up that is known to be there.
func (l *launcher) findPatiently(ctx context.Context, known bool) (*application, error) {
	ctx = context.WithoutCancel(ctx)
	if !known {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ctx = limited
	}
	for {
		found, err := l.yarn.find(ctx, l.plan.Tag())
		if err == nil {
			if len(found) == 0 {
				return nil, nil //nolint:nilnil // there is none
			}
			return &found[len(found)-1], nil
		}
		l.silent(err)
		if !wait(ctx, askEvery) {
			return nil, err
		}
	}
}

// silent notes that the cluster does not answer.
func (l *launcher) silent(err error) {
	_ = l.report.change(func(r *Report) { r.Reason = "the cluster does not answer: " + oneLine(err.Error()) }) // it only explains
}

// wait waits a while; false: ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// forgottenAfter is how often in a row the ResourceManager must say that it knows
// nothing of an application: one that starts anew may need a moment to remember.
const forgottenAfter = 5

// follow asks YARN until the application has ended, and passes its log on
// meanwhile. A cluster that does not answer is asked again, for ever: the
// application is its own.
func (l *launcher) follow(ctx context.Context, id string) (int, error) {
	defer l.killWhenTold(ctx)()
	ctx = context.WithoutCancel(ctx) // told to end, it ends when YARN says so
	log := l.driverLog()
	for forgotten := 0; ; {
		a, err := l.yarn.status(ctx, id)
		if errors.Is(err, errForgotten) {
			forgotten++
		} else {
			forgotten = 0
		}
		switch {
		case forgotten >= forgottenAfter:
			return l.forgotten(ctx, id)
		case err != nil:
			l.silent(err)
		default:
			if err := l.report.change(func(r *Report) { r.take(a) }); err != nil {
				return 0, err
			}
			if a.ended() {
				return l.ended(ctx, a, log)
			}
			if a.State == "RUNNING" {
				_ = log.pass(ctx, a.DriverLogs) // later
			}
		}
		_ = wait(ctx, askEvery)
	}
}

func (l *launcher) driverLog() *driverLog {
	e := newEar(l.report)
	return newDriverLog(l.file(passedFile), &hearing{to: os.Stdout, ear: e}, &hearing{to: os.Stderr, ear: e})
}

// killWhenTold ends the application when we are told to end. YARN gives its
// driver the time that the cluster is set to.
func (l *launcher) killWhenTold(ctx context.Context) (stop func()) {
	stopWatching := context.AfterFunc(ctx, func() { l.killOurs(context.WithoutCancel(ctx)) })
	return func() { stopWatching() }
}

// ended passes on and fetches what an application left, and gives its exit code.
// What cannot be fetched now stays where it is: it is fetched when the attempt's
// outputs are collected.
func (l *launcher) ended(ctx context.Context, a *application, log *driverLog) (int, error) {
	if err := log.rest(ctx, l.yarn, l.programs, a); err != nil {
		fmt.Fprintf(os.Stderr, "runner: the driver's log is not complete: %v\n", err)
	}
	if _, err := l.fetch(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "runner: outputs/ and logs/ could not be fetched from the cluster yet: %v\n", err)
	}
	return codeOf(a), nil
}

// forgotten is the end of following an application that YARN knows nothing of.
// One whose driver left its outputs had come to its end; nobody knows how.
func (l *launcher) forgotten(ctx context.Context, id string) (int, error) {
	why := "the ResourceManager knows nothing of " + id + " any more"
	some, err := l.fetch(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "runner: outputs/ and logs/ could not be fetched from the cluster yet: %v\n", err)
	}
	return 1, l.report.change(func(r *Report) {
		r.Outcome, r.Reason = run.OutcomeNodeLost, why
		if some {
			r.Outcome, r.Reason = run.OutcomeInternalError, why+": its driver came to an end, and how is not known"
		}
	})
}

// codeOf is the exit code of an application's driver.
func codeOf(a *application) int {
	if a.Final == "SUCCEEDED" {
		return 0
	}
	if m := statusWords.FindStringSubmatch(a.Diagnostics); m != nil {
		const most = 255
		if code, err := strconv.Atoi(m[1]); err == nil && code > 0 && code <= most {
			return code
		}
	}
	return 1
}
