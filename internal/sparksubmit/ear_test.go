package sparksubmit

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/run"
)

// What Spark's log says of executors that were lost, heard to the end, and then
// the exit code.
func TestHear(t *testing.T) {
	t.Parallel()
	const (
		lost   = "26/11/25 10:00:01 WARN TaskSetManager: Lost task 0.3 in stage 1.0 (TID 9) (n1 executor 4): ExecutorLostFailure (executor 4 exited caused by one of the running tasks) Reason: Container killed by YARN for exceeding physical memory limits. 1.1 GB of 1 GB physical memory used.\n"
		abort  = "26/11/25 10:00:01 ERROR TaskSetManager: Task 0 in stage 1.0 failed 4 times; aborting job\n"
		again  = "26/11/25 10:00:02 INFO SparkContext: Starting job: count at train.py:3\n"
		thrown = "26/11/25 10:00:01 WARN TaskSetManager: Lost task 0.3 in stage 1.0 (TID 9) (n1 executor 4): org.apache.spark.api.python.PythonException: ExecutorLostFailure Reason: exceeding memory limits\n"
		heap   = "26/11/25 10:00:01 WARN TaskSetManager: Lost task 0.3 in stage 1.0 (TID 9) (n1 executor 4): java.lang.OutOfMemoryError: Java heap space\n"
		other  = "26/11/25 10:00:01 WARN TaskSetManager: Lost task 0.3 in stage 1.0 (TID 9) (n1 executor 4): ExecutorLostFailure (executor 4 exited caused by one of the running tasks) Reason: Executor heartbeat timed out after 120000 ms\n"
		exit52 = "26/11/25 10:00:01 WARN TaskSetManager: Lost task 0.3 in stage 1.0 (TID 9) (n1 executor 4): ExecutorLostFailure (executor 4 exited caused by one of the running tasks) Reason: Command exited with code 52\n"
		reason = "an executor was lost: Container killed by YARN for exceeding physical memory limits. 1.1 GB of 1 GB physical memory used."
	)
	for _, c := range []struct {
		name, log string
		code      int
		want      Report
	}{
		{"the job failed of it", lost + abort, 1, Report{Outcome: run.OutcomeOutOfMemory, Reason: reason}},
		{"in two writes", lost[:50] + lost[50:] + abort, 1, Report{Outcome: run.OutcomeOutOfMemory, Reason: reason}},
		{"the job was done elsewhere, and the script failed", lost, 1, Report{}},
		{"the job was done elsewhere, and all is well", lost, 0, Report{}},
		{"the script got over it, and failed of something else", lost + abort + again, 1, Report{}},
		{"the script got over it", lost + abort, 0, Report{}},
		{"the task failed of something else the last time", lost + other + abort, 1, Report{}},
		{"a task's own exception says the words", thrown + abort, 1, Report{}},
		{"a script prints the words", "ERROR: Lost executor 1: Container killed by YARN for exceeding memory limits\nTask 0 in stage 1.0 failed 4 times; aborting job\n", 1, Report{}},
		{"no more heap", heap + abort, 1, Report{Outcome: run.OutcomeOutOfMemory, Reason: "an executor had no more memory: java.lang.OutOfMemoryError: Java heap space"}},
		{"the code for no more heap", exit52 + abort, 1, Report{Outcome: run.OutcomeOutOfMemory, Reason: "an executor was lost: Command exited with code 52"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := &launcher{plan: &Plan{}, report: reportBeside(filepath.Join(t.TempDir(), PlanFile))}
			stream := &hearing{to: io.Discard, ear: newEar(l.report)}
			for _, part := range []string{c.log[:len(c.log)/2], c.log[len(c.log)/2:]} {
				if _, err := io.WriteString(stream, part); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.conclude(c.code); err != nil {
				t.Fatal(err)
			}
			got := l.report.now()
			c.want.UpdatedAt = got.UpdatedAt
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
