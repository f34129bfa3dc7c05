package clickhousehttp

import (
	"cordon/internal/chdb"
	"cordon/internal/sqltext"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// outsideSettings are the limits, and the settings that the request may choose.
func (c *Server) outsideSettings(conn *chdb.Connection, q *request, mark string) ([]setting, error) {
	l := c.limits
	limits := c.outsideLimits()
	settings := []setting{
		{"log_comment", mark},
		{"max_query_size", itoa(int64(max(256<<10, 4*len(q.sql))))}, // the canonical form is longer
		{"max_memory_usage", itoa(l.OutsideMemory)},
		{"max_result_bytes", itoa(l.OutsideResultBytes)},
		// Memory that runs out ends the query; the disk does not take its place.
		{"max_bytes_ratio_before_external_group_by", "0"},
		{"max_bytes_ratio_before_external_sort", "0"},
		{"timeout_overflow_mode", "throw"},
	}
	for _, s := range q.settings {
		limit := limits[s.name]
		if limit == nil {
			s, err := c.outsideSetting(conn, s)
			if err != nil {
				return nil, err
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
	for _, name := range outsideLimitNames {
		settings = append(settings, setting{name, itoa(*limits[name])})
	}
	return settings, nil
}

// outsideLimitNames are the limits that a request may lower.
var outsideLimitNames = []string{"max_execution_time", "max_threads", "max_result_rows"}

func (c *Server) outsideLimits() map[string]*int64 {
	seconds, threads, rows := max(1, int64(c.limits.OutsideTime.Seconds())), int64(c.limits.Threads), c.limits.OutsideResultRows
	return map[string]*int64{"max_execution_time": &seconds, "max_threads": &threads, "max_result_rows": &rows}
}

// settingKind is what a setting may be set to from outside.
type settingKind uint8

const (
	settingSwitch settingKind = iota + 1 // 0, 1, true or false
	settingNumber                        // a whole number, not negative
	settingWord                          // the name of a choice, a zone or a format's detail
	settingText                          // any short text
)

// outsideSettable are settings that change how a result looks or is cut, or how a
// query is understood, and nothing that leads out of the engine or lifts a limit.
var outsideSettable = map[string]settingKind{
	"extremes": settingSwitch, "final": settingSwitch, "join_use_nulls": settingSwitch, "group_by_use_nulls": settingSwitch,
	"prefer_column_name_to_alias": settingSwitch, "any_join_distinct_right_table_keys": settingSwitch,
	"aggregate_functions_null_for_empty": settingSwitch, "transform_null_in": settingSwitch, "cast_keep_nullable": settingSwitch,
	"asterisk_include_alias_columns": settingSwitch, "asterisk_include_materialized_columns": settingSwitch,
	"empty_result_for_aggregation_by_empty_set": settingSwitch, "enable_positional_arguments": settingSwitch,
	"optimize_move_to_prewhere": settingSwitch, "optimize_read_in_order": settingSwitch, "optimize_aggregation_in_order": settingSwitch,
	"data_type_default_nullable": settingSwitch, "enable_unaligned_array_join": settingSwitch, "least_greatest_legacy_null_behavior": settingSwitch,
	"http_write_exception_in_output_format": settingSwitch, // clickhouse-go sets it for every QueryFormat

	"max_block_size": settingNumber, "limit": settingNumber, "offset": settingNumber,
	"max_rows_to_read": settingNumber, "max_bytes_to_read": settingNumber, "max_rows_to_group_by": settingNumber,

	"result_overflow_mode": settingWord, "read_overflow_mode": settingWord, "group_by_overflow_mode": settingWord,
	"session_timezone": settingWord, "date_time_output_format": settingWord, "date_time_input_format": settingWord,
	"union_default_mode": settingWord, "intersect_default_mode": settingWord, "except_default_mode": settingWord,
	"join_default_strictness": settingWord, "count_distinct_implementation": settingWord, "totals_mode": settingWord,
	"date_time_overflow_behavior": settingWord, "interval_output_format": settingWord,

	"format_csv_delimiter": settingText, "format_tsv_null_representation": settingText, "format_csv_null_representation": settingText,
	"bool_true_representation": settingText, "bool_false_representation": settingText,
}

func outsideKind(name string) settingKind {
	// output_format_schema names a file to write.
	if strings.HasPrefix(name, "output_format_") && name != "output_format_schema" {
		return settingText
	}
	return outsideSettable[name]
}

// maxSettingText bounds the value of a setting from outside, in bytes.
const maxSettingText = 256

var choiceWord = regexp.MustCompile(`^[A-Za-z0-9_+/:-]*$`)

// takes tells whether a value is of the kind.
func (k settingKind) takes(value string) bool {
	switch k {
	case settingSwitch:
		return value == "0" || value == "1" || strings.EqualFold(value, "true") || strings.EqualFold(value, "false")
	case settingNumber:
		_, err := strconv.ParseUint(value, 10, 63)
		return err == nil
	case settingWord:
		return len(value) <= maxSettingText && choiceWord.MatchString(value)
	}
	return len(value) <= maxSettingText && !strings.ContainsRune(value, 0)
}

// settingFilters is the setting with which Grafana's plugin sends the ad-hoc
// filters of a dashboard: conditions by table.
const settingFilters = "additional_table_filters"

// outsideSetting checks a setting that is no limit, and gives it in the form in which it was checked.
func (c *Server) outsideSetting(conn *chdb.Connection, s setting) (setting, error) {
	if s.name == settingFilters {
		return c.tableFilters(conn, s)
	}
	kind := outsideKind(s.name)
	if kind == 0 {
		return s, errSetting(s.name)
	}
	if !kind.takes(s.value) {
		return s, badRequest("setting %s=%q is not a value for access from outside", s.name, s.value)
	}
	return s, nil
}

func errSetting(name string) error {
	return &chdb.Exception{Code: codeReadonly, Name: "READONLY", Message: fmt.Sprintf("Cannot modify '%s' setting in readonly mode", name)}
}

// tableFilters checks filters of tables: each names a table of the database of
// the requests, and is a condition that calls nothing that reaches out of the
// engine and reads no other table.
func (c *Server) tableFilters(conn *chdb.Connection, s setting) (setting, error) {
	text, err := conn.Text("SELECT toJSONString((mapKeys(m), mapValues(m))) FROM (SELECT {value:Map(String, String)} AS m)",
		chdb.Param{Name: "value", Value: s.value}) // text of this type is read as it is
	if err != nil {
		return s, badRequest("setting %s=%q is not a map of tables to conditions, such as {'%s.flows': 'dst_port = 443'}", s.name, s.value, c.database)
	}
	var pairs [2][]string
	if err := json.Unmarshal([]byte(trimLine(text)), &pairs); err != nil {
		return s, badRequest("setting %s: %v", s.name, err)
	}
	out := make([]string, len(pairs[0]))
	for i, table := range pairs[0] {
		name := table
		if c.database != "" {
			name = strings.TrimPrefix(table, c.database+".")
		}
		if !isIdentifier(name) {
			return s, badRequest("setting %s: %q is not a table of database %s", s.name, table, c.database)
		}
		if err := c.checkCondition(conn, pairs[1][i]); err != nil {
			return s, err
		}
		out[i] = sqltext.Text(table) + ":" + sqltext.Text(pairs[1][i])
	}
	return setting{s.name, "{" + strings.Join(out, ",") + "}"}, nil
}

// checkCondition refuses a condition that does more than compare columns.
func (c *Server) checkCondition(conn *chdb.Connection, condition string) error {
	canonical, err := canonicalForm(conn, "SELECT 1 WHERE (\n"+condition+"\n)")
	if err != nil {
		return parsingFailure(err)
	}
	l := lexer{sql: condition}
	tokens, err := l.all()
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if l.is(t, "SELECT") || l.is(t, "SETTINGS") {
			return errReadOnly("a filter with " + strings.ToUpper(l.text(t)))
		}
	}
	return c.checkReading(canonical, nil)
}

// settingsClause is SETTINGS name = value, … in a canonical statement.
type settingsClause struct {
	first, last int // tokens, SETTINGS itself among them
	settings    []setting
	literal     []bool // whether the value of each is a literal and nothing else
}

// settingsAt reads the clause that begins at a token, or gives nil.
func settingsAt(l *lexer, tokens []token, at int) *settingsClause {
	text := func(i int) string {
		if i >= len(tokens) {
			return ""
		}
		return l.text(tokens[i])
	}
	named := func(i int) bool {
		return i < len(tokens) && (tokens[i].kind == tokenWord || tokens[i].kind == tokenQuoted)
	}
	if !l.is(tokens[at], "SETTINGS") || !named(at+1) || text(at+2) != "=" && text(at+2) != "." {
		return nil
	}
	c := &settingsClause{first: at}
	for i := at + 1; ; i++ {
		if !named(i) || text(i+1) != "=" {
			// What cannot be read is a setting without a name, which nothing allows.
			c.last = i
			c.settings, c.literal = append(c.settings, setting{}), append(c.literal, false)
			return c
		}
		name, from, depth := identifierText(text(i)), i+2, 0
		for i = from; i < len(tokens); i++ {
			switch text(i) {
			case "{", "[", "(":
				depth++
			case "}", "]", ")":
				depth--
			}
			if depth < 0 || depth == 0 && (i+1 >= len(tokens) || text(i+1) == "," || text(i+1) == ")" || tokens[i+1].kind == tokenWord && text(i) != "-") {
				break
			}
		}
		end := min(i, len(tokens)-1)
		value, ok := literalValue(l, tokens[from:max(from, end+1)])
		c.settings, c.literal = append(c.settings, setting{name, value}), append(c.literal, ok)
		c.last = end
		if text(end+1) != "," {
			return c
		}
		i = end + 1
	}
}

// literalValue gives the text of a number, a switch, a string or a map.
func literalValue(l *lexer, tokens []token) (string, bool) {
	if len(tokens) == 0 {
		return "", false
	}
	first := l.text(tokens[0])
	if first == "{" {
		return l.sql[tokens[0].start:tokens[len(tokens)-1].end], true
	}
	if len(tokens) != 1 {
		return "", false
	}
	switch tokens[0].kind {
	case tokenString:
		return stringText(first)
	case tokenWord:
		_, err := strconv.ParseFloat(first, 64)
		return first, err == nil || strings.EqualFold(first, "true") || strings.EqualFold(first, "false")
	}
	return "", false
}

// stringText gives what a string stands for that the engine's parser has
// written: in single quotes, with backslashes.
func stringText(s string) (string, bool) {
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' {
		return "", false
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", false
		}
		switch c := s[i]; c {
		case '\\', '\'', '"', '`':
			b.WriteByte(c)
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		default: // nothing that a setting from outside needs
			return "", false
		}
	}
	return b.String(), true
}

// harmless refuses the clause of a subquery unless its settings are such as a
// request may choose. Limits are for the whole query, and so are filters.
func (c *settingsClause) harmless() error {
	for i, s := range c.settings {
		kind := outsideKind(s.name)
		if kind == 0 {
			return errSetting(s.name)
		}
		if !c.literal[i] || !kind.takes(s.value) {
			return badRequest("the value of setting %s is not one for access from outside", s.name)
		}
	}
	return nil
}

// takeSettings applies the settings behind the whole query as those of the
// request, and returns the statement without them: under readonly = 1 the
// engine refuses every setting in a query, also such as a request may choose.
// A value that would lift a limit is refused.
func (c *Server) takeSettings(conn *chdb.Connection, q *request, canonical, mark string) (string, error) {
	l := lexer{sql: canonical}
	tokens, err := l.all()
	if err != nil {
		return "", err
	}
	limits := c.outsideLimits()
	var cut []*settingsClause
	depth := 0
	for i := 0; i < len(tokens); i++ {
		switch l.text(tokens[i]) {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth > 0 {
			continue
		}
		clause := settingsAt(&l, tokens, i)
		if clause == nil {
			continue
		}
		if next := clause.last + 1; next < len(tokens) && !l.is(tokens[next], "FORMAT") && !l.is(tokens[next], "SETTINGS") {
			continue // this setting is of one part of the query
		}
		for k, s := range clause.settings {
			limit := limits[s.name]
			if limit == nil && s.name != settingFilters && outsideKind(s.name) == 0 {
				return "", errSetting(s.name)
			}
			if v, err := strconv.ParseFloat(s.value, 64); !clause.literal[k] || limit != nil && (err != nil || v <= 0 || v > float64(*limit)) {
				return "", badRequest("the value of setting %s is not one for access from outside", s.name)
			}
		}
		q.settings = append(q.settings, clause.settings...)
		cut = append(cut, clause)
		i = clause.last
	}
	if len(cut) == 0 {
		return canonical, nil
	}
	settings, err := c.outsideSettings(conn, q, mark)
	if err != nil {
		return "", err
	}
	for _, clause := range slices.Backward(cut) {
		canonical = canonical[:tokens[clause.first].start] + canonical[tokens[clause.last].end:]
	}
	return canonical, applySettings(conn, settings)
}
