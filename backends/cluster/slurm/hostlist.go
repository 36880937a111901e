package slurm

import (
	"strconv"
	"strings"
)

// mostNames is how many names a list may stand for: no cluster has as many
// nodes.
const mostNames = 1 << 17

// expand gives the names that a list of Slurm's stands for: "n[1-3,7],gpu-01"
// and "rack[1-2]n[01-16]". One that is no list gives nothing.
func expand(list string) []string {
	var names []string
	for _, one := range elements(list) {
		some, ok := expandOne(one)
		if !ok || len(names)+len(some) > mostNames {
			return nil
		}
		names = append(names, some...)
	}
	return names
}

// elements are the parts of a list between commas outside of brackets.
func elements(list string) []string {
	var parts []string
	depth, from := 0, 0
	for i, c := range list {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, list[from:i])
			from = i + 1
		}
	}
	parts = append(parts, list[from:])
	kept := parts[:0]
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

// expandOne has each of its brackets stand for what is in it.
func expandOne(one string) ([]string, bool) {
	before, rest, ok := strings.Cut(one, "[")
	if !ok {
		return []string{one}, !strings.Contains(one, "]")
	}
	inside, after, ok := strings.Cut(rest, "]")
	if !ok {
		return nil, false
	}
	ends, ok := expandOne(after)
	if !ok {
		return nil, false
	}
	var names []string
	for part := range strings.SplitSeq(inside, ",") {
		numbers, ok := span(part)
		if !ok || len(names)+len(numbers)*len(ends) > mostNames {
			return nil, false
		}
		for _, number := range numbers {
			for _, end := range ends {
				names = append(names, before+number+end)
			}
		}
	}
	return names, true
}

// span is "7" or "08-11", whose numbers have as many digits as the first.
func span(text string) ([]string, bool) {
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		last = first
	}
	from, errFrom := strconv.ParseUint(first, 10, 32)
	to, errTo := strconv.ParseUint(last, 10, 32)
	if errFrom != nil || errTo != nil || to < from || to-from >= mostNames {
		return nil, false
	}
	numbers := make([]string, 0, to-from+1)
	for n := from; n <= to; n++ {
		number := strconv.FormatUint(n, 10)
		numbers = append(numbers, strings.Repeat("0", max(0, len(first)-len(number)))+number)
	}
	return numbers, true
}
