package sparksubmit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
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
	found, err := l.findPatiently(ctx)
	switch {
	case err != nil:
		return 0, err
	case found == nil && code != 0:
		return code, nil // spark-submit has said why
	case found == nil:
		return 0, errNotSubmitted
	}
	return l.follow(ctx, found.ID)
}

var errNotSubmitted = errors.New("spark-submit succeeded, and the cluster has no such application")

// findPatiently finds the application by its mark. The cluster being away is no
// reason to give it up.
func (l *launcher) findPatiently(ctx context.Context) (*application, error) {
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	defer cancel()
	for {
		found, err := l.yarn.find(patience, l.plan.Tag())
		if err == nil {
			if len(found) == 0 {
				return nil, nil //nolint:nilnil // there is none
			}
			return &found[len(found)-1], nil
		}
		if !wait(patience, askEvery) {
			return nil, err
		}
	}
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

// follow asks YARN until the application has ended, and passes its log on
// meanwhile. A cluster that does not answer is asked again, for ever: the
// application is its own.
func (l *launcher) follow(ctx context.Context, id string) (int, error) {
	defer l.killWhenTold(ctx)()
	log := newDriverLog(os.Stdout, os.Stderr)
	for {
		a, err := l.yarn.status(context.WithoutCancel(ctx), id)
		if err != nil {
			_ = l.report.change(func(r *Report) { r.Reason = "the cluster does not answer: " + oneLine(err.Error()) }) // it only explains
		} else {
			if err := l.report.change(func(r *Report) { r.take(a) }); err != nil {
				return 0, err
			}
			if a.ended() {
				return l.ended(context.WithoutCancel(ctx), a, log)
			}
			if a.State == "RUNNING" {
				log.pass(context.WithoutCancel(ctx), a.DriverLogs)
			}
		}
		_ = wait(context.WithoutCancel(ctx), askEvery) // told to end, it ends when YARN says so
	}
}

// killWhenTold ends the application when we are told to end. YARN gives its
// driver the time that the cluster is set to.
func (l *launcher) killWhenTold(ctx context.Context) (stop func()) {
	stopWatching := context.AfterFunc(ctx, func() { l.killOurs(context.WithoutCancel(ctx)) })
	return func() { stopWatching() }
}

// ended fetches what an application left, and gives its exit code.
func (l *launcher) ended(ctx context.Context, a *application, log *driverLog) (int, error) {
	if err := log.rest(ctx, l.programs, a); err != nil {
		fmt.Fprintf(os.Stderr, "runner: the driver's log is not complete: %v\n", err)
	}
	if err := l.fetch(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "runner: outputs/ and logs/ could not be fetched from the cluster: %v\n", err)
		return 0, err
	}
	return codeOf(a), nil
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

// fetch brings outputs/ and logs/ from the cluster's file system into the working
// directory.
func (l *launcher) fetch(ctx context.Context) error {
	for _, name := range []string{"outputs", "logs"} {
		there := l.plan.staging() + "/" + name
		if out, err := l.programs.fileSystem(ctx, "/", "-test", "-d", there); err != nil {
			if notThere(err) {
				continue
			}
			return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
		}
		half := filepath.Join(l.plan.Work, name+".fetched")
		if err := os.RemoveAll(half); err != nil {
			return err
		}
		if out, err := l.programs.fileSystem(ctx, l.plan.Work, "-copyToLocal", there, filepath.Base(half)); err != nil {
			return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
		}
		whole := filepath.Join(l.plan.Work, name)
		if err := os.RemoveAll(whole); err != nil {
			return err
		}
		if err := os.Rename(half, whole); err != nil {
			return err
		}
	}
	return nil
}

func (l *launcher) removeStaging(ctx context.Context) error {
	out, err := l.programs.fileSystem(ctx, "/", "-rm", "-r", "-f", "-skipTrash", l.plan.staging())
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
