package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What BaseImage is made of. Whoever changes how it is made (not only these words) changes baseLayout too.
const (
	baseLayout   = "1"
	baseSuite    = "bookworm"
	basePackages = "ca-certificates,python3,python3-pip,python3-venv"
	// caBundle is the machine's own, taken along so that a package index reached here is reached in a container.
	caBundle = "/etc/ssl/certs/ca-certificates.crt"
)

// baseWithout is left out of the image: caches, and texts that no test reads.
var baseWithout = []string{
	"./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*", "./usr/share/doc/*", "./usr/share/locale/*", "./usr/share/man/*",
}

// ensureBase puts BaseImage into the engine, from the cached file tree; that is made when it is missing or its
// recipe has changed.
func (e Engine) ensureBase(ctx context.Context) error {
	bundle, err := os.ReadFile(caBundle)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("base image: %w", err)
	}
	recipe := digest(append([]string{baseLayout, baseSuite, basePackages, string(bundle)}, baseWithout...)...)
	return e.ensureImage(ctx, BaseImage, recipe, func(ctx context.Context) (io.ReadCloser, error) {
		return baseTree(ctx, recipe, bundle)
	}, "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8", `CMD ["python3"]`)
}

// baseTree opens the cached file tree of a recipe.
func baseTree(ctx context.Context, recipe string, bundle []byte) (io.ReadCloser, error) {
	dir, err := stateSubdir("base")
	if err != nil {
		return nil, err
	}
	release, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer release()
	path := filepath.Join(dir, recipe+".tar")
	if tree, err := os.Open(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return tree, err
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("debootstrap: %w", errNeedsRoot)
	}
	// What a killed run left half-made, and trees of older recipes.
	leftovers, err := filepath.Glob(filepath.Join(dir, "*[rt]")) // root-*.part and *.tar; not the lock
	if err != nil {
		return nil, err
	}
	for _, leftover := range leftovers {
		if err := removeTree(leftover); err != nil {
			return nil, err
		}
	}
	if err := makeBaseTree(ctx, filepath.Join(dir, "root.part"), path, bundle); err != nil {
		return nil, err
	}
	return os.Open(path)
}

func makeBaseTree(ctx context.Context, root, path string, bundle []byte) (err error) {
	defer func() { err = errors.Join(err, removeTree(root)) }()
	args := []string{"--variant=minbase", "--include=" + basePackages, baseSuite, root}
	if mirror := os.Getenv("RUNNER_TESTENV_MIRROR"); mirror != "" { // in place of debootstrap's default
		args = append(args, mirror)
	}
	bootstrap := exec.CommandContext(ctx, "debootstrap", args...)
	if text, err := output(bootstrap); err != nil {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-8):], "\n"))
	}
	if len(bundle) > 0 {
		if err := os.WriteFile(filepath.Join(root, caBundle), bundle, 0o644); err != nil {
			return err
		}
	}
	args = []string{"--create", "--file", path + ".part", "--directory", root, "--numeric-owner"}
	for _, pattern := range baseWithout {
		args = append(args, "--exclude="+pattern)
	}
	if _, err := output(exec.CommandContext(ctx, "tar", append(args, ".")...)); err != nil {
		return errors.Join(err, os.Remove(path+".part"))
	}
	return os.Rename(path+".part", path)
}

// digest names a recipe by its parts.
func digest(parts ...string) string {
	sum := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s\n", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
