package runconfig

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/runnerml/runner/internal/yamlpos"
)

// missing reports a source directory or a script that is not there. What the
// ignore rules leave out of the snapshot is the snapshot's to say.
func (c *ScriptRunConfig) missing() []Problem {
	var v checks
	info, err := os.Stat(c.SourceDirectory)
	switch {
	case err != nil:
		v.addf("source_directory", "", "source_directory %s: %s", c.SourceDirectory, withoutPath(err))
		return v.problems
	case !info.IsDir():
		v.addf("source_directory", "name the directory around it", "source_directory %s is not a directory", c.SourceDirectory)
		return v.problems
	case c.Script == "":
		return nil
	}
	at := filepath.Join(c.SourceDirectory, filepath.FromSlash(c.Script))
	info, err = os.Stat(at)
	switch {
	case os.IsNotExist(err):
		v.addf("script", nearestFile(at), "the script %s is not in the source directory %s", c.Script, c.SourceDirectory)
	case err != nil:
		v.addf("script", "", "the script %s: %s", c.Script, withoutPath(err))
	case info.IsDir():
		v.addf("script", "name a file in it", "the script %s is a directory", c.Script)
	}
	return v.problems
}

// nearestFile is a hint naming the file beside a missing one that was most
// likely meant.
func nearestFile(missing string) string {
	entries, err := os.ReadDir(filepath.Dir(missing))
	if err != nil {
		return ""
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	if near := yamlpos.Nearest(path.Base(missing), names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
