package yamlpos

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Decode fills into (a pointer to a struct) and reports everything that is
// wrong with the document's form. Types that implement yaml.Unmarshaler decode
// themselves; when they return an *Error its problems are taken over.
func (d *Document) Decode(into any) []Problem {
	dec := decoder{places: d.places}
	dec.value(d.root, reflect.ValueOf(into).Elem(), "")
	return d.Place(dec.problems)
}

// DecodeNode is Decode for one node, for the UnmarshalYAML methods of types
// that may be written in several ways. The error is nil or an *Error.
func DecodeNode(n *yaml.Node, into any) error {
	e := expander{left: maxNodes}
	expanded, problem := e.expand(n, 0)
	if problem != nil {
		return &Error{Problems: []Problem{*problem}}
	}
	dec := decoder{places: map[string]place{}}
	dec.value(expanded, reflect.ValueOf(into).Elem(), "")
	if len(dec.problems) == 0 {
		return nil
	}
	return &Error{Problems: dec.problems}
}

type decoder struct {
	places   map[string]place
	problems []Problem
}

func (d *decoder) reportf(n *yaml.Node, path, hint, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		Line: n.Line, Column: n.Column, Field: path,
		Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if isNull(n) && path != "" {
		// A null field is an absent one; nothing else is null for us.
		switch v.Kind() {
		case reflect.String, reflect.Int, reflect.Int64, reflect.Float64, reflect.Bool:
			if strings.HasSuffix(path, "]") {
				d.reportf(n, path, `write "" for an empty text`, "%s is empty", path)
			}
		default:
		}
		return
	}
	d.places[path] = place{n.Line, n.Column}
	if u, ok := v.Addr().Interface().(yaml.Unmarshaler); ok {
		d.unmarshal(u, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
	case reflect.Struct:
		d.fields(n, v, path)
	case reflect.Map:
		d.entries(n, v, path)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.wrong(n, path, "a list", "write ["+shown(n)+"]")
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		v.Set(list)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) unmarshal(u yaml.Unmarshaler, n *yaml.Node, path string) {
	d.placeInside(n, path) // the type does not say where its fields stood
	err := u.UnmarshalYAML(n)
	if err == nil {
		return
	}
	var inner *Error
	if errors.As(err, &inner) {
		for _, p := range inner.Problems {
			field := Join(path, p.Field)
			if rest, ok := strings.CutPrefix(p.Message, p.Field); ok && p.Field != "" && rest != "" && strings.ContainsRune(" :", rune(rest[0])) {
				p.Message = field + rest // messages begin with the field's path
			}
			p.Field = field
			if p.Line == 0 {
				p.Line, p.Column = n.Line, n.Column
			}
			d.problems = append(d.problems, p)
		}
		return
	}
	d.reportf(n, path, "", "%s: %s", path, err)
}

func (d *decoder) placeInside(n *yaml.Node, path string) {
	d.places[path] = place{n.Line, n.Column}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			d.placeInside(n.Content[i+1], Join(path, n.Content[i].Value))
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			d.placeInside(item, fmt.Sprintf("%s[%d]", path, i))
		}
	default:
	}
}

func (d *decoder) fields(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping", "")
		return
	}
	names, index := fieldNames(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(key, path, seen) {
			continue
		}
		at, ok := index[key.Value]
		if !ok {
			d.reportf(key, Join(path, key.Value), DidYouMean(key.Value, names), "unknown field %q", key.Value)
			continue
		}
		d.value(value, v.Field(at), Join(path, key.Value))
	}
}

func (d *decoder) entries(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping of names to values", "")
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.key(key, path, seen) {
			continue
		}
		inside := Join(path, key.Value)
		if isNull(value) {
			d.reportf(value, inside, `write "" for an empty text, or leave the line out`, "%s has no value", inside)
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element, inside)
		out.SetMapIndex(reflect.ValueOf(key.Value), element)
	}
	v.Set(out)
}

// key checks a mapping's key and remembers it.
func (d *decoder) key(key *yaml.Node, path string, seen map[string]bool) bool {
	if key.Kind != yaml.ScalarNode || isNull(key) {
		d.reportf(key, path, "", "a name is expected here")
		return false
	}
	if seen[key.Value] {
		d.reportf(key, Join(path, key.Value), "", "%q is given twice", key.Value)
		return false
	}
	seen[key.Value] = true
	return true
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode {
		d.wrong(n, path, kindWords(v.Kind()), "")
		return
	}
	switch v.Kind() {
	case reflect.String:
		switch tag {
		case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
			v.SetString(n.Value) // as it was written: 3.10 stays 3.10
		default:
			d.reportf(n, path, "quote the value", "%s has the tag %s, which is not text", path, tag)
		}
	case reflect.Bool:
		switch {
		case tag == "!!bool" && strings.EqualFold(n.Value, "true"):
			v.SetBool(true)
		case tag == "!!bool" && strings.EqualFold(n.Value, "false"):
			v.SetBool(false)
		default:
			d.wrong(n, path, kindWords(v.Kind()), "")
		}
	case reflect.Int, reflect.Int64:
		number, err := strconv.ParseInt(n.Value, 10, 64)
		if tag != "!!int" || err != nil || v.OverflowInt(number) {
			d.wrong(n, path, kindWords(v.Kind()), "")
			return
		}
		v.SetInt(number)
	case reflect.Float64:
		number, err := strconv.ParseFloat(n.Value, 64)
		if (tag != "!!int" && tag != "!!float") || err != nil {
			d.wrong(n, path, kindWords(v.Kind()), "")
			return
		}
		v.SetFloat(number)
	default:
		d.reportf(n, path, "", "%s cannot be written in a spec", path)
	}
}

func (d *decoder) wrong(n *yaml.Node, path, want, hint string) {
	name := path
	if name == "" {
		name = "the document"
	}
	found := describe(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) && strings.HasPrefix(want, "a mapping") {
		found = "text" // it may be a password where only a reference may stand
	}
	d.reportf(n, path, hint, "%s must be %s, not %s", name, want, found)
}

func kindWords(kind reflect.Kind) string {
	switch kind {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		return "text"
	}
}

// describe says what a node is, for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		if isNull(n) {
			return "empty"
		}
		return strconv.Quote(shown(n))
	}
}

func shown(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return "..."
	}
	if text := []rune(n.Value); len(text) > 60 {
		return string(text[:60]) + "..."
	}
	return n.Value
}

// fieldNames lists the yaml names of a struct's fields and where they are.
func fieldNames(t reflect.Type) (names []string, index map[string]int) {
	index = map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" || !t.Field(i).IsExported() {
			continue
		}
		names = append(names, name)
		index[name] = i
	}
	return names, index
}
