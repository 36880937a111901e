package testenv

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// recipeLabel holds, on an image of this package, the digest of the recipe that it was made by.
const recipeLabel = "testenv.recipe"

// Image makes an image with the given reference from a file tree in tar form and removes it after the test.
// Changes are Dockerfile instructions such as `ENV A=b` or `CMD ["sh"]`.
func (e Engine) Image(t testing.TB, reference string, tree io.Reader, changes ...string) string {
	t.Helper()
	if err := e.importImage(t.Context(), reference, tree, changes...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		if err := e.removeImage(ctx, reference); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	return reference
}

func (e Engine) removeImage(ctx context.Context, reference string) error {
	err := e.ask(ctx, http.MethodDelete, "/images/"+reference, nil, nil)
	if err != nil && !errors.Is(err, errNotFound) {
		return fmt.Errorf("remove image %s: %w", reference, err)
	}
	return nil
}

// ensureImage imports the image unless the engine has it by the same recipe.
func (e Engine) ensureImage(ctx context.Context, reference, recipe string, tree func(context.Context) (io.ReadCloser, error), changes ...string) error {
	isCurrent := func() (image, bool, error) {
		found, err := e.image(ctx, reference)
		if errors.Is(err, errNotFound) {
			return image{}, false, nil
		}
		return found, err == nil && found.Config.Labels[recipeLabel] == recipe, err
	}
	if _, current, err := isCurrent(); current || err != nil {
		return err
	}
	release, err := lock(ctx, filepath.Join(e.dir, "images.lock"))
	if err != nil {
		return err
	}
	defer release()
	older, current, err := isCurrent()
	if current || err != nil {
		return err
	}
	content, err := tree(ctx)
	if err != nil {
		return fmt.Errorf("image %s: %w", reference, err)
	}
	defer func() { _ = content.Close() }()
	if err := e.importImage(ctx, reference, content, append(changes, "LABEL "+recipeLabel+"="+recipe)...); err != nil {
		return err
	}
	if older.ID != "" {
		_ = e.removeImage(ctx, older.ID) // still used by a container: it goes with the engine's data one day
	}
	return nil
}

// ensureSmall makes SmallImage from the machine's static busybox.
func (e Engine) ensureSmall(ctx context.Context) error {
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("small image: %w (Debian package busybox-static)", err)
	}
	const layout = "1"
	return e.ensureImage(ctx, SmallImage, digest(layout, string(busybox)),
		func(context.Context) (io.ReadCloser, error) { return busyboxTree(busybox) }, `CMD ["sh"]`)
}

// busyboxTree is a file tree with busybox under the names of the tools that tests use.
func busyboxTree(busybox []byte) (io.ReadCloser, error) {
	var tree bytes.Buffer
	archive := tar.NewWriter(&tree)
	entries := []tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(busybox))},
	}
	for _, tool := range []string{
		"cat", "chmod", "cp", "dd", "echo", "env", "false", "head", "id", "kill", "ls", "mkdir", "mv", "printf", "ps", "pwd",
		"rm", "seq", "sh", "sleep", "sync", "tail", "test", "touch", "tr", "true", "uname", "wc", "yes",
	} {
		entries = append(entries, tar.Header{Name: "bin/" + tool, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777})
	}
	for _, entry := range entries {
		if err := archive.WriteHeader(&entry); err != nil {
			return nil, err
		}
		if entry.Size > 0 {
			if _, err := archive.Write(busybox); err != nil {
				return nil, err
			}
		}
	}
	return io.NopCloser(&tree), archive.Close()
}
