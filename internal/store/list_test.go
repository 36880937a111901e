package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/runconfig"
)

func ids(runs []run.Run) []string {
	all := []string{}
	for _, r := range runs {
		all = append(all, r.ID)
	}
	return all
}

func TestList(t *testing.T) {
	s := open(t)
	odd := `k"é\ .$`
	for i := range 6 {
		r := newRun(fmt.Sprintf("iris-000000000%d", i))
		switch i {
		case 1:
			r.Experiment = "other"
		case 2:
			r.Target = "gpu-box"
		case 3:
			r.Tags = map[string]string{odd: `<v'"&`, "team": "5"}
		case 4:
			r.Tags = nil
		}
		create(t, s, r)
	}
	finish(t, s, "iris-0000000000")
	update(t, s, "iris-0000000005", withAttempt(run.Preparing))
	tests := []struct {
		name   string
		filter store.Filter
		want   string // the last digits
	}{
		{"all, newest first", store.Filter{}, "543210"},
		{"the first two", store.Filter{Limit: 2}, "54"},
		{"the next page", store.Filter{Limit: 2, Before: "iris-0000000004"}, "32"},
		{"of an experiment", store.Filter{Experiment: "other"}, "1"},
		{"of a target", store.Filter{Target: "gpu-box"}, "2"},
		{"active", store.Filter{ActiveOnly: true}, "54321"},
		{"states", store.Filter{States: []run.State{run.Completed, run.Preparing}}, "50"},
		{"a tag", store.Filter{Tags: map[string]string{"team": "vision"}}, "5210"},
		{"two tags, with odd characters", store.Filter{Tags: map[string]string{"team": "5", odd: `<v'"&`}}, "3"},
		{"a tag of another value", store.Filter{Tags: map[string]string{"team": "visio%"}}, ""},
		{"ended before", store.Filter{EndedBefore: start.Add(time.Second)}, "0"},
		{"ended before, none", store.Filter{EndedBefore: start}, ""},
		{"all together", store.Filter{Experiment: "iris", Target: "local", ActiveOnly: true, States: []run.State{run.Queued}, Tags: map[string]string{"team": "5"}, Before: "iris-0000000005", Limit: 9}, "3"},
		{"injection is a value", store.Filter{Experiment: "' OR 1=1 --"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			runs, err := s.List(t.Context(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{}
			for _, c := range tt.want {
				want = append(want, "iris-000000000"+string(c))
			}
			if d := cmp.Diff(want, ids(runs)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestListIsLightUnlessAsked(t *testing.T) {
	s := open(t)
	id := create(t, s, newRun("iris-0000000001")).ID
	update(t, s, id, withAttempt(run.Preparing))
	whole, err := s.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	heavy, err := s.List(t.Context(), store.Filter{Specs: true})
	if d := cmp.Diff([]run.Run{*whole}, heavy); d != "" || err != nil {
		t.Error(d, err)
	}
	whole.Config, whole.ResolvedEnvironment = nil, nil
	light, err := s.List(t.Context(), store.Filter{})
	if d := cmp.Diff([]run.Run{*whole}, light); d != "" || err != nil {
		t.Error(d, err)
	}
}

// A list says what runs start, if that is asked for.
func TestListLines(t *testing.T) {
	s := open(t)
	for i, c := range []*runconfig.ScriptRunConfig{
		{Script: "train.py", Arguments: []string{"--rate", "0.1", "ü 'x'"}},
		{Command: "echo $X"},
		nil,
	} {
		r := newRun(fmt.Sprintf("iris-000000000%d", i))
		r.Config = c
		create(t, s, r)
	}
	type line struct {
		Script, Command string
		Arguments       []string
	}
	got := []line{}
	list, err := s.List(t.Context(), store.Filter{Lines: true})
	for _, r := range list {
		got = append(got, line{r.Script, r.Command, r.Arguments})
		if r.Config != nil {
			t.Error("the heavy part came, too")
		}
	}
	want := []line{{}, {Command: "echo $X"}, {Script: "train.py", Arguments: []string{"--rate", "0.1", "ü 'x'"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestActiveAndDemands(t *testing.T) {
	s := open(t)
	for i := range 4 {
		create(t, s, newRun(fmt.Sprintf("iris-000000000%d", i)))
	}
	finish(t, s, "iris-0000000001")
	update(t, s, "iris-0000000003", withAttempt(run.Preparing))
	active, err := s.Active(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"iris-0000000000", "iris-0000000002", "iris-0000000003"}, ids(active)); d != "" {
		t.Error(d)
	}
	if len(active[2].Attempts) != 1 || active[0].Config != nil {
		t.Errorf("%+v", active)
	}
	demands, err := s.Demands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := store.Demand{Resources: newRun("x").Config.Resources, VMPriority: runconfig.LowPriority}
	want := map[string]store.Demand{"iris-0000000000": d, "iris-0000000002": d, "iris-0000000003": d}
	if d := cmp.Diff(want, demands); d != "" {
		t.Error(d)
	}
	counts, err := s.Counts(t.Context())
	wantCounts := []store.Count{
		{Target: "local", State: run.Completed, Outcome: run.OutcomeCompleted, Runs: 1},
		{Target: "local", State: run.Preparing, Runs: 1},
		{Target: "local", State: run.Queued, Runs: 2},
	}
	if d := cmp.Diff(wantCounts, counts); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestResolve(t *testing.T) {
	s := open(t)
	var nf *store.NotFoundError
	if _, err := s.Resolve(t.Context(), store.LastRun); !errors.As(err, &nf) || err.Error() != "there are no runs yet" {
		t.Errorf("@last of none: %v", err)
	}
	for _, id := range []string{"iris-01", "iris-012", "iris-02", "b-1", "c-1", "c-2", "c-3", "c-4", "c-5", "c-6"} {
		create(t, s, newRun(id))
	}
	tests := []struct{ name, want, wrong string }{
		{"iris-01", "iris-01", ""}, // exact, although another begins with it
		{"iris-012", "iris-012", ""},
		{"iris-02", "iris-02", ""},
		{"b", "b-1", ""},
		{store.LastRun, "c-6", ""},
		{"iris-0", "", `"iris-0" fits several runs: iris-02, iris-012, iris-01`},
		{"c-", "", `"c-" fits several runs: c-6, c-5, c-4, c-3, c-2, ...`},
		{"", "", `there is no run ""`},
		{"%", "", `there is no run "%"`},
		{"iris-01x", "", `there is no run "iris-01x"`},
	}
	for _, tt := range tests {
		got, err := s.Resolve(t.Context(), tt.name)
		if got != tt.want || (tt.wrong == "") != (err == nil) || err != nil && err.Error() != tt.wrong {
			t.Errorf("Resolve(%q) = %q, %v; want %q %s", tt.name, got, err, tt.want, tt.wrong)
		}
	}
}

func TestEnvironments(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	e := store.Environment{
		Name: "sk", Digest: "sha256:1", Spec: &environment.Spec{Name: "sk", Python: &environment.Python{Pip: []string{"a==1"}}},
		Resolved:  &environment.Resolved{Kind: environment.Venv, Digest: "sha256:1", Requirements: "a==1"},
		CreatedAt: start,
	}
	other := store.Environment{Name: "other", Digest: "sha256:1", CreatedAt: start}
	for _, e := range []store.Environment{e, other, e} {
		if err := s.PutEnvironment(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []time.Time{start.Add(2), start.Add(1)} {
		if err := s.TouchEnvironment(ctx, "sha256:1", at); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.TouchEnvironment(ctx, "sha256:none", start); err != nil {
		t.Fatal(err)
	}
	e.UsedAt, other.UsedAt = ptr(start.Add(2)), ptr(start.Add(2))
	got, err := s.EnvironmentByName(ctx, "sk")
	if d := cmp.Diff(&e, got); d != "" || err != nil {
		t.Error(d, err)
	}
	all, err := s.ListEnvironments(ctx)
	if d := cmp.Diff([]store.Environment{other, e}, all); d != "" || err != nil {
		t.Error(d, err)
	}
	if err := s.DeleteEnvironment(ctx, "sk"); err != nil {
		t.Fatal(err)
	}
	var nf *store.NotFoundError
	if err := s.DeleteEnvironment(ctx, "sk"); !errors.As(err, &nf) || err.Error() != `there is no environment "sk"` {
		t.Error(err)
	}
	if _, err := s.EnvironmentByName(ctx, "sk"); !errors.As(err, &nf) {
		t.Error(err)
	}
}

func TestLocks(t *testing.T) {
	s := open(t)
	id := create(t, s, newRun("iris-0000000001")).ID
	for _, want := range []string{"", "numpy==2.0\n", "numpy==2.1\n"} {
		if want != "" {
			if err := s.PutLock(t.Context(), id, want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Lock(t.Context(), id); got != want || err != nil {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}
