package yamlpos

import (
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
)

// expander copies a tree with every alias replaced by what it stands for and
// every merge key (<<) by the fields it brings, within maxDepth and maxNodes.
type expander struct {
	left int
	open []*yaml.Node // anchors being followed, to find those that hold themselves
}

func (e *expander) expand(n *yaml.Node, depth int) (*yaml.Node, *Problem) {
	at := func(format string, args ...any) *Problem {
		return &Problem{Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)}
	}
	if e.left--; e.left < 0 {
		return nil, at("the file grows to more than %d values when its aliases are followed", maxNodes)
	}
	if depth > maxDepth {
		return nil, at("nested deeper than %d levels", maxDepth)
	}
	if n.Kind == yaml.AliasNode {
		for _, open := range e.open {
			if open == n.Alias {
				return nil, at("the alias *%s stands inside what it stands for", n.Value)
			}
		}
		e.open = append(e.open, n.Alias)
		defer func() { e.open = e.open[:len(e.open)-1] }()
		return e.expand(n.Alias, depth+1)
	}
	out := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.ShortTag(), Value: n.Value, Line: n.Line, Column: n.Column}
	var merged []*yaml.Node
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && isMerge(n.Content[i-1]) {
			got, problem := e.merge(child, depth)
			if problem != nil {
				return nil, problem
			}
			merged = append(merged, got...)
			continue
		}
		if n.Kind == yaml.MappingNode && i%2 == 0 && isMerge(child) {
			continue
		}
		got, problem := e.expand(child, depth+1)
		if problem != nil {
			return nil, problem
		}
		out.Content = append(out.Content, got)
	}
	// What stands in the mapping itself wins, then what was merged first.
	for i := 0; i+1 < len(merged); i += 2 {
		if find(out, merged[i].Value) < 0 {
			out.Content = append(out.Content, merged[i], merged[i+1])
		}
	}
	return out, nil
}

// merge gives the fields that a merge key brings: those of a mapping, or of a
// list of mappings.
func (e *expander) merge(n *yaml.Node, depth int) ([]*yaml.Node, *Problem) {
	got, problem := e.expand(n, depth+1)
	if problem != nil {
		return nil, problem
	}
	sources := []*yaml.Node{got}
	if got.Kind == yaml.SequenceNode {
		sources = got.Content
	}
	var fields []*yaml.Node
	for _, source := range sources {
		if source.Kind != yaml.MappingNode {
			return nil, &Problem{Line: n.Line, Column: n.Column, Message: "<< takes a mapping or a list of mappings"}
		}
		fields = append(fields, source.Content...)
	}
	return fields, nil
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && key.ShortTag() == "!!merge"
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// find is the index of a key in a mapping's content, or -1.
func find(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}
