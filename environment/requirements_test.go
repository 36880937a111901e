package environment

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRequirements(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string // kind letter and text
	}{
		"nothing":           {"\n\n  # only a comment\n", nil},
		"names":             {"numpy\nA-b_c.d[x,y]>=1,<2 ; python_version < '3.9'\nsix==1.0", []string{"p numpy", "p A-b_c.d[x,y]>=1,<2 ; python_version < '3.9'", "p six==1.0"}},
		"comments":          {"numpy # why\n#six\nurl @ https://x/y#egg=z\n", []string{"p numpy", "p url @ https://x/y#egg=z"}},
		"windows lines":     {"a\r\nb\r\n", []string{"p a", "p b"}},
		"byte order mark":   {"\ufeffa\n", []string{"p a"}},
		"continued":         {"a==1 \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\nb\\", []string{"p a==1 --hash=sha256:00 --hash=sha256:11", "p b"}},
		"comment, not more": {"# a \\\nb\n", []string{"p b"}},
		"options":           {"-i https://a/\n--extra-index-url=https://b/\n--pre\n-fhttps://c/\n", []string{"p -i https://a/", "p --extra-index-url https://b/", "p --pre", "p -f https://c/"}},
		"files":             {"-r a.txt\n-cb.txt\n--requirement=c.txt\n--constraint d e.txt\n", []string{"r a.txt", "c b.txt", "r c.txt", "c d e.txt"}},
		"remote":            {"git+https://x/y@main\n-e git+ssh://git@x/y#egg=z\nhttps://x/y.whl\n", []string{"p git+https://x/y@main", "p -e git+ssh://git@x/y#egg=z", "p https://x/y.whl"}},
		"variable":          {"a @ ${INDEX}/a.whl\n", []string{"p a @ ${INDEX}/a.whl"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lines, err := parseRequirements(test.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range lines {
				got = append(got, map[lineKind]string{packageLine: "p ", includeLine: "r ", constraintLine: "c "}[line.kind]+line.text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRequirementsRefuses(t *testing.T) {
	tests := map[string]string{
		"a\n-e .\n":               `line 2: "." is a path on this machine`,
		"./x.whl":                 `line 1: "./x.whl" is a path on this machine`,
		"x/y":                     `line 1: "x/y" is a path on this machine`,
		"file:///x":               `line 1: "file:///x" is a path on this machine`,
		"a @ file:///x":           `line 1: "a @ file:///x" is a path on this machine`,
		`C:\x`:                    `line 1: "C:\\x" is a path on this machine`,
		"~/x":                     `line 1: "~/x" is a path on this machine`,
		"numpy 1.0":               `line 1: "numpy 1.0" is no requirement`,
		"-r":                      "line 1: -r has no value",
		"--install-option=x":      "line 1: --install-option is no option of a requirements file",
		"--pre x":                 "line 1: --pre takes no value",
		"a\x00b":                  "line 1: ",
		"\xff":                    "not UTF-8",
		"; rm -rf /":              "is no requirement",
		"--index-url $(rm -rf /)": "",
	}
	for text, want := range tests {
		_, err := parseRequirements(text)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParseRequirements: what comes out is one line each and comes out the same
// when it goes in again.
func FuzzParseRequirements(f *testing.F) {
	for _, text := range []string{"numpy==1 # x\n", "-r a\\\nb", "a @ https://x#y", "-e git+https://x", "--pre", "a==1 \\\n --hash=x", "\ufeff", "#\\\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, content string) {
		lines, err := parseRequirements(content)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Fatal("an error without words")
			}
			return
		}
		var again []string
		for _, line := range lines {
			if line.text == "" || strings.ContainsAny(line.text, "\n\r\x00") {
				t.Fatalf("line %q", line.text)
			}
			if line.kind == packageLine {
				again = append(again, line.text)
			}
		}
		second, err := parseRequirements(strings.Join(again, "\n"))
		if err != nil {
			t.Fatalf("%q gave %q, which is refused: %v", content, again, err)
		}
		for i, line := range second {
			if line.text != again[i] {
				t.Fatalf("%q became %q", again[i], line.text)
			}
		}
	})
}
