package supervise_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/runnerml/runner/internal/supervise"
)

func containsText(s, text string) bool { return strings.Contains(s, text) }

// whatItIs leaves out of a status what differs each time.
var whatItIs = cmpopts.IgnoreFields(supervise.Status{}, "Mark", "PID", "BootID", "Node", "StartedAt", "EndedAt")

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		change func(*supervise.Launch)
		want   supervise.Status
		log    string
	}{
		{name: "well", script: "echo out; echo err >&2; echo out", want: supervise.Status{Cause: supervise.Exited}, log: "out\nerr\nout\n"},
		{name: "with a code", script: "exit 37", want: supervise.Status{Cause: supervise.Exited, ExitCode: 37}},
		{name: "with the highest code", script: "exit 255", want: supervise.Status{Cause: supervise.Exited, ExitCode: 255}},
		{name: "by SIGSEGV", script: "kill -SEGV $$", want: supervise.Status{Cause: supervise.Exited, ExitCode: 139, Signal: "SIGSEGV"}},
		{name: "by SIGKILL", script: "kill -KILL $$", want: supervise.Status{Cause: supervise.Exited, ExitCode: 137, Signal: "SIGKILL"}},
		{name: "by SIGTERM of its own", script: "kill -TERM $$", want: supervise.Status{Cause: supervise.Exited, ExitCode: 143, Signal: "SIGTERM"}},
		{name: "by SIGHUP", script: "kill -HUP $$", want: supervise.Status{Cause: supervise.Exited, ExitCode: 129, Signal: "SIGHUP"}},
		{name: "by SIGINT", script: "kill -INT $$", want: supervise.Status{Cause: supervise.Exited, ExitCode: 130, Signal: "SIGINT"}},
		{name: "by SIGPIPE", script: "kill -PIPE $$", want: supervise.Status{Cause: supervise.Exited, ExitCode: 141, Signal: "SIGPIPE"}},
		{name: "with its standard input empty", script: "cat; echo read", want: supervise.Status{Cause: supervise.Exited}, log: "read\n"},
		{
			name: "when its time is over", script: "exec 2>/dev/null; trap 'echo asked; exit 3' TERM; echo on; while :; do sleep 0.01; done",
			change: func(l *supervise.Launch) { l.MaxDuration, l.Grace = 200*time.Millisecond, time.Minute },
			want:   supervise.Status{Cause: supervise.TimedOut, ExitCode: 3, Message: "its time is over: 200ms"}, log: "on\nasked\n",
		},
		{
			name: "when its time and its grace are over", script: "trap '' TERM; echo on; while :; do sleep 0.01; done",
			change: func(l *supervise.Launch) { l.MaxDuration, l.Grace = 100*time.Millisecond, 100*time.Millisecond },
			want:   supervise.Status{Cause: supervise.TimedOut, ExitCode: 137, Signal: "SIGKILL", Message: "its time is over: 100ms"}, log: "on\n",
		},
		{
			name: "with what it needs there", script: "echo on", change: func(l *supervise.Launch) {
				l.Needs = []supervise.Need{{Program: "sh"}, {Program: "/bin/sh"}}
			}, want: supervise.Status{Cause: supervise.Exited}, log: "on\n",
		},
		{
			name: "never started: something it needs is not there", script: "echo on", change: func(l *supervise.Launch) {
				l.Env = []string{"PATH=/nowhere"}
				l.Needs = []supervise.Need{{Program: "/bin/sh"}, {Program: "mpirun", Hint: "apt install it"}}
			},
			want: supervise.Status{Cause: supervise.NotStarted, ExitCode: 127, Message: "mpirun: no such program in PATH (/nowhere)\nhint: apt install it"},
		},
		{
			name: "never started: a program that it is to start is not there", script: "echo on", change: func(l *supervise.Launch) {
				l.Needs = []supervise.Need{{Program: "/no/such/program"}}
			}, want: supervise.Status{Cause: supervise.NotStarted, ExitCode: 127, Message: "/no/such/program: no such program"},
		},
		{
			name: "never started: no such program", change: func(l *supervise.Launch) { l.Argv = []string{"/no/such/program"} },
			want: supervise.Status{Cause: supervise.NotStarted, ExitCode: 127, Message: "/no/such/program: no such program"},
		},
		{
			name: "never started: a directory", change: func(l *supervise.Launch) { l.Argv = []string{"/etc"} },
			want: supervise.Status{Cause: supervise.NotStarted, ExitCode: 126, Message: "/etc is a directory, not a program"},
		},
		{
			name: "never started: not in PATH",
			change: func(l *supervise.Launch) {
				l.Argv, l.Inherit, l.Env = []string{"pythonn"}, false, []string{"PATH=/bin:/usr/bin"}
			},
			want: supervise.Status{Cause: supervise.NotStarted, ExitCode: 127, Message: "pythonn: no such program in PATH (/bin:/usr/bin)"},
		},
		{
			name: "never started: not in PATH, and somebody knows what to do",
			change: func(l *supervise.Launch) {
				l.Argv, l.Inherit, l.Env = []string{"pythonn"}, false, []string{"PATH=/bin:/usr/bin"}
				l.Needs = []supervise.Need{{Program: "pythonn", Hint: "apt install it"}}
			},
			want: supervise.Status{Cause: supervise.NotStarted, ExitCode: 127, Message: "pythonn: no such program in PATH (/bin:/usr/bin)\nhint: apt install it"},
		},
		{
			name: "never started: no such directory", change: func(l *supervise.Launch) { l.Dir = "/no/such" },
			want: supervise.Status{Cause: supervise.NotStarted, ExitCode: 126, Message: "working directory: stat /no/such: no such file or directory"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			l := b.sh(c.script)
			if c.change != nil {
				c.change(&l)
			}
			first := b.start(l)
			if want := (map[bool]supervise.Phase{true: supervise.Ended, false: supervise.Running})[c.want.Cause == supervise.NotStarted]; first.Phase != want {
				t.Errorf("its first phase is %s, want %s", first.Phase, want)
			}
			got := b.wait()
			c.want.Phase, c.want.LogBytes = supervise.Ended, int64(len(c.log))
			if diff := cmp.Diff(c.want, got, whatItIs); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.log, b.log()); diff != "" {
				t.Error("log:", diff)
			}
			if got.Mark != l.Mark || got.BootID == "" || got.Node == "" || got.StartedAt.IsZero() || got.EndedAt.Before(got.StartedAt) {
				t.Errorf("incomplete: %+v", got)
			}
			if s := b.start(l); s.Phase != supervise.Ended || s.ExitCode != got.ExitCode {
				t.Errorf("started again it says %+v", s)
			}
			far, err := b.remote().Status(t.Context(), []string{b.dir})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]supervise.Status{got}, far); diff != "" {
				t.Error("asked from afar:", diff)
			}
		})
	}
}
