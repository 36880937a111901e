package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Kind is what sort of thing went wrong: a closed list.
type Kind string

// The kinds.
const (
	// NoEngine: no engine's socket was found on the host.
	NoEngine Kind = "no engine"
	// PermissionDenied: the engine's socket is there, and not for this user.
	PermissionDenied Kind = "permission denied"
	// NoForwarding: an engine listens, and the way to the host does not lead to it.
	NoForwarding Kind = "no forwarding"
	// EngineTooOld: the engine speaks no API that we do.
	EngineTooOld Kind = "engine too old"
	// Unreachable: the engine does not answer now; trying again may help.
	Unreachable Kind = "unreachable"
	// InvalidReference: the image's name is none.
	InvalidReference Kind = "invalid reference"
	// ImageNotFound: the registry, or the engine, has no such image.
	ImageNotFound Kind = "image not found"
	// LoginRequired: the registry wants a login and got none.
	LoginRequired Kind = "login required"
	// LoginRefused: the registry does not take this username and password.
	LoginRefused Kind = "login refused"
	// RegistryUnreachable: the engine cannot reach the registry.
	RegistryUnreachable Kind = "registry unreachable"
	// NoSpace: the engine's disk is full.
	NoSpace Kind = "no space"
	// WrongPlatform: the image is for another operating system or processor.
	WrongPlatform Kind = "wrong platform"
	// NameTaken: a container that is not ours has the attempt's name.
	NameTaken Kind = "name taken"
	// InvalidSpec: the engine cannot make the container that was asked for.
	InvalidSpec Kind = "invalid spec"
	// NoGPUSupport: the engine cannot give devices to containers.
	NoGPUSupport Kind = "no gpu support"
	// StartFailed: the container was made and its first process did not start.
	StartFailed Kind = "start failed"
	// InUse: the image is used by a container.
	InUse Kind = "in use"
	// NotFound: there is no such container.
	NotFound Kind = "not found"
	// Failed: anything else; the message is the engine's own.
	Failed Kind = "failed"
)

// Error is what an engine could not do. It never holds a secret.
type Error struct {
	Kind Kind
	// Op is what was tried, for example "pull image alpine:3".
	Op string
	// Hint is what a person can do, or empty.
	Hint string
	Err  error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Op + ": " + string(e.Kind)
	}
	return e.Op + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether trying the same again later may help.
func (e *Error) Temporary() bool { return e.Kind == Unreachable || e.Kind == RegistryUnreachable }

// KindOf is the kind of err; Failed when it has none, empty for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failed
}

// hints say what a person can do about an error that has no better advice.
var hints = map[Kind]string{
	NoEngine:            "install and start Docker or podman, or say where it listens: docker_socket in config.yaml, or DOCKER_HOST where the agent is started (runner agent stop, then again); an environment without docker needs none",
	PermissionDenied:    "add the user to the docker group (sudo usermod -aG docker USER, then log in again), or use rootless Docker or podman",
	NoForwarding:        "have AllowStreamLocalForwarding yes in the machine's sshd_config (and neither DisableForwarding nor a key that is restricted); an environment without docker needs none",
	EngineTooOld:        "Docker 20.10 or newer, or podman 4 or newer, is needed",
	Unreachable:         "is the Docker engine running? systemctl status docker tells",
	InvalidReference:    "an image is named [REGISTRY/]NAME[:TAG], in lower case",
	ImageNotFound:       "check the name and the tag; an image of a private registry needs environment.docker.registry",
	LoginRequired:       "give username and password in environment.docker.registry, or run docker login on that machine (or the image's name is wrong)",
	LoginRefused:        "check username and password in environment.docker.registry, and that they may read this image",
	RegistryUnreachable: "check the registry's address and the machine's network and proxy",
	NoSpace:             "free space on the engine's disk: runner environment prune, docker system df",
	WrongPlatform:       "use an image that was built for this machine's processor",
	NoGPUSupport:        "install the NVIDIA container toolkit on that machine and restart Docker",
	InUse:               "a container still uses the image",
}

// newError makes an *Error with the kind's own hint.
func newError(kind Kind, op string, err error) *Error {
	return &Error{Kind: kind, Op: op, Hint: hints[kind], Err: err}
}

// dialError is a socket that could not be dialled. It hides its cause from
// the client library, which would drop it for words of its own.
type dialError struct{ cause error }

func (e *dialError) Error() string { return "the socket cannot be dialled" }

// wrap turns an error of the client library into an *Error. An error because
// ctx ended stays what it is.
func wrap(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(ended, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, ended)
	}
	if d, ok := errors.AsType[*dialError](err); ok {
		if errors.Is(d.cause, syscall.EACCES) || errors.Is(d.cause, syscall.EPERM) {
			return newError(PermissionDenied, op, d.cause)
		}
		return newError(Unreachable, op, d.cause)
	}
	if isAway(err) {
		return newError(Unreachable, op, err)
	}
	return newError(kindOfAnswer(err), op, plain(err))
}

// isAway reports whether err means that the engine did not answer, as against
// answered with an error.
func isAway(err error) bool {
	if client.IsErrConnectionFailed(err) || cerrdefs.IsUnavailable(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) ||
		errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	// What an engine says while it is going down.
	return err != nil && (strings.Contains(err.Error(), "server is shutting down") ||
		strings.Contains(err.Error(), "containerd.sock") && strings.Contains(err.Error(), "connection refused"))
}

// phrases tell kinds apart by what engines and registries say; the first that
// is found decides. Engines give most of these with status 500.
var phrases = []struct {
	text string
	kind Kind
}{
	{"no space left on device", NoSpace},
	{"disk quota exceeded", NoSpace},
	{"could not select device driver", NoGPUSupport},
	{"nvidia-container-cli", NoGPUSupport},
	{"unresolvable CDI devices", NoGPUSupport},
	{"no matching manifest for", WrongPlatform},
	{"no match for platform", WrongPlatform},
	{"cannot be used on this platform", WrongPlatform},
	{"exec format error", WrongPlatform},
	{"no basic auth credentials", LoginRequired},
	{"incorrect username or password", LoginRefused},
	{"invalid username/password", LoginRefused},
	{"authentication required", LoginRequired},
	{"unauthorized", LoginRequired},
	{"access denied", LoginRequired},
	{"access to the resource is denied", LoginRequired},
	{"denied:", LoginRequired},
	{"403 Forbidden", LoginRequired},
	{"manifest unknown", ImageNotFound},
	{"name unknown", ImageNotFound},
	{"repository name not known", ImageNotFound},
	{"No such image", ImageNotFound},
	{"image not known", ImageNotFound},
	{"no such host", RegistryUnreachable},
	{"server misbehaving", RegistryUnreachable},
	{"connection refused", RegistryUnreachable},
	{"network is unreachable", RegistryUnreachable},
	{"no route to host", RegistryUnreachable},
	{"i/o timeout", RegistryUnreachable},
	{"TLS handshake", RegistryUnreachable},
	{"Client.Timeout exceeded", RegistryUnreachable},
	{"request canceled while waiting for connection", RegistryUnreachable},
	{"server gave HTTP response to HTTPS client", RegistryUnreachable},
	{"x509:", RegistryUnreachable},
	{"connection reset by peer", RegistryUnreachable},
}

// kindOfAnswer tells what an engine's answer means.
func kindOfAnswer(err error) Kind {
	text := err.Error()
	for _, p := range phrases {
		if strings.Contains(text, p.text) {
			return p.kind
		}
	}
	switch {
	case cerrdefs.IsNotFound(err):
		return NotFound
	case cerrdefs.IsUnauthorized(err), cerrdefs.IsPermissionDenied(err):
		return LoginRequired
	case cerrdefs.IsInvalidArgument(err):
		return InvalidSpec
	}
	return Failed
}

// answer is an engine's own words, with the error that carried them behind.
type answer struct {
	text string
	err  error
}

func (a *answer) Error() string { return a.text }

func (a *answer) Unwrap() error { return a.err }

// plain drops the client library's "Error response from daemon: ".
func plain(err error) error {
	const prefix = "Error response from daemon: "
	if rest, ok := strings.CutPrefix(err.Error(), prefix); ok {
		return &answer{text: rest, err: err}
	}
	return err
}

// isConflict reports whether the engine said that something stands against it.
func isConflict(err error) bool { return cerrdefs.IsConflict(err) }
