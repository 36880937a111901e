package yamlpos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a document.
type Problem struct {
	// File is the document's name, or "--set key=..." when the fault came
	// from the command line.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 where there is none.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Field is the path of the field, for example "resources.memory" or
	// "arguments[2]". Empty: the document as a whole.
	Field string `json:"field,omitempty"`
	// Message says what is wrong, Hint what to do (may be empty).
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Where is the place in the form file:line:column, shorter where parts are
// not known.
func (p Problem) Where() string {
	where := p.File
	if p.Line > 0 {
		if where != "" {
			where += ":"
		}
		where += fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	if where == "" {
		return p.Field
	}
	return where
}

// Error is what is wrong and where, "unknown field \"environmment\":
// job.yaml:4:1", without the hint.
func (p Problem) Error() string {
	if where := p.Where(); where != "" {
		return p.Message + ": " + where
	}
	return p.Message
}

// Error holds all problems of one document, in the order of their places.
type Error struct {
	Problems []Problem
}

// Error has one line a problem, each followed by a line with its hint when
// there is one.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
		if p.Hint != "" {
			lines = append(lines, "hint: "+p.Hint)
		}
	}
	return strings.Join(lines, "\n")
}

// ErrorOf is an *Error with the problems sorted by place and doubles removed,
// or nil when there are none.
func ErrorOf(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	sorted := slices.Clone(problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(boolRank(a.Line == 0), boolRank(b.Line == 0)), // the command line's after the file's
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
	return &Error{Problems: slices.Compact(sorted)}
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Within puts prefix before the fields of problems that a part reported.
func Within(prefix string, problems []Problem) []Problem {
	out := slices.Clone(problems)
	for i := range out {
		out[i].Field = Join(prefix, out[i].Field)
	}
	return out
}

// Join makes one path of a path and what lies inside it.
func Join(path, inner string) string {
	switch {
	case path == "":
		return inner
	case inner == "" || inner[0] == '[':
		return path + inner
	default:
		return path + "." + inner
	}
}

// Unreported leaves out of rules those about fields that are in reported
// already, or that hold such a field: what could not be read cannot be judged.
func Unreported(rules, reported []Problem) []Problem {
	return slices.DeleteFunc(slices.Clone(rules), func(rule Problem) bool {
		return rule.Field != "" && slices.ContainsFunc(reported, func(p Problem) bool {
			rest, inside := strings.CutPrefix(p.Field, rule.Field)
			return inside && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
	})
}
