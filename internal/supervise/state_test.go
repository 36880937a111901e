package supervise

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const (
	goodStarted = `{"mark":"r.1","pid":7,"supervisor":6,"boot_id":"b","started_at":"2026-01-02T03:04:05Z"}`
	goodEnded   = `{"ended_at":"2026-01-02T03:04:06Z","cause":"exited","exit_code":3}`
)

func TestStatusFromFiles(t *testing.T) {
	for _, c := range []struct {
		name                 string
		started, ended, lock string
		phase                Phase
		message              string
	}{
		{name: "nothing", phase: Absent},
		{name: "a lock that nobody holds", lock: "12\nstart 3\n", phase: Absent},
		{name: "a supervisor that died while it forked", lock: "12\nstart 3\nforking\n", phase: Lost, message: "died while it started"},
		{name: "started, nobody there", started: goodStarted, phase: Lost, message: "the machine was started anew"},
		{name: "ended", started: goodStarted, ended: goodEnded, phase: Ended},
		{name: "ended, after a limit could not be kept", started: strings.Replace(goodStarted, "{", `{"message":"no limits here",`, 1), ended: goodEnded, phase: Ended},
		{name: "ended, and the start is damaged", started: "{", ended: goodEnded, phase: Ended},
		{name: "the start is damaged", started: `{"mark":"r`, phase: Lost, message: "started.json is damaged"},
		{name: "the start says nothing", started: `{}`, phase: Lost, message: "it says nothing"},
		{name: "the start is of another kind", started: `[1]`, phase: Lost, message: "started.json is damaged"},
		{name: "the start is empty", started: " ", phase: Lost, message: "started.json is damaged"},
		{name: "the end is damaged", started: goodStarted, ended: `{"cause":`, phase: Lost, message: "ended.json is damaged"},
		{name: "the end says nothing", started: goodStarted, ended: `null`, phase: Lost, message: "it says nothing"},
		{name: "the end is too large", started: goodStarted, ended: strings.Repeat(" ", maxState+1), phase: Lost, message: "not a file of ours"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{startedFile: c.started, endedFile: c.ended, lockFile: c.lock} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := StatusOf(dir)
			if s.Phase != c.phase || !strings.Contains(s.Message, c.message) || c.message == "" && s.Message != "" {
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("files that are directories", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, endedFile), 0o700); err != nil {
			t.Fatal(err)
		}
		if s := StatusOf(dir); s.Phase != Lost || s.Message == "" {
			t.Errorf("%+v", s)
		}
	})
}

// FuzzState: whatever is in the files, the answer is one of the phases, and
// what is damaged is told.
func FuzzState(f *testing.F) {
	for _, s := range [][3]string{
		{goodStarted, goodEnded, "12\nstart 4\nmark r.1\ncgroup /sys/fs/cgroup/runner-x\n"},
		{"", "", "-1"},
		{"{", "[]", ""},
		{"null", "0", "1\nstart x"},
		{`{"mark":1}`, `{"cause":"x"}`, "99999999999999999999"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, started, ended, lock string) {
		dir := t.TempDir()
		for name, text := range map[string]string{startedFile: started, endedFile: ended, lockFile: lock, stopFile: ended} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := StatusOf(dir)
		switch {
		case s.Phase == Ended && (s.Cause == "" || s.EndedAt.IsZero()):
			t.Errorf("ended without an end: %+v", s)
		case s.Phase == Lost && s.Message == "":
			t.Errorf("lost without a word: %+v", s)
		case s.Phase != Ended && s.Phase != Lost:
			t.Errorf("phase %s", s.Phase)
		}
		k, err := readKeeper(dir)
		if err == nil && k.pid <= 0 {
			t.Errorf("a supervisor with pid %d", k.pid)
		}
		for _, g := range k.groups {
			if !strings.HasPrefix(filepath.Base(g), groupPrefix) {
				t.Errorf("a group of others: %s", g)
			}
		}
		if err := Stop(dir, time.Second); err != nil {
			t.Error(err)
		}
	})
}

// FuzzLaunch: what goes in comes out.
func FuzzLaunch(f *testing.F) {
	f.Add("python3", "a\xffb", "A=\x80", "/d\xfe", "secret")
	f.Fuzz(func(t *testing.T, program, arg, env, dir, secret string) {
		in := Launch{
			Mark: "r.1", Argv: []string{program, arg}, Env: []string{env}, Dir: dir, PathPrepend: []string{dir},
			Redact: []string{secret}, Grace: time.Second, Memory: 1 << 40, CPUs: 1.5,
		}
		data, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out Launch
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(in, out); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzRedact: the secret is in no output, however the input is cut, and nothing
// else changes.
func FuzzRedact(f *testing.F) {
	f.Add("a token b tokentoken tok", "token", 3, 7)
	f.Add("aaaaaaab", "aaab", 1, 2)
	f.Add("ababac", "abac", 2, 4)
	f.Fuzz(func(t *testing.T, text, secret string, a, b int) {
		r := newRedactor([]string{secret})
		if r == nil || len(r.secrets) > 1 || strings.Contains(redacted, string(r.secrets[0])) {
			return
		}
		a, b = min(max(a, 0), len(text)), min(max(b, 0), len(text))
		a, b = min(a, b), max(a, b)
		var got strings.Builder
		for _, part := range []string{text[:a], text[a:b], text[b:]} {
			got.Write(r.filter([]byte(part)))
		}
		got.Write(r.flush())
		if diff := cmp.Diff(strings.ReplaceAll(text, string(r.secrets[0]), redacted), got.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		name   string
		launch Launch
		own    []string
		want   []string
	}{
		{"only its own", Launch{Mark: "r.1", Env: []string{"A=1"}}, []string{"B=2"}, []string{"A=1", "RUNNER_MARK=r.1"}},
		{"ours below it", Launch{Mark: "r.1", Inherit: true, Env: []string{"A=1"}}, []string{"A=0", "B=2"}, []string{"A=1", "B=2", "RUNNER_MARK=r.1"}},
		{"the mark cannot be forged", Launch{Mark: "r.1", Env: []string{"RUNNER_MARK=x"}}, nil, []string{"RUNNER_MARK=r.1"}},
		{"PATH", Launch{Mark: "r.1", Env: []string{"PATH=/b"}, PathPrepend: []string{"/x", "/a"}}, nil, []string{"PATH=/x:/a:/b", "RUNNER_MARK=r.1"}},
		{"no PATH", Launch{Mark: "r.1", PathPrepend: []string{"/x"}}, nil, []string{"RUNNER_MARK=r.1", "PATH=/x:" + systemPath}},
		{"an empty PATH", Launch{Mark: "r.1", Env: []string{"PATH="}, PathPrepend: []string{"/x"}}, nil, []string{"PATH=/x", "RUNNER_MARK=r.1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.launch.environment(c.own), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOffsets(t *testing.T) {
	step := int64(indexStep)
	var index []byte
	for _, e := range [][2]int64{{0, 1000 * step}, {10, 1001 * step}, {30, 2000 * step}} {
		var b [indexEntry]byte
		for i := range 8 {
			b[i], b[8+i] = byte(uint64(e[0])>>(8*i)), byte(uint64(e[1])>>(8*i))
		}
		index = append(index, b[:]...)
	}
	for _, c := range []struct {
		name  string
		index []byte
		t     int64
		want  int64
	}{
		{"before all", index, 0, 0},
		{"in the first step", index, 1000*step + 1, 0},
		{"in the second", index, 1001*step + step/2, 10},
		{"in the silence", index, 1500 * step, 30},
		{"after all", index, 3000 * step, 50},
		{"no index", nil, 0, 50},
		{"half an entry is none", index[:indexEntry+5], 1001 * step, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := offsetSince(c.index, 50, c.t); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
