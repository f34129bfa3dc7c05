package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	sqlCode     = regexp.MustCompile(`(?s)^.*(?:Code: \d+\. DB::\w*Exception: |code: \d+, message: )`)
	sqlVersion  = regexp.MustCompile(`\.? \(version [^()]*\)\.?\s*$`)
	sqlName     = regexp.MustCompile(` \(([A-Z][A-Z0-9_]+)\)\.?\s*$`)
	syntaxError = regexp.MustCompile(`(?s)^Syntax error(?: \([^)]*\))?: failed at position (\d+) \((.*?)\)(?: \(line \d+, col \d+\))?: `)
	unknownName = regexp.MustCompile("(?i)(?:identifier|table|function|column|format|setting)[^`'\"]*[`'\"]?([A-Za-z_][A-Za-z0-9_.]*)")
	inScope     = regexp.MustCompile(`(?s) in scope .*?(?:\. (Maybe you meant: .*))?$`)
	whileDoing  = regexp.MustCompile(`(?s): (?:While|In scope|while) (?:processing|executing|resolving|SELECT) .*$`)
)

// sqlError makes an error of ClickHouse's short: what is wrong in one line,
// without the grammar and the query repeated, and where in the query it is.
func sqlError(query string, err error) error {
	message := err.Error()
	if !sqlCode.MatchString(message) {
		return fmt.Errorf("sql: %w", err)
	}
	message = sqlCode.ReplaceAllString(message, "")
	message = sqlVersion.ReplaceAllString(message, "")
	message = strings.TrimSpace(sqlName.ReplaceAllString(message, ""))
	at := -1
	if m := syntaxError.FindStringSubmatch(message); m != nil {
		position, _ := strconv.Atoi(m[1]) // bytes, counted from one
		at = min(max(position-1, 0), len(query))
		message = "syntax error"
		if m[2] == "end of query" {
			at, message = len(strings.TrimRight(query, " \t\r\n")), "syntax error: the query ends too early"
		}
	} else {
		if scope := inScope.FindStringSubmatch(message); scope != nil {
			message = inScope.ReplaceAllString(message, "")
			if scope[1] != "" {
				message += ". " + strings.TrimSuffix(scope[1], ".")
			}
		}
		message = whileDoing.ReplaceAllString(message, "")
		message = strings.Join(strings.Fields(message), " ")
		if m := unknownName.FindStringSubmatch(message); m != nil {
			at = findWord(query, m[1])
		}
	}
	return errors.New("sql: " + message + place(query, at))
}

// findWord gives where a name stands in a query as a word of its own, or -1.
func findWord(query, name string) int {
	m := regexp.MustCompile(`(?:^|[^A-Za-z0-9_])(` + regexp.QuoteMeta(name) + `)(?:$|[^A-Za-z0-9_])`).FindStringSubmatchIndex(query)
	if m == nil {
		return -1
	}
	return m[2]
}

// placeWidth is how much of a long line is shown on each side of a place.
const placeWidth = 50

// place shows the line of the query with a mark under the byte at.
func place(query string, at int) string {
	if at < 0 || query == "" {
		return ""
	}
	begin := strings.LastIndexByte(query[:at], '\n') + 1
	line, _, _ := strings.Cut(query[begin:], "\n")
	line = strings.ReplaceAll(strings.TrimRight(line, " \t\r"), "\t", " ")
	before := []rune(strings.ToValidUTF8(line[:min(at-begin, len(line))], "?"))
	after := []rune(strings.ToValidUTF8(line[min(at-begin, len(line)):], "?"))
	column := len(before) + 1
	if len(before) > placeWidth {
		before = append([]rune("…"), before[len(before)-placeWidth:]...)
	}
	if len(after) > placeWidth {
		after = append(after[:placeWidth], '…')
	}
	return fmt.Sprintf(", at line %d, column %d:\n  %s%s\n  %s^", strings.Count(query[:begin], "\n")+1, column,
		string(before), string(after), strings.Repeat(" ", len(before)))
}
