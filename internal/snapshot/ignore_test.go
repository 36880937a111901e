package snapshot_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnerml/runner/internal/snapshot"
)

func TestIgnoreRules(t *testing.T) {
	tests := map[string]struct {
		files  tree
		want   []string // what is taken, but for directories and ignore files
		notGit bool     // git has other files for this
	}{
		"no ignore file":               {files: tree{"a": "", "d/b": ""}, want: []string{"a", "d/b"}},
		"name at any depth":            {files: tree{".gitignore": "x\n", "x": "", "d/x": "", "d/xy": ""}, want: []string{"d/xy"}},
		"name of a directory":          {files: tree{".gitignore": "x\n", "d/x/y": "", "z": ""}, want: []string{"z"}},
		"suffix":                       {files: tree{".gitignore": "*.log\n", "a.log": "", "d/b.log": "", "log": "", ".log": ""}, want: []string{"log"}},
		"anchored":                     {files: tree{".gitignore": "/x\n", "x": "", "d/x": ""}, want: []string{"d/x"}},
		"middle slash anchors":         {files: tree{".gitignore": "d/x\n", "d/x": "", "e/d/x": ""}, want: []string{"e/d/x"}},
		"directories only":             {files: tree{".gitignore": "x/\n", "x/a": "", "d/x": ""}, want: []string{"d/x"}},
		"link is no directory":         {files: tree{".gitignore": "l/\n", "l": "-> d", "d/x": ""}, want: []string{"d/x", "l"}},
		"negation":                     {files: tree{".gitignore": "*.log\n!keep.log\n", "a.log": "", "keep.log": ""}, want: []string{"keep.log"}},
		"last rule wins":               {files: tree{".gitignore": "!a\na\n", "a": "", "b": ""}, want: []string{"b"}},
		"nothing under an excluded":    {files: tree{".gitignore": "d/\n!d/keep\n", "d/keep": "", "x": ""}, want: []string{"x"}},
		"re-included by contents":      {files: tree{".gitignore": "d/*\n!d/keep\n", "d/keep": "", "d/x": ""}, want: []string{"d/keep"}},
		"leading double star":          {files: tree{".gitignore": "**/x/y\n", "x/y": "", "d/e/x/y": "", "d/y": ""}, want: []string{"d/y"}},
		"trailing double star":         {files: tree{".gitignore": "d/**\n", "d/a/b": "", "e/d/a": ""}, want: []string{"e/d/a"}},
		"middle double star":           {files: tree{".gitignore": "a/**/z\n", "a/z": "", "a/b/c/z": "", "a/bz": ""}, want: []string{"a/bz"}},
		"star keeps off slashes":       {files: tree{".gitignore": "a/*z\n", "a/xz": "", "a/b/z": ""}, want: []string{"a/b/z"}},
		"question mark":                {files: tree{".gitignore": "a?c\n", "abc": "", "ac": "", "abbc": ""}, want: []string{"abbc", "ac"}},
		"class":                        {files: tree{".gitignore": "[a-c]x\n[!0-9]y\n[[:digit:]]z\n", "ax": "", "dx": "", "1y": "", "ay": "", "1z": "", "az": ""}, want: []string{"1y", "az", "dx"}},
		"comment and blank":            {files: tree{".gitignore": "# a\n\n\\#b\n", "# a": "", "#b": ""}, want: []string{"# a"}},
		"escaped bang":                 {files: tree{".gitignore": "\\!a\n", "!a": "", "a": ""}, want: []string{"a"}},
		"trailing spaces":              {files: tree{".gitignore": "a  \nb\\ \n", "a": "", "b ": "", "b": ""}, want: []string{"b"}},
		"carriage return":              {files: tree{".gitignore": "a\r\nb\r\n", "a": "", "b": "", "c": ""}, want: []string{"c"}},
		"byte order mark":              {files: tree{".gitignore": "\xef\xbb\xbfa\n", "a": "", "b": ""}, want: []string{"b"}},
		"no newline at the end":        {files: tree{".gitignore": "a", "a": "", "b": ""}, want: []string{"b"}},
		"raw bytes":                    {files: tree{".gitignore": "\xff*\n", "\xffa": "", "b": ""}, want: []string{"b"}},
		"nested file outranks":         {files: tree{".gitignore": "*.log\n", "d/.gitignore": "!a.log\n", "a.log": "", "d/a.log": "", "d/b.log": ""}, want: []string{"d/a.log"}},
		"nested file is anchored":      {files: tree{".gitignore": "", "d/.gitignore": "/x\n", "x": "", "d/x": "", "d/e/x": ""}, want: []string{"d/e/x", "x"}},
		"only a nested file":           {files: tree{"d/.gitignore": "x\n", "x": "", "d/x": ""}, want: []string{"x"}},
		"ignore file leads nowhere":    {files: tree{".gitignore": "-> nowhere", "a": ""}, want: []string{"a"}},
		"runnerignore first":           {files: tree{".runnerignore": "a\n", ".amlignore": "b\n", ".gitignore": "c\n", "a": "", "b": "", "c": ""}, want: []string{"b", "c"}, notGit: true},
		"amlignore second":             {files: tree{".amlignore": "b\n", ".gitignore": "c\n", "a": "", "b": "", "c": ""}, want: []string{"a", "c"}, notGit: true},
		"empty runnerignore":           {files: tree{".runnerignore": "", ".gitignore": "c\n", "c": ""}, want: []string{"c"}, notGit: true},
		"nested runnerignore":          {files: tree{".runnerignore": "", "d/.runnerignore": "x\n", "d/.gitignore": "y\n", "d/x": "", "d/y": ""}, want: []string{"d/y"}, notGit: true},
		"nested alone does not choose": {files: tree{"d/.runnerignore": "x\n", "d/x": "", "d/.gitignore": "y\n", "d/y": ""}, want: []string{"d/x"}, notGit: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := t.TempDir()
			tt.files.write(t, src)
			var got []string
			for _, p := range pictured(t, src) {
				if !strings.HasSuffix(p, "/") && !strings.HasSuffix(p, "ignore") {
					got = append(got, p)
				}
			}
			same(t, "taken", tt.want, got)
			if !tt.notGit {
				sameAsGit(t, src)
			}
		})
	}
}

// pictured lists what a picture of src holds; directories end in a slash.
func pictured(t testing.TB, src string) []string {
	t.Helper()
	s := newStore(t)
	m, err := s.Manifest(t.Context(), take(t, s, src).ID)
	must(t, err)
	paths := []string{}
	for _, e := range m.Entries {
		if e.Kind == snapshot.KindDir {
			e.Path += "/"
		}
		paths = append(paths, e.Path)
	}
	return paths
}

// sameAsGit compares a picture of src with what git itself would ignore.
func sameAsGit(t testing.TB, src string) {
	t.Helper()
	if diff := differsFromGit(t, src); diff != "" {
		t.Error(diff)
	}
}

func differsFromGit(t testing.TB, src string) string {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed: nothing to compare with")
	}
	if _, err := os.Stat(filepath.Join(src, ".git")); err != nil {
		run(t, exec.Command(git, "init", "-q", src), nil)
	}
	var all []string
	for p := range read(t, src) {
		if p != ".git/" && !strings.HasPrefix(p, ".git/") {
			all = append(all, p)
		}
	}
	cmd := exec.Command(git, "-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "-z", "--stdin")
	cmd.Dir = src
	var stdin bytes.Buffer
	for _, p := range all {
		stdin.WriteString(strings.TrimSuffix(p, "/") + "\x00")
	}
	ignored := make(map[string]bool)
	for _, p := range strings.Split(run(t, cmd, &stdin), "\x00") {
		ignored[p] = true
	}
	var want []string
	for _, p := range all {
		if !ignored[strings.TrimSuffix(p, "/")] {
			want = append(want, p)
		}
	}
	got := pictured(t, src)
	slices.Sort(want)
	slices.Sort(got)
	if slices.Equal(want, got) {
		return ""
	}
	rules, _ := os.ReadFile(filepath.Join(src, ".gitignore")) // "" when there is none
	return "with rules " + strings.ReplaceAll(string(rules), "\n", "\\n") + "\n git: " + strings.Join(want, " ") + "\nours: " + strings.Join(got, " ")
}

// run gives a command's output; exit status 1 is check-ignore's "none".
func run(t testing.TB, cmd *exec.Cmd, stdin *bytes.Buffer) string {
	t.Helper()
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v: %v: %s", cmd.Args, err, stderr.String())
	}
	return string(out)
}

// patternTree has names on which small random patterns tend to differ.
func patternTree() tree {
	return tree{
		"a": "", "b": "", "ab": "", "a b": "", "b ": "", "#a": "", "!a": "", "a*": "", "-": "", "]": "", "\\": "",
		"d/a": "", "d/b": "", "d/ab": "", "d/d/a": "", "d/d/d/b": "", "d/abab": "", "e/a/a": "", "e/a/b": "", "e/d/a/b": "",
		"aa/a": "", "aa/b/": "", "A": "", "1": "",
	}
}

func TestIgnoreRulesAgainstGit(t *testing.T) {
	src := t.TempDir()
	patternTree().write(t, src)
	line := rapid.Custom(func(r *rapid.T) string {
		piece := rapid.SampledFrom([]string{
			"a", "b", "d", "e", "ab", "*", "**", "/", "/", "?", "!", "#", " ", "\\", "[", "]", "[ab]", "[!a]", "[a-d]", "[^b]", "-",
			"[[:alpha:]]", "[[:digit:]", "[[:x:]]", "/**/", "**/", "/**", "\\a", "\\*", "\\ ", "[]a]", "[\\]]", "[a-", "***",
		})
		return strings.Join(rapid.SliceOfN(piece, 1, 6).Draw(r, "line"), "")
	})
	rapid.Check(t, func(r *rapid.T) {
		for _, file := range []string{".gitignore", "d/.gitignore"} {
			rules := strings.Join(rapid.SliceOfN(line, 0, 4).Draw(r, file), "\n")
			must(t, os.WriteFile(filepath.Join(src, file), []byte(rules), 0o600))
		}
		if diff := differsFromGit(t, src); diff != "" {
			r.Fatal(diff)
		}
	})
}

// FuzzIgnoreRules lets the fuzzer look for rules that git reads otherwise.
func FuzzIgnoreRules(f *testing.F) {
	for _, seed := range []string{"", "a", "*\n!*/\n!b", "d/**/a", "**/a/**", "[a-", "\\", "a**/b", "e*/a", "!/d/\n/d/*", "\xef\xbb\xbfa\r\n", "[[:alpha:]]", "b\\ "} {
		f.Add([]byte(seed))
	}
	src := f.TempDir()
	patternTree().write(f, src)
	f.Fuzz(func(t *testing.T, rules []byte) {
		must(t, os.WriteFile(filepath.Join(src, ".gitignore"), rules, 0o600))
		sameAsGit(t, src)
	})
}
