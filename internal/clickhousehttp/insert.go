package clickhousehttp

import (
	"cordon/internal/sqltext"
	"strings"
)

// insertHead is the part of an INSERT that comes before its data.
type insertHead struct {
	target   string // "INSERT INTO t (a, b)"
	settings string // "SETTINGS x = 1", or empty
	format   string // "Values" for VALUES
	data     int    // offset where data in the text begins; the length of the text if none does
}

// parseInsert tells whether a text is an INSERT whose data is in the request
// (INSERT … VALUES or INSERT … FORMAT x), and takes it apart. INSERT … SELECT
// and INSERT … FROM INFILE are not: the engine runs those as they are.
func parseInsert(sql string) (insertHead, bool) {
	l := lexer{sql: sql}
	if !l.is(l.next(), "INSERT") || !l.is(l.next(), "INTO") {
		return insertHead{}, false
	}
	depth, settings := 0, -1
	for {
		t := l.next()
		switch {
		case t.kind == tokenEnd || t.kind == tokenInvalid:
			return insertHead{}, false
		case t.kind == tokenPunct:
			switch sql[t.start] {
			case '(', '[', '{':
				depth++
			case ')', ']', '}':
				depth--
			case ';':
				return insertHead{}, false
			}
			continue
		case depth != 0:
			continue
		case l.is(t, "SELECT"), l.is(t, "WITH"), l.is(t, "WATCH"), l.is(t, "INFILE"):
			return insertHead{}, false
		case l.is(t, "SETTINGS"):
			settings = t.start
			continue
		}
		head := insertHead{data: len(sql)}
		switch {
		case l.is(t, "VALUES"):
			head.format, head.data = "Values", t.end
		case l.is(t, "FORMAT"):
			name := l.next()
			if name.kind != tokenWord {
				return insertHead{}, false
			}
			head.format, head.data = l.text(name), name.end
			// Settings may also follow the format.
			mark := l.pos
			if s := l.next(); l.is(s, "SETTINGS") && settings < 0 {
				if end := settingsEnd(&l); end > s.start {
					head.settings, head.data = sql[s.start:end], end
				}
			} else {
				l.pos = mark
			}
			head.data = dataStart(sql, head.data)
		default:
			continue
		}
		end := t.start
		if settings >= 0 {
			head.settings = strings.TrimSpace(sql[settings:end])
			end = settings
		}
		head.target = strings.TrimSpace(sql[:end])
		return head, true
	}
}

// settingsEnd reads "name = value, …" and returns the offset behind it.
func settingsEnd(l *lexer) int {
	end := -1
	for {
		name, eq, value := l.next(), l.next(), l.next()
		if name.kind != tokenWord || eq.kind != tokenPunct || l.text(eq) != "=" ||
			value.kind != tokenWord && value.kind != tokenString {
			return end
		}
		end = value.end
		mark := l.pos
		if comma := l.next(); comma.kind != tokenPunct || l.text(comma) != "," {
			l.pos = mark
			return end
		}
	}
}

// dataStart skips what may stand between a format's name and its data: blanks
// and one line break.
func dataStart(sql string, pos int) int {
	for pos < len(sql) && (sql[pos] == ' ' || sql[pos] == '\t' || sql[pos] == '\r') {
		pos++
	}
	if pos < len(sql) && sql[pos] == '\n' {
		pos++
	}
	return pos
}

// fromFile returns the statement that reads the data from a file.
//
// FROM INFILE has a trap: see [chdb.MoveStdin].
func (h insertHead) fromFile(path string) (sql string) {
	if columns := h.columns(); columns != "" && strings.EqualFold(h.format, "Native") {
		return h.target + " " + h.settings + " SELECT " + columns + " FROM file(" + sqltext.Text(path) + ", 'Native')"
	}
	return h.target + " FROM INFILE " + sqltext.Text(path) + " COMPRESSION 'none' " + h.settings + " FORMAT " + h.format
}

// columns returns the target's list of columns, "a, b", or "" if it has none,
// or one that is more than names.
func (h insertHead) columns() string {
	l := lexer{sql: h.target}
	open, name := -1, false // the place where the list began; a name is next
	for {
		t := l.next()
		switch {
		case t.kind == tokenEnd || l.is(t, "FUNCTION"):
			return ""
		case open < 0:
			if t.kind == tokenPunct && h.target[t.start] == '(' {
				open, name = t.end, true
			}
		case name && (t.kind == tokenWord || t.kind == tokenQuoted):
			name = false
		case !name && t.kind == tokenPunct && h.target[t.start] == ',':
			name = true
		case !name && t.kind == tokenPunct && h.target[t.start] == ')' && t.end == len(h.target):
			return h.target[open:t.start]
		default:
			return ""
		}
	}
}
