package clickhousehttp

import (
	"strings"
)

// tokenKind is what kind of token the lexer found.
type tokenKind uint8

const (
	tokenEnd     tokenKind = iota
	tokenWord              // a keyword, a bare identifier or a number
	tokenQuoted            // an identifier in back quotes or double quotes
	tokenString            // a string or heredoc
	tokenPunct             // one byte of punctuation
	tokenInvalid           // an unclosed quote or comment, up to the end
)

type token struct {
	kind       tokenKind
	start, end int // byte offsets in the text
}

// lexer splits SQL into tokens as ClickHouse does, as far as finding keywords
// and the ends of quotes needs it. It accepts every input and always advances.
type lexer struct {
	sql string
	pos int
}

func (l *lexer) text(t token) string { return l.sql[t.start:t.end] }

// is tells whether t is the keyword, in any case.
func (l *lexer) is(t token, keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(l.text(t), keyword)
}

// all returns the tokens up to the end; an unclosed quote is an error.
func (l *lexer) all() ([]token, error) {
	var tokens []token
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if t.kind == tokenInvalid {
			return nil, errReadOnly("a statement with an unclosed quote")
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}

func (l *lexer) next() token {
	s := l.sql
	for l.pos < len(s) {
		switch c := s[l.pos]; {
		case isSpace(c):
			l.pos++
		case strings.HasPrefix(s[l.pos:], "--"), strings.HasPrefix(s[l.pos:], "#!"), strings.HasPrefix(s[l.pos:], "# "):
			if n := strings.IndexByte(s[l.pos:], '\n'); n >= 0 {
				l.pos += n + 1
			} else {
				l.pos = len(s)
			}
		case strings.HasPrefix(s[l.pos:], "/*"):
			end := blockCommentEnd(s, l.pos)
			if end < 0 {
				return l.take(tokenInvalid, len(s))
			}
			l.pos = end
		default:
			return l.token(c)
		}
	}
	return token{tokenEnd, len(s), len(s)}
}

func (l *lexer) token(c byte) token {
	s := l.sql
	switch {
	case c == '\'':
		return l.quoted(c, tokenString)
	case c == '`' || c == '"':
		return l.quoted(c, tokenQuoted)
	case c == '$':
		// A heredoc, $tag$ text $tag$, or an identifier with a dollar sign.
		tag := l.pos + 1
		for tag < len(s) && isWordByte(s[tag]) && s[tag] != '$' {
			tag++
		}
		if tag < len(s) && s[tag] == '$' {
			mark := s[l.pos : tag+1]
			if n := strings.Index(s[tag+1:], mark); n >= 0 {
				return l.take(tokenString, tag+1+n+len(mark))
			}
		}
		return l.word()
	case isWordByte(c):
		return l.word()
	}
	return l.take(tokenPunct, l.pos+1)
}

func (l *lexer) word() token {
	end := l.pos + 1
	for end < len(l.sql) && isWordByte(l.sql[end]) {
		end++
	}
	return l.take(tokenWord, end)
}

// quoted reads up to the closing quote; a backslash or a doubled quote keeps it
// inside.
func (l *lexer) quoted(quote byte, kind tokenKind) token {
	s := l.sql
	for i := l.pos + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			if i+1 < len(s) && s[i+1] == quote {
				i++
				continue
			}
			return l.take(kind, i+1)
		}
	}
	return l.take(tokenInvalid, len(s))
}

func (l *lexer) take(kind tokenKind, end int) token {
	t := token{kind, l.pos, end}
	l.pos = end
	return t
}

// blockCommentEnd returns the offset behind the comment at pos, which may hold
// others, or -1.
func blockCommentEnd(s string, pos int) int {
	depth := 0
	for i := pos; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}

func isWordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}
