package container

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/runnerml/runner/internal/host"
)

// dialTimeout bounds the dialling of one place where an engine may listen.
const dialTimeout = 10 * time.Second

// surroundings are what the host says of where an engine and its
// configuration are.
type surroundings struct {
	dockerHost, dockerContext string
	// configDir holds docker's config.json and contexts.
	configDir  string
	runtimeDir string
	home       string
}

// look asks the host for its surroundings.
func look(ctx context.Context, h host.Host) (surroundings, error) {
	platform, err := h.Platform(ctx)
	if err != nil {
		return surroundings{}, fmt.Errorf("find Docker engine: %w", err)
	}
	names := []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"}
	values := make(map[string]string, len(names))
	if _, here := h.(host.Local); here {
		for _, n := range names {
			values[n] = os.Getenv(n)
		}
	} else if values, err = variables(ctx, h, names); err != nil {
		return surroundings{}, fmt.Errorf("find Docker engine: %w", err)
	}
	s := surroundings{
		dockerHost: values["DOCKER_HOST"], dockerContext: values["DOCKER_CONTEXT"],
		configDir: values["DOCKER_CONFIG"], runtimeDir: values["XDG_RUNTIME_DIR"], home: platform.Home,
	}
	if s.configDir == "" {
		s.configDir = path.Join(s.home, ".docker")
	}
	if s.runtimeDir == "" {
		s.runtimeDir = fmt.Sprintf("/run/user/%d", platform.UID)
	}
	return s, nil
}

// variables reads environment variables of a host that is not this computer.
func variables(ctx context.Context, h host.Host, names []string) (map[string]string, error) {
	var out bytes.Buffer
	if err := h.Run(ctx, host.Command{Argv: []string{"env", "-0"}, Stdout: &out}); err != nil {
		// Not every env knows -0; a value with a line break is cut then, and
		// none of those asked for has one.
		out.Reset()
		if err := h.Run(ctx, host.Command{Argv: []string{"env"}, Stdout: &out}); err != nil {
			return nil, err
		}
	}
	values := make(map[string]string, len(names))
	for line := range strings.FieldsFuncSeq(out.String(), func(r rune) bool { return r == 0 || r == '\n' }) {
		for _, n := range names {
			if v, ok := strings.CutPrefix(line, n+"="); ok {
				values[n] = v
			}
		}
	}
	return values, nil
}

// findSocket is the path of the engine's socket. What the user named (option,
// DOCKER_HOST, context) is taken as it is; else the first of the well-known
// places where something answers the dial.
func findSocket(ctx context.Context, h host.Host, option string) (string, error) {
	const op = "find Docker engine"
	s, err := look(ctx, h)
	if err != nil {
		return "", err
	}
	named, from, err := namedEndpoint(ctx, h, s, option)
	if err != nil {
		return "", &Error{Kind: NoEngine, Op: op, Err: err, Hint: "docker context ls shows the contexts that are there"}
	}
	if named != "" {
		socket, err := socketPath(named)
		if err != nil {
			return "", &Error{Kind: NoEngine, Op: op, Err: fmt.Errorf("%s: %w", from, err), Hint: "engines are reached by their socket; attach a remote machine as a compute target of its own"}
		}
		if err := tryDial(ctx, h, socket); err != nil {
			if ctx.Err() != nil {
				return "", fmt.Errorf("%s: %w", op, ctx.Err())
			}
			kind := kindOfDial(ctx, h, socket, err)
			return "", newError(kind, op, fmt.Errorf("%s names %s: %w", from, socket, whyNot(kind, err)))
		}
		return socket, nil
	}
	var blocked *Error
	places := wellKnown(s)
	for _, socket := range places {
		err := tryDial(ctx, h, socket)
		switch {
		case err == nil:
			return socket, nil
		case ctx.Err() != nil:
			return "", fmt.Errorf("%s: %w", op, ctx.Err())
		case blocked != nil:
			continue
		}
		if kind := kindOfDial(ctx, h, socket, err); kind == PermissionDenied || kind == NoForwarding {
			blocked = newError(kind, op, fmt.Errorf("%s: %w", socket, whyNot(kind, err)))
		}
	}
	if blocked != nil {
		return "", blocked
	}
	return "", newError(NoEngine, op, fmt.Errorf("nothing listens at %s", strings.Join(places, ", ")))
}

// namedEndpoint is the engine that the user named, and where; empty: none.
func namedEndpoint(ctx context.Context, h host.Host, s surroundings, option string) (endpoint, from string, err error) {
	if option != "" {
		return option, "the socket given", nil
	}
	if s.dockerHost != "" {
		return s.dockerHost, "DOCKER_HOST", nil
	}
	name, from := s.dockerContext, "DOCKER_CONTEXT"
	if name == "" {
		config, err := readDockerConfig(ctx, h, s.configDir)
		if err != nil {
			return "", "", err
		}
		name, from = config.CurrentContext, "docker's configuration"
	}
	if name == "" || name == "default" {
		return "", "", nil
	}
	endpoint, err = contextEndpoint(ctx, h, s.configDir, name)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", from, err)
	}
	return endpoint, fmt.Sprintf("docker context %q", name), nil
}

// wellKnown are the places where engines listen.
func wellKnown(s surroundings) []string {
	return []string{
		"/var/run/docker.sock",
		path.Join(s.runtimeDir, "docker.sock"),
		path.Join(s.home, ".docker/run/docker.sock"), // Docker Desktop
		path.Join(s.runtimeDir, "podman/podman.sock"),
		"/run/podman/podman.sock",
	}
}

// socketPath is the path of an endpoint, "unix:///path" or a path.
func socketPath(endpoint string) (string, error) {
	socket, hasScheme := strings.CutPrefix(endpoint, "unix://")
	if !hasScheme && strings.Contains(endpoint, "://") {
		return "", fmt.Errorf("%s: only unix:// endpoints are understood", redactURL(endpoint))
	}
	if !path.IsAbs(socket) {
		return "", fmt.Errorf("%s: not an absolute path", endpoint)
	}
	return path.Clean(socket), nil
}

// redactURL drops user information and query of an endpoint.
func redactURL(endpoint string) string {
	scheme, rest, _ := strings.Cut(endpoint, "://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = rest[i+1:]
	}
	rest, _, _ = strings.Cut(rest, "?")
	return scheme + "://" + rest
}

func tryDial(ctx context.Context, h host.Host, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := h.Dial(ctx, "unix", socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

// kindOfDial tells why a socket could not be dialled.
func kindOfDial(ctx context.Context, h host.Host, socket string, err error) Kind {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return PermissionDenied
	case errors.Is(err, fs.ErrNotExist):
		return NoEngine
	case errors.Is(err, syscall.ECONNREFUSED), ctx.Err() != nil:
		return Unreachable
	}
	// A remote host's sshd says no more than that it did not work.
	_, err = h.Stat(ctx, socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return NoEngine
	case errors.Is(err, fs.ErrPermission):
		return PermissionDenied
	case err != nil:
		return Unreachable
	}
	err = h.Run(ctx, host.Command{Argv: []string{"test", "-w", socket}})
	if _, no := errors.AsType[*host.ExitError](err); no {
		return PermissionDenied
	}
	if listens(ctx, h, socket) {
		return NoForwarding
	}
	return Unreachable
}

// errForwarding is why an engine that listens cannot be dialled.
var errForwarding = errors.New("an engine listens there, and the machine's sshd allows no forwarding to it")

// whyNot is err, in words where a remote host's sshd has none.
func whyNot(kind Kind, err error) error {
	if kind == NoForwarding {
		return errForwarding
	}
	return err
}

// socketTable is where Linux lists the sockets of all processes, each with its
// flags and path.
const (
	socketTable    = "/proc/net/unix"
	listeningFlags = "00010000"
)

// listens reports whether a process of a Linux host is known to listen at a
// socket, whoever may dial it.
func listens(ctx context.Context, h host.Host, socket string) bool {
	table, err := h.Open(ctx, socketTable)
	if err != nil {
		return false
	}
	defer func() { _ = table.Close() }() // only read
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		const flags = 3
		facts, path, named := strings.Cut(lines.Text(), "/") // the path may have spaces
		f := strings.Fields(facts)
		if named && len(f) > flags && f[flags] == listeningFlags && inRun("/"+path) == inRun(socket) {
			return true
		}
	}
	return false
}

// inRun is a path in /run, which Linux also calls /var/run.
func inRun(socket string) string {
	if rest, ok := strings.CutPrefix(socket, "/var/run/"); ok {
		return "/run/" + rest
	}
	return socket
}
