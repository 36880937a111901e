// Package yamlpos decodes a YAML or JSON document strictly into Go values and
// knows where everything stood.
//
// A document is parsed once into a tree with lines and columns (within limits
// that keep hostile files harmless), changed by assignments from the command
// line, and decoded into a struct by its yaml tags. Decoding does not stop at
// the first mistake: every unknown field, doubled key and wrong type becomes a
// Problem with its place, the field's path and, for a misspelt name, the
// nearest one that is right. Rules about values that are well-formed belong to
// the packages that own the types; they report Problems by field path, and
// Document.Place adds the line.
package yamlpos
