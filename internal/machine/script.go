package machine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/runnerml/runner/backends"
	"github.com/runnerml/runner/internal/run"
	"github.com/runnerml/runner/runconfig"
)

// firstLine of the script's file below dir on the host; a file that nothing can
// run is refused. Python needs none.
func (m *Machine) firstLine(ctx context.Context, c *runconfig.ScriptRunConfig, dir string) ([]string, error) {
	if c.Script == "" || c.IsPython() {
		return nil, nil
	}
	f, err := m.host.Open(ctx, path.Join(dir, c.Script))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return readFirstLine(c, f)
}

// opened is an open file, here or on a host.
type opened interface {
	io.Reader
	Stat() (fs.FileInfo, error)
}

func readFirstLine(c *runconfig.ScriptRunConfig, f opened) ([]string, error) {
	head, err := io.ReadAll(io.LimitReader(f, runconfig.MaxFirstLine))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const anybodys = 0o111
	line := runconfig.FirstLine(head)
	if wrong, hint := c.CheckScript(line, info.Mode()&anybodys != 0); wrong != "" {
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
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return c.CommandLine(interpreter, inputs), nil // submitted elsewhere, or Prepare will say it
	}
	f, err := os.Open(name)
	if err != nil {
		return c.CommandLine(interpreter, inputs), nil // as above
	}
	defer func() { _ = f.Close() }() // only read
	line, err := readFirstLine(c, f)
	if err != nil {
		return nil, err
	}
	return c.CommandLineOf(line, interpreter, inputs), nil
}
