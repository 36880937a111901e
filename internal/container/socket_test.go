package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/host"
)

// places is this computer with engines where a test wants them: a socket that
// is not listed is not there.
type places struct {
	host.Host
	listens map[string]error
	asked   []string
}

func (p *places) Here() {}

func (p *places) Platform(context.Context) (host.Platform, error) {
	return host.Platform{OS: "linux", UID: 1000, GID: 1000, Home: "/home/user"}, nil
}

func (p *places) Open(context.Context, string) (host.File, error) { return nil, fs.ErrNotExist }

func (p *places) Dial(_ context.Context, _, address string) (net.Conn, error) {
	p.asked = append(p.asked, address)
	err, there := p.listens[address]
	if !there {
		err = &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}
	}
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return ours, nil
}

func TestFindSocket(t *testing.T) {
	denied := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	tests := []struct {
		name    string
		option  string
		env     map[string]string
		listens map[string]error
		want    string
		kind    Kind
	}{
		{name: "nothing at all", kind: NoEngine},
		{name: "docker", listens: map[string]error{"/var/run/docker.sock": nil, "/run/podman/podman.sock": nil}, want: "/var/run/docker.sock"},
		{name: "rootless docker", listens: map[string]error{"/run/user/1000/docker.sock": nil}, want: "/run/user/1000/docker.sock"},
		{
			name: "rootless docker elsewhere", env: map[string]string{"XDG_RUNTIME_DIR": "/run/me"},
			listens: map[string]error{"/run/me/docker.sock": nil}, want: "/run/me/docker.sock",
		},
		{name: "docker desktop", listens: map[string]error{"/home/user/.docker/run/docker.sock": nil}, want: "/home/user/.docker/run/docker.sock"},
		{name: "rootless podman", listens: map[string]error{"/run/user/1000/podman/podman.sock": nil}, want: "/run/user/1000/podman/podman.sock"},
		{name: "podman", listens: map[string]error{"/run/podman/podman.sock": nil}, want: "/run/podman/podman.sock"},
		{name: "docker that is not for us", listens: map[string]error{"/var/run/docker.sock": denied}, kind: PermissionDenied},
		{
			name:    "docker that is not for us, podman that is",
			listens: map[string]error{"/var/run/docker.sock": denied, "/run/user/1000/podman/podman.sock": nil},
			want:    "/run/user/1000/podman/podman.sock",
		},
		{name: "docker that does not run", listens: map[string]error{"/var/run/docker.sock": refused}, kind: NoEngine},
		{name: "option", option: "/opt/d.sock", listens: map[string]error{"/opt/d.sock": nil, "/var/run/docker.sock": nil}, want: "/opt/d.sock"},
		{name: "option as URL", option: "unix:///opt/d.sock", listens: map[string]error{"/opt/d.sock": nil}, want: "/opt/d.sock"},
		{name: "option that is not there", option: "/opt/d.sock", listens: map[string]error{"/var/run/docker.sock": nil}, kind: NoEngine},
		{name: "option that is not for us", option: "/opt/d.sock", listens: map[string]error{"/opt/d.sock": denied}, kind: PermissionDenied},
		{name: "option that does not run", option: "/opt/d.sock", listens: map[string]error{"/opt/d.sock": refused}, kind: Unreachable},
		{
			name: "DOCKER_HOST", env: map[string]string{"DOCKER_HOST": "unix:///opt/h.sock"},
			listens: map[string]error{"/opt/h.sock": nil, "/var/run/docker.sock": nil}, want: "/opt/h.sock",
		},
		{name: "DOCKER_HOST elsewhere", env: map[string]string{"DOCKER_HOST": "tcp://user:secret@10.0.0.1:2376?x=y"}, kind: NoEngine},
		{name: "context that is not there", env: map[string]string{"DOCKER_CONTEXT": "none"}, kind: NoEngine},
		{
			name: "context default", env: map[string]string{"DOCKER_CONTEXT": "default"},
			listens: map[string]error{"/var/run/docker.sock": nil}, want: "/var/run/docker.sock",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"} {
				t.Setenv(name, test.env[name])
			}
			p := &places{listens: test.listens}
			got, err := findSocket(t.Context(), p, test.option)
			if got != test.want || KindOf(err) != test.kind {
				t.Fatalf("socket %q, error %v of kind %q; want %q, %q", got, err, KindOf(err), test.want, test.kind)
			}
			if e, ok := errors.AsType[*Error](err); ok && e.Hint == "" {
				t.Errorf("no hint with %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a secret: %v", err)
			}
			if test.option != "" && slices.Contains(p.asked, "/var/run/docker.sock") {
				t.Error("another engine than the one named was asked")
			}
		})
	}
}

// remote is a host whose sshd says no more than that a dial did not work.
type remote struct {
	host.Host
	stat, writable error
	table          string // of all sockets; empty: it has none
}

func (remote) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("ssh: rejected: connect failed (open failed)")
}

func (r remote) Open(_ context.Context, name string) (host.File, error) {
	if r.table == "" || name != "/proc/net/unix" {
		return nil, fs.ErrNotExist
	}
	return table{strings.NewReader(r.table)}, nil
}

type table struct{ *strings.Reader }

func (table) Close() error               { return nil }
func (table) Stat() (fs.FileInfo, error) { return nil, fs.ErrInvalid }

func (r remote) Stat(context.Context, string) (fs.FileInfo, error) { return nil, r.stat }
func (r remote) Platform(context.Context) (host.Platform, error) {
	return host.Platform{UID: 1000}, nil
}

func (r remote) Run(_ context.Context, c host.Command) error {
	if c.Argv[0] == "test" {
		return r.writable
	}
	return nil
}

// socketLines are those of Linux's table of sockets, one of them with a path.
func socketLines(flags, path string) string {
	return "Num       RefCount Protocol Flags    Type St Inode Path\n" +
		"0000000000000000: 00000003 00000000 00000000 0001 03    77\n" +
		"0000000000000000: 00000002 00000000 " + flags + " 0001 01    78 " + path + "\n"
}

func TestWhyARemoteSocketCannotBeDialled(t *testing.T) {
	tests := []struct {
		name string
		host remote
		want Kind
	}{
		{"not there", remote{stat: fs.ErrNotExist}, NoEngine},
		{"not for us", remote{writable: &host.ExitError{}}, PermissionDenied},
		{"nobody listens", remote{}, NoEngine},
		{"nobody listens any more", remote{table: socketLines("00000000", "/run/docker.sock")}, NoEngine},
		{"others listen", remote{table: socketLines("00010000", "/run/docker.sock.old")}, NoEngine},
		{"forwarding is forbidden", remote{table: socketLines("00010000", "/run/docker.sock")}, NoForwarding},
		{"forwarding is forbidden, the place's other name", remote{table: socketLines("00010000", "/var/run/docker.sock")}, NoForwarding},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := findSocket(t.Context(), test.host, ""); KindOf(err) != test.want {
				t.Errorf("error %v of kind %q, want %q", err, KindOf(err), test.want)
			}
		})
	}
}

func TestDockerContextNamesTheEngine(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "engine.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	sum := sha256.Sum256([]byte("mine"))
	meta := filepath.Join(dir, "contexts/meta", hex.EncodeToString(sum[:]))
	if err := errors.Join(
		os.MkdirAll(meta, 0o700),
		os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"currentContext": "mine"}`), 0o600),
		os.WriteFile(filepath.Join(meta, "meta.json"), fmt.Appendf(nil, `{"Name": "mine", "Endpoints": {"docker": {"Host": "unix://%s"}}}`, socket), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("DOCKER_CONTEXT", "")
	t.Setenv("DOCKER_CONFIG", dir)
	got, err := findSocket(t.Context(), host.NewHere(dir), "")
	if err != nil || got != socket {
		t.Errorf("socket %q, %v; want %q", got, err, socket)
	}
}

// elsewhere is a host that is not this computer.
type elsewhere struct{ host.Host }

func TestVariablesOfAnotherHost(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///opt/x.sock")
	t.Setenv("DOCKER_CONTEXT", "")
	h := elsewhere{host.NewHere(t.TempDir())}
	if _, here := host.Host(h).(host.Local); here {
		t.Fatal("the host counts as this computer")
	}
	got, err := variables(t.Context(), h, []string{"DOCKER_HOST", "DOCKER_CONTEXT", "NOT_SET_AT_ALL"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"DOCKER_HOST": "unix:///opt/x.sock", "DOCKER_CONTEXT": ""}, got); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}

// fakeEngine answers on a socket as handler does.
func fakeEngine(t *testing.T, handler http.HandlerFunc) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "fe") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return socket
}

func TestOpenRefusesOldAndStrangeEngines(t *testing.T) {
	tests := []struct {
		name string
		api  string
		code int
		want Kind
	}{
		{"API 1.40", "1.40", http.StatusOK, EngineTooOld},
		{"API 1.24", "1.24", http.StatusOK, EngineTooOld},
		{"going down", "1.41", http.StatusServiceUnavailable, Unreachable},
		{"broken", "1.41", http.StatusInternalServerError, Failed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			socket := fakeEngine(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Api-Version", test.api)
				w.WriteHeader(test.code)
			})
			_, err := Open(t.Context(), host.NewHere(t.TempDir()), Options{Socket: socket})
			if KindOf(err) != test.want {
				t.Errorf("error %v of kind %q, want %q", err, KindOf(err), test.want)
			}
		})
	}
}
