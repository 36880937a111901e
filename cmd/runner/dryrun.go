package main

import (
	"bytes"
	"context"
	"fmt"

	"al.essio.dev/pkg/shellescape"
	"github.com/runnerml/runner/internal/controller"
	"github.com/runnerml/runner/runconfig"
	"go.yaml.in/yaml/v4"
)

// dryRun is the JSON of submit --dry-run.
type dryRun struct {
	Config   *runconfig.ScriptRunConfig `json:"config"`
	Snapshot dryRunSource               `json:"snapshot"`
	Plan     *controller.Plan           `json:"plan"`
	// RerunOf is the run whose source is used as it was, without being looked
	// at again; then files and bytes are left out.
	RerunOf string `json:"rerun_of,omitempty"`
}

type dryRunSource struct {
	Digest string `json:"digest"`
	Files  int    `json:"files,omitempty"`
	// Bytes of all files together.
	Bytes int64 `json:"bytes,omitempty"`
}

// plan says what a submission would do. Nothing is stored, here or there.
func (s *submitting) plan(ctx context.Context) error { return s.ready(ctx, s.tell) }

func (s *submitting) tell(ctx context.Context, p *prepared) error {
	plan, err := p.client.Plan(ctx, p.Submission)
	if err != nil {
		return err
	}
	s.lines.clear()
	d := dryRun{
		Config: p.Config, Plan: plan, RerunOf: p.RerunOf,
		Snapshot: dryRunSource{Digest: p.Snapshot, Files: p.picture.Files, Bytes: p.picture.Bytes},
	}
	if s.json {
		return s.printJSON(d)
	}
	return s.printPlan(d)
}

func (s *submitting) printPlan(d dryRun) error {
	spec, err := specYAML(d.Config)
	if err != nil {
		return err
	}
	cached := "to be made"
	if d.Plan.EnvironmentCached {
		cached = "made already"
	}
	var t table
	t.add(plain("target"), plain(d.Plan.Target))
	source := fmt.Sprintf("%s, %s, %s", d.Snapshot.Digest, plural(d.Snapshot.Files, "file"), size(d.Snapshot.Bytes))
	if d.RerunOf != "" && d.Snapshot.Files == 0 {
		source = d.Snapshot.Digest + ", as it was for " + d.RerunOf
	}
	t.add(plain("source"), plain(source))
	t.add(plain("environment"), plain(fmt.Sprintf("%s, %s, %s", d.Plan.Environment, d.Plan.EnvironmentKind, cached)))
	if d.Plan.Image != "" {
		t.add(plain("image"), plain(d.Plan.Image))
	}
	t.add(plain("command"), plain(tidy(shellescape.QuoteCommand(d.Plan.Command))))
	return s.print(t.render(0) + "\n" + spec)
}

// specYAML writes a config as a spec.
func specYAML(config *runconfig.ScriptRunConfig) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(config); err != nil {
		return "", fmt.Errorf("write the spec as YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return "", fmt.Errorf("write the spec as YAML: %w", err)
	}
	return b.String(), nil
}
