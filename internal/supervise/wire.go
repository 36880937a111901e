package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// text is a string that survives JSON byte for byte: one that is not UTF-8
// travels as {"base64": "..."}.
type text string

type encodedText struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON keeps what JSON strings cannot hold.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(encodedText{Base64: []byte(t)})
}

// UnmarshalJSON reads both forms.
func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var e encodedText
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		*t = text(e.Base64)
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	*t = text(s)
	return nil
}

// plainLaunch is a Launch without its methods.
type plainLaunch Launch

// wireLaunch shadows the fields of a Launch that may hold any bytes.
type wireLaunch struct {
	*plainLaunch
	Argv        []text `json:"argv"`
	Env         []text `json:"env"`
	Dir         text   `json:"dir"`
	PathPrepend []text `json:"path_prepend,omitempty"`
	Redact      []text `json:"redact,omitempty"`
}

// MarshalJSON keeps every byte of arguments, environment and paths.
func (l Launch) MarshalJSON() ([]byte, error) {
	p := plainLaunch(l)
	return json.Marshal(wireLaunch{
		plainLaunch: &p, Argv: texts(l.Argv), Env: texts(l.Env), Dir: text(l.Dir),
		PathPrepend: texts(l.PathPrepend), Redact: texts(l.Redact),
	})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (l *Launch) UnmarshalJSON(data []byte) error {
	w := wireLaunch{plainLaunch: &plainLaunch{}}
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*l = Launch(*w.plainLaunch)
	l.Argv, l.Env, l.Dir = untexts(w.Argv), untexts(w.Env), string(w.Dir)
	l.PathPrepend, l.Redact = untexts(w.PathPrepend), untexts(w.Redact)
	return nil
}

type wireNeed struct {
	Program text   `json:"program"`
	Hint    string `json:"hint,omitempty"`
}

// MarshalJSON keeps every byte of the program's path.
func (n Need) MarshalJSON() ([]byte, error) {
	return json.Marshal(wireNeed{text(n.Program), n.Hint})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (n *Need) UnmarshalJSON(data []byte) error {
	var w wireNeed
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*n = Need{Program: string(w.Program), Hint: w.Hint}
	return nil
}

func texts(list []string) []text {
	out := make([]text, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}

func untexts(list []text) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// Validate says what is wrong with a launch before anything is started.
func (l Launch) Validate() error {
	var errs []error
	wrong := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if len(l.Argv) == 0 || l.Argv[0] == "" {
		wrong("launch: no program")
	}
	for i, a := range l.Argv {
		if strings.ContainsRune(a, 0) {
			wrong("launch: argument %d contains a NUL byte, which no program can receive", i)
		}
	}
	for _, e := range l.Env {
		name, value, ok := strings.Cut(e, "=")
		switch {
		case !ok || name == "" || strings.ContainsRune(name, 0):
			wrong("launch: %q is not NAME=value", name)
		case strings.ContainsRune(value, 0):
			wrong("launch: the value of %s contains a NUL byte, which no program can receive", name)
		}
	}
	if !filepath.IsAbs(l.Dir) || strings.ContainsRune(l.Dir, 0) {
		wrong("launch: %q is not an absolute directory", l.Dir)
	}
	if l.Mark == "" || strings.ContainsAny(l.Mark, "\x00\n") {
		wrong("launch: %q is not a mark", l.Mark)
	}
	if l.MaxDuration < 0 || l.Grace < 0 || l.Memory < 0 || l.CPUs < 0 || l.MaxLog < 0 {
		wrong("launch: a limit is negative")
	}
	return errors.Join(errs...)
}
