package render

import (
	"strings"
	"unicode/utf8"
)

// grid lays rows out in columns of a given total width. Cells of text
// columns are lists, which wrap between items; numbers are right-aligned.
type grid struct {
	head    []string
	numeric []bool
	rows    [][][]string // row, column, items
}

const gap = "  "

// lines lays the grid out: the lines of the head, and of each row. Items that
// are wider than their column are broken.
func (g *grid) lines(width int) (head []string, rows [][]string) {
	widths := g.widths(width)
	for _, row := range g.rows {
		rows = append(rows, g.wrap(widths, row))
	}
	return g.wrap(widths, single(g.head)), rows
}

func single(texts []string) [][]string {
	row := make([][]string, len(texts))
	for i, t := range texts {
		row[i] = []string{t}
	}
	return row
}

// widths gives each column what its widest cell needs. Where that is too much,
// the widest text columns give way first.
func (g *grid) widths(total int) []int {
	widths := make([]int, len(g.head))
	least := make([]int, len(g.head))
	for _, row := range append([][][]string{single(g.head)}, g.rows...) {
		for i, items := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(strings.Join(items, ", ")))
		}
	}
	for i, h := range g.head {
		least[i] = max(utf8.RuneCountInString(h), 8)
		if g.numeric[i] {
			least[i] = widths[i]
		}
	}
	over := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		over += w
	}
	for over -= total; over > 0; over-- {
		widest := -1
		for i := range widths {
			if widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

func (g *grid) wrap(widths []int, row [][]string) []string {
	columns := make([][]string, len(row))
	height := 1
	for i, items := range row {
		columns[i] = wrapItems(items, widths[i])
		height = max(height, len(columns[i]))
	}
	out := make([]string, height)
	for l := range out {
		var b strings.Builder
		for i := range columns {
			text := ""
			if l < len(columns[i]) {
				text = columns[i][l]
			}
			pad := widths[i] - utf8.RuneCountInString(text)
			if g.numeric[i] {
				b.WriteString(strings.Repeat(" ", pad) + text)
				pad = 0
			} else {
				b.WriteString(text)
			}
			if i < len(columns)-1 {
				b.WriteString(strings.Repeat(" ", pad+len(gap))) // pad is -1 for a hanging comma
			}
		}
		out[l] = strings.TrimRight(b.String(), " ")
	}
	return out
}

// wrapItems joins items with commas into lines of at most width runes. A comma at
// the end of a line may hang into the gap behind the column.
func wrapItems(items []string, width int) []string {
	var lines []string
	line := ""
	for i, item := range items {
		if i < len(items)-1 {
			item += ","
		}
		switch n := utf8.RuneCountInString(line); {
		case line == "":
			line = item
		case n+1+utf8.RuneCountInString(strings.TrimSuffix(item, ",")) <= width:
			line += " " + item
		default:
			lines = append(lines, line)
			line = item
		}
		for utf8.RuneCountInString(strings.TrimSuffix(line, ",")) > width {
			var head string
			head, line = breakAt(line, width)
			lines = append(lines, head)
		}
	}
	return append(lines, line)
}

// breakAt breaks a long word, after a dash, dot or the like if there is one in
// the second half of the line.
func breakAt(s string, width int) (head, rest string) {
	runes := []rune(s)
	at := width
	for i := width - 1; i > width/2; i-- {
		if strings.ContainsRune("-._/: ", runes[i]) {
			at = i + 1
			break
		}
	}
	return string(runes[:at]), string(runes[at:])
}
