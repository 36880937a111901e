package snapshot

import (
	"bytes"
	"strings"
)

// pattern is one line of an ignore file.
type pattern struct {
	text     string // without "!", a trailing slash, and a leading one
	prefix   int    // how many bytes of text come before the first wildcard
	include  bool   // "!": what matches is taken after all
	dirOnly  bool   // trailing slash
	nameOnly bool   // no slash: matches the last element of the path at any depth
	suffix   bool   // "*" and then no wildcard
}

// parsePatterns reads an ignore file by git's rules: blank lines and comments
// are skipped, trailing spaces that are not escaped are cut.
func parsePatterns(data []byte) []pattern {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var patterns []pattern
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		line = bytes.TrimSuffix(line, []byte("\r"))
		line, _, _ = bytes.Cut(line, []byte{0})
		if p, ok := parsePattern(trimSpaces(string(line))); ok {
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// trimSpaces cuts trailing spaces that no backslash protects.
func trimSpaces(line string) string {
	end := -1
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ' ':
			if end < 0 {
				end = i
			}
			continue
		case '\\':
			if i++; i == len(line) {
				return line
			}
		}
		end = -1
	}
	if end < 0 {
		return line
	}
	return line[:end]
}

func parsePattern(line string) (pattern, bool) {
	var p pattern
	line, p.include = strings.CutPrefix(line, "!")
	line, p.dirOnly = strings.CutSuffix(line, "/")
	p.nameOnly = strings.IndexByte(line, '/') < 0
	p.suffix = strings.HasPrefix(line, "*") && !strings.ContainsAny(line[1:], `*?[\`)
	line = strings.TrimPrefix(line, "/")
	p.text, p.prefix = line, len(line)
	if i := strings.IndexAny(line, `*?[\`); i >= 0 {
		p.prefix = i
	}
	return p, p.text != ""
}

// matches says whether the pattern fits a path given relative to the directory
// of its ignore file; name is the path's last element.
func (p *pattern) matches(path, name string, dir bool) bool {
	switch {
	case p.dirOnly && !dir:
		return false
	case p.nameOnly && p.prefix == len(p.text):
		return name == p.text
	case p.nameOnly && p.suffix:
		return strings.HasSuffix(name, p.text[1:])
	case p.nameOnly:
		return wildmatch(p.text, name, false)
	case !strings.HasPrefix(path, p.text[:p.prefix]):
		return false
	case p.prefix == len(p.text):
		return len(path) == p.prefix
	default:
		// Like git: a "**" right behind the literal part opens the pattern.
		return wildmatch(p.text[p.prefix:], path[p.prefix:], true)
	}
}
