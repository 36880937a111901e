package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// page tells a run's story to a person.
type page struct {
	*cli
	run    *run.Run
	events []run.Event
	tail   []byte
	b      strings.Builder
}

func (p *page) render() string {
	p.head()
	p.spec()
	p.attempts()
	p.timeline()
	p.log()
	p.again()
	return p.b.String()
}

func (p *page) linef(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *page) title(text string) { p.linef("\n%s", p.out.bold(text)) }

// head says how it stands, why, and what can be done.
func (p *page) head() {
	r := p.run
	words := stateIn(p.out, r.State)
	switch {
	case r.Outcome != nil && r.State == run.Failed:
		words += reasonWords(r, *r.Outcome)
	case r.CancelRequestedAt != nil && !r.State.Ended():
		words += ", asked to end " + age(p.now().Sub(*r.CancelRequestedAt)) + " ago"
	}
	p.linef("%s  %s", p.out.bold(r.ID), words)
	if r.Outcome == nil {
		if r.Message != "" {
			p.linef("%s", firstLine(r.Message))
		}
	}
	if more := moreLines(r.Message); more != "" && len(p.tail) == 0 { // else the log says it
		p.linef("%s", more)
	}
	if hint := hintOf(r); hint != "" {
		p.linef("%s %s", p.out.bold("hint:"), hint)
	}
}

// spec sums up what was asked for.
func (p *page) spec() {
	r := p.run
	var t table
	row := func(name, value string) {
		if value != "" {
			t.add(plain("  "+name), plain(tidyLine(value)))
		}
	}
	p.title("What")
	row("name", r.DisplayName)
	row("experiment", r.Experiment)
	if cfg := r.Config; cfg != nil {
		row("command", p.command())
		if cfg.Command != "" && len(cfg.Arguments) > 0 {
			row("arguments", shellescape.QuoteCommand(cfg.Arguments))
		}
		row("source", cfg.SourceDirectory+"  "+short(r.Snapshot))
		row("asks for", p.resources())
		p.terms(row)
	}
	row("environment", p.environment())
	row("target", r.Target)
	row("tags", tagWords(r.Tags))
	if r.Priority != 0 {
		row("priority", fmt.Sprint(r.Priority))
	}
	row("rerun of", r.RerunOf)
	for _, from := range r.InputsFrom {
		row("from run", from.Run+"  "+from.Path+"  as input "+from.Input)
	}
	if r.State.Ended() {
		row("outputs", leftIn(r))
	}
	p.b.WriteString(t.render(0))
}

// terms are what else decides how it runs, where it is not as usual.
func (p *page) terms(row func(name, value string)) {
	cfg := p.run.Config
	for _, name := range slices.Sorted(maps.Keys(cfg.Inputs)) {
		row("input "+name, cfg.Inputs[name].Path+"  "+cfg.Inputs[name].Mode)
	}
	row("secrets", strings.Join(cfg.Secrets, ", "))
	row("variables", tagWords(cfg.EnvironmentVariables))
	if d := cfg.Distributed; d != nil {
		row("distributed", fmt.Sprintf("%s, %d a node", d.Framework, d.ProcessesPerNode))
	}
	if cfg.MaxRunDuration > 0 {
		row("at most", cfg.MaxRunDuration.String())
	}
	var restarts []string
	if n := cfg.Restart.Preempted; n != nil {
		restarts = append(restarts, fmt.Sprintf("preempted %d", *n))
	}
	if n := cfg.Restart.Failed; n != nil {
		restarts = append(restarts, fmt.Sprintf("failed %d", *n))
	}
	row("restarts", strings.Join(restarts, ", "))
	if cfg.VMPriority == runconfig.LowPriority {
		row("vm priority", string(cfg.VMPriority))
	}
}

// command is what runs: the spec's own, or the script under what carries it
// out.
func (p *page) command() string {
	cfg := p.run.Config
	if cfg.Command != "" {
		return cfg.Command
	}
	interpreter := "python3" // without an environment, as it is found
	if e := p.run.ResolvedEnvironment; e != nil {
		interpreter = e.Activate("").Interpreter
		switch e.Kind {
		case environment.Venv, environment.CondaEnv:
			interpreter = "python" // the environment's own, by its short name
		case environment.Existing, environment.Image, environment.ImageBuild, environment.Dockerfile:
		}
	}
	line := cfg.CommandLine(interpreter, nil)
	if line[1] == "-c" { // a script that says itself what runs it
		line = line[3:]
	}
	return shellescape.QuoteCommand(line)
}

func (p *page) environment() string {
	e := p.run.ResolvedEnvironment
	if e == nil {
		return short(p.run.Environment)
	}
	words := []string{}
	if e.Name != "" {
		words = append(words, e.Name)
	}
	words = append(words, string(e.Kind))
	if e.Docker != nil && e.Docker.Image != "" {
		words = append(words, e.Docker.Image)
	}
	return strings.Join(append(words, short(p.run.Environment)), "  ")
}

func (p *page) resources() string {
	q := p.run.Config.Resources
	var words []string
	if q.Nodes > 1 {
		words = append(words, plural(q.Nodes, "node"))
	}
	words = append(words, fmt.Sprintf("%g CPU", q.CPUs))
	if q.Memory > 0 {
		words = append(words, environment.FormatSize(int64(q.Memory))+" memory")
	}
	if q.GPUs > 0 {
		words = append(words, plural(q.GPUs, "GPU"))
	}
	return strings.Join(words, ", ")
}

func tagWords(tags map[string]string) string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		words = append(words, key+"="+tags[key])
	}
	return strings.Join(words, ", ")
}

// attempts are a table, when there is something to compare.
func (p *page) attempts() {
	if len(p.run.Attempts) == 0 {
		return
	}
	p.title("Attempts")
	var t table
	t.head("  #", "STATE", "OUTCOME", "EXIT", "NODE", "DURATION", "HOLDS", "MESSAGE")
	for i := range p.run.Attempts {
		a := &p.run.Attempts[i]
		outcome, exit, lasted := "", "", ""
		if a.Outcome != nil {
			outcome = string(*a.Outcome)
		}
		switch {
		case a.Signal != "":
			exit = a.Signal
		case a.ExitCode != nil:
			exit = fmt.Sprint(*a.ExitCode)
		}
		if a.StartedAt != nil {
			end := p.now()
			if a.EndedAt != nil {
				end = *a.EndedAt
			}
			lasted = took(end.Sub(*a.StartedAt))
		}
		message := firstLine(a.Message)
		if len(p.run.Attempts) == 1 && message == firstLine(p.run.Message) {
			message = "" // said above
		}
		t.add(plain(fmt.Sprintf("  %d", a.Number)), cell{text: string(a.State), painted: stateIn(p.out, a.State)},
			plain(outcome), plain(exit), plain(a.Node), plain(lasted), plain(holds(a.Allocation)), plain(message))
	}
	p.b.WriteString(t.render(p.out.width()))
}

func holds(a run.Allocation) string {
	var words []string
	if a.CPUs > 0 {
		words = append(words, fmt.Sprintf("%g CPU", a.CPUs))
	}
	if a.Memory > 0 {
		words = append(words, environment.FormatSize(a.Memory))
	}
	if len(a.GPUs) > 0 {
		words = append(words, "GPU "+strings.Join(a.GPUs, ","))
	}
	return strings.Join(words, ", ")
}

// timeline is every event, with how long what it began has lasted.
func (p *page) timeline() {
	if len(p.events) == 0 {
		return
	}
	p.title("Timeline")
	var t table
	for i := range p.events {
		e := &p.events[i]
		what := cell{text: "", painted: ""}
		if e.From != e.To || i == 0 {
			what = cell{text: string(e.To), painted: stateIn(p.out, e.To)}
		}
		why, lasted := firstLine(e.Why), ""
		if i > 0 && e.To.Ended() && e.Why == p.events[i-1].Why {
			why = ""
		}
		if !e.To.Ended() && what.text != "" {
			lasted = took(p.until(i).Sub(e.Time))
		}
		t.add(plain("  "+e.Time.Local().Format("15:04:05.000")), what, plain(lasted), plain(why))
	}
	day := p.events[0].Time.Local().Format(time.DateOnly)
	p.linef("  %s", p.out.dim(day))
	p.b.WriteString(t.render(p.out.width()))
}

// until is when the state that event i began was over.
func (p *page) until(i int) time.Time {
	for _, later := range p.events[i+1:] {
		if later.From != later.To {
			return later.Time
		}
	}
	return p.now()
}

func (p *page) log() {
	if len(p.tail) == 0 {
		return
	}
	p.title("Last lines of the log")
	p.b.WriteString(indent(strings.ToValidUTF8(string(p.tail), "?")))
}

// again says how to go on from here.
func (p *page) again() {
	p.title("Go on")
	if !p.run.State.Ended() {
		p.linef("  runner logs -f %s", p.run.ID)
		p.linef("  runner cancel %s", p.run.ID)
		return
	}
	p.linef("  runner rerun %s      %s", p.run.ID, p.out.dim("the same source, environment and arguments"))
	p.linef("  runner outputs %s --to DIR", p.run.ID)
}
