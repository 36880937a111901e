package container

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/runnerml/runner/internal/testenv"
)

// pushed is an image of size random bytes that is in the registry and nowhere else.
func (b bench) pushed(t *testing.T, r testenv.ImageRegistry, name string, size int) (ref string) {
	t.Helper()
	var tree bytes.Buffer
	archive := tar.NewWriter(&tree)
	if err := archive.WriteHeader(&tar.Header{Name: "random", Mode: 0o644, Size: int64(size)}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(archive, rand.Reader, int64(size)); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	local := b.docker.Image(t, "runner-test/"+strings.ToLower(rand.Text())+":1", &tree)
	ref = r.Push(local, name)
	if err := b.RemoveImage(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestPullAsksForALogin(t *testing.T) {
	b := newBench(t)
	r := testenv.Registry(t, true)
	ref := b.pushed(t, r, "team/secret:1", 100)
	right := &Auth{Username: r.User, Password: r.Password}
	wrong := &Auth{Username: r.User, Password: "wr0ng: $ecret"}
	tests := []struct {
		name string
		ref  string
		auth *Auth
		want Kind
	}{
		{"no login", ref, nil, LoginRequired},
		{"wrong password", ref, wrong, LoginRefused},
		{"unknown user", ref, &Auth{Username: "nobody", Password: "wr0ng: $ecret"}, LoginRefused},
		{"no such tag", r.Addr + "/team/secret:2", right, ImageNotFound},
		{"no such image", r.Addr + "/team/none:1", right, ImageNotFound},
		{"no registry", closedPort(t) + "/team/secret:1", right, RegistryUnreachable},
		{"no such host", "registry.invalid/team/secret:1", nil, RegistryUnreachable},
		{"no name", "Not A Name", nil, InvalidReference},
		{"right password", ref, right, ""},
		{"right password, again", ref, right, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			image, err := b.Pull(t.Context(), test.ref, test.auth, nil)
			if KindOf(err) != test.want {
				t.Fatalf("error %v of kind %q, want %q", err, KindOf(err), test.want)
			}
			if err == nil && (!strings.HasPrefix(image.ID, "sha256:") || image.Size < 100 || len(image.Digests) == 0) {
				t.Errorf("image %+v", image)
			}
			if err != nil && (strings.Contains(err.Error(), wrong.Password) || strings.Contains(err.Error(), r.Password)) {
				t.Errorf("the error tells a password: %v", err)
			}
			if e, ok := err.(*Error); ok && e.Hint == "" {
				t.Errorf("no hint with %v", err)
			}
		})
	}
}

// closedPort is an address on loopback where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func TestPullUsesTheStoredLogin(t *testing.T) {
	b := newBench(t)
	r := testenv.Registry(t, true)
	ref := b.pushed(t, r, "team/stored:1", 100)
	encoded := base64.StdEncoding.EncodeToString([]byte(r.User + ":" + r.Password))
	answer, err := json.Marshal(map[string]string{"Username": r.User, "Secret": r.Password})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		config string
		want   Kind
	}{
		{"by docker login", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, r.Addr, encoded), ""},
		{"with a scheme", fmt.Sprintf(`{"auths": {"http://%s/v2/": {"auth": %q}}}`, r.Addr, encoded), ""},
		{"of another registry", fmt.Sprintf(`{"auths": {"example.com": {"auth": %q}}}`, encoded), LoginRequired},
		{"in a credential helper", fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, r.Addr), ""},
		{"in the default helper", `{"credsStore": "test"}`, ""},
		{"in a helper that is not there", `{"credsStore": "none"}`, LoginRequired},
		{"in a helper that is no name", `{"credsStore": "../x"}`, Failed},
		{"in no JSON", `{"auths": `, Failed},
	}
	bin := t.TempDir()
	helper := fmt.Sprintf("#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get %s' ] || exit 1\ncat <<'END'\n%s\nEND\n", r.Addr, answer)
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("DOCKER_CONFIG", dir)
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(test.config), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := b.RemoveImage(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			_, err := b.Pull(t.Context(), ref, nil, nil)
			if KindOf(err) != test.want {
				t.Errorf("error %v of kind %q, want %q", err, KindOf(err), test.want)
			}
			if err != nil && strings.Contains(err.Error(), r.Password) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestPullTellsItsProgress(t *testing.T) {
	b := newBench(t)
	r := testenv.Registry(t, false)
	const size = 8 << 20
	ref := b.pushed(t, r, "team/big:1", size)
	var seen []Progress
	if _, err := b.Pull(t.Context(), ref, nil, func(p Progress) { seen = append(seen, p) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 {
		t.Fatal("no progress")
	}
	last := seen[len(seen)-1]
	if last.Total < size || last.Done != last.Total || last.Layers != 1 || last.Ready != 1 {
		t.Errorf("the last progress is %+v, want all of at least %d bytes and 1 of 1 layers", last, size)
	}
	between := false
	for i, p := range seen {
		if p.Done > p.Total || i > 0 && p.Done < seen[i-1].Done {
			t.Errorf("progress goes wrong: %+v", seen)
		}
		between = between || p.Done > 0 && p.Done < p.Total
	}
	if !between {
		t.Errorf("nothing between the beginning and the end: %+v", seen)
	}
}

func TestPullsAtOnceAreOne(t *testing.T) {
	b := newBench(t)
	r := testenv.Registry(t, false)
	ref := b.pushed(t, r, "team/once:1", 4<<20)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := b.Pull(t.Context(), ref, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// asFor offers a pushed image under another tag, as one for another platform only.
func asFor(t *testing.T, ref, tag, system, arch string) string {
	t.Helper()
	name, old, _ := strings.Cut(strings.TrimPrefix(ref, strings.SplitAfter(ref, "/")[0]), ":")
	base := "http://" + registryOf(ref) + "/v2/" + name + "/manifests/"
	ask := func(method, address, kind string, body []byte) (*http.Response, []byte) {
		request, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", kind)
		request.Header.Set("Content-Type", kind)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		said, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode >= http.StatusMultipleChoices {
			t.Fatalf("%s %s: %s: %s %v", method, address, response.Status, said, err)
		}
		return response, said
	}
	const one = "application/vnd.docker.distribution.manifest.v2+json"
	const list = "application/vnd.docker.distribution.manifest.list.v2+json"
	response, manifest := ask(http.MethodGet, base+old, one, nil)
	index := fmt.Appendf(nil, `{"schemaVersion": 2, "mediaType": %q, "manifests": [{"mediaType": %q, "size": %d, "digest": %q, "platform": {"os": %q, "architecture": %q}}]}`,
		list, one, len(manifest), response.Header.Get("Docker-Content-Digest"), system, arch)
	ask(http.MethodPut, base+tag, list, index)
	return registryOf(ref) + "/" + name + ":" + tag
}

func TestPullForAnotherPlatform(t *testing.T) {
	b := newBench(t)
	r := testenv.Registry(t, false)
	ref := asFor(t, b.pushed(t, r, "team/multi:1", 100), "other", "linux", "s390x")
	if _, err := b.Pull(t.Context(), ref, nil, nil); KindOf(err) != WrongPlatform {
		t.Errorf("error %v of kind %q, want %q", err, KindOf(err), WrongPlatform)
	}
}

func TestPullFromAnEngineThatGoesAway(t *testing.T) {
	for _, half := range []string{"", `{"status": "Downloading", "id": "a", "progressDetail": {"curr`, "{\"status\": \"Pulling fs layer\", \"id\": \"a\"}\n"} {
		t.Run(half, func(t *testing.T) {
			socket := fakeEngine(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Api-Version", "1.41")
				if !strings.HasSuffix(r.URL.Path, "/images/create") {
					_, _ = io.WriteString(w, "{}")
					return
				}
				_, _ = io.WriteString(w, half)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
			e := openAt(t, socket, t.TempDir())
			_, err := e.Pull(t.Context(), "127.0.0.1:1/x", nil, nil)
			if KindOf(err) != Unreachable {
				t.Errorf("error %v of kind %q, want %q", err, KindOf(err), Unreachable)
			}
		})
	}
}
