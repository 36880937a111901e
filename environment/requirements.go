package environment

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxRequirements bounds one requirements file, and maxIncludes how many of
// them one file may bring in.
const (
	maxRequirements = 4 << 20
	maxIncludes     = 100
)

// lineKind says what one line of a requirements file is.
type lineKind int

const (
	packageLine    lineKind = iota // a requirement, or an option that pip knows
	includeLine                    // -r FILE
	constraintLine                 // -c FILE
)

// requirement is one logical line: continued lines are joined, comments gone.
type requirement struct {
	kind   lineKind
	text   string // the line, or the file's name
	number int    // of its first physical line, from 1
}

var (
	commentPattern = regexp.MustCompile(`(^|\s)#.*$`)
	// A PEP 508 name, extras, and then versions, "@ url", a marker, or an end.
	// What follows is pip's to judge.
	requirementPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\])?\s*(?:$|[<>=!~;@(]|--)`)
	remotePattern      = regexp.MustCompile(`^(?:https?|(?:git|hg|svn|bzr)\+(?:https?|ssh|git|svn))://`)
	windowsPattern     = regexp.MustCompile(`^[A-Za-z]:[\\/]`)
)

// parseRequirements splits a pip requirements file into its logical lines.
// The error names the line.
func parseRequirements(content string) ([]requirement, error) {
	if !utf8.ValidString(content) {
		return nil, errors.New("the requirements are not UTF-8 text")
	}
	content = strings.TrimPrefix(content, "\ufeff")
	var out []requirement
	lines := strings.Split(strings.ReplaceAll(content, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		number := i + 1
		text := lines[i]
		if !strings.HasPrefix(strings.TrimSpace(text), "#") {
			for strings.HasSuffix(text, `\`) && i+1 < len(lines) {
				i++
				text = strings.TrimSuffix(text, `\`) + " " + strings.TrimSpace(lines[i])
			}
			text = strings.TrimSuffix(text, `\`)
		}
		text = strings.TrimSpace(commentPattern.ReplaceAllString(text, ""))
		if text == "" {
			continue
		}
		r, err := classify(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		r.number = number
		out = append(out, r)
	}
	return out, nil
}

// requirementProblem says what is wrong with one entry of a pip list.
func requirementProblem(line string) string {
	if strings.ContainsAny(line, "\n\r") {
		return fmt.Sprintf("%q is more than one line", line)
	}
	lines, err := parseRequirements(line)
	switch {
	case err != nil:
		return strings.TrimPrefix(err.Error(), "line 1: ")
	case len(lines) == 0:
		return "an empty requirement"
	default:
		return ""
	}
}

// classify says what one logical line is and refuses what cannot be carried to
// another machine.
func classify(text string) (requirement, error) {
	for _, r := range text {
		if r == 0 || r == '\r' || (r < ' ' && r != '\t') {
			return requirement{}, fmt.Errorf("%q holds a control character", text)
		}
	}
	if strings.HasSuffix(text, `\`) { // it would swallow the next line
		return requirement{}, fmt.Errorf("%q ends with a backslash that continues nothing", text)
	}
	if !strings.HasPrefix(text, "-") {
		return requirement{text: strings.Join(strings.Fields(text), " ")}, localProblem(text)
	}
	option, value := splitOption(text)
	needs := func() error {
		if value == "" {
			return fmt.Errorf("%s has no value", option)
		}
		return nil
	}
	switch option {
	case "-r", "--requirement":
		return requirement{kind: includeLine, text: value}, needs()
	case "-c", "--constraint":
		return requirement{kind: constraintLine, text: value}, needs()
	case "-e", "--editable":
		if err := needs(); err != nil {
			return requirement{}, err
		}
		if !remotePattern.MatchString(value) {
			return requirement{}, localError(value)
		}
		return requirement{text: option + " " + value}, nil
	case "-i", "--index-url", "--pypi-url", "--extra-index-url", "--trusted-host", "--no-binary", "--only-binary", "--use-feature":
		return requirement{text: option + " " + value}, needs()
	case "-f", "--find-links":
		// A directory here is one of the target's; it is not carried.
		return requirement{text: option + " " + value}, needs()
	case "--no-index", "--pre", "--prefer-binary", "--require-hashes":
		if value != "" {
			return requirement{}, fmt.Errorf("%s takes no value", option)
		}
		return requirement{text: option}, nil
	default:
		return requirement{}, fmt.Errorf("%s is no option of a requirements file", option)
	}
}

// splitOption takes "-rfile", "-r file", "--requirement file" and
// "--requirement=file" apart.
func splitOption(text string) (option, value string) {
	if !strings.HasPrefix(text, "--") && len(text) >= 2 {
		return text[:2], strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text[2:]), "="))
	}
	cut := strings.IndexAny(text, "= \t")
	if cut < 0 {
		return text, ""
	}
	return text[:cut], strings.TrimSpace(text[cut+1:])
}

// localProblem refuses requirements that are files of the user's machine.
func localProblem(text string) error {
	name, url, direct := strings.Cut(text, "@")
	url, _, _ = strings.Cut(strings.TrimSpace(url), " ")
	switch {
	case remotePattern.MatchString(text):
		return nil
	case strings.HasPrefix(text, "."), strings.HasPrefix(text, "/"), strings.HasPrefix(text, "~"),
		strings.HasPrefix(text, "file:"), windowsPattern.MatchString(text):
		return localError(text)
	case direct && !strings.ContainsAny(name, ";=<>"):
		if !remotePattern.MatchString(url) && !strings.HasPrefix(url, "$") {
			return localError(text)
		}
		return nil
	case requirementPattern.MatchString(text):
		return nil
	case strings.HasSuffix(text, ".whl"), strings.HasSuffix(text, ".tar.gz"),
		strings.Contains(text, "/") && !strings.ContainsAny(text, " ;"):
		return localError(text)
	default:
		return fmt.Errorf("%q is no requirement: write for example numpy==1.26.4", text)
	}
}

func localError(what string) error {
	return fmt.Errorf("%q is a path on this machine, which a target does not have: "+
		"name a package of an index, an https:// or git+https:// address, "+
		"or keep the code in the source directory, where the script can import it", what)
}

// requirementFiles reads requirements files and those they include.
type requirementFiles struct {
	requirements []string
	constraints  []string
	read         int
	open         []string
}

// addFile reads one file; constraint says that its lines only limit versions.
func (f *requirementFiles) addFile(ctx context.Context, path string, constraint bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, open := range f.open {
		if open == path {
			return fmt.Errorf("%s includes itself", path)
		}
	}
	if f.read++; f.read > maxIncludes {
		return fmt.Errorf("%s: more than %d requirements files include each other", path, maxIncludes)
	}
	data, err := readLimited(path, maxRequirements)
	if err != nil {
		return fmt.Errorf("read requirements: %w", err)
	}
	f.open = append(f.open, path)
	defer func() { f.open = f.open[:len(f.open)-1] }()
	return f.addText(ctx, path, filepath.Dir(path), string(data), constraint)
}

func (f *requirementFiles) addText(ctx context.Context, name, dir, content string, constraint bool) error {
	lines, err := parseRequirements(content)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, line := range lines {
		switch line.kind {
		case includeLine, constraintLine:
			if strings.Contains(line.text, "://") {
				return fmt.Errorf("%s: line %d: %s is not a file: only files can be included, as an address may give other content tomorrow", name, line.number, line.text)
			}
			path := line.text
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			if err := f.addFile(ctx, path, constraint || line.kind == constraintLine); err != nil {
				return fmt.Errorf("%s: line %d: %w", name, line.number, missingFile("requirements file", path, line.text, err))
			}
		default:
			if constraint {
				f.constraints = append(f.constraints, line.text)
			} else {
				f.requirements = append(f.requirements, line.text)
			}
		}
	}
	return nil
}
