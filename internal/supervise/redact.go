package supervise

import (
	"bytes"
	"slices"
	"strings"
)

// redacted stands where a secret was.
const redacted = "***"

// redactor replaces secret values in a stream. What may be the beginning of one
// is held back until more comes or flush is called.
type redactor struct {
	secrets [][]byte // longest first
	held    []byte
	out     []byte
}

const (
	// shortest value that is hidden, in bytes: a shorter one is part of so many
	// words that to hide it would hide the log, and tell it all the same.
	shortest = 4
	// shortestLine of a value of several lines that is hidden by itself, too:
	// many programs print such a value line by line, or indented.
	shortestLine = 8
)

// newRedactor gives nil when there is nothing to hide. A newline at the end of
// a secret (they come from files) is not part of it.
func newRedactor(values []string) *redactor {
	var r redactor
	hide := func(v string, shortest int) {
		if len(v) >= shortest && !slices.ContainsFunc(r.secrets, func(s []byte) bool { return string(s) == v }) {
			r.secrets = append(r.secrets, []byte(v))
		}
	}
	for _, v := range values {
		v = strings.TrimRight(v, "\r\n")
		hide(v, shortest)
		if !strings.Contains(v, "\n") {
			continue
		}
		for line := range strings.SplitSeq(v, "\n") {
			hide(strings.TrimSpace(line), shortestLine)
		}
	}
	if len(r.secrets) == 0 {
		return nil
	}
	slices.SortStableFunc(r.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return &r
}

// Filter replaces secret values in a stream that is not a supervisor's own.
type Filter struct{ redactor }

// NewFilter gives nil when there is nothing to hide.
func NewFilter(values []string) *Filter {
	if r := newRedactor(values); r != nil {
		return &Filter{*r}
	}
	return nil
}

// Next gives what may be written now that p came. The result is valid until the
// next call.
func (f *Filter) Next(p []byte) []byte { return f.filter(p) }

// Rest gives what was held back, at the end.
func (f *Filter) Rest() []byte { return f.flush() }

// filter gives what may be written now. The result is valid until the next call.
func (r *redactor) filter(p []byte) []byte {
	in := p
	if len(r.held) > 0 {
		r.held = append(r.held, p...)
		in = r.held
	}
	r.out = r.out[:0]
	next := make([]int, len(r.secrets)) // where each comes next; -1: no more
	for i := range next {
		next[i] = bytes.Index(in, r.secrets[i])
	}
	at := 0
	for {
		first := -1
		for i, n := range next {
			if n >= 0 && n < at { // inside what was just replaced
				if n = bytes.Index(in[at:], r.secrets[i]); n >= 0 {
					n += at
				}
				next[i] = n
			}
			if n >= 0 && (first < 0 || n < next[first]) {
				first = i // of equal places the longest wins: it comes first
			}
		}
		if first < 0 {
			break
		}
		if held := r.unsure(in[at:]); next[first] >= len(in)-held {
			break // a longer secret may begin before it
		}
		r.out = append(append(r.out, in[at:next[first]]...), redacted...)
		at = next[first] + len(r.secrets[first])
	}
	rest := in[at:]
	keep := r.unsure(rest)
	r.out = append(r.out, rest[:len(rest)-keep]...)
	r.held = append(r.held[:0], rest[len(rest)-keep:]...)
	return r.out
}

// unsure is how many bytes at the end of p may be the beginning of a secret.
func (r *redactor) unsure(p []byte) int {
	most := 0
	for _, s := range r.secrets {
		for n := min(len(s)-1, len(p)); n > most; n-- {
			if bytes.HasPrefix(s, p[len(p)-n:]) {
				most = n
				break
			}
		}
	}
	return most
}

// flush gives what was held back. A whole secret in it is still replaced.
func (r *redactor) flush() []byte {
	r.out = r.out[:0]
	in := r.held
	for len(in) > 0 {
		first, size := -1, 0
		for _, s := range r.secrets {
			if n := bytes.Index(in, s); n >= 0 && (first < 0 || n < first) {
				first, size = n, len(s)
			}
		}
		if first < 0 {
			break
		}
		r.out = append(append(r.out, in[:first]...), redacted...)
		in = in[first+size:]
	}
	r.out = append(r.out, in...)
	r.held = r.held[:0]
	return r.out
}
