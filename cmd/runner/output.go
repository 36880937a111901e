package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/runnerml/runner/internal/server"
	"github.com/runnerml/runner/internal/yamlpos"
	"github.com/spf13/cobra"
)

// format is the value of -o.
type format struct {
	value   string
	allowed []string
}

const (
	asTable = "table"
	asWide  = "wide"
	asJSON  = "json"
)

// addFormat gives a command the flag -o.
func addFormat(cmd *cobra.Command, allowed ...string) *format {
	f := &format{value: allowed[0], allowed: allowed}
	cmd.Flags().VarP(f, "output", "o", "how to show it: "+strings.Join(allowed, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp)) // fails only for unknown flags
	return f
}

func (f *format) String() string { return f.value }

// Type names the value in the help.
func (f *format) Type() string { return "FORMAT" }

// Set checks the value.
func (f *format) Set(value string) error {
	if !slices.Contains(f.allowed, value) {
		return fmt.Errorf("no such format, %s", yamlpos.DidYouMean(value, f.allowed))
	}
	f.value = value
	return nil
}

func (f *format) json() bool { return f.value == asJSON }
func (f *format) wide() bool { return f.value == asWide }

// printJSON writes v as one indented document.
func (c *cli) printJSON(v any) error {
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// wrongFlag is a flag whose value cannot be used.
func wrongFlag(cmd *cobra.Command, flag string, err error) error {
	return server.Wrong(fmt.Sprintf("--%s: %v", flag, err), cmd.CommandPath(), "")
}
