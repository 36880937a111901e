package slurm

import "strings"

// record is what scontrol shows of one thing: "Key=Value Key=Value" in lines,
// those of a record behind its first with blanks before them.
type record map[string]string

// free are the fields that hold what somebody wrote, to the end of their line.
var free = []string{"Reason=", "Comment=", "Extra=", "OS="}

// records reads those that begin with a key, of all that scontrol said. Of a
// key that comes twice in one the first counts.
func records(said, key string) []record {
	var all []record
	var r record
	for line := range strings.Lines(said) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, key+"="):
			r = record{}
			all = append(all, r)
		case r == nil || text == "":
			continue
		case strings.TrimLeft(line, " ") == line: // of another record
			r = nil
			continue
		}
		r.take(text)
	}
	return all
}

func (r record) take(text string) {
	for _, name := range free {
		if value, ok := strings.CutPrefix(text, name); ok {
			r.put(strings.TrimSuffix(name, "="), value)
			return
		}
	}
	for word := range strings.FieldsSeq(text) {
		if name, value, ok := strings.Cut(word, "="); ok {
			r.put(name, value)
		}
	}
}

func (r record) put(name, value string) {
	if _, there := r[name]; there {
		return
	}
	if none := []string{"(null)", "N/A", "n/a", "None"}; value == none[0] || value == none[1] || value == none[2] || value == none[3] {
		value = ""
	}
	r[name] = value
}
