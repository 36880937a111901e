package main

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// table is columns for people. Cells may be coloured.
type table struct {
	rows [][]cell
}

// cell is text and, when it is coloured, the way it is written.
type cell struct{ text, painted string }

func plain(text string) cell { return cell{text: text, painted: text} }

func (t *table) head(names ...string) { t.rows = append(t.rows, cells(names)) }
func (t *table) add(row ...cell)      { t.rows = append(t.rows, row) }

func cells(texts []string) []cell {
	row := make([]cell, len(texts))
	for i, text := range texts {
		row[i] = plain(text)
	}
	return row
}

const columnGap = 2

// render lays the table out. The last column is cut to fit into width columns,
// when that is not zero.
func (t *table) render(width int) string {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(c.text))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		line, used := "", 0
		for i, c := range row {
			if i == len(row)-1 {
				line += fit(c, width-used, width > 0)
				break
			}
			gap := widths[i] - runewidth.StringWidth(c.text) + columnGap
			line += c.painted + strings.Repeat(" ", gap)
			used += widths[i] + columnGap
		}
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// fit cuts a cell that has no room.
func fit(c cell, room int, limited bool) string {
	if !limited || runewidth.StringWidth(c.text) <= room {
		return c.painted
	}
	const least = 4
	return runewidth.Truncate(c.text, max(least, room), "…")
}
