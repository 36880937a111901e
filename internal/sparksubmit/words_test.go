package sparksubmit

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
)

func TestListen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, line string
		want       Report
	}{
		{"nothing", "26/11/25 INFO MemoryStore: MemoryStore cleared", Report{}},
		{"YARN's id", "26/11/25 01:31:30 INFO Client: Application ID is assigned: application_1795570246649_0001", Report{Application: "application_1795570246649_0001"}},
		{"YARN's id, older", "26/11/25 INFO YarnClientImpl: Submitted application application_1_2", Report{Application: "application_1_2"}},
		{"a standalone id", "INFO StandaloneSchedulerBackend: Connected to Spark cluster with app ID app-20261125013122-0000", Report{Application: "app-20261125013122-0000"}},
		{"a page", "\t tracking URL: http://rm:8088/proxy/application_1_2/", Report{URL: "http://rm:8088/proxy/application_1_2/"}},
		{"an executor lost otherwise", "ERROR YarnScheduler: Lost executor 1 on n1: Executor heartbeat timed out", Report{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got Report
			newEar(nil).listen(c.line, &got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMeaning(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, state, final, diagnostics string
		want                            run.Outcome
		code                            int
	}{
		{"succeeded", "FINISHED", "SUCCEEDED", "", "", 0},
		{"the script's own code", "FINISHED", "FAILED", "User application exited with status 3", "", 3},
		{"an exception", "FINISHED", "FAILED", "User class threw exception: java.lang.RuntimeException: x", "", 1},
		{"killed by a person", "KILLED", "KILLED", "Application application_1_2 was killed by user root at 10.0.0.1", run.OutcomeCanceled, 1},
		{"preempted", "FAILED", "FAILED", "Application application_1_2 failed 1 times due to AM Container for appattempt_1 exited with  exitCode: -102 Failing this attempt.Diagnostics: Container preempted by scheduler", run.OutcomePreempted, 1},
		{"its node was lost", "FAILED", "FAILED", "Application application_1_2 failed 1 times due to AM Container for appattempt_1 exited with  exitCode: -100 Diagnostics: Container released on a *lost* node", run.OutcomeNodeLost, 1},
		{"its disks failed", "FAILED", "FAILED", "Application application_1_2 failed 1 times due to AM Container for appattempt_1 exited with  exitCode: -101", run.OutcomeNodeLost, 1},
		{"its node is silent", "FAILED", "FAILED", "Application application_1_2 failed 1 times (global limit =2; local limit is =1) due to ApplicationMaster for attempt appattempt_1_2_000001 timed out. Failing the application.", run.OutcomeNodeLost, 1},
		{"its time in the queue is over", "KILLED", "KILLED", "Application killed due to exceeding its lifetime period", run.OutcomeTimedOut, 1},
		{"a script that speaks of preemption", "FINISHED", "FAILED", "User class threw exception: java.lang.RuntimeException: Container preempted by scheduler, exitCode: -102", "", 1},
		{"a script that speaks of memory", "FINISHED", "FAILED", "User class threw exception: java.lang.IllegalStateException: stopped due to memory, running beyond physical memory limits", "", 1},
		{
			"a script that speaks of lost nodes in what YARN shows of its output", "FAILED", "FAILED",
			"Application application_1_2 failed 1 times due to AM Container for appattempt_1_2_000001 exited with  exitCode: 13\nFailing this attempt.Diagnostics: [x]Exception from container-launch.\n" +
				"Last 4096 bytes of stderr :\nApplication x failed 1 times due to ApplicationMaster for attempt x timed out, preempted, java.lang.OutOfMemoryError\n",
			"", 13,
		},
		{"too much memory", "FAILED", "FAILED", "Application application_1_2 failed 1 times in previous 60000 milliseconds due to AM Container for appattempt_1 exited with  exitCode: -104\nDiagnostics: [..] is running beyond physical memory limits. Current usage", run.OutcomeOutOfMemory, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := meaning(c.state, c.final, c.diagnostics); got != c.want {
				t.Errorf("outcome %q, want %q", got, c.want)
			}
			if got := codeOf(&application{Final: c.final, Diagnostics: c.diagnostics}); got != c.code {
				t.Errorf("code %d, want %d", got, c.code)
			}
		})
	}
}

func TestCollectedLog(t *testing.T) {
	t.Parallel()
	const printed = `Container: container_1_2_01_000001 on n1_43143
LogAggregationType: AGGREGATED
======================================
LogType:stderr
LogLastModifiedTime:Wed Nov 25 01:32:44 +0000 2026
LogLength:8
LogContents:
oh no
x

End of LogType:stderr
***********************

LogType:stdout
LogLength:21
LogContents:
one
LogContents:
two


End of LogType:stdout
LogType:directory.info
LogLength:4
LogContents:
abc

End of LogType:directory.info
`
	var out, err bytes.Buffer
	d := newDriverLog(filepath.Join(t.TempDir(), passedFile), &out, &err)
	d.passed[stdoutFile] = 4 // "one\n" came live
	if e := d.collected(strings.NewReader(printed)); e != nil {
		t.Fatal(e)
	}
	if diff := cmp.Diff([]string{"LogContents:\ntwo\n", "oh no\nx\n"}, []string{out.String(), err.String()}); diff != "" {
		t.Error(diff)
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	const printed = `Application Report :
	Application-Id : application_1_2
	Application-Name : t.py
	User : root
	Queue : root.default
	Progress : 10.5%
	State : RUNNING
	Final-State : UNDEFINED
	Tracking-URL : http://rm:8088/proxy/application_1_2/
	Diagnostics :
`
	want := &application{
		ID: "application_1_2", User: "root", Queue: "root.default", Progress: 10.5, State: "RUNNING", Final: "UNDEFINED",
		URL: "http://rm:8088/proxy/application_1_2/",
	}
	if diff := cmp.Diff(want, parseStatus(printed)); diff != "" {
		t.Error(diff)
	}
}
