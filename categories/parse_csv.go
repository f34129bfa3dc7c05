package categories

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
)

// csvColumns are the indexes of the columns we use, -1 if missing.
type csvColumns struct{ category, group, prefix, from, until, vrf int }

var csvHeader = []string{"category", "group", "prefix"}

func headerColumns(header []string) csvColumns {
	index := func(name string) int {
		return slices.IndexFunc(header, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), name) })
	}
	return csvColumns{index(csvHeader[0]), index(csvHeader[1]), index(csvHeader[2]), index("from"), index("until"), index("vrf")}
}

func (c csvColumns) complete() bool { return c.category >= 0 && c.group >= 0 && c.prefix >= 0 }

// parseCSV reads one row per category, group and prefix, under a header with
// these columns in any order. Columns from, until and vrf, where there are any, say when
// and in which VRF a prefix belongs to its group. Other columns are left alone, and so are lines that begin with '#'. Rows of one group add up wherever they are. Categories and
// groups are in the order in which they first appear.
func (p *parser) parseCSV(data []byte) {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment = '#'
	r.FieldsPerRecord = -1
	r.ReuseRecord = true

	header, err := r.Read()
	if err != nil {
		p.csvError(err, "the file is empty: begin with the header category,group,prefix")
		return
	}
	columns, ok := p.csvColumns(r, header)
	if !ok {
		return
	}
	need := 1 + max(columns.category, columns.group, columns.prefix)

	type categoryDraft struct {
		index  int
		groups map[string]int
	}
	drafts := map[string]*categoryDraft{}
	f := p.file
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.csvError(err, "")
			return
		}
		if len(row) < need {
			line, _ := r.FieldPos(0)
			p.add(line, 0, "", "the row has %d columns instead of %d: write category,group,prefix", len(row), len(header))
			continue
		}
		category, group := strings.TrimSpace(row[columns.category]), strings.TrimSpace(row[columns.group])
		c := drafts[category]
		if c == nil {
			if err := checkCategoryName(category); err != nil {
				line, column := r.FieldPos(columns.category)
				p.add(line, column, "category", "%v", err)
				continue
			}
			line, _ := r.FieldPos(columns.category)
			category = strings.Clone(category)
			f.Categories = append(f.Categories, Category{Name: category, Line: line})
			c = &categoryDraft{index: len(f.Categories) - 1, groups: map[string]int{}}
			drafts[category] = c
		}
		groups := &f.Categories[c.index].Groups
		g, ok := c.groups[group]
		if !ok {
			line, column := r.FieldPos(columns.group)
			if err := checkName(group); err != nil {
				p.add(line, column, "group", "%v", err)
				continue
			}
			group = strings.Clone(group)
			g = len(*groups)
			*groups = append(*groups, Group{Name: group, Line: line})
			c.groups[group] = g
		}
		p.csvMember(r, row, columns, f.Categories[c.index].Name, &(*groups)[g])
	}
}

// csvColumns finds the columns of a header. It reports false where it has said what is missing.
func (p *parser) csvColumns(r *csv.Reader, header []string) (csvColumns, bool) {
	columns := headerColumns(header)
	if !columns.complete() {
		line, _ := r.FieldPos(0)
		for i, at := range []int{columns.category, columns.group, columns.prefix} {
			if at < 0 {
				p.add(line, 0, "header", "column %q is missing: the header is category,group,prefix%s", csvHeader[i], csvSuggest(header, csvHeader[i]))
			}
		}
		return columns, false
	}
	for i, name := range header {
		if !slices.Contains([]int{columns.category, columns.group, columns.prefix, columns.from, columns.until, columns.vrf}, i) {
			line, _ := r.FieldPos(i)
			p.note(Info, line, "", "", "column %s is not used", quote(name))
		}
	}
	return columns, true
}

// csvMember reads the prefix of a row, and its times.
func (p *parser) csvMember(r *csv.Reader, row []string, columns csvColumns, category string, g *Group) {
	optional := func(i int) (at textAt) {
		if i >= 0 && i < len(row) {
			at.text = strings.TrimSpace(row[i])
			at.line, at.column = r.FieldPos(i)
		}
		return at
	}
	times := Times{}
	if columns.from >= 0 || columns.until >= 0 {
		var ok bool
		if times, ok = p.times("a prefix", optional(columns.from), optional(columns.until)); !ok {
			return
		}
	}
	line, column := r.FieldPos(columns.prefix)
	if p.addPrefix(category, g, row[columns.prefix], line, column) {
		g.setTimes(times)
		g.setVRF(strings.Clone(optional(columns.vrf).text))
	}
}

func (p *parser) csvError(err error, empty string) {
	var parse *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		p.add(1, 0, "header", "%s", empty)
	case errors.As(err, &parse):
		p.add(parse.Line, parse.Column, "", "%v: put a field with a comma or a quote in double quotes, and double the quotes inside", parse.Err)
	default:
		p.add(0, 0, "", "%v", err)
	}
}

// csvSuggest points at the header's column that looks like the missing one.
func csvSuggest(header []string, missing string) string {
	for _, h := range header {
		if h = strings.TrimSpace(h); !slices.Contains(csvHeader, strings.ToLower(h)) && suggest(h, []string{missing}) != "" {
			return "; rename " + quote(h)
		}
	}
	return ""
}
