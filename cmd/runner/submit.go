package main

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/runconfig"
	"github.com/spf13/cobra"
)

func newSubmit(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "submit [SPEC.yaml | SCRIPT.py] [flags] [-- SCRIPT ARGS]",
		Short: "Run a script on a compute target and follow it",
		Long: `Submit takes a spec, or just a script, and follows the run until it ends: what
the script writes goes to standard output, everything else to standard error.
The source directory of a script alone is the directory that it lies in, unless
--source names another one around it.
What comes after -- takes the place of the spec's arguments. Ctrl-C leaves the
run running and says how to come back.

With --array, or an array in the spec, it makes many runs, each with further
arguments of its own and its number, from 0, in RUNNER_ARRAY_INDEX; it prints their
ids and waits for all of them. Its exit code is that of the first, in their
order, that did not complete.

The exit code is 0 when the run completed, 1 when it failed, 2 when the request
was wrong, 3 when the target cannot be reached, 4 when the environment could
not be made, 5 on an internal error and 130 when it was canceled.`,
		Example: `  runner submit train.py -- --epochs 10
  runner submit job.yaml --gpus 1 --set environment.python.version='"3.12"'
  id=$(runner submit job.yaml --detach)
  runner submit job.yaml --array lines.txt`,
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		own, _ := splitArguments(cmd, args)
		return wants(0, 1, "")(cmd, own)
	}
	var flags specFlags
	flags.add(c, cmd)
	cmd.Flags().StringVar(&flags.array, "array", "", "a run for each line of arguments in `FILE`")
	detach := cmd.Flags().BoolP("detach", "d", false, "print the run's id and do not wait")
	dryRun := cmd.Flags().Bool("dry-run", false, "say what would happen, and do nothing")
	as := addFormat(cmd, asTable, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		own, arguments := splitArguments(cmd, args)
		if as.json() && !*dryRun && !*detach {
			return server.Wrong("-o json is for --dry-run and --detach", cmd.CommandPath(), "what the script writes goes to standard output")
		}
		path := ""
		if len(own) > 0 {
			path = own[0]
		}
		sets, err := flags.assignments(cmd, arguments)
		if err != nil {
			return err
		}
		spec, err := loadSpec(path, flags.source, sets)
		if err != nil {
			return flags.ownWords(err)
		}
		s := submitting{cli: c, spec: spec, config: spec.Config, flags: &flags, detach: *detach, json: as.json(), dryRun: *dryRun}
		array, err := s.takeArray()
		switch {
		case err != nil:
			return err
		case s.dryRun && array != nil:
			s.config = s.config.Member(0, array[0])
			s.sayf("%s; this is the first", plural(len(array), "run"))
			return s.plan(cmd.Context())
		case s.dryRun:
			return s.plan(cmd.Context())
		case array != nil:
			return s.runArray(cmd.Context(), array)
		}
		return s.run(cmd.Context())
	}
	return cmd
}

// splitArguments tells our own arguments from the script's, which come after
// "--" and are nil without it.
func splitArguments(cmd *cobra.Command, args []string) (own, script []string) {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 {
		return args, nil
	}
	return args[:dash], append([]string{}, args[dash:]...)
}

// submitting is one submission, from its config to its end.
type submitting struct {
	*cli
	config *runconfig.ScriptRunConfig
	// spec is config and where its fields stand, and flags those that changed it.
	spec   *runconfig.Placed
	flags  *specFlags
	detach bool
	json   bool
	// base is what a rerun takes over; its empty fields are made anew.
	base  controller.Submission
	lines *liveLines
	// dryRun leaves nothing behind.
	dryRun bool
	// later is at work while the run is followed.
	later sync.WaitGroup
}

// ready prepares the submission, and has then do the rest.
func (s *submitting) ready(ctx context.Context, then func(context.Context, *prepared) error) error {
	lateFirstCollection()
	s.lines = s.newLiveLines()
	defer s.lines.clear()
	defer s.later.Wait()
	prepared, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	defer prepared.client.Close()
	return then(ctx, prepared)
}

// run submits and follows.
func (s *submitting) run(ctx context.Context) error { return s.ready(ctx, s.runOne) }

func (s *submitting) runOne(ctx context.Context, prepared *prepared) error {
	r, err := prepared.client.Submit(ctx, prepared.Submission)
	if err != nil {
		return err
	}
	s.lines.clear()
	if s.detach {
		if s.json {
			return s.printJSON(r)
		}
		return s.print(r.ID + "\n")
	}
	s.sayf("%s %s", s.err.bold(r.ID), s.err.dim("submitted to "+r.Target))
	return s.follow(ctx, prepared.client, r)
}

// prepared is a submission that is ready to be sent.
type prepared struct {
	controller.Submission
	client  *client.Client
	picture snapshot.Snapshot
}

// prepare finds the server, pictures the source and resolves the environment.
func (s *submitting) prepare(ctx context.Context) (_ *prepared, err error) {
	p := &prepared{Submission: s.base}
	p.Config, p.RequestID = s.config, rand.Text()
	if remote() == "" && p.Config.ComputeTarget == runconfig.DefaultTarget && p.Config.Path == "" {
		p.Config.Path = ownPath()
	}
	var missing []server.Problem
	p.Secrets, missing = secretsOf(s.config)
	judged := make(chan error, 1)
	taking, stop := context.WithCancel(ctx)
	defer stop()
	sub := p.Submission
	go func() {
		var err error
		if p.client, err = s.connect(ctx); err == nil {
			err = s.judge(ctx, p.client, missing, sub)
		}
		if err != nil {
			stop() // whatever the source is
		}
		judged <- err
	}()
	var from *sources
	var failed error
	if p.Snapshot == "" && len(s.spec.Missing) == 0 {
		from, failed = s.openSources()
		if failed == nil {
			failed = p.takeSource(taking, from)
		}
	}
	if err := <-judged; err != nil {
		failed = err
	}
	if failed == nil {
		failed = s.finishPreparing(ctx, p, from)
	}
	if failed != nil {
		if p.client != nil {
			p.client.Close()
		}
		return nil, failed
	}
	return p, nil
}

func (s *submitting) openSources() (*sources, error) {
	from, err := openSources(s.lines)
	if err == nil {
		from.dryRun, from.later = s.dryRun, s.later.Go
	}
	return from, err
}

func (p *prepared) takeSource(ctx context.Context, from *sources) (err error) {
	if p.picture, err = from.take(ctx, p.Config.SourceDirectory, leftByRuns()...); err != nil {
		return err
	}
	p.Snapshot = string(p.picture.ID)
	return from.checkScript(ctx, p.Config, p.picture.ID)
}

// finishPreparing does what needs the server.
func (s *submitting) finishPreparing(ctx context.Context, p *prepared, from *sources) (err error) {
	if from != nil {
		if err := from.upload(ctx, p.client, p.picture.ID); err != nil {
			return err
		}
	}
	if p.Environment == nil {
		p.Environment, err = resolveEnvironment(ctx, p.client, s.config, s.contextPicture(p, from))
		if err != nil {
			return err
		}
	}
	if p.RegistryPassword, err = registryPassword(p.Environment); err != nil {
		return err
	}
	return s.noteOtherDocker(ctx, p.client, p.Environment)
}

// contextPicture takes a Dockerfile's directory to the server.
func (s *submitting) contextPicture(p *prepared, from *sources) func(context.Context, string) (string, error) {
	return func(ctx context.Context, dir string) (string, error) {
		var err error
		if from == nil {
			if from, err = s.openSources(); err != nil {
				return "", err
			}
		}
		picture, err := from.take(ctx, dir)
		if err != nil {
			return "", err
		}
		return string(picture.ID), from.upload(ctx, p.client, picture.ID)
	}
}
