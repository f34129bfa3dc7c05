package text

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// gap is between two columns.
const gap = 2

// leastWidth is what a column keeps of its text when a table is too wide.
const leastWidth = 8

// Table writes rows, of which the first is the head, in columns. Where it would
// be wider than width (0 for no limit), the columns that say nothing in any row
// go first, from the right, then those that are named, in their order; then the
// widest cells are cut, those of the first column last.
func Table(w io.Writer, rows [][]string, width int, dispensable ...string) error {
	rows = fit(rows, width)
	for _, name := range dispensable {
		if width <= 0 || total(columnWidths(rows)) <= width {
			break
		}
		if i := slices.Index(rows[0], name); i > 0 {
			rows = without(rows, i)
		}
	}
	widths := columnWidths(rows)
	if width > 0 {
		cut(widths, width)
	}
	out := bufio.NewWriter(w)
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if n := utf8.RuneCountInString(cell); n > widths[i] {
				cell = string([]rune(cell)[:widths[i]-1]) + "…"
			}
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.Flush()
}

func columnWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func total(widths []int) int {
	n := gap * (len(widths) - 1)
	for _, w := range widths {
		n += w
	}
	return n
}

// fit leaves out columns that say nothing until the rest fits.
func fit(rows [][]string, width int) [][]string {
	if width <= 0 || len(rows) == 0 {
		return rows
	}
	for i := len(rows[0]) - 1; i > 0 && total(columnWidths(rows)) > width; i-- {
		if slices.ContainsFunc(rows[1:], func(row []string) bool { return says(row[i]) }) {
			continue
		}
		rows = without(rows, i)
	}
	return rows
}

// without leaves out one column.
func without(rows [][]string, column int) [][]string {
	fewer := make([][]string, len(rows))
	for i, row := range rows {
		fewer[i] = slices.Delete(slices.Clone(row), column, column+1)
	}
	return fewer
}

// says is whether a cell tells anything.
func says(cell string) bool { return strings.Trim(cell, "0.-") != "" }

// cut takes from the widest columns until all fit, or no text is left to cut.
func cut(widths []int, width int) {
	for total(widths) > width {
		widest := 0
		for i, w := range widths {
			if i > 0 && w > leastWidth && (widest == 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widths[widest] <= leastWidth {
			return
		}
		widths[widest]--
	}
}
