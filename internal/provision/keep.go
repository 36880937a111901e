package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/environment"
	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
)

// usedFile in an environment's directory was written when it was used last.
const usedFile = "runner-used"

// touchEvery is how exact the time of the last use is.
const touchEvery = 10 * time.Minute

func (p *Provisioner) touch(ctx context.Context, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touchLocked(ctx, digest)
}

func (p *Provisioner) touchLocked(ctx context.Context, digest string) {
	now := time.Now()
	if now.Sub(p.touched[digest]) < touchEvery {
		return
	}
	const readable = 0o600
	name := path.Join(p.place(digest).prefix, usedFile)
	if err := p.Host.WriteFile(ctx, name, nil, readable); err == nil { // else it only seems unused for longer
		p.touched[digest] = now
	}
}

// Info is an environment that is on the host.
type Info struct {
	Digest string
	Kind   environment.Kind
	// Tool that made it, and the Python inside; empty for images.
	Tool, Python string
	// Image is its name in the engine, for kinds with one.
	Image string
	// Pulled: it is an image that we pulled, whose name stands for its Digest.
	Pulled bool
	// Bytes on the disk.
	Bytes          int64
	MadeAt, UsedAt time.Time
}

var hexName = regexp.MustCompile(`^[0-9a-f]{16,}$`)

// List tells the environments on the host: the directories, and the images
// that were made here when there is an engine.
func (p *Provisioner) List(ctx context.Context) ([]Info, error) {
	entries, err := p.Host.ReadDir(ctx, p.root())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	var all []Info
	for _, entry := range entries {
		if !hexName.MatchString(entry.Name()) {
			continue
		}
		info, err := p.info(ctx, path.Join(p.root(), entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // not whole, or removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list environments: %w", err)
		}
		all = append(all, info)
	}
	images, err := p.listImages(ctx)
	return append(all, images...), err
}

func (p *Provisioner) info(ctx context.Context, prefix string) (Info, error) {
	data, err := readAll(ctx, p.Host, path.Join(prefix, environment.ReadyFile))
	if err != nil {
		return Info{}, err
	}
	ready, err := environment.ParseReady(data)
	if err != nil {
		return Info{}, err
	}
	info := Info{
		Digest: ready.Digest, Kind: ready.Kind, Tool: ready.Tool, Python: ready.PythonVersion, MadeAt: ready.MadeAt, UsedAt: ready.MadeAt,
	}
	if used, err := p.Host.Stat(ctx, path.Join(prefix, usedFile)); err == nil {
		info.UsedAt = used.ModTime()
	}
	info.Bytes, err = p.size(ctx, prefix)
	return info, err
}

// size of a tree on the disk; zero when it is not there.
func (p *Provisioner) size(ctx context.Context, name string) (int64, error) {
	if _, err := p.Host.Stat(ctx, name); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	var out bytes.Buffer
	if err := p.Host.Run(ctx, host.Command{Argv: []string{"du", "-sk", "--", name}, Stdout: &out}); err != nil {
		return 0, err
	}
	blocks, _, _ := strings.Cut(out.String(), "\t")
	kib, err := strconv.ParseInt(strings.TrimSpace(blocks), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", name, err)
	}
	return kib << 10, nil
}

func (p *Provisioner) listImages(ctx context.Context) ([]Info, error) {
	engine, err := p.engine(ctx)
	if err != nil {
		return nil, nil //nolint:nilerr // a machine without an engine has no images
	}
	images, err := engine.Images(ctx, labelEnvironment, container.LabelHome+"="+p.Home)
	if err != nil {
		return nil, fmt.Errorf("list environments: %w", err)
	}
	var all []Info
	for _, i := range images {
		if len(i.Tags) == 0 {
			continue
		}
		kind := environment.Kind(i.Labels[labelKind])
		if kind == "" {
			kind = environment.ImageBuild // made before images said it
		}
		all = append(all, Info{
			Digest: i.Labels[labelEnvironment], Kind: kind, Image: i.Tags[0], Bytes: i.Size, MadeAt: i.Created, UsedAt: i.LastUsed,
		})
	}
	return all, nil
}

// ErrInUse says that an environment is needed and stays.
var ErrInUse = errors.New("the environment is in use")

// Remove takes an environment away, directory or images. One that an attempt
// has or is being made is ErrInUse; one that is not there is fine.
func (p *Provisioner) Remove(ctx context.Context, digest string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.builds.busy(digest) {
		return ErrInUse
	}
	used, err := p.inUse(ctx)
	if err != nil {
		return fmt.Errorf("remove environment: %w", err)
	}
	if used[digest] {
		return ErrInUse
	}
	if !hexName.MatchString(hexOf(digest)) {
		return fmt.Errorf("remove environment: %q is no digest", digest)
	}
	at := p.place(digest)
	// The ready file first: what a cut leaves must not look whole.
	for _, name := range []string{path.Join(at.prefix, environment.ReadyFile), at.prefix} {
		if err := p.Host.RemoveAll(ctx, name); err != nil {
			return fmt.Errorf("remove environment: %w", err)
		}
	}
	delete(p.touched, digest)
	if err := p.clear(ctx, at); err != nil {
		return fmt.Errorf("remove environment: %w", err)
	}
	images, err := p.listImages(ctx)
	if err != nil {
		return err
	}
	for _, i := range images {
		if i.Digest != digest {
			continue
		}
		engine, err := p.engine(ctx)
		if err != nil {
			return err
		}
		err = engine.RemoveImage(ctx, i.Image)
		if container.KindOf(err) == container.InUse {
			return ErrInUse
		}
		if err != nil {
			return fmt.Errorf("remove environment: %w", err)
		}
	}
	return nil
}

// Lock tells the exact versions of what is in an environment that is there:
// for an image its name by digest, or its id when it is in no registry.
func (p *Provisioner) Lock(ctx context.Context, r *environment.Resolved) (string, error) {
	switch r.Kind {
	case environment.Existing:
		return "", nil
	case environment.Venv, environment.CondaEnv:
		data, err := readAll(ctx, p.Host, path.Join(p.place(r.Digest).prefix, environment.LockFile))
		if err != nil {
			return "", fmt.Errorf("lock of environment: %w", err)
		}
		return string(data), nil
	case environment.Image, environment.ImageBuild, environment.Dockerfile:
	}
	engine, err := p.engine(ctx)
	if err != nil {
		return "", err
	}
	plan, err := p.planImage(ctx, r, nil)
	if err != nil {
		return "", err
	}
	image, err := engine.Inspect(ctx, plan.reference)
	if err != nil {
		return "", FailureOf(err)
	}
	lines := image.Digests
	if len(lines) == 0 {
		lines = []string{image.ID}
	}
	return strings.Join(lines, "\n") + "\n", nil
}

func readAll(ctx context.Context, h host.Host, name string) ([]byte, error) {
	f, err := h.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(f)
}
