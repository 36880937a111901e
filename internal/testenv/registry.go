package testenv

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// ImageRegistry is a running image registry on loopback, empty at first.
type ImageRegistry struct {
	Addr     string // 127.0.0.1:PORT, the first part of its images' references
	User     string // empty when it wants no login
	Password string

	t testing.TB
}

// Registry starts an image registry that lasts until the test ends. With auth it refuses everyone but User with
// Password. The engine of [Docker] speaks to it as it is, without TLS.
func Registry(t testing.TB, auth bool) ImageRegistry {
	t.Helper()
	return begin(t, "image registry", func(context.Context) (ImageRegistry, error) {
		return startRegistry(t, auth)
	})
}

func startRegistry(t testing.TB, auth bool) (ImageRegistry, error) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return ImageRegistry{}, fmt.Errorf("%w (Debian package docker-registry)", err)
	}
	dir := t.TempDir()
	registry := ImageRegistry{t: t}
	access := ""
	if auth {
		registry.User, registry.Password = "runner", "right password: \"quoted\" $HOME"
		hash, err := bcrypt.GenerateFromPassword([]byte(registry.Password), bcrypt.MinCost)
		if err != nil {
			return ImageRegistry{}, err
		}
		passwords := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(passwords, fmt.Appendf(nil, "%s:%s\n", registry.User, hash), 0o600); err != nil {
			return ImageRegistry{}, err
		}
		access = fmt.Sprintf("auth:\n  htpasswd: {realm: runner-test, path: %q}\n", passwords)
	}
	// The free port may be taken by somebody else before the registry has it.
	var problems []error
	for range 5 {
		registry.Addr, err = freeAddress()
		if err != nil {
			return ImageRegistry{}, err
		}
		config := filepath.Join(dir, "registry.yml")
		content := fmt.Sprintf("version: 0.1\nlog: {level: warn, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: %q}\n  delete: {enabled: true}\nhttp: {addr: %q, secret: only-one-registry}\n%s",
			filepath.Join(dir, "data"), registry.Addr, access)
		if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
			return ImageRegistry{}, err
		}
		cmd := exec.Command(program, "serve", config)
		cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
		err = owned(t, cmd, filepath.Join(dir, "registry.log"), registry.answers)
		if err == nil {
			return registry, nil
		}
		problems = append(problems, err)
	}
	return ImageRegistry{}, errors.Join(problems...)
}

// answers says whether the registry is up, wanting a login or not.
func (r ImageRegistry) answers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Addr+"/v2/", nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.Header.Get("Docker-Distribution-Api-Version") != ""
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// Push copies an image of [Docker]'s engine (its Base, its Small, or one made by [Engine.Image]) into the registry
// under a name such as "team/train:1" and returns the reference to pull it by. The engine keeps no copy under that
// reference: pulling it asks the registry. (It keeps the layers as long as the original image is there.)
func (r ImageRegistry) Push(image, name string) string {
	r.t.Helper()
	e := Docker(r.t)
	reference := r.Addr + "/" + name
	if err := r.push(r.t.Context(), e, image, reference); err != nil {
		r.t.Fatalf("testenv: push %s: %v", reference, err)
	}
	r.t.Cleanup(func() { // what the test has pulled
		ctx, cancel := cleanupContext(r.t)
		defer cancel()
		if err := e.removeImage(ctx, reference); err != nil {
			r.t.Logf("testenv: %v", err)
		}
	})
	return reference
}

func (r ImageRegistry) push(ctx context.Context, e Engine, image, reference string) (err error) {
	if err := e.ask(ctx, http.MethodPost, "/images/"+image+"/tag", tagQuery(reference), nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.removeImage(ctx, reference)) }()
	login, err := json.Marshal(map[string]string{"username": r.User, "password": r.Password, "serveraddress": r.Addr})
	if err != nil {
		return err
	}
	repository := tagQuery(reference)
	return e.progress(ctx, "/images/"+repository.Get("repo")+"/push", url.Values{"tag": repository["tag"]},
		http.Header{"X-Registry-Auth": {base64.URLEncoding.EncodeToString(login)}}, nil)
}
