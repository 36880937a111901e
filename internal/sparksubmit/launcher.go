package sparksubmit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/supervise"
)

// launcher carries one plan out.
type launcher struct {
	plan   *Plan
	submit string
	// conf is the directory of the cluster's configuration.
	conf   string
	report *keeper
	// dir is for files of our own, private, beside the plan.
	dir string
	// yarn and its programs; nil and empty without YARN.
	yarn     yarn
	programs programs
	// master of Spark's own; nil: none.
	master *standalone
}

const private = 0o700

// file of our own.
func (l *launcher) file(name string) string { return filepath.Join(l.dir, name) }

// run carries the plan out and gives the script's exit code. Once it has come to
// its own end it says so in the report.
func (l *launcher) run(ctx context.Context) (int, error) {
	if err := os.MkdirAll(l.dir, private); err != nil {
		return 0, err
	}
	if err := l.keepEnviron(); err != nil {
		return 0, err
	}
	code, err := l.carryOut(ctx)
	return code, errors.Join(err, l.report.change(func(r *Report) { r.Concluded = true }))
}

func (l *launcher) carryOut(ctx context.Context) (int, error) {
	if l.yarn != nil {
		mine, err := l.clear(ctx)
		if err != nil {
			return 0, fmt.Errorf("the cluster cannot be asked: %w", err)
		}
		if mine != nil {
			return l.follow(ctx, mine.ID)
		}
	}
	return l.begin(ctx)
}

// clear ends what earlier attempts of the run left in the cluster, which would
// work on the same things. What this attempt has there itself is not ours to end
// when it has its driver there: whoever followed it was killed, and we go on for
// them. A driver that was here is gone with them, and its application ends.
func (l *launcher) clear(ctx context.Context) (mine *application, err error) {
	if !l.plan.InCluster() {
		return nil, killTagged(ctx, l.yarn, l.plan.RunTag())
	}
	if mine, err = l.findPatiently(ctx, l.report.now().Application != ""); err != nil {
		return nil, err
	}
	if mine == nil {
		return nil, killTagged(ctx, l.yarn, l.plan.RunTag())
	}
	return mine, nil // which had ended the earlier ones before it began
}

// begin submits the application, and gives the script's exit code in the end.
func (l *launcher) begin(ctx context.Context) (int, error) {
	s := sent{}
	if err := l.plan.writeDriver(l.dir, &s); err != nil {
		return 0, err
	}
	if err := l.plan.sendSource(l.dir, &s); err != nil {
		return 0, err
	}
	if l.plan.packs() {
		var err error
		if s.packed, err = l.pack(ctx); err != nil {
			return 0, err
		}
	}
	s.properties = l.dir + "/spark.properties"
	if err := writeProperties(s.properties, defaultsFile(l.submit), l.plan.properties()); err != nil {
		return 0, err
	}
	if l.plan.InCluster() {
		return l.inCluster(ctx, s)
	}
	stop := l.watchMaster(ctx)
	code, err := l.submitted(ctx, s, os.Stdout)
	stop()
	if err == nil {
		err = l.conclude(code)
	}
	if l.yarn != nil && ctx.Err() != nil {
		l.killOurs(context.WithoutCancel(ctx))
	}
	return code, err
}

// submitted runs spark-submit to its end, and passes on what it writes.
func (l *launcher) submitted(ctx context.Context, s sent, out io.Writer) (int, error) {
	line := l.plan.commandLine(l.submit, s)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = l.plan.Work
	cmd.Env = l.environ(s)
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, w, w // one stream, in the order it was written
	if err := cmd.Start(); err != nil {
		return 0, errors.Join(err, r.Close(), w.Close())
	}
	_ = w.Close() // it has its own
	done := make(chan struct{})
	go func() {
		defer close(done)
		// To the end of it: the supervisor is gone before that, and we soon after.
		_, _ = io.Copy(&hearing{to: out, ear: newEar(l.report)}, r)
	}()
	stop := l.passOn(ctx, cmd.Process.Pid)
	err = cmd.Wait()
	stop()
	// What the driver left running may hold the pipe open.
	_ = r.SetReadDeadline(time.Now().Add(lateOutput)) // a pipe has deadlines
	<-done
	_ = r.Close() // only read
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitCode(exit), nil
	}
	return 0, err
}

// lateOutput is how long output is waited for that comes after the end.
const lateOutput = 200 * time.Millisecond

func exitCode(e *exec.ExitError) int {
	const signals = 128
	if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return signals + int(status.Signal())
	}
	return e.ExitCode()
}

// environ of spark-submit: the script's, and what tells Spark where things are.
func (l *launcher) environ(s sent) []string {
	env := append(os.Environ(), "HADOOP_CONF_DIR="+l.conf, "YARN_CONF_DIR="+l.conf)
	if l.plan.HadoopConf == "" && !l.plan.OnYARN() {
		env = os.Environ()
	}
	if !l.plan.InCluster() && s.config != "" {
		env = append(env, configVariable+"="+s.config)
	}
	// The JVM reads arguments and names in the locale's encoding.
	if !isUTF8() {
		env = append(env, "LC_ALL=C.UTF-8")
	}
	return env
}

// passOn passes the wish to end on while spark-submit runs: to a Python driver
// and what it started, so that its own way to end decides, or else to
// spark-submit.
func (l *launcher) passOn(ctx context.Context, submit int) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-quit:
		case <-ctx.Done():
			told := supervise.Descendants(l.driver())
			if len(told) == 0 {
				told = []int{submit}
			}
			for _, pid := range told {
				_ = unix.Kill(pid, unix.SIGTERM) // it may be gone
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// driver is the process id of a Python driver here, or 0.
func (l *launcher) driver() int {
	data, err := os.ReadFile(filepath.Join(l.dir, pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil {
		return 0
	}
	return pid
}

// killOurs ends this attempt's application.
func (l *launcher) killOurs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, l.plan.Grace)
	defer cancel()
	if err := killTagged(ctx, l.yarn, l.plan.Tag()); err != nil {
		fmt.Fprintf(os.Stderr, "runner: the application could not be ended: %v\n", err)
	}
}

// conclude asks YARN what it has to say of an application that failed.
func (l *launcher) conclude(code int) error {
	if code == 0 {
		return l.report.change(func(r *Report) { r.Reason, r.Outcome = "", "" })
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if l.master != nil {
		l.concludeAtMaster(ctx)
	}
	if l.yarn != nil {
		if found, err := l.yarn.find(ctx, l.plan.Tag()); err == nil && len(found) > 0 { // it only explains; the exit code is known
			return l.report.change(func(r *Report) { r.take(&found[len(found)-1]) })
		}
	}
	return l.report.change(func(r *Report) {
		if r.Outcome == "" {
			r.Reason = "" // of what it has got over
		}
	})
}

// take takes over what YARN says.
func (r *Report) take(a *application) {
	r.Application, r.State, r.Progress = a.ID, a.State, a.Progress
	if a.Final != "UNDEFINED" {
		r.Final = a.Final
	}
	if a.URL != "" && a.URL != "N/A" {
		r.URL = a.URL
	}
	switch {
	case a.ended():
		outcome := meaning(a.State, a.Final, a.Diagnostics)
		if outcome != "" || a.Final == "SUCCEEDED" {
			r.Outcome = outcome
		}
		if a.Diagnostics != "" || r.Outcome == "" {
			r.Reason = oneLine(a.Diagnostics)
		}
		if r.Outcome == run.OutcomeCanceled && r.Reason == "" {
			r.Reason = "the application was killed"
		}
	case a.State == "ACCEPTED" || a.State == "SUBMITTED" || a.State == "NEW" || a.State == "NEW_SAVING":
		r.Reason = "waits in queue " + a.Queue
		if a.Diagnostics != "" {
			r.Reason += ": " + oneLine(a.Diagnostics)
		}
	default:
		r.Reason = ""
	}
}

// end ends what is left of the application, and removes what it left in the
// cluster.
func (l *launcher) end(ctx context.Context) error {
	if l.yarn == nil {
		return nil
	}
	if err := killTagged(ctx, l.yarn, l.plan.Tag()); err != nil {
		return err
	}
	if !l.plan.InCluster() {
		return nil
	}
	return l.removeStaging(ctx)
}
