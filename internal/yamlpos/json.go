package yamlpos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// parseJSON reads data, which is known to be valid JSON, into the tree that
// YAML would give. YAML's parser is not used because it refuses tabs and
// surrogate escapes, which JSON allows.
func parseJSON(data []byte) (*yaml.Node, error) {
	p := jsonParser{decoder: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	p.decoder.UseNumber()
	return p.value(0)
}

type jsonParser struct {
	decoder *json.Decoder
	data    []byte
	at      int // position up to which lines were counted
	line    int
	start   int // where the current line begins
	nodes   int
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	if p.nodes++; p.nodes > maxNodes {
		return nil, fmt.Errorf("the file holds more than %d values", maxNodes)
	}
	line, column := p.place()
	token, err := p.decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Line: line, Column: column}
	switch t := token.(type) {
	case nil:
		node.Tag, node.Value = "!!null", "null"
	case bool:
		node.Tag, node.Value = "!!bool", fmt.Sprint(t)
	case json.Number:
		node.Tag, node.Value = "!!int", t.String()
		if strings.ContainsAny(node.Value, ".eE") {
			node.Tag = "!!float"
		}
	case string:
		node.Tag, node.Value, node.Style = "!!str", t, yaml.DoubleQuotedStyle
	case json.Delim:
		node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		if t == '{' {
			node.Kind, node.Tag = yaml.MappingNode, "!!map"
		}
		for p.decoder.More() {
			child, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		if _, err := p.decoder.Token(); err != nil {
			return nil, fmt.Errorf("not valid JSON: %w", err)
		}
	}
	return node, nil
}

// place is the line and column, in characters, of the next token.
func (p *jsonParser) place() (line, column int) {
	offset := int(p.decoder.InputOffset())
	for offset < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[offset]) >= 0 {
		offset++
	}
	for ; p.at < offset; p.at++ {
		if p.data[p.at] == '\n' {
			p.line++
			p.start = p.at + 1
		}
	}
	return p.line, utf8.RuneCount(p.data[p.start:offset]) + 1
}
