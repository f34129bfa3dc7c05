package schema

import "strings"

// For tests in package schema_test.
var (
	StatsColumnNames = statsColumnNames
	NameColumnNames  = nameColumnNames
)

// TableColumns gives name, type and default of the columns of table flows.
func TableColumns() (list [][3]string) {
	for _, c := range columns {
		def := ""
		switch c.name {
		case "vrf":
			def = "'default'"
		case "count":
			def = "1"
		}
		list = append(list, [3]string{c.name, c.typ, def})
	}
	return list
}

// HalfOpen reports whether a record of both directions counts as half-open.
func HalfOpen(r *Record) bool {
	var b Batch
	b.Append(r)
	var f Folder
	f.Add(&b)
	return f.session(0).sums.kinds[halfOpen] > 0
}

// Render gives the SQL of a text in the words of migrations, for a single server.
func Render(database, name, text string) ([]byte, error) {
	return MigrateConfig{Database: database}.render(name, text)
}

// IsFresh reports whether an engine of this version makes an empty database in one step.
func IsFresh(engine string) bool { return strings.HasPrefix(freshText, freshEngine+engine+"\n") }
