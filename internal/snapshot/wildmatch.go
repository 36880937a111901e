package snapshot

import "strings"

// matchResult tells a failed match from one that no later start can save, which
// keeps patterns with many stars from taking exponential time.
type matchResult int

const (
	matched matchResult = iota
	noMatch
	abortAll        // no text is left, whatever a star before took
	abortToStarStar // only a "**" further out can still help
)

// wildmatch says whether git's glob pattern p matches text as a whole. With
// pathname set, as for patterns that hold a slash, "*", "?" and "[...]" do not
// match a slash and "**" between slashes matches any directories; without it
// "*" matches everything.
func wildmatch(p, text string, pathname bool) bool {
	return glob(p, text, pathname) == matched
}

// at gives the byte at i, and 0 behind the end: neither patterns nor names can
// hold a NUL.
func at(s string, i int) byte {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func glob(p, text string, pathname bool) matchResult {
	t := 0
	for i := 0; i < len(p); i, t = i+1, t+1 {
		c := at(text, t)
		if c == 0 && p[i] != '*' {
			return abortAll
		}
		switch p[i] {
		case '\\':
			i++
			if c != at(p, i) {
				return noMatch
			}
		case '?':
			if pathname && c == '/' {
				return noMatch
			}
		case '*':
			rest, skip, result := star(p, i, text[t:], pathname)
			if skip < 0 {
				return result
			}
			i, t = rest, t+skip
		case '[':
			end, in := class(p, i, c)
			if end < 0 {
				return abortAll
			}
			if !in || pathname && c == '/' {
				return noMatch
			}
			i = end
		default:
			if c != p[i] {
				return noMatch
			}
		}
	}
	if t < len(text) {
		return noMatch
	}
	return matched
}

// star matches the run of stars at p[i] and what follows. With skip not
// negative it is one star that ends skip bytes further in the text, at the
// slash p[rest]; else result is that of all the rest.
func star(p string, i int, text string, pathname bool) (rest, skip int, result matchResult) {
	rest, slashes := stars(p, i, pathname)
	if slashes && pathname && at(p, rest) == '/' && glob(p[rest+1:], text, pathname) == matched {
		return 0, -1, matched // "foo/**/" may stand for "foo/" alone
	}
	slash := strings.IndexByte(text, '/')
	switch {
	case rest == len(p) && !slashes && slash >= 0:
		return 0, -1, abortToStarStar
	case rest == len(p):
		return 0, -1, matched
	case !slashes && p[rest] == '/' && slash < 0:
		return 0, -1, abortAll
	case !slashes && p[rest] == '/':
		return rest, slash, noMatch
	default:
		return 0, -1, globStar(p[rest:], text, pathname, slashes)
	}
}

// stars reads the run of stars at p[i] and says where it ends and whether it
// may match slashes.
func stars(p string, i int, pathname bool) (end int, slashes bool) {
	end = i
	for at(p, end) == '*' {
		end++
	}
	if end == i+1 || !pathname {
		return end, !pathname
	}
	opens := i == 0 || p[i-1] == '/'
	closes := end == len(p) || p[end] == '/' || p[end] == '\\' && at(p, end+1) == '/'
	return end, opens && closes
}

// globStar matches what follows a star at every place the star can end.
func globStar(p, text string, pathname, slashes bool) matchResult {
	for t := 0; t < len(text); t++ {
		if literal := p[0]; !isGlob(literal) {
			for t < len(text) && (slashes || text[t] != '/') && text[t] != literal {
				t++
			}
			if at(text, t) != literal {
				if slashes {
					return abortAll
				}
				return abortToStarStar
			}
		}
		switch r := glob(p, text[t:], pathname); {
		case r != noMatch:
			if !slashes || r != abortToStarStar {
				return r
			}
		case !slashes && text[t] == '/':
			return abortToStarStar
		}
	}
	return abortAll
}

func isGlob(c byte) bool { return c == '*' || c == '?' || c == '[' || c == '\\' }

// class reads the bracket expression at p[i]: where it ends (-1: it does not,
// or names an unknown class) and whether it holds c.
func class(p string, i int, c byte) (end int, in bool) {
	i++
	negated := at(p, i) == '!' || at(p, i) == '^'
	if negated {
		i++
	}
	var prev byte
	for first := true; first || at(p, i) != ']'; first = false {
		x := at(p, i)
		switch {
		case x == 0:
			return -1, false
		case x == '\\':
			i++
			if x = at(p, i); x == 0 {
				return -1, false
			}
			in = in || c == x
		case x == '-' && prev != 0 && at(p, i+1) != 0 && at(p, i+1) != ']':
			i++
			if x = at(p, i); x == '\\' {
				i++
				if x = at(p, i); x == 0 {
					return -1, false
				}
			}
			in = in || prev <= c && c <= x
			x = 0 // the end of a range does not begin another
		case x == '[' && at(p, i+1) == ':':
			closing := strings.IndexByte(p[i+2:], ']')
			if closing < 0 {
				return -1, false
			}
			name := p[i+2 : i+2+closing]
			if !strings.HasSuffix(name, ":") {
				in = in || c == '[' // an ordinary set after all
				break
			}
			member, known := namedClass(name[:len(name)-1], c)
			if !known {
				return -1, false
			}
			in = in || member
			i += 2 + closing
			x = 0
		default:
			in = in || c == x
		}
		prev = x
		i++
	}
	return i, in != negated
}

// classes are the members of [:name:] in the C locale, as pairs of first and
// last.
var classes = map[string]string{
	"alnum":  "09AZaz",
	"alpha":  "AZaz",
	"blank":  "\t\t  ",
	"cntrl":  "\x00\x1f\x7f\x7f",
	"digit":  "09",
	"graph":  "!~",
	"lower":  "az",
	"print":  " ~",
	"punct":  "!/:@[`{~",
	"space":  "\t\r  ",
	"upper":  "AZ",
	"xdigit": "09AFaf",
}

// namedClass says whether c is in [:name:].
func namedClass(name string, c byte) (in, known bool) {
	ranges, known := classes[name]
	for i := 0; i < len(ranges); i += 2 {
		in = in || ranges[i] <= c && c <= ranges[i+1]
	}
	return in, known
}
