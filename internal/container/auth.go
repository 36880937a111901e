package container

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"

	"github.com/runnerml/runner/internal/host"
)

// defaultRegistry is where images are whose name has no registry in it, as the
// reference library has it.
func defaultRegistry() string {
	named, err := reference.ParseNormalizedNamed("x")
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}

// Auth is a login at an image registry. It prints without its secrets.
type Auth struct {
	Username string
	Password string
	// IdentityToken stands for username and password where a registry gave one.
	IdentityToken string
}

func (a *Auth) String() string {
	if a == nil {
		return "no login"
	}
	return fmt.Sprintf("login of %q", a.Username)
}

// GoString is String: %#v prints no secret either.
func (a *Auth) GoString() string { return a.String() }

// LogValue is String, for slog.
func (a *Auth) LogValue() slog.Value { return slog.StringValue(a.String()) }

// config is the login as the engine takes it.
func (a *Auth) config(host string) registry.AuthConfig {
	return registry.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, ServerAddress: configKey(host)}
}

// redact replaces the login's secrets in text.
func (a *Auth) redact(text string) string {
	if a == nil {
		return text
	}
	for _, secret := range []string{a.Password, a.IdentityToken} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// redacted is an error with the login's secrets taken out of its words.
func (a *Auth) redacted(err error) error {
	if err == nil {
		return nil
	}
	if text := a.redact(err.Error()); text != err.Error() {
		return &answer{text: text} // the cause behind it would still tell
	}
	return err
}

// storedAuth is a login in docker's config.json.
type storedAuth struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
}

func (s storedAuth) login() *Auth {
	a := Auth{Username: s.Username, Password: s.Password, IdentityToken: s.IdentityToken}
	if s.Auth != "" {
		if decoded, err := base64.StdEncoding.DecodeString(s.Auth); err == nil {
			a.Username, a.Password, _ = strings.Cut(strings.TrimRight(string(decoded), "\x00"), ":")
		}
	}
	if a == (Auth{}) {
		return nil
	}
	return &a
}

// storedLogin is the login that docker login stored on the host for the
// registry of an image; nil: none. An unreadable configuration is an error.
func (e *Engine) storedLogin(ctx context.Context, registryName string) (*Auth, error) {
	s, err := look(ctx, e.host)
	if err != nil {
		return nil, err
	}
	config, err := readDockerConfig(ctx, e.host, s.configDir)
	if err != nil {
		return nil, err
	}
	if helper := config.helper(registryName); helper != "" {
		return askHelper(ctx, e.host, helper, configKey(registryName))
	}
	for key, stored := range config.Auths {
		if registryHost(key) == registryHost(registryName) {
			return stored.login(), nil
		}
	}
	return nil, nil
}

// helper is the name of the program that keeps the registry's login, or empty.
func (c dockerConfig) helper(registryName string) string {
	for key, name := range c.CredHelpers {
		if registryHost(key) == registryHost(registryName) {
			return name
		}
	}
	return c.CredsStore
}

// helperName is what a credential helper may be called: part of a file name.
var helperName = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// askHelper asks docker-credential-NAME on the host for a login. One that
// has none, or cannot be asked, gives no login: the registry then decides.
func askHelper(ctx context.Context, h host.Host, name, server string) (*Auth, error) {
	if !helperName.MatchString(name) {
		return nil, fmt.Errorf("docker's configuration names a credential helper %q that cannot be one", name)
	}
	var out bytes.Buffer
	err := h.Run(ctx, host.Command{
		Argv:  []string{"docker-credential-" + name, "get"},
		Stdin: strings.NewReader(server + "\n"), Stdout: &out,
	})
	if err != nil {
		slog.DebugContext(ctx, "no login from credential helper", "helper", name, "registry", server, "error", err)
		return nil, ctx.Err()
	}
	var got struct{ Username, Secret string }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		return nil, fmt.Errorf("credential helper %q: its answer is not the JSON of a login", name)
	}
	if got.Username == "<token>" {
		return &Auth{IdentityToken: got.Secret}, nil
	}
	return &Auth{Username: got.Username, Password: got.Secret}, nil
}

// registryHost is HOST[:PORT] of a registry, however it is written.
func registryHost(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	host, _, _ := strings.Cut(address, "/")
	host = strings.ToLower(host)
	if strings.HasSuffix(host, "."+defaultRegistry()) { // its index, and where its images lie
		return defaultRegistry()
	}
	return host
}

// configKey is a registry's name in docker's configuration.
func configKey(host string) string {
	if registryHost(host) == defaultRegistry() {
		return "https://index." + defaultRegistry() + "/v1/"
	}
	return registryHost(host)
}

// registryOf is the registry of an image's name.
func registryOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}
