package backendtest

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/artifact"
	"github.com/runnerml/runner/internal/run"
)

func byteCases() []Case {
	return []Case{
		{"bytes/arguments", oddArguments},
		{"bytes/variables", oddVariables},
		{"bytes/file names", oddFileNames},
		{"bytes/script name", oddScriptName},
	}
}

// odd is what must reach a script byte for byte, as argument, value and name.
var odd = []string{
	" ", "a b", "'", `"`, `\`, `\\`, "`id`", "$(id)", "$HOME", "${HOME}", "*", "?", "[a]", "~", "#", ";", "&", "|", "<", ">", "(", ")", "!", "!!", "%s", "%", "=",
	"-n", "--", "-", "{a,b}", "a\nb", "\n", "a\tb", "\r", "é", "日本語", "🙂", "e\u0301", "\u200b", "\x7f", "\x01", "\x1b[31m", "'\"'\"'", `a\nb`, "''", "@file", "a=b c",
	"\xff\xfe", "\xc3(",
}

const argvHex = `
import os, sys, json
print(json.dumps([os.fsencode(a).hex() for a in sys.argv[1:]]))
`

func oddArguments(w *world) {
	all := append(slices.Clone(odd), "", strings.Repeat("x", 100_000))
	ref, o := w.carryOut(w.attempt("", w.script("argv.py", files{"argv.py": argvHex}, all...)))
	w.expect(o, run.OutcomeCompleted, 0, "")
	if diff := cmp.Diff(all, unhex(w, w.log(ref))); diff != "" {
		w.Error(diff)
	}
}

func unhex(w *world, text string) []string {
	w.Helper()
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		w.Fatalf("%v in %.500q", err, text)
	}
	for i := range list {
		b, err := hex.DecodeString(list[i])
		w.must(err)
		list[i] = string(b)
	}
	return list
}

const envHex = `
import os, json
print(json.dumps([os.environb[b"ODD_%d" % i].hex() for i in range(int(os.environ["ODD_COUNT"]))]))
`

func oddVariables(w *world) {
	all := append(slices.Clone(odd), "", strings.Repeat("y", 100_000))
	ref, o := w.carryOut(w.attempt("", w.script("env.py", files{"env.py": envHex}), func(a *backends.Attempt) {
		a.Config.EnvironmentVariables = map[string]string{"ODD_COUNT": strconv.Itoa(len(all))}
		for i, value := range all {
			a.Config.EnvironmentVariables["ODD_"+strconv.Itoa(i)] = value
		}
	}))
	w.expect(o, run.OutcomeCompleted, 0, "")
	if diff := cmp.Diff(all, unhex(w, w.log(ref))); diff != "" {
		w.Error(diff)
	}
}

// names that a Linux file can have, made from odd.
func oddNames() []string {
	var names []string
	for _, name := range append(slices.Clone(odd), "...", ".hidden", "trailing ", strings.Repeat("n", 255)) {
		if !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// copySource copies every file of source/ to outputs/ under the same name.
const copySource = `
import os, shutil
for name in os.listdir(b"source"):
    shutil.copyfile(b"source/" + name, b"outputs/" + name)
    os.mkdir(b"outputs/dir-" + name[:250])
    shutil.copyfile(b"source/" + name, b"outputs/dir-" + name[:250] + b"/in")
`

func oddFileNames(w *world) {
	source := files{"copy.py": copySource}
	var want []string
	for _, name := range oddNames() {
		source["source/"+name] = "content of " + name
		want = append(want, "outputs/"+name, "outputs/dir-"+name[:min(len(name), 250)]+"/in")
	}
	slices.Sort(want)
	ref, o := w.carryOut(w.attempt("", w.script("copy.py", source)))
	if o.Outcome != run.OutcomeCompleted {
		w.Fatalf("%s\n%s", describe(o), w.log(ref))
	}
	home := w.collect(ref)
	if diff := cmp.Diff(want, below(w, home, "outputs/")); diff != "" {
		w.Error(diff)
	}
	for _, name := range oddNames() {
		if got := w.content(home, "outputs/"+name); got != "content of "+name {
			w.Errorf("%q holds %q", name, got)
		}
	}
}

// below lists the paths that begin with prefix.
func below(w *world, home *artifact.Directory, prefix string) []string {
	w.Helper()
	list, err := home.List(w.Context())
	w.must(err)
	var names []string
	for _, f := range list {
		if strings.HasPrefix(f.Path, prefix) {
			names = append(names, f.Path)
		}
	}
	slices.Sort(names)
	return names
}

func oddScriptName(w *world) {
	name := "sub dir/tr 'ain'\n$(id) é.py"
	ref, o := w.carryOut(w.attempt("", w.script(name, files{name: "print('ran')"})))
	w.expect(o, run.OutcomeCompleted, 0, "")
	if got := w.log(ref); got != "ran\n" {
		w.Errorf("log %q", got)
	}
}
