package runconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArrayLines(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       [][]string
		wrong      string // what and where, without the file
	}{
		{"words", "--a 1\n--a  2\t--b 3", [][]string{{"--a", "1"}, {"--a", "2", "--b", "3"}}, ""},
		{"as a shell would, with nothing replaced", `--name 'a b' "c $HOME" d\ e * ~ '' "\"" $(id)` + "\n", [][]string{{"--name", "a b", "c $HOME", "d e", "*", "~", "", `"`, "$(id)"}}, ""},
		{"empty lines and comments", "\n# one\n  # two\n--a 1 '#3'\r\n\n", [][]string{{"--a", "1", "#3"}}, ""},
		{"an argument that is empty", "''\n", [][]string{{""}}, ""},
		{"nothing", "# none\n\n", nil, "it has no line with arguments: "},
		{"no end", "--a 1\n--b 'x\n", nil, "a quotation mark has no end: :2"},
		{"nothing behind it", "--a \\", nil, "a backslash has nothing behind it: :1"},
		{"no text", "--a \x00\n", nil, "the line is no text: :1"},
		{"other bytes", "--a \xff\n", nil, "the line is no text: :1"},
		{"too many", strings.Repeat("x\n", MaxArray+1), nil, "more than 10000 runs: :10001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "args.txt")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := (&Array{File: file}).Lines()
			wrong := ""
			if e, ok := errors.AsType[*ArrayError](err); ok {
				wrong = strings.ReplaceAll(e.Error(), file, "")
			} else if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" || wrong != c.wrong {
				t.Errorf("%s: %q\n%s", c.name, wrong, d)
			}
		})
	}
	if _, err := (&Array{File: t.TempDir()}).Lines(); err == nil || !strings.Contains(err.Error(), "it is no file") {
		t.Error(err)
	}
}

func TestArrayGrid(t *testing.T) {
	c, err := Parse("job.yaml", []byte("script: t.py\narguments: [--all]\nenvironment_variables: {A: b}\narray: {grid: {l1: [0, 1], alpha: [0.10, high]}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := c.Array.Lines()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"--alpha", "0.10", "--l1", "0"},
		{"--alpha", "0.10", "--l1", "1"},
		{"--alpha", "high", "--l1", "0"},
		{"--alpha", "high", "--l1", "1"},
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
	one := c.Member(3, lines[3])
	if d := cmp.Diff([]string{"--all", "--alpha", "high", "--l1", "1"}, one.Arguments); d != "" || one.Array != nil {
		t.Error(d, one.Array)
	}
	if d := cmp.Diff(map[string]string{"A": "b", ArrayIndex: "3"}, one.EnvironmentVariables); d != "" || len(c.EnvironmentVariables) != 1 || len(c.Arguments) != 1 {
		t.Error(d, c)
	}
}

func TestArrayProblems(t *testing.T) {
	numbers := "[" + strings.Repeat("1,", 101) + "1]"
	for _, c := range []struct{ array, want string }{
		{"{}", "it says nothing of what its runs are given"},
		{"{file: a, grid: {b: [1]}}", "file and grid are given together"},
		{"{grid: {b: []}}", "it has no values"},
		{"{grid: {'b c': [1]}}", `"b c" is no name for an option`},
		{"{grid: {-x: [1]}}", `"-x" is no name for an option`},
		{"{grid: {a: " + numbers + ", b: " + numbers + "}}", "it makes more than 10000 runs"},
		{"{files: a}", `unknown field "files"`},
	} {
		_, err := Parse("job.yaml", []byte("script: t.py\narray: "+c.array+"\n"), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.array, err, c.want)
		}
	}
}

func FuzzArrayLines(f *testing.F) {
	for _, seed := range []string{"--a 1\n", "'a b' \"c\" \\\n", "# x\n\n", "\"", "\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := linesOf("f", text)
		if (err == nil) != (len(lines) > 0) {
			t.Errorf("%d lines, %v", len(lines), err)
		}
	})
}
