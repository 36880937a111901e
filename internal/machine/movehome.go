package machine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/runnerml/runner/internal/artifact"
)

// moveHome gives outputs/ and logs/ over by renaming them. Its steps, each of
// which may be the last before a kill:
//
//  1. what cannot be kept is written down in logs/not_collected.txt
//  2. and only then removed
//  3. outputs/ goes
//  4. our files are linked into logs/, after the script's own of these names
//     were moved aside
//  5. logs/ goes
//
// What has gone is not there any more when the steps are done again.
func moveHome(ctx context.Context, at place, sink artifact.Sink, adopter artifact.Adopter, left string) error {
	bad, err := findBad(at)
	if err != nil {
		return err
	}
	logs := filepath.Join(at.work(), "logs")
	hasLogs := isDirectory(logs)
	if err := writeRemarks(ctx, at, sink, hasLogs, bad, left); err != nil {
		return err
	}
	for _, b := range bad {
		if err := os.RemoveAll(filepath.Join(at.work(), b.name)); err != nil {
			return err
		}
	}
	if outputs := filepath.Join(at.work(), "outputs"); isDirectory(outputs) {
		if err := adopter.Adopt(ctx, "outputs", outputs); err != nil {
			return err
		}
	}
	for _, f := range at.ours() {
		if _, err := os.Lstat(f.source); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if hasLogs {
			err = linkInto(logs, f)
		} else {
			err = adoptLink(ctx, at, adopter, f)
		}
		if err != nil {
			return err
		}
	}
	if hasLogs {
		return adopter.Adopt(ctx, "logs", logs)
	}
	return nil
}

func isDirectory(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.IsDir()
}

// unkept is something that a script left and we do not keep; name begins with
// outputs or logs.
type unkept struct {
	name   string
	mode   fs.FileMode
	target string
}

// findBad looks for links that lead out and for what is no file. It opens
// directories that the script closed.
func findBad(at place) ([]unkept, error) {
	var bad []unkept
	for _, top := range []string{"outputs", "logs"} {
		root := filepath.Join(at.work(), top)
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if name == root && errors.Is(err, fs.ErrNotExist) {
				return fs.SkipDir
			}
			if e != nil && e.IsDir() && err == nil {
				return openDirectory(name, e)
			}
			if err != nil {
				return err
			}
			rel := filepath.ToSlash(strings.TrimPrefix(name, at.work()+"/"))
			switch mode := e.Type(); {
			case name == root:
				bad = append(bad, unkept{name: rel, mode: mode})
			case mode.IsRegular():
			case mode&fs.ModeSymlink != 0:
				target, err := os.Readlink(name)
				if err != nil {
					return err
				}
				if artifact.LeadsOut(rel, target) {
					bad = append(bad, unkept{rel, mode, target})
				}
			default:
				bad = append(bad, unkept{name: rel, mode: mode})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return bad, nil
}

// openDirectory lets us, who own it, into a directory. WalkDir calls it before
// it reads the directory.
func openDirectory(name string, e fs.DirEntry) error {
	const owner = 0o700
	info, err := e.Info()
	if err != nil || info.Mode().Perm()&owner == owner {
		return err
	}
	return os.Chmod(name, info.Mode().Perm()|owner)
}

// writeRemarks writes down what is not kept, unless that was done before.
func writeRemarks(ctx context.Context, at place, sink artifact.Sink, hasLogs bool, bad []unkept, left string) error {
	var b strings.Builder
	for _, u := range bad {
		b.WriteString(remark(u.name, u.mode, u.target))
	}
	// What was bad is removed when this is done again; what was left outside is
	// not, and so comes last.
	text := b.String() + left
	if text == "" {
		return nil
	}
	if !hasLogs {
		return putRemarks(ctx, sink, text)
	}
	name := filepath.Join(at.work(), remarksFile)
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		if err := os.RemoveAll(name); err != nil { // a link would lead us somewhere
			return err
		}
	}
	before, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.HasSuffix(string(before), text) {
		return nil
	}
	half := name + ".half"
	if err := os.WriteFile(half, append(before, text...), 0o600); err != nil {
		return err
	}
	return os.Rename(half, name)
}

// putRemarks adds to what is at home: logs/ has gone already, or the script
// removed it.
func putRemarks(ctx context.Context, sink artifact.Sink, text string) error {
	if from, ok := sink.(artifact.Folder); ok {
		if f, err := from.Open(ctx, remarksFile); err == nil {
			before, err := io.ReadAll(f)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			if strings.HasSuffix(string(before), text) {
				return nil
			}
			text = string(before) + text
		}
	}
	return putText(ctx, sink, remarksFile, text)
}

// putText stores a file of our own.
func putText(ctx context.Context, sink artifact.Sink, name, text string) error {
	return sink.Put(ctx, artifact.File{Path: name, Size: int64(len(text)), Mode: readable}, strings.NewReader(text))
}

// linkInto puts one of our files among the script's logs.
func linkInto(logs string, f ourFile) error {
	name := filepath.Join(logs, f.name)
	there, err := os.Lstat(name)
	if err == nil {
		ours, err := os.Lstat(f.source)
		if err != nil {
			return err
		}
		if os.SameFile(there, ours) {
			return nil // done before
		}
		if err := moveAside(logs, f); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Link(f.source, name)
}

// moveAside gives a script's file another name that is free.
func moveAside(logs string, f ourFile) error {
	free := f.aside()
	for i := 2; ; i++ {
		if _, err := os.Lstat(filepath.Join(logs, free)); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(filepath.Join(logs, f.name), filepath.Join(logs, free))
		} else if err != nil {
			return err
		}
		free = f.asideAgain(i)
	}
}

// adoptLink gives one of our files over by itself: logs/ has gone already, or
// the script removed it.
func adoptLink(ctx context.Context, at place, adopter artifact.Adopter, f ourFile) error {
	link := filepath.Join(string(at), "going-"+f.name)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(f.source, link); err != nil {
		return err
	}
	err := adopter.Adopt(ctx, "logs/"+f.name, link)
	// Renaming a file to another name of itself does nothing and leaves both.
	return errors.Join(err, removeIfThere(link))
}

func removeIfThere(name string) error {
	err := os.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
