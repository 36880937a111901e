package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// Directory is the Folder of one attempt in a directory on this computer, below
// its "outputs" and "logs" (or of a run, below its "checkpoint"). Whatever else
// lies beside those is not looked at. Every path goes through an os.Root, so that no symbolic link that
// a script left can make us read or write outside it.
type Directory struct {
	path string
	// tops are its directories.
	tops []string
	// dirMode is that of directories made in it.
	dirMode fs.FileMode
	// mu lets one at a time replace a name.
	mu sync.Mutex

	room room
	// touched are directories that have a new entry, since the last Settle.
	touched map[string]bool
	memory  memory
}

var (
	_ Folder  = (*Directory)(nil)
	_ Adopter = (*Directory)(nil)
	_ Resumer = (*Directory)(nil)
)

// OpenDirectory gives the directory at path. It need not be there yet: it is
// made when the first file is stored.
func OpenDirectory(path string) *Directory {
	return &Directory{path: path, tops: ofAttempts(), dirMode: 0o700}
}

// OpenShared is OpenDirectory of a directory of a user's own: the directories
// made in it have the mode that mkdir gives them.
func OpenShared(path string) *Directory {
	return &Directory{path: path, tops: ofAttempts(), dirMode: 0o777}
}

// OpenView is OpenDirectory of a directory that is somebody else's and changes
// meanwhile: it is only to be read, and nothing is remembered of it.
func OpenView(path string) *Directory {
	return &Directory{path: path, tops: ofAttempts(), dirMode: 0o700, memory: memory{off: true}}
}

// OpenCheckpoint gives the directory at path as the folder of a checkpoint
// directory, which is "checkpoint" in it.
func OpenCheckpoint(path string) *Directory {
	return &Directory{path: path, tops: []string{checkpoint}, dirMode: 0o700}
}

func (d *Directory) check(name string) error { return CheckNameIn(name, d.tops...) }

// Path of the directory.
func (d *Directory) Path() string { return d.path }

// root opens the directory for writing, making it when it is missing.
func (d *Directory) root() (*os.Root, error) {
	root, err := os.OpenRoot(d.path)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if err := os.MkdirAll(d.path, d.dirMode); err != nil {
		return nil, err
	}
	return os.OpenRoot(d.path)
}

// Mkdir stores an empty directory. One that is there already is fine.
func (d *Directory) Mkdir(_ context.Context, name string) error {
	if err := d.check(name); err != nil {
		return err
	}
	root, err := d.root()
	if err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	if err := root.MkdirAll(name, d.dirMode); err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.touch(name)
	return nil
}

// Link stores a symbolic link, as it is: it is never followed. One that leads
// out of outputs/ and logs/ is a *LinkError.
func (d *Directory) Link(_ context.Context, name, target string) error {
	if err := d.check(name); err != nil {
		return err
	}
	if LeadsOut(name, target) {
		return &LinkError{Name: name, Target: target}
	}
	return d.store(name, func(root *os.Root, temporary string) error {
		return root.Symlink(target, temporary)
	})
}

// Adopt moves the file or directory at path to name, replacing what was there.
// On one file system that is a rename; between two it is copied, made durable
// and then renamed, and path is removed last, so that a cut at any point loses
// nothing and Adopt can be repeated. Symbolic links come along as they are; it
// is the caller who refuses those that lead out.
//
// A rename needs no fsync here: a journal that lost the rename still has the
// file under its old name, and whoever adopts again finds it there.
func (d *Directory) Adopt(ctx context.Context, name, path string) error {
	err := d.move(name, path)
	if !isCrossDevice(err) {
		return err
	}
	err = d.store(name, func(root *os.Root, temporary string) error {
		return copyTree(ctx, path, root, temporary)
	})
	if err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	return nil
}

// move renames path to name. Never by way of a temporary name of ours: what a
// crash leaves must still be under path, where the next Adopt looks for it.
func (d *Directory) move(name, path string) error {
	if err := d.check(name); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	root, err := d.root()
	if err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	leave, err := d.room.enter(root)
	if err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	defer leave()
	if err := d.place(root, name, func() error { return os.Rename(path, filepath.Join(d.path, name)) }); err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	return nil
}

// store lets create make name under a temporary name and moves it into its place.
func (d *Directory) store(name string, create func(root *os.Root, temporary string) error) error {
	if err := d.check(name); err != nil {
		return err
	}
	root, err := d.root()
	if err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	defer func() { _ = root.Close() }()
	leave, err := d.room.enter(root)
	if err != nil {
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	defer leave()
	temporary := temporaryName(name)
	if err = create(root, temporary); err == nil {
		err = d.place(root, name, func() error { return root.Rename(temporary, name) })
	}
	if err != nil {
		_ = root.RemoveAll(temporary) // else whoever enters the room next does
		return fmt.Errorf("artifact %q: %w", name, err)
	}
	return nil
}

// place runs rename, which puts something at name. What is there already is
// moved aside first, because rename replaces only files and empty directories;
// it goes once the new one is in its place.
func (d *Directory) place(root *os.Root, name string, rename func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := checkParents(root, name, d.dirMode); err != nil {
		return err
	}
	d.touch(name)
	if old, err := root.Lstat(name); err != nil || !old.IsDir() {
		return rename()
	}
	aside := temporaryName(name) + ".old"
	if err := root.RemoveAll(aside); err != nil {
		return err
	}
	if err := root.Rename(name, aside); err != nil {
		return err
	}
	if err := rename(); err != nil {
		return errors.Join(err, root.Rename(aside, name))
	}
	return root.RemoveAll(aside)
}

// checkParents makes the directories above name and refuses a symbolic link
// among them: it could lead anywhere.
func checkParents(root *os.Root, name string, mode fs.FileMode) error {
	parent := path.Dir(name)
	if parent == "." {
		return nil
	}
	if err := root.MkdirAll(parent, mode); err != nil {
		return err
	}
	for at := parent; at != "."; at = path.Dir(at) {
		info, err := root.Lstat(at)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return &KindError{Name: at, Kind: Kind(info.Mode())}
		}
	}
	return nil
}
