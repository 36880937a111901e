package yamlpos

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Set changes the document by one assignment, "resources.memory=4GiB": a path
// of names and [indexes] and a value in YAML; null unsets. Names with dots are
// written in brackets and quotes, tags["a.b"]=x. Problems of the value name
// the assignment as their place.
func (d *Document) Set(assignment string) error {
	where := "--set " + assignment
	fail := func(hint, format string, args ...any) error {
		return &Error{Problems: []Problem{{
			File: where, Message: fmt.Sprintf(format, args...), Hint: hint,
		}}}
	}
	path, text, ok := strings.Cut(assignment, "=")
	if quote := strings.Index(path, `["`); ok && quote >= 0 {
		if length := strings.Index(assignment[quote+2:], `"]`); length >= 0 {
			end := quote + 2 + length
			var rest string
			rest, text, ok = strings.Cut(assignment[end:], "=")
			path = assignment[:end] + rest
		}
	}
	if !utf8.ValidString(assignment) {
		return fail("", "the assignment is not UTF-8 text")
	}
	if !ok || strings.TrimSpace(path) == "" {
		return fail("for example --set resources.memory=4GiB", "an assignment has the form key=value")
	}
	where = "--set " + path + "=..." // the value may be private
	steps, err := splitPath(path)
	if err != nil {
		return fail("for example --set arguments[0]=x or --set tags.team=vision", "%s", err)
	}
	value, problem := parseValue(text)
	if problem != nil {
		return fail("quote the value: "+path+`='"..."'`, "%s", problem.Message)
	}
	d.sets = append(d.sets, where)
	mark(value, -len(d.sets))
	if err := assign(d.root, steps, value, -len(d.sets)); err != nil {
		return fail("", "%s", err)
	}
	return nil
}

// step is one part of a path: a name, or an index when name is empty.
type step struct {
	name    string
	index   int
	isIndex bool
}

func splitPath(path string) ([]step, error) {
	var steps []step
	for rest := strings.TrimSpace(path); rest != ""; {
		switch {
		case strings.HasPrefix(rest, `["`):
			name, after, closed := strings.Cut(rest[2:], `"]`)
			if !closed {
				return nil, fmt.Errorf("%q has an open bracket", path)
			}
			steps = append(steps, step{name: name})
			rest = after
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, fmt.Errorf("%q has an open bracket", path)
			}
			index, err := strconv.Atoi(rest[1:end])
			if err != nil || index < 0 {
				return nil, fmt.Errorf("%q is no index", rest[1:end])
			}
			steps = append(steps, step{index: index, isIndex: true})
			rest = rest[end+1:]
		default:
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("%q has an empty name", path)
			}
			steps = append(steps, step{name: rest[:end]})
			rest = rest[end:]
		}
		if strings.HasPrefix(rest, ".") {
			if rest = rest[1:]; rest == "" || rest[0] == '.' || rest[0] == '[' {
				return nil, fmt.Errorf("%q has an empty name", path)
			}
		} else if rest != "" && rest[0] != '[' {
			return nil, fmt.Errorf("%q lacks a dot", path)
		}
	}
	return steps, nil
}

// parseValue reads the right-hand side of an assignment. An empty text is the
// empty string, not null.
func parseValue(text string) (*yaml.Node, *Problem) {
	if strings.HasPrefix(strings.TrimSpace(text), "#") { // on a command line it is no comment
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}, nil
	}
	if strings.TrimSpace(text) == "" {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str"}, nil
	}
	if len(text) > MaxSize {
		return nil, &Problem{Message: fmt.Sprintf("the value is larger than %d bytes", MaxSize)}
	}
	if trimmed := strings.TrimSpace(text); strings.IndexByte(`["{`, trimmed[0]) >= 0 && json.Valid([]byte(text)) {
		value, err := parseJSON([]byte(text)) // which may hold characters that YAML does not
		if err != nil {
			return nil, &Problem{Message: err.Error()}
		}
		return value, nil
	}
	var document yaml.Node
	if err := yaml.Load([]byte(text), &document, yaml.WithUniqueKeys(false)); err != nil {
		return nil, yamlProblem(err)
	}
	if len(document.Content) == 0 {
		return nil, &Problem{Message: "the value is empty"}
	}
	e := expander{left: maxNodes}
	return e.expand(document.Content[0], 0)
}

// mark makes every node below n say that it came from an assignment: the
// number of the assignment, negative, stands where the line would.
func mark(n *yaml.Node, line int) {
	n.Line, n.Column = line, 1
	for _, child := range n.Content {
		mark(child, line)
	}
}

func assign(at *yaml.Node, steps []step, value *yaml.Node, line int) error {
	here, last := steps[0], len(steps) == 1
	unset := isNull(value)
	if isNull(at) {
		*at = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: line, Column: 1}
		if here.isIndex {
			at.Kind, at.Tag = yaml.SequenceNode, "!!seq"
		}
	}
	var child **yaml.Node
	switch {
	case here.isIndex:
		if at.Kind != yaml.SequenceNode {
			return fmt.Errorf("[%d] is put on something that is no list", here.index)
		}
		if here.index > len(at.Content) || (unset && last && here.index == len(at.Content)) {
			return fmt.Errorf("[%d] is past the end of a list of %d", here.index, len(at.Content))
		}
		if unset && last {
			at.Content = append(at.Content[:here.index:here.index], at.Content[here.index+1:]...)
			return nil
		}
		if here.index == len(at.Content) {
			at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: line, Column: 1})
		}
		child = &at.Content[here.index]
	default:
		if at.Kind != yaml.MappingNode {
			return fmt.Errorf("%q is put inside something that is no mapping", here.name)
		}
		index := find(at, here.name)
		if unset && last {
			for ; index >= 0; index = find(at, here.name) {
				at.Content = append(at.Content[:index:index], at.Content[index+2:]...)
			}
			return nil
		}
		if index < 0 {
			if unset {
				return nil
			}
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: here.name, Line: line, Column: 1}
			index = len(at.Content)
			at.Content = append(at.Content, key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: line, Column: 1})
		}
		at.Content[index].Line, at.Content[index].Column = line, 1
		child = &at.Content[index+1]
	}
	if last {
		*child = value
		return nil
	}
	return assign(*child, steps[1:], value, line)
}
