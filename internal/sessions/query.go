// Package sessions builds the query behind `cordon sessions`: the collected
// sessions that a person asks for, filtered, sorted and cut, with every value
// that comes from outside bound as a parameter.
package sessions

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/internal/sqltext"
	"cordon/schema"
)

// State selects sessions by what became of them.
type State string

// The states. A session that was answered at least once is complete, also
// where nobody can tell.
const (
	Complete State = "complete"
	HalfOpen State = "half-open" // never answered
	Denied   State = "denied"    // dropped by the network, as an exporter says
)

// Table is where sessions are, if not in the store's window.
type Table struct {
	SQL   string   // stands in a FROM clause and has the columns of sessions_window
	Own   []string // columns that it has beyond those; they come first
	Order string   // one of its own that rows are in order of, before the order asked for; empty for none
	Each  int      // Most rows for each value of Order; 0 for all.
}

// Filter says which sessions. Empty fields do not filter.
type Filter struct {
	Table        *Table    // nil for the store
	Since, Until time.Time // sessions that overlap the window
	NewSince     time.Time // sessions seen for the first time at or after this

	Ends     schema.Ends // addresses of ends and exporters
	Services []string    // terms such as tcp/443, udp/8000-8080, icmp/8, gre, or names of services
	VRF      string
	States   []State

	// Keyed adds a column `key`, the place of a row in the order; After is the key of the row that the first one comes
	// after, nil for none. Not for a Table with an Order.
	Keyed bool
	After []string

	// Brief leaves out columns and parts of a second, so that a line fits on
	// a terminal.
	Brief bool
}

// Sort is a column to sort by. Names of columns of the result.
type Sort struct {
	Column     string
	Descending bool
}

// sortable are the columns that a person sorts by, and whether the largest
// comes first unless asked otherwise.
var sortable = map[string]bool{
	"client": false, "server": false, "service": false, "vrf": false, "first_seen": false,
	"last_seen": true, "flows": true, "packets": true, "bytes": true, "half_open": true, "denied": true,
}

// SortColumns lists the columns that a person sorts by.
func SortColumns() []string { return slices.Sorted(maps.Keys(sortable)) }

// ParseSort reads a column, with a minus or plus before it to say in which
// direction.
func ParseSort(s string) (Sort, error) {
	name := strings.TrimLeft(s, "+-")
	name = strings.ReplaceAll(name, "-", "_")
	down, ok := sortable[name]
	if !ok || len(s)-len(name) > 1 {
		return Sort{}, fmt.Errorf("--sort %q: use client, server, service, vrf, first_seen, last_seen, flows, packets, bytes, half_open or denied, with - before it for descending", s)
	}
	switch s[0] {
	case '-':
		down = true
	case '+':
		down = false
	}
	return Sort{name, down}, nil
}

// Query is a SELECT with its parameters.
type Query struct {
	SQL        string
	Parameters map[string]string // values of {name:Type} in SQL
}

// Build makes the query. The groups file, nil for none, gives meaning to names of services. Limit 0 means all.
func Build(f Filter, sort Sort, limit int, file *categories.File) (Query, error) {
	b := &builder{params: map[string]string{}, file: file}
	if err := b.filter(f); err != nil {
		return Query{}, err
	}
	order := sort.place()
	if sort.Descending {
		order += " DESC"
	}
	since := f.Since
	if !f.NewSince.IsZero() {
		since = time.Time{} // Every session would be new within a window.
	}
	if f.After != nil {
		if err := b.after(f.After, sort); err != nil {
			return Query{}, err
		}
	}
	own, from := "", schema.SessionsOf(since, f.Until)
	if t := f.Table; t != nil {
		own, from = strings.Join(append(t.Own, ""), ", "), t.SQL
		if t.Order != "" {
			order = t.Order + ", " + order
		}
	}
	rest := fullColumns
	if f.Brief {
		rest = briefColumns
	}
	if f.Keyed {
		rest += ",\n\t" + key(sort)
	}
	var q strings.Builder
	fmt.Fprintf(&q, `SELECT %svrf, client, server, service,
	multiIf(complete > 0, 'complete', denied > 0, 'denied', half_open > 0, 'half-open', 'complete') AS state,
	flows, client_packets + server_packets AS packets, client_bytes + server_bytes AS bytes,
	%s
FROM %s`, own, rest, from)
	if len(b.where) > 0 {
		q.WriteString("\nWHERE " + strings.Join(b.where, "\n  AND "))
	}
	fmt.Fprintf(&q, "\nORDER BY %s, vrf, server_ip, proto, port, icmp_type, icmp_code, client_ip", order)
	if f.Table != nil && f.Table.Each > 0 {
		fmt.Fprintf(&q, "\nLIMIT %d BY %s", f.Table.Each, f.Table.Order)
	}
	if limit > 0 {
		q.WriteString("\nLIMIT " + strconv.Itoa(limit))
	}
	return Query{q.String(), b.params}, nil
}

// The last columns. Those of briefColumns have names of their own where a filter
// or --sort needs the value.
const (
	fullColumns = `client_packets, client_bytes, server_packets, server_bytes, complete, half_open, denied,
	first_seen, last_seen, direction_basis, exporters`
	briefColumns = "formatDateTime(first_seen, '%F %T') AS `first seen`, formatDateTime(last_seen, '%F %T') AS `last seen`,\n" +
		"	direction_basis AS basis, arrayStringConcat(exporters, ' ') AS `seen by`"
)

// place is what a column is sorted by: addresses as numbers.
func (s Sort) place() string {
	if s.Column == "client" || s.Column == "server" {
		return s.Column + "_ip"
	}
	return s.Column
}

// keyColumns put rows in order that the column sorted by does not tell apart, with the types of their parameters.
var keyColumns = []struct{ name, of string }{
	{"vrf", "%s"}, {"server_ip", "toIPv6(%s)"}, {"proto", "toUInt8(%s)"}, {"port", "toUInt16(%s)"},
	{"icmp_type", "toUInt8(%s)"}, {"icmp_code", "toUInt8(%s)"}, {"client_ip", "toIPv6(%s)"},
}

// key is the column with the place of a row in an order.
func key(s Sort) string {
	parts := []string{"toString(" + s.place() + ")"}
	for _, c := range keyColumns {
		parts = append(parts, "toString("+c.name+")")
	}
	return "[" + strings.Join(parts, ", ") + "] AS key"
}

// after is the condition that a row comes after the one with a key.
func (b *builder) after(key []string, s Sort) error {
	if len(key) != len(keyColumns)+1 {
		return fmt.Errorf("--after: a key has %d parts", len(keyColumns)+1)
	}
	read := "toUInt64(%s)"
	switch s.Column {
	case "client", "server":
		read = "toIPv6(%s)"
	case "service", "vrf":
		read = "%s"
	case "first_seen", "last_seen":
		read = "toDateTime64(%s, 6, 'UTC')"
	}
	value := fmt.Sprintf(read, b.bind("String", key[0]))
	var names, values []string
	for i, c := range keyColumns {
		names, values = append(names, c.name), append(values, fmt.Sprintf(c.of, b.bind("String", key[i+1])))
	}
	than := ">"
	if s.Descending {
		than = "<"
	}
	b.and(fmt.Sprintf("(%[1]s %[2]s %[3]s OR %[1]s = %[3]s AND (%[4]s) > (%[5]s))", s.place(), than, value, strings.Join(names, ", "), strings.Join(values, ", ")))
	return nil
}

// Conditions gives what Build asks of the rows of a table, ANDed, with its parameters; "1" where nothing is asked.
func Conditions(f Filter, file *categories.File) (string, map[string]string, error) {
	b := &builder{params: map[string]string{}, file: file}
	if f.Table == nil {
		f.Table = &Table{}
	}
	if err := b.filter(f); err != nil {
		return "", nil, err
	}
	return strings.Join(append([]string{"1"}, b.where...), " AND "), b.params, nil
}

// builder gathers conditions and parameters.
type builder struct {
	where  []string
	params map[string]string
	file   *categories.File
}

// bind gives a value a parameter and returns its place in the text.
func (b *builder) bind(typ, value string) string {
	name := "p" + strconv.Itoa(len(b.params))
	b.params[name] = value
	return "{" + name + ":" + typ + "}"
}

// time is a literal, which holds digits only, whatever the time.
func (b *builder) time(t time.Time) string { return sqltext.Text(t.UTC().Format(schema.TimeLayout)) }

func (b *builder) and(cond string) { b.where = append(b.where, cond) }

func (b *builder) filter(f Filter) error {
	ends, seen := f.Ends.Conditions("exporters")
	b.where = append(b.where, ends...)
	if err := b.services(f.Services); err != nil {
		return err
	}
	if f.VRF != "" {
		b.and("vrf = " + b.bind("String", f.VRF))
	}
	b.where = append(b.where, seen...)
	if f.Table != nil { // it is no view with a window
		if !f.Since.IsZero() {
			b.and("last_seen >= " + b.time(f.Since))
		}
		if !f.Until.IsZero() {
			b.and("first_seen < " + b.time(f.Until))
		}
	}
	if !f.NewSince.IsZero() {
		b.and("first_seen >= " + b.time(f.NewSince))
		if !f.Since.IsZero() {
			b.and("last_seen >= " + b.time(f.Since))
		}
	}
	return b.states(f.States)
}

// states is the condition that a session is in one of states.
func (b *builder) states(states []State) error {
	var any []string
	for _, s := range states {
		switch s {
		case Complete, HalfOpen:
			any = append(any, "state = '"+string(s)+"'")
		case Denied:
			any = append(any, "denied > 0") // some were, if not all
		default:
			return fmt.Errorf("--state %q: use complete, half-open or denied", s)
		}
	}
	if len(any) > 0 {
		b.and("(" + strings.Join(any, " OR ") + ")")
	}
	return nil
}

// services is the condition that a session's service is one of terms or names.
func (b *builder) services(values []string) error {
	if len(values) == 0 {
		return nil
	}
	var any []string
	for _, v := range values {
		terms, err := b.terms(v)
		if err != nil {
			return fmt.Errorf("--service %s: %w", v, err)
		}
		for _, t := range terms {
			cond := "proto = " + strconv.Itoa(int(t.Proto))
			if !t.Any() {
				column := "port"
				if iana.IsICMP(t.Proto) {
					column = "icmp_type"
				}
				cond += fmt.Sprintf(" AND %s BETWEEN %d AND %d", column, t.Lo, t.Hi)
			}
			any = append(any, "("+cond+")")
		}
	}
	b.and("(" + strings.Join(any, " OR ") + ")")
	return nil
}

// ServiceTerms gives the terms of a service as people name it: a term such as tcp/443, a bare port, or a name. The groups
// file, nil for none, gives meaning to its own names.
func ServiceTerms(v string, file *categories.File) ([]categories.ServiceTerm, error) {
	return (&builder{file: file}).terms(v)
}

// terms reads a term, a bare port (TCP and UDP), or a name, from the groups file or
// the usual one.
func (b *builder) terms(v string) (terms []categories.ServiceTerm, err error) {
	if b.file != nil {
		for _, s := range b.file.Services {
			if strings.EqualFold(s.Name, v) {
				return s.Match, nil
			}
		}
	}
	if _, err := strconv.ParseUint(v, 10, 16); err == nil {
		tcp, err := categories.ParseServiceTerm("tcp/" + v)
		if err != nil {
			return nil, err
		}
		udp, err := categories.ParseServiceTerm("udp/" + v)
		return []categories.ServiceTerm{tcp, udp}, err
	}
	t, err := categories.ParseServiceTerm(v)
	if err == nil {
		return []categories.ServiceTerm{t}, nil
	}
	for _, s := range iana.ServicesNamed(v) {
		terms = append(terms, categories.ServiceTerm{Proto: s.Proto, Lo: s.Port, Hi: s.Port})
	}
	if len(terms) == 0 {
		return nil, err
	}
	return terms, nil
}
