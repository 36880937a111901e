package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/runnerml/runner/backends"
)

// poolRows are what a cluster's nodes are, a name and words each.
func poolRows(p *backends.Pool) [][2]string {
	if p == nil {
		return nil
	}
	words := fmt.Sprintf("%d of at most %d", len(p.Nodes), p.MaxNodes)
	if p.MinNodes < p.MaxNodes {
		words = fmt.Sprintf("%d of %d to %d", len(p.Nodes), p.MinNodes, p.MaxNodes)
	}
	var parts []string
	for _, state := range backends.NodeStates() {
		n := 0
		for i := range p.Nodes {
			if p.Nodes[i].State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) > 0 {
		words += ": " + strings.Join(parts, ", ")
	}
	rows := [][2]string{{"nodes", words}, {"vm size", p.VMSize}, {"vm priority", p.VMPriority}}
	if p.IdleSeconds != nil {
		rows = append(rows, [2]string{"scaled down", fmt.Sprintf("after %d s without a run", *p.IdleSeconds)})
	}
	return rows
}

// nodeTable has a line for all nodes of which the same is to be told.
func (c *cli) nodeTable(p *backends.Pool) string {
	if p == nil || len(p.Nodes) == 0 {
		return ""
	}
	var t table
	head := []string{"NODE", "STATE", "RUN", "ENGINE", "REASON"}
	several := strings.Contains(p.VMSize, "; ")
	if several {
		head = append(head, "VM SIZE")
	}
	t.head(head...)
	var order [][]string
	names := map[string][]string{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		line := []string{string(n.State), strings.Join(n.Runs, ", "), n.EngineState, n.Reason}
		if several {
			line = append(line, n.VMSize)
		}
		key := strings.Join(line, "\n")
		if names[key] == nil {
			order = append(order, line)
		}
		names[key] = append(names[key], n.Name)
	}
	for _, line := range order {
		row := []cell{plain(tidyLine(foldNames(names[strings.Join(line, "\n")]))), c.nodeState(backends.NodeState(line[0]))}
		for _, text := range line[1:] {
			row = append(row, plain(cmp.Or(tidyLine(text), "-")))
		}
		t.add(row...)
	}
	return "\n" + t.render(c.out.width())
}

// nodeState writes a state in its colour.
func (c *cli) nodeState(state backends.NodeState) cell {
	word := string(state)
	switch state {
	case backends.NodeRunning:
		return cell{text: word, painted: c.out.green(word)}
	case backends.NodeUnusable, backends.NodePreempted:
		return cell{text: word, painted: c.out.red(word)}
	case backends.NodePreparing, backends.NodeLeaving:
		return cell{text: word, painted: c.out.yellow(word)}
	case backends.NodeIdle:
	}
	return plain(word)
}

// foldNames writes names that differ in the number at their end as one:
// n[1-4,7].
func foldNames(names []string) string {
	type group struct {
		before string
		digits int // of a number with zeros before it; 0: as many as it takes; less: no number
	}
	padded := map[group]bool{}
	for _, name := range names {
		if before, digits := cutNumber(name); strings.HasPrefix(digits, "0") {
			padded[group{before, len(digits)}] = true
		}
	}
	numbers := map[group][]int{}
	var groups []group
	for _, name := range names {
		before, digits := cutNumber(name)
		g := group{before, len(digits)}
		if !padded[g] {
			g.digits = 0
		}
		number, err := strconv.Atoi(digits)
		if err != nil {
			g = group{name, -1}
		}
		if numbers[g] == nil {
			groups = append(groups, g)
		}
		numbers[g] = append(numbers[g], number)
	}
	words := make([]string, 0, len(groups))
	for _, g := range groups {
		spans := foldNumbers(numbers[g], g.digits)
		switch {
		case g.digits < 0:
			words = append(words, g.before)
		case strings.ContainsAny(spans, "-,"):
			words = append(words, g.before+"["+spans+"]")
		default:
			words = append(words, g.before+spans)
		}
	}
	return strings.Join(words, ",")
}

// cutNumber takes the digits from a name's end.
func cutNumber(name string) (before, digits string) {
	before = strings.TrimRight(name, "0123456789")
	return before, name[len(before):]
}

// foldNumbers is 1-4,7.
func foldNumbers(numbers []int, digits int) string {
	slices.Sort(numbers)
	var spans []string
	for i := 0; i < len(numbers); {
		last := i
		for last+1 < len(numbers) && numbers[last+1] == numbers[last]+1 {
			last++
		}
		text := fmt.Sprintf("%0*d", max(1, digits), numbers[i])
		if last > i {
			text += fmt.Sprintf("-%0*d", max(1, digits), numbers[last])
		}
		spans = append(spans, text)
		i = last + 1
	}
	return strings.Join(spans, ",")
}
