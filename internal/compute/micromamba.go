package compute

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/inventory"
)

// Micromamba is the static micromamba that attaching puts on a machine, for
// environments there when it has no conda tool of its own.
type Micromamba struct {
	// Source is a file of this computer, or an address (https://); empty: the
	// project's own release for the machine.
	Source string `json:"source"`
	// SHA256 is its digest in hex. When the target is attached: what it must be,
	// empty: whatever it is. In a target that is attached: what it is.
	SHA256 string `json:"sha256,omitempty"`
	// Version is what it says of itself; only in a target that is attached.
	Version string `json:"version,omitempty"`
}

// MicromambaError is a micromamba that cannot be put on a machine.
type MicromambaError struct {
	Source string
	Advice string
	Err    error
}

func (e *MicromambaError) Error() string {
	return fmt.Sprintf("install micromamba from %s: %v", e.Source, e.Err)
}

func (e *MicromambaError) Unwrap() error { return e.Err }

// Hint says what a person can do.
func (e *MicromambaError) Hint() string { return e.Advice }

const (
	// toolsDir is where tools of ours are in our directory on a machine; recipes
	// and inventory look there.
	toolsDir       = "tools"
	micromambaName = "micromamba"
	runnable       = 0o700
	// maxMicromamba is how large it may be, in bytes.
	maxMicromamba     = 256 << 20
	micromambaTimeout = 5 * time.Minute
)

const releases = "https://github.com/mamba-org/micromamba-releases/releases/latest/download/micromamba-"

// releaseFor is the address of the project's own release for a system.
func releaseFor(s inventory.System) (string, error) {
	names := map[string]string{
		"linux/amd64": "linux-64", "linux/arm64": "linux-aarch64", "linux/ppc64le": "linux-ppc64le",
		"darwin/amd64": "osx-64", "darwin/arm64": "osx-arm64",
	}
	name, ok := names[s.OS+"/"+s.Arch]
	if !ok {
		return "", fmt.Errorf("there is no release for %s/%s", s.OS, s.Arch)
	}
	return releases + name, nil
}

// InstallMicromamba puts m on the machine and fills in what it is.
func (v *Visit) InstallMicromamba(ctx context.Context, m *Micromamba, s inventory.System) (err error) {
	fail := func(advice string, err error) error {
		return &MicromambaError{Source: m.Source, Advice: advice, Err: err}
	}
	if m.Source == "" {
		if m.Source, err = releaseFor(s); err != nil {
			return fail("name a file: --install-micromamba=FILE", err)
		}
	}
	program, err := m.read(ctx)
	if err != nil {
		return fail("check the address, or fetch it yourself and name the file: --install-micromamba=FILE", err)
	}
	sum := sha256.Sum256(program)
	digest := hex.EncodeToString(sum[:])
	if m.SHA256 != "" && !strings.EqualFold(m.SHA256, digest) {
		return fail("compare it with what the project tells; nothing was put on the machine",
			fmt.Errorf("its sha256 is %s, not %s", digest, strings.ToLower(m.SHA256)))
	}
	m.SHA256 = digest
	at := path.Join(v.c.Root(), toolsDir, micromambaName)
	if err := v.c.MkdirAll(ctx, path.Dir(at), privateDir); err != nil {
		return fail("", err)
	}
	if err := v.c.WriteFile(ctx, at, program, runnable); err != nil {
		return fail("", err)
	}
	var said bytes.Buffer
	if err := v.c.Run(ctx, host.Command{Argv: []string{at, "--version"}, Stdout: &said}); err != nil {
		return fail("is it a micromamba for "+s.OS+"/"+s.Arch+"?", fmt.Errorf("it does not run there: %w", err))
	}
	m.Version, _, _ = strings.Cut(strings.TrimSpace(said.String()), "\n")
	return nil
}

// read gives the program, from wherever it is.
func (m *Micromamba) read(ctx context.Context) ([]byte, error) {
	if !strings.Contains(m.Source, "://") {
		return os.ReadFile(m.Source)
	}
	address, err := url.Parse(m.Source)
	if err != nil {
		return nil, errors.New("it is no address")
	}
	if address.Scheme != "https" && m.SHA256 == "" && !isLoopback(address.Hostname()) {
		return nil, errors.New("what does not come over https needs --micromamba-sha256")
	}
	ctx, cancel := context.WithTimeout(ctx, micromambaTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Source, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the address is told already
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxMicromamba+1))
	if err != nil {
		return nil, fmt.Errorf("fetch it: %w", err)
	}
	if len(data) > maxMicromamba {
		return nil, fmt.Errorf("it is larger than %d MiB", maxMicromamba>>20)
	}
	return data, nil
}

func isLoopback(name string) bool {
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
