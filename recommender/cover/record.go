package cover

import (
	"fmt"
	"strconv"
	"strings"
)

// record writes the tree of a search for so few boxes, which fails, as lines that prove it (Part.Tree). They speak of rows and boxes by their numbers
// in the part:
//
//	skip I…            these rows are asked for no more, which only makes it easier to do with few boxes
//	drop J K …         the rows of box J are all in box K, and so on in pairs: J is closed, since K serves as well
//	price S I:Y I,K,L:Y …   prices Y in units of 1/S for rows, and for three rows of which any two are not enough: what they prove
//	                   ends the case, or closes the boxes that would take it too far
//	reach              as many boxes as may be taken, those that hold the most, hold too little
//	take J             begins the case in which box J is chosen; after its end, J is closed
//	part N I…          begins the case that these rows need fewer than N boxes; after the last part, what they need adds up to too many
//	end                ends a case
//
// A case also ends without a word where what is in no open box weighs more than may be left out, or no box may be taken any more and rows are left.
//
// A nil record writes nothing.
type record struct {
	lines []string
	size  int // bytes of lines
	full  bool
	row   []int32 // number in the part of each row of the matrix that all cuts stem from
	col   []int32 // likewise, of boxes
}

// maxRecord bounds a tree, in bytes. What rests on a larger one is not claimed.
const maxRecord = 4 << 20

// newRecord numbers rows and columns by their positions in a matrix.
func newRecord(m *matrix) *record {
	return &record{row: positions(m.rowID), col: positions(m.colID)}
}

// positions inverts a list of distinct numbers.
func positions(list []int32) []int32 {
	most := int32(-1)
	for _, x := range list {
		most = max(most, x)
	}
	at := make([]int32, most+1)
	for k, x := range list {
		at[x] = int32(k)
	}
	return at
}

func (r *record) write(line string) {
	if r == nil || r.full {
		return
	}
	if r.size += len(line) + 1; r.size > maxRecord {
		r.full, r.lines = true, nil
		return
	}
	r.lines = append(r.lines, line)
}

// mark is where the next line goes.
func (r *record) mark() int {
	if r == nil {
		return 0
	}
	return len(r.lines)
}

// cut takes back the lines from a mark on.
func (r *record) cut(mark int) (lines []string) {
	if r == nil || r.full {
		return nil
	}
	lines = append(lines, r.lines[mark:]...)
	for _, line := range lines {
		r.size -= len(line) + 1
	}
	r.lines = r.lines[:mark]
	return lines
}

func (r *record) writeAll(lines []string) {
	for _, line := range lines {
		r.write(line)
	}
}

// tree gives the lines of a search that failed, or nil where they were too many.
func (r *record) tree() []string {
	if r.full {
		return nil
	}
	return r.lines
}

func (r *record) skip(m *matrix, rows []int32) {
	if r == nil || len(rows) == 0 {
		return
	}
	line := []byte("skip")
	for _, i := range rows {
		line = strconv.AppendInt(append(line, ' '), int64(r.row[m.rowID[i]]), 10)
	}
	r.write(string(line))
}

// drop takes pairs of columns: one that is dominated, and the one that dominates it.
func (r *record) drop(m *matrix, pairs []int32) {
	if r == nil || len(pairs) == 0 {
		return
	}
	line := []byte("drop")
	for _, j := range pairs {
		line = strconv.AppendInt(append(line, ' '), int64(r.col[m.colID[j]]), 10)
	}
	r.write(string(line))
}

func (r *record) take(m *matrix, j int32) {
	if r != nil {
		r.write(fmt.Sprint("take ", r.col[m.colID[j]]))
	}
}

func (r *record) part(m *matrix, need int, rows []int32) {
	if r == nil {
		return
	}
	line := fmt.Appendf(nil, "part %d", need)
	for _, i := range rows {
		line = strconv.AppendInt(append(line, ' '), int64(r.row[m.rowID[i]]), 10)
	}
	r.write(string(line))
}

func (r *record) end(times int) {
	for range times {
		r.write("end")
	}
}

// price writes the prices of the single rows and of the cuts of a relaxation, where they are not zero.
func (r *record) price(m *matrix, rows []int32, cuts [][3]int32, scale int64, price []int64) {
	if r == nil {
		return
	}
	var line strings.Builder
	fmt.Fprintf(&line, "price %d", scale)
	for n, y := range price {
		if y == 0 {
			continue
		}
		if n < len(rows) {
			fmt.Fprintf(&line, " %d:%d", r.row[m.rowID[rows[n]]], y)
			continue
		}
		c := cuts[n-len(rows)]
		fmt.Fprintf(&line, " %d,%d,%d:%d", r.row[m.rowID[c[0]]], r.row[m.rowID[c[1]]], r.row[m.rowID[c[2]]], y)
	}
	r.write(line.String())
}
