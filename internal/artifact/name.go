package artifact

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// checkpoint is the directory that a run keeps between its attempts.
const checkpoint = "checkpoint"

// ofAttempts are the directories of an attempt's folder.
func ofAttempts() []string { return []string{"logs", "outputs"} }

// CheckName refuses every name that is not a plain relative path below
// outputs/, logs/ or checkpoint/ (or one of these).
func CheckName(name string) error {
	return CheckNameIn(name, "outputs", "logs", checkpoint)
}

// CheckNameIn refuses what is not a plain path below one of tops (or one of them).
func CheckNameIn(name string, tops ...string) error {
	first, _, _ := strings.Cut(name, "/")
	if !slices.Contains(tops, first) || !filepath.IsLocal(name) || path.Clean(name) != name || strings.ContainsRune(name, 0) {
		return &NameError{Name: name}
	}
	return nil
}

// LeadsOut reports whether a symbolic link called name with that target leads
// out of the folder that name is in.
func LeadsOut(name, target string) bool {
	if target == "" || strings.HasPrefix(target, "/") {
		return true
	}
	// Walked part by part: path.Join would drop "x/.." where x is a link.
	at := strings.Split(path.Dir(name), "/")
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if len(at) == 0 || at[0] == "." {
				return true
			}
			at = at[:len(at)-1]
		default:
			at = append(at, part)
		}
	}
	if len(at) == 0 {
		return true
	}
	first, _, _ := strings.Cut(name, "/")
	if first == checkpoint {
		return at[0] != checkpoint
	}
	return !slices.Contains(ofAttempts(), at[0])
}
