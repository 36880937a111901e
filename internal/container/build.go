package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"
)

// BuildRequest is an image to be built by the engine's classic builder.
type BuildRequest struct {
	// Tag that the image gets when, and only when, it is complete.
	Tag string
	// Dockerfile is its content. Empty: the context holds a file "Dockerfile".
	Dockerfile []byte
	// Files of the context by their slash-separated names in it.
	Files map[string][]byte
	// ContextTar is the context as a tar stream, instead of Files. It is read
	// once; nobody reads it when the same tag is being built already.
	ContextTar io.Reader
	// BuildArgs are kept in the image's history: no place for secrets.
	BuildArgs map[string]string
	Labels    map[string]string
	// NetworkMode of the steps: "host", "none" or empty for the default.
	NetworkMode string
	// Auths are logins by registry. Those that docker login stored on the host
	// are used for the base images' registries that are not here.
	Auths map[string]*Auth
}

// BuildError is a step of a build that failed.
type BuildError struct {
	// Step is the Dockerfile's line, for example "RUN pip install torch".
	Step string
	// Number of the step, from 1, of Total.
	Number, Total int
	// Code that the step's command ended with; zero when no command failed.
	Code int
	// Message is the builder's own.
	Message string
	// Tail is the last of the failed step's output.
	Tail []string
}

func (e *BuildError) Error() string {
	if e.Step == "" {
		return "build: " + e.Message
	}
	return fmt.Sprintf("build: step %d of %d (%s): %s", e.Number, e.Total, e.Step, e.Message)
}

// tailLines is how many lines of a failed step are kept for its error.
const tailLines = 20

// Build builds an image and tags it. What the steps say goes to log (may be
// nil), how far it is to progress (may be nil, must not block). Builds of the
// same tag at once are one. A failing step gives a *BuildError.
func (e *Engine) Build(ctx context.Context, b BuildRequest, log io.Writer, progress func(Progress)) (Image, error) {
	tag, err := ParseReference(b.Tag, "")
	if err != nil {
		return Image{}, err
	}
	op := "build image " + tag
	told := func(what any) {
		switch w := what.(type) {
		case Progress:
			if progress != nil {
				progress(w)
			}
		case string:
			if log != nil {
				_, _ = io.WriteString(log, w) // a log that cannot be written fails no build
			}
		}
	}
	return e.builds.do(ctx, tag, told, func(ctx context.Context, tell func(any)) (Image, error) {
		if err := e.build(ctx, tag, b, tell); err != nil {
			for _, a := range b.Auths {
				err = a.redacted(err)
			}
			if _, ok := errors.AsType[*BuildError](err); ok {
				return Image{}, fmt.Errorf("%s: %w", op, err)
			}
			return Image{}, pullError(ctx, op, err, nil)
		}
		return e.Inspect(ctx, tag)
	})
}

func (e *Engine) build(ctx context.Context, tag string, b BuildRequest, tell func(any)) error {
	buildContext, dockerfile, err := b.context()
	if err != nil {
		return newError(InvalidSpec, "pack build context", err)
	}
	defer func() { _ = buildContext.Close() }()
	auths, err := e.buildAuths(ctx, b.Auths)
	if err != nil {
		return err
	}
	args := make(map[string]*string, len(b.BuildArgs))
	for name, value := range b.BuildArgs {
		args[name] = &value
	}
	answer, err := e.api.ImageBuild(ctx, buildContext, client.ImageBuildOptions{
		Tags: []string{tag}, Dockerfile: dockerfile, BuildArgs: args, Labels: maps.Clone(b.Labels), NetworkMode: b.NetworkMode,
		AuthConfigs: auths,
		Remove:      true, ForceRemove: true, // no container of a step stays, failed or not
	})
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return follow(ctx, answer.Body, tell)
}

// buildAuths are the logins for a build: those given and those stored.
func (e *Engine) buildAuths(ctx context.Context, given map[string]*Auth) (map[string]registry.AuthConfig, error) {
	all := map[string]registry.AuthConfig{}
	s, err := look(ctx, e.host)
	if err != nil {
		return nil, err
	}
	config, err := readDockerConfig(ctx, e.host, s.configDir)
	if err != nil {
		return nil, err
	}
	for key, stored := range config.Auths {
		if a := stored.login(); a != nil {
			all[configKey(key)] = a.config(key)
		}
	}
	for key, helper := range config.CredHelpers {
		a, err := askHelper(ctx, e.host, helper, configKey(key))
		if err != nil {
			return nil, err
		}
		if a != nil {
			all[configKey(key)] = a.config(key)
		}
	}
	for address, a := range given {
		if a != nil {
			all[configKey(address)] = a.config(address)
		}
	}
	return all, nil
}

// stepLine is how the classic builder begins a step (podman in capitals).
var stepLine = regexp.MustCompile(`^(?i:step) (\d+)/(\d+) ?: (.*)$`)

// buildStream reads what a build says.
type buildStream struct {
	tell  func(any)
	base  layers
	at    Progress
	step  string
	lines []string
	open  strings.Builder // a line whose end has not come yet
}

// follow reads a build's stream to its end.
func follow(ctx context.Context, stream io.Reader, tell func(any)) error {
	s := buildStream{tell: tell}
	for decoder := json.NewDecoder(stream); ; {
		var m jsonstream.Message
		err := decoder.Decode(&m)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != nil:
			return s.failed(m.Error)
		case m.Stream != "":
			s.text(uncoloured(m.Stream))
		case s.base.add(m):
			p := s.base.sum()
			p.Step, p.Steps = s.at.Step, s.at.Steps
			tell(p)
		}
	}
}

// uncoloured takes off the red that the builder gives to standard error.
func uncoloured(text string) string {
	const red, plain = "\x1b[91m", "\x1b[0m"
	if bare, ok := strings.CutPrefix(text, red); ok && strings.HasSuffix(bare, plain) {
		return strings.TrimSuffix(bare, plain)
	}
	return text
}

// text takes output in, a piece at a time.
func (s *buildStream) text(text string) {
	s.tell(text)
	s.open.WriteString(text)
	whole := s.open.String()
	end := strings.LastIndexByte(whole, '\n')
	if end < 0 {
		return
	}
	s.open.Reset()
	s.open.WriteString(whole[end+1:])
	for line := range strings.SplitSeq(whole[:end], "\n") {
		s.line(strings.TrimRight(line, "\r"))
	}
}

func (s *buildStream) line(line string) {
	if m := stepLine.FindStringSubmatch(line); m != nil {
		s.step, s.lines = m[3], nil
		s.at.Step, _ = strconv.Atoi(m[1])
		s.at.Steps, _ = strconv.Atoi(m[2])
		s.at.Detail = fmt.Sprintf("step %s of %s: %s", m[1], m[2], m[3])
		s.tell(s.at)
		return
	}
	if strings.HasPrefix(line, " ---> ") || strings.HasPrefix(line, "Removing intermediate container ") || line == "" {
		return
	}
	s.lines = append(s.lines, line)
	if len(s.lines) > tailLines {
		s.lines = s.lines[1:]
	}
}

// failed is the error of a build. What kept it from a base image, a full disk
// or an engine that goes down is no fault of the step's.
func (s *buildStream) failed(e *jsonstream.Error) error {
	if rest := s.open.String(); rest != "" {
		s.line(rest)
	}
	said := &answer{text: e.Message}
	isFrom := strings.HasPrefix(strings.ToUpper(s.step), "FROM ")
	if kind := kindOfAnswer(said); e.Code == 0 && kind != Failed && isFrom || kind == NoSpace || isAway(said) {
		return said
	}
	message := strings.TrimSpace(e.Message)
	if strings.Contains(message, "requires BuildKit") {
		message += " (the classic builder is used: leave --mount and the like out)"
	}
	return &BuildError{Step: s.step, Number: s.at.Step, Total: s.at.Steps, Code: e.Code, Message: message, Tail: s.lines}
}
