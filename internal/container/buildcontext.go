package container

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// ownDockerfile is the name in the context of a Dockerfile that is given by
// its content, so that it hides no file of the user's.
const ownDockerfile = ".dev.runner.Dockerfile"

// context is the build context as a tar stream, and the Dockerfile's name in it.
func (b *BuildRequest) context() (stream io.ReadCloser, dockerfile string, err error) {
	if len(b.Files) > 0 && b.ContextTar != nil {
		return nil, "", errors.New("both files and a context are given")
	}
	dockerfile = "Dockerfile"
	if len(b.Dockerfile) > 0 {
		dockerfile = ownDockerfile
	}
	for name := range b.Files {
		if !isSafeName(name) {
			return nil, "", fmt.Errorf("%q cannot be a file of a build context", name)
		}
	}
	out, in := io.Pipe()
	go func() { _ = in.CloseWithError(b.pack(in)) }()
	return out, dockerfile, nil
}

// pack writes the context.
func (b *BuildRequest) pack(to io.Writer) error {
	archive := tar.NewWriter(to)
	if b.ContextTar != nil {
		if err := copyTar(archive, b.ContextTar); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		if err := packFile(archive, name, b.Files[name]); err != nil {
			return err
		}
	}
	if len(b.Dockerfile) > 0 {
		if err := packFile(archive, ownDockerfile, b.Dockerfile); err != nil {
			return err
		}
	}
	return archive.Close()
}

func packFile(archive *tar.Writer, name string, content []byte) error {
	const mode = 0o644
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0)}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	_, err := archive.Write(content)
	return err
}

// copyTar copies a tar stream's entries, and refuses those that would lead out
// of the directory that it is unpacked into.
func copyTar(to *tar.Writer, from io.Reader) error {
	for in := tar.NewReader(from); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read build context: %w", err)
		}
		if !isSafeName(strings.TrimSuffix(header.Name, "/")) {
			return fmt.Errorf("%q cannot be a file of a build context", header.Name)
		}
		if err := to.WriteHeader(header); err != nil {
			return fmt.Errorf("pack %s: %w", header.Name, err)
		}
		if _, err := io.Copy(to, in); err != nil {
			return fmt.Errorf("pack %s: %w", header.Name, err)
		}
	}
}

// isSafeName reports whether name stays inside whatever directory it is in.
func isSafeName(name string) bool {
	clean := path.Clean(strings.TrimPrefix(name, "./"))
	return name != "" && fs.ValidPath(clean) && !strings.ContainsRune(name, 0)
}
