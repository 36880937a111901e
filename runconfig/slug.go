package runconfig

import "strings"

// maxSlug is the length of the part of a run's id that comes from its
// experiment.
const maxSlug = 30

// Slug makes a name fit for ids: lower-case letters, digits and single dashes,
// at most 30 of them. A name with nothing of that in it becomes "run".
func Slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxSlug {
			break
		}
	}
	if slug := strings.Trim(b.String(), "-"); slug != "" {
		return slug
	}
	return "run"
}

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
