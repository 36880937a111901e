package environment

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

//go:embed recipe/image.sh
var imageScript string

// ImageRecipe makes an image of a base image and the Python part of an
// environment. It needs nothing of BuildKit.
type ImageRecipe struct {
	// Base image's reference and Tag of the image to make. The tag covers the
	// environment's digest and the base.
	Base, Tag string
	// Dockerfile and the Files beside it (by name) are the build context.
	Dockerfile string
	Files      map[string][]byte
	// BuildArgs are the names of the build arguments that the Dockerfile takes,
	// besides the proxies that every builder knows. Docker's history of the
	// image shows their values.
	BuildArgs []string
}

// BuildArgs are the environment variables that change how packages are fetched,
// so that an image build should be given those that are set.
func BuildArgs() []string {
	return []string{
		"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES",
		"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX", "UV_INSECURE_HOST",
		"CONDA_CHANNEL_ALIAS",
	}
}

// Where a made image keeps its records.
const (
	ImageLock  = imageDirectory + "/" + LockFile
	ImageReady = imagePrefix + "/" + ReadyFile
)

// ImageRecipe gives the build of the image; base is a reference, already
// chosen where the spec says cpu or gpu. buildArgs are those of BuildArgs that
// will be passed. Only the kind image+python has one.
func (r *Resolved) ImageRecipe(base string, buildArgs ...string) (ImageRecipe, error) {
	if r.Kind != ImageBuild {
		return ImageRecipe{}, fmt.Errorf("image recipe: kind %s has none", r.Kind)
	}
	if builtinImage(base) || base == "" {
		return ImageRecipe{}, errors.New("image recipe: the base image is not chosen")
	}
	named, err := reference.ParseAnyReference(base)
	if err != nil {
		return ImageRecipe{}, fmt.Errorf("image recipe: base image %q: %w", base, err)
	}
	for _, name := range buildArgs {
		if !slices.Contains(BuildArgs(), name) {
			return ImageRecipe{}, fmt.Errorf("image recipe: %q is no build argument", name)
		}
	}
	inside := *r
	inside.Kind = Venv
	if r.Conda != nil {
		inside.Kind = CondaEnv
	}
	recipe, err := inside.Recipe(imagePrefix)
	if err != nil {
		return ImageRecipe{}, err
	}
	sum := sha256.Sum256([]byte(r.Digest + "\n" + named.String()))
	out := ImageRecipe{
		Base: base,
		Tag:  imageTag(hex.EncodeToString(sum[:])),
		Files: map[string][]byte{
			"environment.sh": []byte(recipe.Script),
			"python.sh":      []byte(imageScript),
		},
		BuildArgs: buildArgs,
	}
	out.Dockerfile = r.dockerfile(base, buildArgs)
	return out, nil
}

func (r *Resolved) dockerfile(base string, buildArgs []string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("FROM %s", base)
	line("USER 0")
	for _, name := range buildArgs {
		line("ARG %s", name)
	}
	line("COPY environment.sh python.sh %s/", imageDirectory)
	prepare := "true"
	if r.Conda == nil {
		prepare = "/bin/sh " + imageDirectory + "/python.sh"
		if r.PythonVersion != "" {
			prepare += " fetched"
		}
	}
	line("RUN %s && /bin/sh %s/environment.sh && cp %s/%s %s && chmod -R a+rX %s",
		prepare, imageDirectory, imagePrefix, LockFile, ImageLock, imageDirectory)
	name := "VIRTUAL_ENV"
	if r.Conda != nil {
		name = "CONDA_PREFIX"
	}
	line("ENV PATH=%s/bin:$PATH %s=%s PYTHONNOUSERSITE=1", imagePrefix, name, imagePrefix)
	line(`LABEL dev.runner.environment="%s"`, r.Digest)
	return b.String()
}
