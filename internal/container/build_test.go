package container

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/internal/testenv"
)

// tag is a name for an image of this test, which is removed after it.
func (b bench) tag(t *testing.T, name string) string {
	t.Helper()
	tag := "runner-test/" + b.home + "-" + name + ":1"
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		if err := b.RemoveImage(ctx, tag); err != nil {
			t.Errorf("remove: %v", err)
		}
	})
	return tag
}

func TestBuild(t *testing.T) {
	b := newBench(t)
	tag := b.tag(t, "built")
	var log bytes.Buffer
	var seen []Progress
	image, err := b.Build(t.Context(), BuildRequest{
		Tag:        tag,
		Dockerfile: []byte("FROM " + b.docker.Small + "\nARG WHO\nCOPY dir/ /data/\nRUN echo hello $WHO; cat /data/é\\ file\n"),
		Files:      map[string][]byte{"dir/é file": []byte("content\n"), "Dockerfile": []byte("not this one")},
		BuildArgs:  map[string]string{"WHO": "world"},
		Labels:     map[string]string{LabelHome: b.home},
	}, &log, func(p Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if image.ID == "" || image.Labels[LabelHome] != b.home || !slices.Contains(image.Tags, tag) {
		t.Errorf("image %+v", image)
	}
	if !strings.Contains(log.String(), "hello world\ncontent\n") {
		t.Errorf("the log lacks what the step said:\n%s", log.String())
	}
	if last := seen[len(seen)-1]; last.Step < 4 || last.Step != last.Steps { // some engines count labels
		t.Errorf("the last progress is %+v, want the last of at least 4 steps", last)
	}
	listed, err := b.Images(t.Context(), LabelHome+"="+b.home)
	if err != nil || len(listed) != 1 || listed[0].ID != image.ID {
		t.Errorf("listed %+v, %v; want the image alone", listed, err)
	}
	user := b.spec("user", "true")
	user.Image = tag
	id, err := b.Create(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.RemoveImage(t.Context(), tag); KindOf(err) != InUse {
		t.Errorf("remove while a container uses it: %v of kind %q, want %q", err, KindOf(err), InUse)
	}
	if err := b.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	before := image.LastUsed
	if err := b.Touch(t.Context(), tag); err != nil {
		t.Fatal(err)
	}
	if touched, err := b.Inspect(t.Context(), tag); err != nil || !touched.LastUsed.After(before) {
		t.Errorf("last used %v, %v; want after %v", touched.LastUsed, err, before)
	}
}

func TestBuildOfATar(t *testing.T) {
	b := newBench(t)
	var tree bytes.Buffer
	archive := tar.NewWriter(&tree)
	for _, f := range []struct {
		header tar.Header
		text   string
	}{
		{tar.Header{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755}, ""},
		{tar.Header{Name: "./bin/run", Mode: 0o755}, "#!/bin/sh\necho ran\n"},
		{tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "bin/run"}, ""},
		{tar.Header{Name: "Dockerfile", Mode: 0o644}, "FROM " + b.docker.Small + "\nCOPY . /app/\nRUN /app/link\n"},
	} {
		f.header.Size = int64(len(f.text))
		if err := archive.WriteHeader(&f.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if _, err := b.Build(t.Context(), BuildRequest{Tag: b.tag(t, "tar"), ContextTar: &tree}, &log, nil); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if !strings.Contains(log.String(), "\nran\n") {
		t.Errorf("the log lacks what the step said:\n%s", log.String())
	}
}

func TestBuildFails(t *testing.T) {
	b := newBench(t)
	from := "FROM " + b.docker.Small + "\n"
	tests := []struct {
		name       string
		dockerfile string
		want       BuildError
	}{
		{
			"a step that ends with a code", from + "RUN echo fine\nRUN (echo trouble; echo more) >&2; exit 7\nRUN true\n",
			BuildError{Step: "RUN (echo trouble; echo more) >&2; exit 7", Number: 3, Total: 4, Code: 7, Tail: []string{"trouble", "more"}},
		},
		{
			"a file that is not there", from + "COPY none /\n",
			BuildError{Step: "COPY none /", Number: 2, Total: 2},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tag := b.tag(t, "fails")
			_, err := b.Build(t.Context(), BuildRequest{Tag: tag, Dockerfile: []byte(test.dockerfile)}, nil, nil)
			got, ok := errors.AsType[*BuildError](err)
			if !ok {
				t.Fatalf("error %v, want a *BuildError", err)
			}
			if got.Message == "" {
				t.Error("it has no message")
			}
			test.want.Message = got.Message
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if _, err := b.Inspect(t.Context(), tag); KindOf(err) != ImageNotFound {
				t.Errorf("an image is left: %v", err)
			}
		})
	}
	t.Run("a Dockerfile that is none", func(t *testing.T) {
		_, err := b.Build(t.Context(), BuildRequest{Tag: b.tag(t, "none"), Dockerfile: []byte("FROM\nNOT A STEP\n")}, nil, nil)
		if err == nil || !strings.Contains(err.Error(), "FROM") {
			t.Errorf("error %v, want one about FROM", err)
		}
	})
	t.Run("a base image that is not there", func(t *testing.T) {
		r := testenv.Registry(t, false)
		_, err := b.Build(t.Context(), BuildRequest{Tag: b.tag(t, "base"), Dockerfile: []byte("FROM " + r.Addr + "/none:1\n")}, nil, nil)
		if KindOf(err) != ImageNotFound {
			t.Errorf("error %v of kind %q, want %q", err, KindOf(err), ImageNotFound)
		}
	})
}

func TestBuildLogsInForItsBase(t *testing.T) {
	b := newBench(t)
	r := testenv.Registry(t, true)
	base := b.pushed(t, r, "team/base:1", 1<<20)
	tests := []struct {
		name  string
		auths map[string]*Auth
		want  Kind
	}{
		{"no login", nil, LoginRequired},
		{"right password", map[string]*Auth{r.Addr: {Username: r.User, Password: r.Password}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := b.Build(t.Context(), BuildRequest{
				Tag: b.tag(t, "private"), Dockerfile: []byte("FROM " + base + "\nLABEL a=b\n"), Auths: test.auths,
			}, nil, nil)
			if KindOf(err) != test.want {
				t.Errorf("error %v of kind %q, want %q", err, KindOf(err), test.want)
			}
		})
	}
}

func TestBuildsOfATagAtOnceAreOne(t *testing.T) {
	b := newBench(t)
	request := BuildRequest{
		Tag: b.tag(t, "once"), Dockerfile: []byte("FROM " + b.docker.Small + "\nCOPY now /\nRUN sleep 1; echo $RANDOM >/made\n"),
		Files: map[string][]byte{"now": []byte(b.home)},
	}
	ids := make([]string, 3)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			var log bytes.Buffer
			image, err := b.Build(t.Context(), request, &log, nil)
			if err != nil {
				t.Error(err)
			}
			ids[i] = image.ID
		})
	}
	all.Wait()
	if ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("several images: %v", ids)
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	b := newBench(t)
	tag := b.tag(t, "cancelled")
	ctx, cancel := context.WithCancel(t.Context())
	marker := "marker-" + b.home
	_, err := b.Build(ctx, BuildRequest{Tag: tag, Dockerfile: []byte("FROM " + b.docker.Small + "\nRUN echo begun; sleep 300; echo " + marker + "\n")},
		writerFunc(func(p []byte) (int, error) {
			if bytes.HasPrefix(p, []byte("begun")) {
				cancel()
			}
			return len(p), nil
		}), nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that it was canceled", err)
	}
	poll(t, "without the step's container", func() bool {
		out, err := b.docker.Command(t.Context(), "ps", "--all", "--no-trunc").Output()
		return err == nil && !bytes.Contains(out, []byte(marker))
	})
	if _, err := b.Inspect(t.Context(), tag); KindOf(err) != ImageNotFound {
		t.Errorf("an image is left: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestBuildContextNames(t *testing.T) {
	tests := []struct {
		name string
		safe bool
	}{
		{"file", true},
		{"dir/file", true},
		{"./file", true},
		{".hidden", true},
		{"a..b", true},
		{"é ü", true},
		{"", false},
		{"/etc/passwd", false},
		{"..", false},
		{"../file", false},
		{"a/../../b", false},
		{"a\x00b", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := isSafeName(test.name); got != test.safe {
				t.Errorf("safe: %v, want %v", got, test.safe)
			}
			b := BuildRequest{Files: map[string][]byte{test.name: nil}}
			stream, _, err := b.context()
			if (err == nil) != test.safe {
				t.Errorf("as one of the files: %v", err)
			}
			if err == nil {
				_ = stream.Close()
			}
			var tree bytes.Buffer
			archive := tar.NewWriter(&tree)
			if err := archive.WriteHeader(&tar.Header{Name: test.name, Mode: 0o600}); err != nil {
				return // a tar cannot hold that name
			}
			if err := archive.Close(); err != nil {
				t.Fatal(err)
			}
			if err := copyTar(tar.NewWriter(io.Discard), &tree); (err == nil) != test.safe {
				t.Errorf("in a tar: %v", err)
			}
		})
	}
}
