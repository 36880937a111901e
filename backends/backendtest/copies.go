package backendtest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
)

// Targets may keep what a working directory held for the next run of nearly the
// same source. Nobody may notice.
func copyCases() []Case {
	return []Case{
		{"copy/spoilt by its script", spoiltCopy},
		{"copy/one file changed", changedCopy},
		{"copy/many at once", copiesAtOnce},
	}
}

// listTree lists its working directory: kind, mode, digest or target, path.
const listTree = `
import hashlib, os
lines = []
for top, dirs, names in os.walk("."):
    if top == ".":
        dirs[:] = [d for d in dirs if d not in ("outputs", "logs")]
    for name in dirs + names:
        path = os.path.join(top, name)
        mode = os.lstat(path).st_mode & 0o7777
        if os.path.islink(path):
            lines.append("l %s %s" % (os.readlink(path), path[2:]))
        elif os.path.isdir(path):
            lines.append("d %o %s" % (mode, path[2:]))
        else:
            with open(path, "rb") as f:
                lines.append("f %o %s %s" % (mode, hashlib.sha256(f.read()).hexdigest(), path[2:]))
print("\n".join(sorted(lines)), flush=True)
`

// spoilTree does what scripts do to their working directory, and worse. What it
// leaves running writes on for as long as it lives.
const spoilTree = `
import mmap, os, shutil, subprocess
before = os.stat("d0/f0")
with open("d0/f0", "r+b") as f:
    f.write(b"!")
os.utime("d0/f0", ns=(before.st_atime_ns, before.st_mtime_ns))
with open("d0/f7", "r+b") as f:
    with mmap.mmap(f.fileno(), 1) as m:
        m[0:1] = b"?"
os.remove("d1/f1")
os.chmod("d2/f2", 0o777)
os.chmod("d3", 0o711)
shutil.rmtree("d4")
os.symlink("/etc", "d4")
os.remove("d5/f5")
os.mkdir("d5/f5")
os.link("d6/f6", "d6/again")
os.rename("d6/f13", "d6/f6b")
os.makedirs("d1/__pycache__/deep")
open("d1/__pycache__/deep/x.pyc", "w").close()
os.makedirs("outputs/more", exist_ok=True)
open("outputs/more/x", "w").close()
try:
    os.setxattr("d2", "user.spoilt", b"1")
except (OSError, AttributeError):
    pass
subprocess.Popen("trap '' TERM HUP; exec 3>>d3/f3; while :; do echo more >&3; echo new >d3/new; sleep 0.01; done", shell=True, start_new_session=True, stderr=subprocess.DEVNULL)
`

// largeSource has enough files for a target to think about it.
func largeSource() files {
	source := files{"list.py": listTree, "spoil.py": spoilTree}
	for i := range 700 {
		source[fmt.Sprintf("d%d/f%d", i%7, i)] = fmt.Sprintf("file %d\n", i)
	}
	return source
}

// listing is what listTree says of a source.
func listing(source files) string {
	dirs := map[string]bool{}
	var lines []string
	for name, content := range source {
		lines = append(lines, fmt.Sprintf("f 644 %x %s", sha256.Sum256([]byte(content)), name))
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	for d := range dirs {
		lines = append(lines, "d 755 "+d)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// pristine runs a script's list, and then more, and checks that it saw exactly
// the source. The attempt is released.
func (w *world) pristine(source files, snapshot, more string) {
	w.Helper()
	ref, o := w.carryOut(w.attempt("python3 -B list.py"+more, func(a *backends.Attempt) { a.Snapshot = snapshot }))
	w.expect(o, run.OutcomeCompleted, 0, "")
	if diff := cmp.Diff(listing(source), w.log(ref)); diff != "" {
		w.Errorf("the working directory (-want +got):\n%s", diff)
	}
	w.must(w.backend.Release(w.context(), ref))
}

func spoiltCopy(w *world) {
	source := largeSource()
	snapshot := w.snapshot(source)
	for range 3 {
		w.pristine(source, snapshot, "; python3 spoil.py")
	}
}

func changedCopy(w *world) {
	source := largeSource()
	w.pristine(source, w.snapshot(source), "; python3 spoil.py")
	second := maps.Clone(source)
	second["d0/f0"] = "changed\n"
	second["new/deep/file"] = "new\n"
	second["d3/f3/instead"] = "a directory now\n"
	delete(second, "d3/f3")
	delete(second, "d4/f4")
	w.pristine(second, w.snapshot(second), "; python3 spoil.py")
	w.pristine(source, w.snapshot(source), "")
}

func copiesAtOnce(w *world) {
	source := largeSource()
	snapshot := w.snapshot(source)
	for range 2 {
		var all sync.WaitGroup
		for range 4 {
			a := w.attempt("python3 -B list.py; python3 spoil.py", func(a *backends.Attempt) { a.Snapshot = snapshot })
			all.Go(func() {
				err := w.backend.Prepare(w.context(), a, nil)
				if err == nil {
					_, err = w.backend.Start(w.context(), a)
				}
				if err != nil {
					w.Error(err)
					return
				}
				w.ended(a.Ref())
				if diff := cmp.Diff(listing(source), w.log(a.Ref())); diff != "" {
					w.Errorf("the working directory (-want +got):\n%s", diff)
				}
				if err := w.backend.Release(w.context(), a.Ref()); err != nil {
					w.Error(err)
				}
			})
		}
		all.Wait()
	}
}
