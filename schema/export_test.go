package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

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

// SetFresh has fresh.sql be of another version of the schema than it is, and written by another engine, until restore is called.
func SetFresh(version int64, engine string) (restore func()) {
	old := freshText
	_, rest, _ := strings.Cut(freshText, "\n")
	freshText = fmt.Sprintf(freshLine, version, engine) + rest
	return func() { freshText = old }
}

// FreshLine is the first line of fresh.sql.
const FreshLine = freshLine

// IsPlain says whether Filled would make the short views.
func (t *Temporary) IsPlain(ctx context.Context, conn clickhouse.Conn) (bool, error) {
	return t.isPlain(ctx, conn)
}
