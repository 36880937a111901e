package runconfig

import (
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/yamlpos"
)

// Limits of values, far above what any machine has.
const (
	maxName      = 100
	maxText      = 256
	maxNodes     = 10_000
	maxCPUs      = 10_000
	maxGPUs      = 1_000
	maxProcesses = 10_000
	maxPriority  = 1_000_000
	maxRestarts  = 1_000
	minMemory    = 6 << 20 // what container engines accept
)

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Validate reports everything that is wrong with a spec that was not made by
// Load, as a *SpecError, or nil.
func (c *ScriptRunConfig) Validate() error {
	return yamlpos.ErrorOf(c.problems(func(string) bool { return false }))
}

// problems checks the values; written says whether a field stands in the
// document, which tells an absent number from an explicit 0.
func (c *ScriptRunConfig) problems(written func(field string) bool) []Problem {
	v := checks{written: written}
	v.what(c)
	v.kind(c)
	v.spark(c)
	v.names(c)
	v.resources(c)
	v.inputs(c)
	v.outputs(c.Outputs)
	v.namedOutputs(c)
	v.variables(c)
	v.limits(c)
	if c.Array != nil {
		v.array(c.Array)
	}
	if c.Environment != nil {
		v.environment(c.Environment)
	}
	return v.problems
}

// checks collects problems.
type checks struct {
	written  func(field string) bool
	problems []Problem
}

func (v *checks) addf(field, hint, format string, args ...any) {
	v.problems = append(v.problems, Problem{Field: field, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

func (v *checks) what(c *ScriptRunConfig) {
	switch {
	case c.Script != "" && c.Command != "":
		v.addf("command", "keep one of them", "script and command are given together")
	case c.Script == "" && strings.TrimSpace(c.Command) == "":
		v.addf("", "give script: train.py, or command: ...", "neither script nor command is given")
	}
	if c.Script != "" {
		switch {
		case strings.ContainsRune(c.Script, 0) || !utf8.ValidString(c.Script):
			v.bytes("script", "script", c.Script)
		case path.IsAbs(c.Script):
			v.addf("script", "write it relative to source_directory", "script %q is an absolute path", c.Script)
		case path.Clean(c.Script) == "..", strings.HasPrefix(path.Clean(c.Script), "../"):
			v.addf("script", "set source_directory to a directory around it", "script %q is outside the source directory", c.Script)
		case path.Clean(c.Script) == ".", strings.HasSuffix(c.Script, "/"):
			v.addf("script", "name a file", "script %q is a directory", c.Script)
		}
	}
	v.bytes("command", "command", c.Command)
	v.command(c)
	for i, argument := range c.Arguments {
		v.bytes(fmt.Sprintf("arguments[%d]", i), "an argument", argument)
	}
}

// bytes refuses what no program can be given, and what would not survive being
// stored as JSON.
func (v *checks) bytes(field, what, value string) {
	switch {
	case strings.ContainsRune(value, 0):
		v.addf(field, "", "%s holds a NUL byte", what)
	case !utf8.ValidString(value):
		v.addf(field, "pass other bytes in a file", "%s is not UTF-8 text", what)
	}
}

// command checks the expressions and where the arguments go.
func (v *checks) command(c *ScriptRunConfig) {
	for _, e := range expressions(c.Command) {
		name, isInput := strings.CutPrefix(e.text, "inputs.")
		output, isOutput := strings.CutPrefix(e.text, "outputs.")
		switch {
		case e.open:
			v.addf("command", "close it with }}", "%s has no end", e.source)
		case isInput:
			known(v, e, "an input", "inputs", name, c.Inputs)
		case isOutput:
			known(v, e, "an output", "outputs", output, c.Outputs.Named)
		default:
			v.addf("command", "only ${{inputs.NAME}} and ${{outputs.NAME}} are understood", "%s stands for nothing", e.source)
		}
	}
	if len(c.Arguments) > 0 && c.Command != "" && !takesArguments(c.Command) && !endsSimply(c.Command) {
		v.addf("arguments", `write "$@" in the command where the arguments belong`,
			"it is not clear where in the command the arguments go")
	}
}

// known checks that an expression names one of those that there are.
func known[T any](v *checks, e expression, what, field, name string, there map[string]T) {
	if _, ok := there[name]; ok {
		return
	}
	if len(there) == 0 {
		v.addf("command", "describe it under "+field+":", "%s names %s and the spec has no %s", e.source, what, field)
		return
	}
	v.addf("command", yamlpos.DidYouMean(name, slices.Sorted(maps.Keys(there))), "%s names no %s", e.source, strings.TrimPrefix(what, "an "))
}

func (v *checks) names(c *ScriptRunConfig) {
	v.name("experiment", c.Experiment)
	v.name("compute_target", c.ComputeTarget)
	v.text("display_name", c.DisplayName)
	for key, value := range c.Tags {
		field := yamlpos.Join("tags", key)
		if key == "" || strings.Contains(key, "=") {
			v.addf(field, "", "%q is no name for a tag", key)
		}
		v.text(field, key)
		v.text(field, value)
	}
	if strings.ContainsRune(c.SourceDirectory, 0) {
		v.addf("source_directory", "", "source_directory holds a NUL byte")
	}
}

func (v *checks) name(field, value string) {
	if value != "" && (len(value) > maxName || !namePattern.MatchString(value)) {
		v.addf(field, "use letters, digits, dots, dashes and underscores; for example "+experimentName(value),
			"%s %q is no name", field, value)
	}
}

func (v *checks) text(field, value string) {
	if len(value) > maxText {
		v.addf(field, "", "%s is longer than %d bytes", field, maxText)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		v.addf(field, "", "%s holds a control character", field)
	}
}

func distributedFrameworks() []string { return []string{"pytorch", "mpi", "tensorflow"} }

func (v *checks) resources(c *ScriptRunConfig) {
	r := c.Resources
	v.number("resources.nodes", r.Nodes, 1, maxNodes)
	v.number("resources.gpus", r.GPUs, 0, maxGPUs)
	if r.CPUs < 0 || (r.CPUs == 0 && v.written("resources.cpus")) || r.CPUs > maxCPUs || math.IsNaN(r.CPUs) {
		v.addf("resources.cpus", "", "resources.cpus must be more than 0 and at most %d, not %g", maxCPUs, r.CPUs)
	}
	if m := r.Memory; m < 0 || (m > 0 && m < minMemory) || (m == 0 && v.written("resources.memory")) {
		hint := "leave it out for no limit"
		if m > 0 {
			hint = fmt.Sprintf("a number alone is bytes; %dGiB?", int64(m))
			if m > 1024 {
				hint = "a number alone is bytes; write for example 4GiB"
			}
		}
		v.addf("resources.memory", hint, "resources.memory must be at least %s, not %s", Bytes(minMemory), m)
	}
	if d := c.Distributed; d != nil {
		frameworks := distributedFrameworks()
		if d.Framework == "" {
			v.addf("distributed", "framework: pytorch, mpi or tensorflow", "distributed has no framework")
		} else if !slices.Contains(frameworks, d.Framework) {
			v.addf("distributed.framework", yamlpos.DidYouMean(d.Framework, frameworks), "unknown framework %q", d.Framework)
		}
		v.number("distributed.processes_per_node", d.ProcessesPerNode, 1, maxProcesses)
	}
}

// number checks a count; an absent one (0 and not written) is fine.
func (v *checks) number(field string, value, least, most int) {
	if value == 0 && !v.written(field) {
		return
	}
	if value < least || value > most {
		v.addf(field, "", "%s must be between %d and %d, not %d", field, least, most, value)
	}
}

// leastEvery is how often outputs may go home while a script runs.
const leastEvery = Duration(5 * time.Second)

func (v *checks) outputs(o Outputs) {
	switch o.Upload {
	case "", UploadEnd, UploadLive:
	default:
		v.addf("outputs.upload", yamlpos.DidYouMean(o.Upload, []string{UploadEnd, UploadLive}), "upload is end or live, not %q", o.Upload)
	}
	switch {
	case o.Every != 0 && o.Upload != UploadLive:
		v.addf("outputs.every", "write upload: live", "every says nothing without upload: live")
	case o.Every != 0 && o.Every < leastEvery:
		v.addf("outputs.every", "", "every must be at least %s", leastEvery)
	}
	if o.Store != "" && !namePattern.MatchString(o.Store) {
		v.addf("outputs.store", "", "the name of an artifact store has letters, digits, dots, dashes and underscores")
	}
}

func (v *checks) inputs(c *ScriptRunConfig) {
	upper := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Inputs)) {
		field, input := yamlpos.Join("inputs", name), c.Inputs[name]
		if !environment.IsVariableName(name) {
			v.addf(field, "use letters, digits and underscores: the script finds it as RUNNER_INPUT_<NAME>", "%q is no name for an input", name)
		}
		if other, taken := upper[strings.ToUpper(name)]; taken {
			v.addf(field, "the script finds both as RUNNER_INPUT_"+strings.ToUpper(name), "the inputs %s and %s differ only in case", other, name)
		}
		upper[strings.ToUpper(name)] = name
		v.inputPath(field, input)
		modes := []string{ModeMount, ModeCopy}
		if input.Mode != "" && !slices.Contains(modes, input.Mode) {
			v.addf(yamlpos.Join(field, "mode"), yamlpos.DidYouMean(input.Mode, modes), "unknown mode %q", input.Mode)
		}
	}
}

func (v *checks) variables(c *ScriptRunConfig) {
	for name, value := range c.EnvironmentVariables {
		field := yamlpos.Join("environment_variables", name)
		switch {
		case !environment.IsVariableName(name):
			v.addf(field, "", "%q is no name for an environment variable", name)
		case reserved(name):
			v.addf(field, "choose another name", "%s is set by Runner itself", name)
		}
		v.bytes(field, "the value of "+name, value)
	}
	seen := map[string]bool{}
	for i, name := range c.Secrets {
		field := fmt.Sprintf("secrets[%d]", i)
		_, variable := c.EnvironmentVariables[name]
		switch {
		case !environment.IsVariableName(name):
			// What stands here may be the secret itself: it is not repeated.
			v.addf(field, "secrets lists names of environment variables, never their values", "a secret's name is no name of an environment variable")
		case reserved(name):
			v.addf(field, "choose another name", "%s is set by Runner itself", name)
		case seen[name]:
			v.addf(field, "", "the secret %s is given twice", name)
		case variable:
			v.addf(field, "keep one of them", "%s is given as a secret and as an environment variable", name)
		}
		seen[name] = true
	}
}

// reserved says whether Runner sets this variable for every script.
func reserved(name string) bool {
	switch name {
	case "RUNNER_RUN_ID", "RUNNER_EXPERIMENT", "RUNNER_ATTEMPT", "RUNNER_OUTPUTS_DIR", "RUNNER_CHECKPOINT_DIR", "AZUREML_RUN_ID":
		return true
	default:
		return strings.HasPrefix(name, "RUNNER_INPUT_") || strings.HasPrefix(name, "RUNNER_OUTPUT_")
	}
}

func (v *checks) limits(c *ScriptRunConfig) {
	if c.Priority < -maxPriority || c.Priority > maxPriority {
		v.addf("priority", "", "priority must be between %d and %d, not %d", -maxPriority, maxPriority, c.Priority)
	}
	priorities := []string{string(Dedicated), string(LowPriority)}
	if c.VMPriority != "" && !slices.Contains(priorities, string(c.VMPriority)) {
		v.addf("vm_priority", yamlpos.DidYouMean(string(c.VMPriority), priorities), "unknown vm_priority %q", c.VMPriority)
	}
	if c.MaxRunDuration < 0 {
		v.addf("max_run_duration", "leave it out for no limit", "max_run_duration must not be negative")
	}
	if c.Grace < 0 || (c.Grace == 0 && v.written("grace")) {
		v.addf("grace", "1s is next to nothing", "grace must be more than 0")
	}
	if c.Slurm != nil {
		if where, what, hint := c.Slurm.Problem(); what != "" {
			v.addf(yamlpos.Join("slurm", where), hint, "%s", what)
		}
	}
	for field, count := range map[string]*int{"restart.preempted": c.Restart.Preempted, "restart.failed": c.Restart.Failed} {
		if count != nil && (*count < 0 || *count > maxRestarts) {
			v.addf(field, "", "%s must be between 0 and %d, not %d", field, maxRestarts, *count)
		}
	}
}

func (v *checks) environment(e *EnvironmentRef) {
	given := 0
	for _, set := range []bool{e.Name != "", e.File != "", e.Spec != nil} {
		if set {
			given++
		}
	}
	switch {
	case given != 1:
		v.addf("environment", "a registered name, a file, or a mapping", "environment must be exactly one of a name, a file and a mapping")
	case e.Name != "":
		v.name("environment", e.Name)
	case strings.ContainsRune(e.File, 0):
		v.addf("environment", "", "a path holds a NUL byte")
	case e.Spec != nil:
		v.problems = append(v.problems, yamlpos.Within("environment", e.Spec.Problems())...)
	}
}
