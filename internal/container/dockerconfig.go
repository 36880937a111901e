package container

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/runnerml/runner/internal/host"
)

// maxConfig is more than any docker configuration file has, in bytes.
const maxConfig = 4 << 20

// dockerConfig is what we use of docker's config.json.
type dockerConfig struct {
	CurrentContext string                `json:"currentContext"`
	Auths          map[string]storedAuth `json:"auths"`
	CredsStore     string                `json:"credsStore"`
	CredHelpers    map[string]string     `json:"credHelpers"`
}

// readDockerConfig reads docker's config.json; one that is not there is empty.
func readDockerConfig(ctx context.Context, h host.Host, dir string) (dockerConfig, error) {
	var c dockerConfig
	err := readJSON(ctx, h, path.Join(dir, "config.json"), &c)
	if errors.Is(err, fs.ErrNotExist) {
		return dockerConfig{}, nil
	}
	return c, err
}

// contextEndpoint is where the engine of a docker context listens.
func contextEndpoint(ctx context.Context, h host.Host, dir, name string) (string, error) {
	sum := sha256.Sum256([]byte(name))
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	err := readJSON(ctx, h, path.Join(dir, "contexts", "meta", hex.EncodeToString(sum[:]), "meta.json"), &meta)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no docker context %q", name)
	case err != nil:
		return "", err
	case meta.Endpoints["docker"].Host == "":
		return "", fmt.Errorf("docker context %q names no engine", name)
	}
	return meta.Endpoints["docker"].Host, nil
}

// readJSON reads a file of the host. Its content may be secret and is in no error.
func readJSON(ctx context.Context, h host.Host, file string, into any) error {
	f, err := h.Open(ctx, file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: it is not the JSON that docker writes", file)
	}
	return nil
}
