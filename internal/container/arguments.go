package container

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/docker/go-units"
	"github.com/spf13/pflag"
)

// refused are options of docker run that are known and not taken, with what
// to use instead.
var refused = []struct{ name, short, instead string }{
	{"gpus", "", "use resources.gpus"},
	{"memory", "m", "use resources.memory"},
	{"memory-swap", "", "use resources.memory; there is no swap beyond it"},
	{"memory-reservation", "", "use resources.memory"},
	{"oom-kill-disable", "", "use resources.memory"},
	{"cpus", "", "use resources.cpus"},
	{"cpu-quota", "", "use resources.cpus"},
	{"cpu-period", "", "use resources.cpus"},
	{"cpu-shares", "c", "use resources.cpus"},
	{"cpuset-cpus", "", "use resources.cpus"},
	{"name", "", "Runner names its containers, so that it finds them again"},
	{"workdir", "w", "the working directory is the copy of the source directory"},
	{"entrypoint", "", "use command"},
	{"env-file", "", "use environment_variables"},
	{"rm", "", "Runner removes its containers"},
	{"detach", "d", "Runner's containers always run in the background"},
	{"interactive", "i", "a run has no terminal"},
	{"tty", "t", "a run has no terminal"},
	{"restart", "", "use restart"},
	{"log-driver", "", "Runner keeps the log"},
	{"log-opt", "", "Runner keeps the log"},
	{"stop-timeout", "", "use grace"},
	{"stop-signal", "", "a script is always asked to end with SIGTERM"},
	{"pull", "", "an image is pulled when it is not there"},
	{"platform", "", "name an image of the right platform"},
	{"publish", "p", "use --network host"},
	{"publish-all", "P", "use --network host"},
	{"userns", "", "users are mapped so that outputs belong to you"},
	{"cidfile", "", "runner show tells the container"},
}

// ParseArguments reads the spec's docker.arguments: options in the words of
// docker run. An argument may hold an option and its value ("--ipc=host" or
// "--ipc host"), or the two may be arguments of their own. All that is wrong
// is told at once.
func ParseArguments(arguments []string) (Extra, error) {
	var x Extra
	flags := x.flags()
	var problems []error
	for rest := splitArguments(arguments); len(rest) > 0; {
		if !strings.HasPrefix(rest[0], "-") || rest[0] == "-" || rest[0] == "--" {
			problems = append(problems, fmt.Errorf("docker argument %q is not an option", rest[0]))
			rest = rest[1:]
			continue
		}
		// One option at a time, so that one that is wrong hides no other.
		take := 1
		if f, inline := lookUp(flags, rest[0]); f != nil && !inline && f.NoOptDefVal == "" && len(rest) > 1 {
			take = 2
		}
		if err := flags.Parse(rest[:take:take]); err != nil {
			problems = append(problems, explain(flags, rest[0], err))
		}
		rest = rest[take:]
	}
	if len(problems) > 0 {
		return Extra{}, errors.Join(problems...)
	}
	return x, nil
}

// splitArguments parts "--name value" that was written as one argument.
func splitArguments(arguments []string) []string {
	var all []string
	for _, a := range arguments {
		space, equals := strings.IndexByte(a, ' '), strings.IndexByte(a, '=')
		if strings.HasPrefix(a, "-") && space > 0 && (equals < 0 || space < equals) {
			all = append(all, a[:space], strings.TrimLeft(a[space:], " "))
			continue
		}
		all = append(all, a)
	}
	return all
}

// lookUp finds the option that an argument names, and whether its value is in
// the same argument.
func lookUp(flags *pflag.FlagSet, argument string) (f *pflag.Flag, inline bool) {
	if name, ok := strings.CutPrefix(argument, "--"); ok {
		name, _, inline = strings.Cut(name, "=")
		return flags.Lookup(name), inline
	}
	return flags.ShorthandLookup(argument[1:2]), len(argument) > 2
}

// explain says what is wrong with an option, in our words.
func explain(flags *pflag.FlagSet, argument string, err error) error {
	name, _, _ := strings.Cut(argument, "=")
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("docker argument %s: %w", name, invalid.Unwrap())
	}
	if _, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("docker argument %s: it needs a value", name)
	}
	if _, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if near := nearest(flags, name); near != "" {
			return fmt.Errorf("docker argument %s is unknown: is %s meant?", name, near)
		}
		return fmt.Errorf("docker argument %s is unknown", name)
	}
	return fmt.Errorf("docker argument %s: %w", name, err)
}

// nearest is the option whose name is most like name, or empty.
func nearest(flags *pflag.FlagSet, name string) string {
	const alike, longest = 0.6, 40
	best, score := "", alike
	bare := strings.TrimLeft(name, "-")
	if len(bare) > longest {
		return "" // like none, and it would take its time
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if s := levenshtein.Similarity(bare, f.Name, nil); s > score {
			best, score = "--"+f.Name, s
		}
	})
	return best
}

// flags are the options understood, each storing into x.
func (x *Extra) flags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("docker.arguments", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() {}
	text := func(name, short string, set func(string) error) {
		flags.VarP(&option{set: set}, name, short, "")
	}
	into := func(to *string) func(string) error {
		return func(v string) error { return notEmpty(v, func() { *to = v }) }
	}
	list := func(to *[]string) func(string) error {
		return func(v string) error { return notEmpty(v, func() { *to = append(*to, v) }) }
	}
	text("add-host", "", x.addHost)
	flags.StringSliceVar(&x.CapAdd, "cap-add", nil, "")
	flags.StringSliceVar(&x.CapDrop, "cap-drop", nil, "")
	text("device", "", x.addDevice)
	text("dns", "", func(v string) error {
		server, err := netip.ParseAddr(v)
		x.DNS = append(x.DNS, server)
		return err
	})
	text("env", "e", x.addEnv)
	text("group-add", "", list(&x.GroupAdd))
	text("hostname", "h", into(&x.Hostname))
	flags.BoolVar(&x.Init, "init", false, "")
	text("ipc", "", into(&x.IPC))
	text("label", "l", x.addLabel)
	text("mount", "", x.addMount)
	text("network", "", into(&x.Network))
	text("net", "", into(&x.Network))
	flags.IntVar(&x.OOMScoreAdj, "oom-score-adj", 0, "")
	text("pid", "", into(&x.PID))
	text("pids-limit", "", x.setPidsLimit)
	flags.BoolVar(&x.Privileged, "privileged", false, "")
	flags.BoolVar(&x.ReadOnly, "read-only", false, "")
	text("runtime", "", into(&x.Runtime))
	text("security-opt", "", list(&x.SecurityOpt))
	text("shm-size", "", func(v string) (err error) {
		x.ShmSize, err = parseSize(v)
		return err
	})
	text("sysctl", "", pairs(&x.Sysctls))
	text("tmpfs", "", x.addTmpfs)
	text("ulimit", "", func(v string) error {
		limit, err := units.ParseUlimit(v)
		x.Ulimits = append(x.Ulimits, limit)
		return err
	})
	text("user", "u", into(&x.User))
	text("volume", "v", x.addVolume)
	for _, r := range refused {
		text(r.name, r.short, func(string) error { return errors.New("it cannot be given here: " + r.instead) })
		if f := flags.Lookup(r.name); isSwitch(r.name) {
			f.NoOptDefVal = "true"
		}
	}
	return flags
}

// isSwitch reports whether a refused option takes no value.
func isSwitch(name string) bool {
	switch name {
	case "rm", "detach", "interactive", "tty", "publish-all", "oom-kill-disable":
		return true
	}
	return false
}

// option is an option whose value is stored by a function.
type option struct{ set func(string) error }

func (o *option) String() string     { return "" }
func (o *option) Set(v string) error { return o.set(v) }
func (o *option) Type() string       { return "string" }
