package machine

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// firstLine of the script, by the beginning of its file; a file that nothing can
// run is refused. Python needs none.
func firstLine(c *runconfig.ScriptRunConfig, head []byte, mode fs.FileMode) ([]string, error) {
	const anybodys = 0o111
	line := runconfig.FirstLine(head)
	if wrong, hint := c.CheckScript(line, mode&anybodys != 0); wrong != "" {
		return nil, &backends.Failure{Outcome: run.OutcomeEnvironmentFailed, Err: errors.New(wrong), Hint: hint}
	}
	return line, nil
}

// plannedCommand is the command line before the source is on the host. The
// script is looked at where it lies, when that is here.
func plannedCommand(c *runconfig.ScriptRunConfig, interpreter string, inputs map[string]string) ([]string, error) {
	if c.Script == "" || c.IsPython() || !filepath.IsAbs(c.SourceDirectory) {
		return c.CommandLine(interpreter, inputs), nil
	}
	name := filepath.Join(c.SourceDirectory, c.Script)
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return c.CommandLine(interpreter, inputs), nil // submitted elsewhere, or Prepare will say it
	}
	f, err := os.Open(name)
	if err != nil {
		return c.CommandLine(interpreter, inputs), nil // as above
	}
	defer func() { _ = f.Close() }() // only read
	head, err := io.ReadAll(io.LimitReader(f, runconfig.MaxFirstLine))
	if err != nil {
		return nil, err
	}
	line, err := firstLine(c, head, info.Mode())
	if err != nil {
		return nil, err
	}
	return c.CommandLineOf(line, interpreter, inputs), nil
}
