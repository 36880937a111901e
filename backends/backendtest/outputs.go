package backendtest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
)

func outputCases() []Case {
	return []Case{
		{"outputs/many files", manyFiles},
		{"outputs/a big file", bigFile},
		{"outputs/empty directories, links, modes", shapes},
		{"outputs/what leads out", leadsOut},
		{"outputs/the script's own logs", ownLogs},
		{"outputs/removed by the script", removedByScript},
		{"outputs/of a failed script", ofFailedScript},
		{"outputs/collect twice", collectTwice},
		{"outputs/collect while it runs", collectWhileRunning},
		{"outputs/closed directories", closedDirectories},
	}
}

func manyFiles(w *world) {
	count := 3000
	if testing.Short() {
		count = 300
	}
	a := w.attempt(`for i in $(seq 1 ` + strconv.Itoa(count) + `); do echo "$i" >"outputs/$i"; done`)
	ref, o := w.carryOut(a)
	w.expect(o, run.OutcomeCompleted, 0, "")
	home := w.collect(ref)
	if got := len(below(w, home, "outputs/")); got != count {
		w.Errorf("%d of %d files", got, count)
	}
	if got := w.content(home, "outputs/"+strconv.Itoa(count)); got != strconv.Itoa(count)+"\n" {
		w.Errorf("last file %q", got)
	}
}

func bigFile(w *world) {
	blocks := 192
	if testing.Short() {
		blocks = 16
	}
	ref, o := w.carryOut(w.attempt("head -c " + strconv.Itoa(blocks<<20) + " /dev/urandom >outputs/big; sha256sum outputs/big | cut -c 1-64"))
	w.expect(o, run.OutcomeCompleted, 0, "")
	f, err := w.collect(ref).Open(w.Context(), "outputs/big")
	w.must(err)
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	w.must(err)
	if got, want := hex.EncodeToString(sum.Sum(nil)), strings.TrimSpace(w.log(ref)); got != want || n != int64(blocks)<<20 {
		w.Errorf("%d bytes with digest %s, want %s", n, got, want)
	}
}

// listing gives what came home in one line each.
func (w *world) listing(home *artifact.Directory) []string {
	w.Helper()
	list, err := home.List(w.Context())
	w.must(err)
	var lines []string
	for _, f := range list {
		line := f.Path
		switch {
		case f.Dir:
			line += "/"
		case f.Link != "":
			line += " -> " + f.Link
		case f.Mode.Perm()&0o111 != 0:
			line += "*"
		}
		lines = append(lines, line)
	}
	return lines
}

func shapes(w *world) {
	ref, o := w.carryOut(w.attempt(`mkdir -p outputs/empty outputs/a/b/c; echo x >outputs/a/f; ln -s a/f outputs/link; ln -s ../logs outputs/logs-too
		printf '#!/bin/sh\n' >outputs/run; chmod +x outputs/run; : >outputs/nothing; ln -s nowhere outputs/dangling; ln outputs/a/f outputs/hard; echo l >logs/mine`))
	w.expect(o, run.OutcomeCompleted, 0, "")
	home := w.collect(ref)
	want := []string{
		"logs/mine", "logs/std_log.txt", "outputs/a/b/c/", "outputs/a/f", "outputs/dangling -> nowhere", "outputs/empty/", "outputs/hard",
		"outputs/link -> a/f", "outputs/logs-too -> ../logs", "outputs/nothing", "outputs/run*",
	}
	if diff := cmp.Diff(want, w.listing(home)); diff != "" {
		w.Error(diff)
	}
	if got := w.content(home, "outputs/hard"); got != "x\n" {
		w.Errorf("hard link holds %q", got)
	}
}

// leadsOut: what leads out of outputs/, or is no file, is named and not kept.
func leadsOut(w *world) {
	ref, o := w.carryOut(w.attempt(`ln -s /etc/passwd outputs/passwd; ln -s / outputs/root; ln -s ../../.. outputs/up; ln -s ../source outputs/source
		mkfifo outputs/pipe 2>/dev/null || python3 -c 'import os; os.mkfifo("outputs/pipe")'; mkdir outputs/d; ln -s ../../../x outputs/d/far; echo kept >outputs/d/kept`))
	w.expect(o, run.OutcomeCompleted, 0, "")
	home := w.collect(ref)
	want := []string{"logs/not_collected.txt", "logs/std_log.txt", "outputs/d/kept"}
	if diff := cmp.Diff(want, w.listing(home)); diff != "" {
		w.Error(diff)
	}
	remarks := w.content(home, "logs/not_collected.txt")
	for _, name := range []string{"passwd", "root", "up", "source", "pipe", "d/far"} {
		if !strings.Contains(remarks, "outputs/"+name) {
			w.Errorf("no remark on %s in:\n%s", name, remarks)
		}
	}
}

// ownLogs: a script may write any name below logs/, ours too; neither is lost.
func ownLogs(w *world) {
	ref, o := w.carryOut(w.attempt(`echo "to the log"; echo "the script's" >logs/std_log.txt; echo more >logs/train.log`))
	w.expect(o, run.OutcomeCompleted, 0, "")
	for range 2 {
		home := w.collect(ref)
		for name, want := range map[string]string{
			"logs/std_log.txt": "to the log\n", "logs/std_log.script.txt": "the script's\n", "logs/train.log": "more\n",
		} {
			if got := w.content(home, name); got != want {
				w.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if w.target.Home == nil {
			break // another home, and a script's files are brought home once more
		}
	}
	if got := w.log(ref); got != "to the log\n" {
		w.Errorf("log after Collect: %q", got)
	}
}

func removedByScript(w *world) {
	for _, command := range []string{"rm -rf outputs logs; echo bye", "rm -rf outputs logs; ln -s /etc outputs; ln -s /etc logs; echo bye", "rmdir outputs logs; echo f >outputs; echo f >logs; echo bye"} {
		ref, o := w.carryOut(w.attempt(command))
		w.expect(o, run.OutcomeCompleted, 0, "")
		home := w.collect(ref)
		if got := w.content(home, "logs/std_log.txt"); got != "bye\n" {
			w.Errorf("%s: log %q", command, got)
		}
		if got := below(w, home, "outputs/"); len(got) != 0 {
			w.Errorf("%s: outputs %q", command, got)
		}
	}
}

func ofFailedScript(w *world) {
	ref, o := w.carryOut(w.attempt(`echo half >outputs/model; echo oh; kill -9 $$`))
	w.expect(o, run.OutcomeScriptFailed, 137, "SIGKILL")
	home := w.collect(ref)
	if got := w.content(home, "outputs/model"); got != "half\n" {
		w.Errorf("outputs/model = %q", got)
	}
	if got := w.content(home, "logs/std_log.txt"); got != "oh\n" {
		w.Errorf("log %q", got)
	}
}

func collectTwice(w *world) {
	ref, _ := w.carryOut(w.attempt(`echo log; echo a >outputs/a; mkdir outputs/d; echo b >outputs/d/b; echo l >logs/l`))
	home := w.home(ref)
	var first []string
	for i := range 3 {
		b := w.backend
		if i == 2 {
			b = w.target.New(w)
		}
		w.must(b.Collect(w.context(), ref, w.sink(home)))
		now := w.listing(home)
		if first == nil {
			first = now
		}
		if diff := cmp.Diff(first, now); diff != "" {
			w.Error(diff)
		}
	}
	if want := []string{"logs/l", "logs/std_log.txt", "outputs/a", "outputs/d/b"}; !slices.Equal(first, want) {
		w.Errorf("came home: %q", first)
	}
	w.must(w.backend.Release(w.context(), ref))
	w.must(w.backend.Release(w.context(), ref))
	w.must(w.target.New(w).Release(w.context(), ref))
	if diff := cmp.Diff(first, w.listing(home)); diff != "" {
		w.Errorf("release took from home: %s", diff)
	}
	w.must(w.backend.Collect(w.context(), ref, w.sink(home)))
	if diff := cmp.Diff(first, w.listing(home)); diff != "" {
		w.Errorf("collect after release took from home: %s", diff)
	}
}

// collectWhileRunning is an error that hurts nothing: whoever asks too early
// asks again.
func collectWhileRunning(w *world) {
	ref := w.begin(w.attempt(`echo one; echo a >outputs/a; sleep 3; echo b >outputs/b || exit 8; echo two`))
	w.beganWith(ref, "one")
	home := w.home(ref)
	if err := w.backend.Collect(w.context(), ref, w.sink(home)); !errors.Is(err, backends.ErrStillRuns) {
		w.Errorf("Collect of what still runs: %v", err)
	}
	w.expect(w.ended(ref), run.OutcomeCompleted, 0, "")
	w.must(w.backend.Collect(w.context(), ref, w.sink(home)))
	if diff := cmp.Diff([]string{"logs/std_log.txt", "outputs/a", "outputs/b"}, w.listing(home)); diff != "" {
		w.Error(diff)
	}
}

// closedDirectories: permission bits that a script set do not keep its files
// from coming home or its directory from going.
func closedDirectories(w *world) {
	ref, o := w.carryOut(w.attempt(`mkdir -p outputs/closed/deep kept; echo x >outputs/closed/deep/f; echo y >kept/f; chmod 0 outputs/closed/deep/f outputs/closed/deep outputs/closed kept`))
	w.expect(o, run.OutcomeCompleted, 0, "")
	home := w.collect(ref)
	if got := w.content(home, "outputs/closed/deep/f"); got != "x\n" {
		w.Errorf("content %q", got)
	}
}
