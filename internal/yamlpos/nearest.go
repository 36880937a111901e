package yamlpos

import (
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest is the word of valid that name was most likely meant to be, or
// empty when none is near.
func Nearest(name string, valid []string) string {
	best, bestScore := "", 0.55
	folded := fold(name)
	for _, word := range valid {
		if fold(word) == folded {
			return word
		}
		if score := levenshtein.Match(folded, fold(word), nil); score > bestScore {
			best, bestScore = word, score
		}
	}
	return best
}

// DidYouMean is the hint for a name that is not among valid: the nearest one,
// or all of them when none is near.
func DidYouMean(name string, valid []string) string {
	if near := Nearest(name, valid); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "one of " + strings.Join(valid, ", ")
}

// fold makes camelCase, kebab-case and snake_case alike.
func fold(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}
