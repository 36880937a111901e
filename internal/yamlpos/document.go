package yamlpos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a document. They are far above any honest spec and far below what
// would hurt.
const (
	MaxSize  = 1 << 20 // bytes
	maxDepth = 64      // nested mappings and lists
	maxNodes = 100_000 // after aliases are followed
)

// Document is one parsed document that assignments may change before it is
// decoded.
type Document struct {
	file   string
	root   *yaml.Node
	sets   []string
	places map[string]place
}

type place struct{ line, column int }

// Parse reads one YAML or JSON document. Aliases and merge keys are followed
// here, so that nothing later meets them. The error is an *Error.
func Parse(file string, data []byte) (*Document, error) {
	d := &Document{file: file, places: map[string]place{}}
	fail := func(line, column int, hint, format string, args ...any) (*Document, error) {
		return nil, &Error{Problems: []Problem{{
			File: file, Line: line, Column: column,
			Message: fmt.Sprintf(format, args...), Hint: hint,
		}}}
	}
	if len(data) > MaxSize {
		return fail(0, 0, "", "the file is larger than %d bytes", MaxSize)
	}
	if !utf8.Valid(data) {
		line, column := badUTF8(data)
		return fail(line, column, "save the file as UTF-8", "the file is not UTF-8 text")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(data) {
		root, err := parseJSON(data)
		if err != nil {
			return fail(0, 0, "", "%s", err)
		}
		d.root = root
		return d, nil
	}
	root, problem := parseYAML(data)
	if problem != nil {
		problem.File = file
		return nil, &Error{Problems: []Problem{*problem}}
	}
	d.root = root
	return d, nil
}

// Empty is a document with no fields, for assignments alone.
func Empty(file string) *Document {
	return &Document{file: file, root: &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, places: map[string]place{}}
}

func parseYAML(data []byte) (*yaml.Node, *Problem) {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithUniqueKeys(false))
	if err != nil {
		return nil, &Problem{Message: err.Error()}
	}
	var documents []*yaml.Node
	for len(documents) < 2 {
		var node yaml.Node
		if err := loader.Load(&node); err != nil {
			if isEOF(err) {
				break
			}
			return nil, yamlProblem(err)
		}
		documents = append(documents, &node)
	}
	if len(documents) == 0 || len(documents[0].Content) == 0 || isNull(documents[0].Content[0]) {
		return nil, &Problem{Message: "the file is empty", Hint: "a spec has at least \"script: train.py\" or \"command: ...\""}
	}
	if len(documents) > 1 {
		at := documents[1]
		if len(at.Content) > 0 {
			at = at.Content[0]
		}
		return nil, &Problem{
			Line: at.Line, Column: at.Column,
			Message: "the file holds more than one document",
			Hint:    "put each run into a file of its own",
		}
	}
	e := expander{left: maxNodes}
	root, problem := e.expand(documents[0].Content[0], 0)
	if problem != nil {
		return nil, problem
	}
	return root, nil
}

var yamlPlace = regexp.MustCompile(`(?:line |L)(\d+)(?:[.,:] ?(?:column |C)?(\d+))?`)

// yamlProblem turns the YAML library's error into a problem with a place.
func yamlProblem(err error) *Problem {
	message := err.Error()
	p := &Problem{}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		message = load.Message
		if message == "" {
			message = load.Error()
		}
		p.Line, p.Column = load.Mark.Line, load.Mark.Column
	} else if m := yamlPlace.FindStringSubmatch(message); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Column, _ = strconv.Atoi(m[2])
	}
	if p.Line > 0 && p.Column == 0 {
		p.Column = 1
	}
	message = strings.TrimPrefix(message, "yaml: ")
	message, _, _ = strings.Cut(message, "\n")
	p.Message = "not valid YAML: " + message
	if strings.Contains(message, "cannot start any token") {
		p.Hint = "indent with spaces, not tabs, and quote values that begin with @, ` or %"
	}
	return p
}

func badUTF8(data []byte) (line, column int) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return line, column
		case r == '\n':
			line, column = line+1, 1
		default:
			column++
		}
		data = data[size:]
	}
	return line, column
}

// Place adds file, line and column to problems that name only a field: those
// of the field itself, or of the nearest one around it that is written down.
func (d *Document) Place(problems []Problem) []Problem {
	out := make([]Problem, len(problems))
	for i, p := range problems {
		if p.Line == 0 {
			at := d.lookup(p.Field)
			p.Line, p.Column = at.line, at.column
		}
		p.File = d.file
		if p.Line < 0 {
			if index := -p.Line - 1; index < len(d.sets) {
				p.File = d.sets[index]
			}
			p.Line, p.Column = 0, 0
		}
		out[i] = p
	}
	return out
}

// Has says whether the field stands in the document.
func (d *Document) Has(field string) bool {
	_, ok := d.places[field]
	return ok
}

func (d *Document) lookup(field string) place {
	for field != "" {
		if at, ok := d.places[field]; ok {
			return at
		}
		cut := strings.LastIndexAny(field, ".[")
		if cut < 0 {
			break
		}
		field = field[:cut]
	}
	return d.places[""]
}

// HasTop says whether the document is a mapping with this field.
func (d *Document) HasTop(name string) bool {
	return d.root.Kind == yaml.MappingNode && find(d.root, name) >= 0
}
