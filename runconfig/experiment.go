package runconfig

import "strings"

// experimentName makes a directory's name a legal experiment name.
func experimentName(directory string) string {
	var b strings.Builder
	for _, r := range directory {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.', r == '-':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxName {
			break
		}
	}
	if name := strings.TrimRight(strings.TrimLeft(b.String(), "-._"), "-"); name != "" {
		return name
	}
	return "run"
}
