package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/internal/client"
	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/settings"
	"github.com/runnerml/runner/internal/snapshot"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/runnerml/runner/runconfig"
)

// sources pictures source directories and brings them to the server.
type sources struct {
	store *snapshot.Store
	home  string
	limit int64 // of a picture, in bytes
	lines *liveLines
	// dryRun: pictures are looked at and not stored, and nothing is sent.
	dryRun bool
	// later, when not nil, carries out what nobody waits for.
	later func(func())
}

func openSources(lines *liveLines) (*sources, error) {
	h, err := home()
	if err != nil {
		return nil, err
	}
	if err := h.Make(); err != nil {
		return nil, err
	}
	set, err := settings.Load(string(h))
	if err != nil {
		return nil, err
	}
	store, err := snapshot.Open(filepath.Join(string(h), "objects"))
	if err != nil {
		return nil, err
	}
	return &sources{store: store, home: string(h), limit: int64(set.MaxSnapshotSize), lines: lines}, nil
}

// take pictures a directory, but for what exclude names.
func (s *sources) take(ctx context.Context, dir string, exclude ...string) (snapshot.Snapshot, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		message := "the source directory is not a directory"
		if err != nil {
			message = "the source directory cannot be read: " + pathReason(err)
		}
		return snapshot.Snapshot{}, server.Wrong(message, dir, "")
	}
	const step = "source"
	defer s.lines.drop(step)
	return s.store.Take(ctx, dir, snapshot.Options{
		MaxBytes: s.limit,
		Exclude:  exclude,
		SkipDirs: []string{s.home},
		DryRun:   s.dryRun,
		Later:    s.later,
		Progress: func(p snapshot.Progress) {
			s.lines.show(step, fmt.Sprintf("reading %d of %s", p.Files, plural(p.TotalFiles, "file")), p.Bytes, p.TotalBytes, "B")
		},
	})
}

// leftByRuns are the directories at the top of a source that runs leave things
// in: those of an earlier one would pass for the next one's.
func leftByRuns() []string { return []string{"/outputs/", "/logs/"} }

// upload brings a picture to the server; on the same RUNNER_HOME it is there.
func (s *sources) upload(ctx context.Context, c *client.Client, id snapshot.ID) error {
	if s.dryRun {
		return nil
	}
	const step = "upload"
	defer s.lines.drop(step)
	return c.Upload(ctx, s.store, id, func(sent int64) { s.lines.show(step, "sending the source", sent, 0, "B") })
}

// checkScript refuses a script that is not in the picture.
func (s *sources) checkScript(ctx context.Context, config *runconfig.ScriptRunConfig, id snapshot.ID) error {
	if config.Script == "" {
		return nil
	}
	script := path.Clean(filepath.ToSlash(config.Script))
	where := filepath.Join(config.SourceDirectory, script)
	files, found, err := s.find(ctx, config.SourceDirectory, id, script)
	if err != nil || found {
		return err
	}
	_, err = os.Stat(where)
	switch {
	case err == nil:
		return server.Wrong("the script is left out of the snapshot by an ignore file", where, "see .runnerignore, .amlignore or .gitignore; outputs/ and logs/ are left out always")
	case !errors.Is(err, fs.ErrNotExist):
		return server.WrongPath(err)
	}
	hint := ""
	if near := yamlpos.Nearest(script, files); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return server.Wrong("the script is not in the source directory", where, hint)
}

// find looks for a script in a picture, and names the files that are there.
func (s *sources) find(ctx context.Context, dir string, id snapshot.ID, script string) (files []string, found bool, err error) {
	if s.dryRun {
		return s.findUnstored(ctx, dir, id, script)
	}
	manifest, err := s.store.Manifest(ctx, id)
	if err != nil {
		return nil, false, err
	}
	if entry, ok := manifest.Find(script); ok && entry.Kind != snapshot.KindDir {
		return nil, true, nil
	}
	for i := range manifest.Entries {
		if e := &manifest.Entries[i]; e.Kind == snapshot.KindFile {
			files = append(files, e.Path)
		}
	}
	return files, false, nil
}

// findUnstored is find for a picture that was only looked at: the script is in
// it when the picture without the script is another one.
func (s *sources) findUnstored(ctx context.Context, dir string, id snapshot.ID, script string) (files []string, found bool, err error) {
	if info, err := os.Stat(filepath.Join(dir, script)); err == nil && !info.IsDir() {
		pattern := "/" + strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, " ", `\ `).Replace(script)
		without, err := s.store.Take(ctx, dir, snapshot.Options{
			MaxBytes: s.limit, SkipDirs: []string{s.home}, DryRun: true, Exclude: append(leftByRuns(), pattern),
		})
		return nil, err == nil && without.ID != id, err
	}
	near, err := os.ReadDir(filepath.Dir(filepath.Join(dir, script)))
	if err != nil {
		return nil, false, nil //nolint:nilerr // no name to suggest
	}
	for _, e := range near {
		if !e.IsDir() {
			files = append(files, path.Join(path.Dir(script), e.Name()))
		}
	}
	return files, false, nil
}

func pathReason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
