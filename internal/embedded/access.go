package embedded

import (
	"fmt"
	"strconv"
	"strings"
)

// Reading from outside is kept to reading by three means, each of which would
// do for most attacks alone:
//
//   - The connection drops to a role that may SELECT and nothing else, so the
//     engine itself refuses writing, table functions that reach the disk or
//     the network, and whatever else needs a grant.
//   - It sets its limits and then readonly = 1, after which the engine refuses
//     every change of a setting, also inside a query.
//   - The engine's parser takes the text as the value of a parameter, refuses
//     several statements, and returns it in canonical form. That form is
//     checked to be a statement that reads and to write no file, and that form
//     is what runs.

// readingStatements are the words that a canonical statement for outside may
// begin with.
var readingStatements = map[string]bool{
	"SELECT": true, "WITH": true, "SHOW": true, "DESCRIBE": true, "DESC": true, "EXISTS": true, "EXPLAIN": true,
}

// prepareOutside limits the connection and replaces the text by its checked form.
func (c *ClickHouse) prepareOutside(conn *connection, q *request, mark string) error {
	canonical, err := conn.text("SELECT formatQuery({sql:String})", param{"sql", escapeParam(q.sql)})
	if err != nil {
		return parsingFailure(err)
	}
	if err := checkReading(canonical); err != nil {
		return err
	}
	q.sql = canonical
	settings, err := c.outsideSettings(q, mark)
	if err != nil {
		return err
	}
	if q.database != "" {
		if err := conn.exec("USE " + quoteIdentifier(q.database)); err != nil {
			return err
		}
	}
	if err := conn.set(settings); err != nil {
		return err
	}
	return conn.exec("SET ROLE " + roleReader)
}

// checkReading refuses a canonical statement that does more than read.
func checkReading(canonical string) error {
	l := lexer{sql: canonical}
	t := l.next()
	for t.kind == tokenPunct && l.text(t) == "(" {
		t = l.next()
	}
	first := strings.ToUpper(l.text(t))
	if !readingStatements[first] {
		return errReadOnly(firstOf(first, "this statement"))
	}
	for previous := ""; t.kind != tokenEnd; t = l.next() {
		if t.kind == tokenInvalid {
			return errReadOnly("a statement with an unclosed quote")
		}
		word := strings.ToUpper(l.text(t))
		if t.kind == tokenWord && word == "OUTFILE" && previous == "INTO" {
			return errReadOnly("INTO OUTFILE")
		}
		previous = word
	}
	return nil
}

// parsingFailure keeps the parser's message and drops what it says of the
// query around the text.
func parsingFailure(err error) error {
	if e, ok := err.(*Exception); ok {
		e.Message, _, _ = strings.Cut(e.Message, ": In scope SELECT formatQuery")
		e.Message, _, _ = strings.Cut(e.Message, ": while executing")
	}
	return err
}

// outsideSettings are the limits and the settings that the request may choose,
// with readonly last.
func (c *ClickHouse) outsideSettings(q *request, mark string) ([]setting, error) {
	l := c.limits
	seconds := max(1, int64(l.OutsideTime.Seconds()))
	threads := int64(l.Threads)
	resultRows := l.OutsideResultRows
	settings := []setting{
		{"log_comment", mark},
		{"max_query_size", itoa(int64(max(256<<10, len(q.sql)+1024)))},
		{"max_memory_usage", itoa(l.OutsideMemory)},
		{"max_result_bytes", itoa(l.OutsideResultBytes)},
		{"max_temporary_data_on_disk_size_for_query", "1"},
		{"timeout_overflow_mode", "throw"},
	}
	for _, s := range q.settings {
		var limit *int64
		switch s.name {
		case "max_execution_time":
			limit = &seconds
		case "max_threads":
			limit = &threads
		case "max_result_rows":
			limit = &resultRows
		default:
			if !outsideMaySet(s.name) {
				return nil, &Exception{Code: codeReadonly, Name: "READONLY", Message: fmt.Sprintf("Cannot modify '%s' setting in readonly mode", s.name)}
			}
			settings = append(settings, s)
			continue
		}
		v, err := strconv.ParseFloat(s.value, 64)
		if err != nil || v < 0 {
			return nil, badRequest("setting %s=%q is not a number", s.name, s.value)
		}
		if v > 0 && v < float64(*limit) { // 0 asks for no limit
			*limit = max(1, int64(v))
		}
	}
	return append(settings,
		setting{"max_execution_time", itoa(seconds)},
		setting{"max_threads", itoa(threads)},
		setting{"max_result_rows", itoa(resultRows)},
		setting{"readonly", "1"},
	), nil
}

// outsideSettable are settings that change how a result looks or is cut, and
// nothing that leads out of the engine or lifts a limit.
var outsideSettable = map[string]bool{
	"result_overflow_mode": true, "extremes": true, "session_timezone": true, "date_time_output_format": true,
	"date_time_input_format": true, "join_use_nulls": true, "max_block_size": true, "limit": true, "offset": true,
	"use_client_time_zone": true, "final": true, "union_default_mode": true, "group_by_use_nulls": true,
	"prefer_column_name_to_alias": true, "any_join_distinct_right_table_keys": true, "aggregate_functions_null_for_empty": true,
	"transform_null_in": true, "max_rows_to_read": true, "max_bytes_to_read": true, "read_overflow_mode": true,
	"format_csv_delimiter": true, "format_tsv_null_representation": true, "format_csv_null_representation": true,
	"bool_true_representation": true, "bool_false_representation": true, "interval_output_format": true,
}

func outsideMaySet(name string) bool {
	// output_format_schema names a file to write.
	return outsideSettable[name] || strings.HasPrefix(name, "output_format_") && name != "output_format_schema"
}

// escapeParam writes a query parameter as the engine reads it, escaped as in
// TabSeparated.
func escapeParam(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(s)
}
