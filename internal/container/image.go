package container

import (
	"context"
	"fmt"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"
)

// Image is an image that the engine has.
type Image struct {
	// ID is the image's own digest, "sha256:...".
	ID   string
	Tags []string
	// Digests are names by digest, as registries know it: "name@sha256:...".
	Digests []string
	// OS and Arch that it was built for, in Go's words.
	OS, Arch string
	// Size in bytes.
	Size    int64
	Created time.Time
	// TaggedAt is when it was given a name last, as far as the engine knows.
	TaggedAt time.Time
	// LastUsed is when it was made, tagged or used by a container last, as far
	// as the engine knows. See Touch.
	LastUsed time.Time
	Labels   map[string]string
	// Entrypoint, Env, User and WorkingDir that it brings.
	Entrypoint []string
	Env        []string
	User       string
	WorkingDir string
}

// ParseReference normalises an image's name: the default registry, library/ and :latest
// are filled in. A name without a registry gets registry's, when there is one.
func ParseReference(name, registry string) (string, error) {
	op := fmt.Sprintf("image %q", name)
	if registry != "" {
		host := registryHost(registry)
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return "", newError(InvalidReference, op, err)
		}
		// "team/image" is the default registry's unless that was written.
		if reference.FamiliarString(named) == name && reference.Domain(named) == defaultRegistry() && host != defaultRegistry() {
			name = host + "/" + name
		}
	}
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", newError(InvalidReference, op, err)
	}
	return named.String(), nil
}

// Inspect says what the engine has by this name or id. An error of kind
// ImageNotFound means that it has none.
func (e *Engine) Inspect(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := brief(ctx)
	defer cancel()
	answer, err := e.api.ImageInspect(ctx, ref)
	if err != nil {
		op := "inspect image " + ref
		if err := wrap(ctx, op, err); KindOf(err) != NotFound {
			return Image{}, err
		}
		return Image{}, newError(ImageNotFound, op, plain(err))
	}
	return imageOf(answer.InspectResponse), nil
}

func imageOf(r image.InspectResponse) Image {
	i := Image{
		ID: r.ID, Tags: r.RepoTags, Digests: r.RepoDigests, OS: r.Os, Arch: r.Architecture, Size: r.Size,
		Created: parseTime(r.Created), TaggedAt: r.Metadata.LastTagTime,
	}
	i.LastUsed = later(i.Created, i.TaggedAt)
	if c := r.Config; c != nil {
		i.Labels, i.Entrypoint, i.Env, i.User, i.WorkingDir = c.Labels, c.Entrypoint, c.Env, c.User, c.WorkingDir
	}
	return i
}

// Images lists the images that have all of the labels ("NAME=value" or "NAME").
func (e *Engine) Images(ctx context.Context, labels ...string) ([]Image, error) {
	const op = "list images"
	ctx, cancel := brief(ctx)
	defer cancel()
	listed, err := e.api.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("label", labels...)})
	if err != nil {
		return nil, wrap(ctx, op, err)
	}
	containers, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, wrap(ctx, op, err)
	}
	used := make(map[string]time.Time, len(containers.Items))
	for _, c := range containers.Items {
		used[c.ImageID] = later(used[c.ImageID], time.Unix(c.Created, 0))
	}
	images := make([]Image, 0, len(listed.Items))
	for _, s := range listed.Items {
		found, err := e.Inspect(ctx, s.ID)
		switch {
		case KindOf(err) == ImageNotFound: // removed meanwhile
			continue
		case err != nil:
			return nil, err
		}
		found.LastUsed = later(found.LastUsed, used[s.ID])
		images = append(images, found)
	}
	return images, nil
}

// Touch marks an image as used now: it is tagged once more with its own tag.
func (e *Engine) Touch(ctx context.Context, tag string) error {
	ctx, cancel := brief(ctx)
	defer cancel()
	_, err := e.api.ImageTag(ctx, client.ImageTagOptions{Source: tag, Target: tag})
	return wrap(ctx, "tag image "+tag, err)
}

// RemoveImage takes a tag away, and the image when it was its last. One that
// is not there is fine; one that a container uses gives an error of kind InUse.
func (e *Engine) RemoveImage(ctx context.Context, tag string) error {
	op := "remove image " + tag
	_, err := e.api.ImageRemove(ctx, tag, client.ImageRemoveOptions{PruneChildren: true})
	if err == nil {
		return nil
	}
	wrapped := wrap(ctx, op, err)
	switch {
	case KindOf(wrapped) == ImageNotFound, KindOf(wrapped) == NotFound:
		return nil
	case isConflict(err):
		return newError(InUse, op, plain(err))
	}
	return wrapped
}

// parseTime reads a time of the engine; the zero time when it has none.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
