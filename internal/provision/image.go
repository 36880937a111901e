package provision

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/snapshot"
)

// labelEnvironment is on the images that are made: the environment's digest.
const labelEnvironment = "dev.runner.environment"

// labelKind is on them, too: the environment's kind.
const labelKind = labelEnvironment + ".kind"

// proxies are build arguments that every builder knows without being told.
var proxies = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}

// imagePlan is the image of an environment: its name, and the build that makes
// it when it is made here.
type imagePlan struct {
	reference string
	// base to be there before the build.
	base  string
	build *container.BuildRequest
}

func (p *Provisioner) engine(ctx context.Context) (*container.Engine, error) {
	if p.Engine == nil {
		return nil, FailureOf(&container.Error{
			Kind: container.NoEngine, Op: "find Docker engine", Err: errors.New("this target has none"),
			Hint: "an environment without docker needs none",
		})
	}
	e, err := p.Engine(ctx)
	return e, FailureOf(err)
}

func (p *Provisioner) planImage(ctx context.Context, r *environment.Resolved, auths map[string]*container.Auth) (imagePlan, error) {
	labels := map[string]string{labelEnvironment: r.Digest, labelKind: string(r.Kind), container.LabelHome: p.Home}
	if r.Kind == environment.Dockerfile {
		return imagePlan{reference: r.Tag(), build: &container.BuildRequest{
			Tag: r.Tag(), Dockerfile: []byte(r.Dockerfile), Labels: labels, Auths: auths,
		}}, nil
	}
	base, err := p.baseImage(ctx, r)
	if err != nil {
		return imagePlan{}, FailureOf(err)
	}
	if r.Kind == environment.Image {
		return imagePlan{reference: base}, nil
	}
	args := map[string]string{}
	for _, name := range slices.Concat(environment.BuildArgs(), proxies) {
		if value, ok := p.variable(name); ok {
			args[name] = value
		}
	}
	declared := slices.DeleteFunc(slices.Sorted(maps.Keys(args)), func(name string) bool { return slices.Contains(proxies, name) })
	recipe, err := r.ImageRecipe(base, declared...)
	if err != nil {
		return imagePlan{}, err
	}
	return imagePlan{reference: recipe.Tag, base: base, build: &container.BuildRequest{
		Tag: recipe.Tag, Dockerfile: []byte(recipe.Dockerfile), Files: recipe.Files, BuildArgs: args, Labels: labels, Auths: auths,
	}}, nil
}

// baseImage is the full name of the image that the environment names.
func (p *Provisioner) baseImage(ctx context.Context, r *environment.Resolved) (string, error) {
	images := p.Images
	if images == nil {
		images = environment.BaseImages()
	}
	driver := ""
	if p.Driver != nil {
		var err error
		if driver, err = p.Driver(ctx); err != nil {
			return "", fmt.Errorf("ask for the NVIDIA driver: %w", err)
		}
	}
	name, err := environment.ChooseBase(r.Docker.Image, images, driver)
	if err != nil {
		return "", err
	}
	registry := ""
	if r.Docker.Registry != nil {
		registry = r.Docker.Registry.Address
	}
	return container.ParseReference(name, registry)
}

// login at the environment's registry; nil: none, or that of docker login.
func login(r *environment.Resolved, password string) *container.Auth {
	if r.Docker == nil || r.Docker.Registry == nil || r.Docker.Registry.Username == "" && password == "" {
		return nil
	}
	return &container.Auth{Username: r.Docker.Registry.Username, Password: password}
}

func (p *Provisioner) ensureImage(ctx context.Context, r *environment.Resolved, password string, progress backends.Progress, log io.Writer) (Made, error) {
	engine, err := p.engine(ctx)
	if err != nil {
		return Made{}, err
	}
	auth := login(r, password)
	auths := map[string]*container.Auth{}
	if auth != nil && r.Docker.Registry.Address != "" {
		auths[r.Docker.Registry.Address] = auth
	}
	plan, err := p.planImage(ctx, r, auths)
	if err != nil {
		return Made{}, err
	}
	made := Made{Activation: r.Activate(""), Image: plan.reference}
	report := func(at container.Progress) { progress.Report(step(at)) }
	if plan.build == nil {
		return made, FailureOf(p.ensurePulled(ctx, engine, r.Digest, plan.reference, auth, report))
	}
	if found, err := p.foundImage(ctx, engine, r.Digest, plan.reference); found || err != nil {
		return made, FailureOf(err)
	}
	if plan.base != "" {
		if err := p.ensurePulled(ctx, engine, r.Digest, plan.base, auth, report); err != nil {
			return Made{}, FailureOf(err)
		}
	}
	if r.Kind == environment.Dockerfile && r.Context != "" {
		stream, done, err := p.buildContext(ctx, r)
		if err != nil {
			return Made{}, err
		}
		defer done()
		plan.build.ContextTar = stream
	}
	if log != nil {
		words := &plainWords{to: log}
		defer words.close()
		log = words
	}
	_, err = engine.Build(ctx, *plan.build, log, report)
	return made, FailureOf(err)
}

// foundImage looks for an image of ours and marks it as used. Removal waits
// meanwhile, and then sees the mark of whoever wants it.
func (p *Provisioner) foundImage(ctx context.Context, engine *container.Engine, digest, tag string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := engine.Inspect(ctx, tag); container.KindOf(err) == container.ImageNotFound {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if now := time.Now(); now.Sub(p.touched[digest]) >= touchEvery && engine.Touch(ctx, tag) == nil {
		p.touched[digest] = now // else it only seems unused for longer
	}
	return true, nil
}

func (p *Provisioner) hasImage(ctx context.Context, r *environment.Resolved) (bool, error) {
	engine, err := p.engine(ctx)
	if err != nil {
		return false, err
	}
	plan, err := p.planImage(ctx, r, nil)
	if err != nil {
		return false, err
	}
	_, err = engine.Inspect(ctx, plan.reference)
	if container.KindOf(err) == container.ImageNotFound {
		return false, nil
	}
	return err == nil, FailureOf(err)
}

// step is a pull's or a build's progress in our words.
func step(p container.Progress) backends.Step {
	s := backends.Step{Name: "image", Detail: p.Detail, Done: p.Done, Total: p.Total, Unit: "B"}
	if p.Steps > 0 && p.Total == 0 {
		s.Done, s.Total, s.Unit = int64(p.Step-1), int64(p.Steps), ""
	}
	return s
}

// buildContext is the Dockerfile's directory as a tar stream.
func (p *Provisioner) buildContext(ctx context.Context, r *environment.Resolved) (stream io.Reader, done func(), err error) {
	if p.Contexts == nil {
		return nil, nil, errors.New("build context: no snapshots here")
	}
	id, err := snapshot.ParseID(r.Context)
	if err != nil {
		return nil, nil, fmt.Errorf("build context: %w", err)
	}
	dir, err := os.MkdirTemp("", "runner-context-")
	if err != nil {
		return nil, nil, fmt.Errorf("build context: %w", noSpace(err))
	}
	remove := func() { _ = os.RemoveAll(dir) } // in the system's temporary directory
	if err := p.Contexts.Unpack(ctx, id, dir, nil); err != nil {
		remove()
		return nil, nil, fmt.Errorf("build context: %w", noSpace(err))
	}
	reading, writing := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		archive := tar.NewWriter(writing)
		err := archive.AddFS(os.DirFS(dir))
		if err == nil {
			err = archive.Close()
		}
		_ = writing.CloseWithError(err) // always nil
	}()
	return reading, func() {
		_ = reading.Close() // always nil
		<-packed
		remove()
	}, nil
}
