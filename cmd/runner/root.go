package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/store"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// cli is what all commands share.
type cli struct {
	out, err *screen
	quiet    bool
	now      func() time.Time
	engine   startEngineFunc
	// build identifies an executable, schema the database it understands.
	build  func(path string) (string, error)
	schema int
}

func newCLI(engine startEngineFunc) *cli {
	// Whoever shares a terminal must not write into each other's lines.
	c := &cli{now: time.Now, engine: engine, build: buildID, schema: store.Schema()}
	c.out, c.err = newScreen(os.Stdout, os.Getenv), newScreen(os.Stderr, os.Getenv)
	return c
}

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "runner",
		Short: "Train on any machine: this one, a VM, a cluster",
		Long: `Runner carries training runs out: it takes a spec (or just a script), pictures
the source directory, makes the environment, runs the script on a compute
target, shows its log live, brings outputs/ home and says how it ended.`,
		Example: `  runner submit train.py
  runner submit job.yaml --gpus 1 -- --epochs 10
  runner ps
  runner logs -f @last`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().BoolVarP(&c.quiet, "quiet", "q", false, "say only what was asked for, and errors")
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(flagProblem)
	cobra.EnableCommandSorting = false
	add := func(group string, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: group, Title: title})
		for _, one := range commands {
			one.GroupID = group
			root.AddCommand(one)
		}
	}
	add("runs", "Runs:", newSubmit(c), newPS(c), newShow(c), newLogs(c), newWait(c), newCancel(c), newRerun(c), newOutputs(c))
	add("rest", "What runs need:", newCompute(c), newEnvironment(c), newSecret(c), newData(c), newPrune(c), newAgent(c), newServe(c), newDoctor(c))
	add("about", "About runner:", newSchema(c), newVersion(c))
	makeGroup(root)
	return root
}

// makeGroup gives a command that only holds others its behaviour: help without
// an argument, and an error that names the nearest for an unknown one.
func makeGroup(command *cobra.Command) {
	command.Args = cobra.ArbitraryArgs
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		hint := cmd.CommandPath() + " --help lists the commands"
		if near := yamlpos.Nearest(args[0], names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return server.Wrong(fmt.Sprintf("unknown command %q", args[0]), cmd.CommandPath(), hint)
	}
}

// flagProblem says what is wrong with a flag, and which one was meant.
func flagProblem(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		given := unknown.GetSpecifiedName()
		hint := cmd.CommandPath() + " --help lists the flags"
		if near := yamlpos.Nearest(given, names); near != "" && len(given) > 1 {
			hint = "did you mean --" + near + "?"
		} else if cmd.Name() == "submit" || cmd.Name() == "rerun" {
			hint = "the script's own flags come after --, for example: " + cmd.CommandPath() + " train.py -- --" + given + " ..."
		}
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return server.Wrong("unknown flag "+dashes+given, cmd.CommandPath(), hint)
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return server.Wrong(fmt.Sprintf("--%s: %s", wrong.GetFlag().Name, wrongValue(wrong)), cmd.CommandPath(), "")
	}
	return server.Wrong(err.Error(), cmd.CommandPath(), "")
}

// wrongValue says what is wrong with a flag's value.
func wrongValue(wrong *pflag.InvalidValueError) string {
	switch wrong.GetFlag().Value.Type() {
	case "int":
		return fmt.Sprintf("%q is no whole number", wrong.GetValue())
	case "bool":
		return fmt.Sprintf("%q is neither true nor false", wrong.GetValue())
	default:
		return fmt.Sprintf("%q: %v", wrong.GetValue(), wrong.Unwrap())
	}
}

// wants checks the number of arguments; most below zero means any number.
func wants(least, most int, words string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return server.Wrong("which "+words+"?", cmd.CommandPath(), "usage: "+cmd.UseLine())
		case most >= 0 && len(args) > most:
			return server.Wrong(fmt.Sprintf("unexpected argument %q", args[most]), cmd.CommandPath(), "usage: "+cmd.UseLine())
		}
		return nil
	}
}

// sayf writes a line to standard error, unless --quiet.
func (c *cli) sayf(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.err, format+"\n", args...)
	}
}

// print writes what was asked for to standard output.
func (c *cli) print(text string) error {
	_, err := io.WriteString(c.out, text)
	return err
}
