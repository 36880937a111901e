package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// markVariable is in the environment of every supervised process.
const markVariable = "RUNNER_MARK"

// systemPath is where programs are looked for when nobody says anything.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment of the process: the last of each name, in the order in which
// the names came first.
func (l Launch) environment(own []string) []string {
	var all []string
	if l.Inherit {
		all = append(all, own...)
	}
	all = append(append(all, l.Env...), markVariable+"="+l.Mark)
	if len(l.PathPrepend) > 0 {
		path := strings.Join(l.PathPrepend, ":")
		rest, ok := lookUp(all, "PATH")
		if !ok {
			rest = systemPath
		}
		if rest != "" {
			path += ":" + rest
		}
		all = append(all, "PATH="+path)
	}
	at := make(map[string]int, len(all))
	out := make([]string, 0, len(all))
	for _, e := range all {
		name, _, _ := strings.Cut(e, "=")
		if i, ok := at[name]; ok {
			out[i] = e
			continue
		}
		at[name] = len(out)
		out = append(out, e)
	}
	return out
}

// lookUp gives the last value of a name.
func lookUp(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// The exit codes that a shell gives for a program that cannot be started.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
)

// startError is why a program could not be started.
type startError struct {
	code    int
	message string
}

func (e *startError) Error() string { return e.message }

// findProgram says which file argv[0] means: as it is when it has a slash
// (from dir), else the first in PATH that may be run.
func findProgram(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path, ok := lookUp(env, "PATH")
	if !ok {
		path = systemPath
	}
	var forbidden string
	for _, d := range filepath.SplitList(path) {
		if d == "" {
			d = "."
		}
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := filepath.Join(d, name)
		info, err := os.Stat(file)
		if err != nil || info.IsDir() {
			continue
		}
		if info.Mode()&0o111 == 0 {
			forbidden = file
			continue
		}
		return file, nil
	}
	if forbidden != "" {
		return "", &startError{codeNotExecutable, forbidden + " is not executable"}
	}
	return "", &startError{codeNotFound, fmt.Sprintf("%s: no such program in PATH (%s)", name, path)}
}

// lookForNeeds says which needed program is not there.
func (l Launch) lookForNeeds(env []string) error {
	for _, n := range l.Needs {
		file, err := findProgram(n.Program, l.Dir, env)
		if err == nil && strings.Contains(file, "/") {
			err = checkProgram(file, l.Dir)
		}
		var missing *startError
		if errors.As(err, &missing) && n.Hint != "" {
			return &startError{missing.code, missing.message + "\nhint: " + n.Hint}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkProgram says what is wrong with a file that is to be run later.
func checkProgram(file, dir string) error {
	full := file
	if !filepath.IsAbs(full) {
		full = filepath.Join(dir, file)
	}
	info, err := os.Stat(full)
	switch {
	case err != nil:
		return explain(syscall.ENOENT, file, dir)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return explain(syscall.EACCES, file, dir)
	}
	return nil
}

// explain turns the system's word for a failed start into ours.
func explain(err error, file, dir string) *startError {
	full := file
	if !filepath.IsAbs(full) {
		full = filepath.Join(dir, file)
	}
	info, statErr := os.Stat(full)
	switch {
	case errors.Is(err, syscall.ENOENT) && statErr == nil:
		return &startError{codeNotFound, file + ": the interpreter that its first line names, or its loader, is not there"}
	case errors.Is(err, syscall.ENOENT):
		return &startError{codeNotFound, file + ": no such program"}
	case errors.Is(err, syscall.EACCES) && statErr == nil && info.IsDir():
		return &startError{codeNotExecutable, file + " is a directory, not a program"}
	case errors.Is(err, syscall.EACCES):
		return &startError{codeNotExecutable, file + ": not executable, or on a file system that forbids it"}
	case errors.Is(err, syscall.ENOEXEC):
		return &startError{codeNotExecutable, file + ": not a program of this system (a script needs a first line like #!/bin/sh)"}
	case errors.Is(err, syscall.E2BIG):
		return &startError{codeNotExecutable, file + ": its arguments and environment are larger than this system allows"}
	default:
		return &startError{codeNotExecutable, file + ": " + err.Error()}
	}
}

// checkDir says what is wrong with a working directory.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return &startError{codeNotExecutable, "working directory: " + err.Error()}
	case !info.IsDir():
		return &startError{codeNotExecutable, "working directory: " + dir + " is not a directory"}
	}
	return nil
}
