package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocsCommands sees that the commands of docs/ are commands, with flags
// and arguments that there are.
func TestDocsCommands(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range append(files, "../../README.md") {
		for _, line := range commandLines(t, file) {
			t.Run(filepath.Base(file)+" "+line, func(t *testing.T) {
				cmd, rest, err := newRoot(newCLI(nil)).Find(strings.Fields(line)[1:])
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.ParseFlags(rest); err != nil {
					t.Fatal(err)
				}
				if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// commandLines are the lines of shell in a page that run our program, from
// its name on.
func commandLines(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	shell := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			shell = fence == "sh" || fence == "console" || fence == "bash"
			continue
		}
		line, _, _ = strings.Cut(line, " #")
		if at := strings.Index(line, "runner "); shell && (at == 0 || at > 0 && line[at-1] == ' ') {
			lines = append(lines, strings.TrimSpace(line[at:]))
		}
	}
	return lines
}
