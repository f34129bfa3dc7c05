package main

import (
	"bytes"
	"encoding/json"

	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
)

// clickhousePlugin is the type of ClickHouse's own data source; the foundation SDK has no query type for it.
const clickhousePlugin = "grafana-clickhouse-datasource"

// Formats of an answer, as the plugin numbers them.
const (
	asSeries = 0
	asTable  = 1
)

// sqlQuery is a query of the plugin, as its editor of SQL saves it.
type sqlQuery struct {
	Datasource common.DataSourceRef `json:"datasource"`
	EditorType string               `json:"editorType"`
	QueryType  string               `json:"queryType"`
	Format     int                  `json:"format"`
	RawSQL     string               `json:"rawSql"`
	RefID      string               `json:"refId"`
}

// ImplementsDataqueryVariant marks the type for the foundation SDK.
func (sqlQuery) ImplementsDataqueryVariant() {}

// DataqueryType is the plugin.
func (sqlQuery) DataqueryType() string { return clickhousePlugin }

// Validate implements [variants.Dataquery].
func (sqlQuery) Validate() error { return nil }

// Equals implements [variants.Dataquery].
func (q sqlQuery) Equals(other variants.Dataquery) bool {
	o, ok := other.(sqlQuery)
	a, _ := json.Marshal(q)
	b, _ := json.Marshal(o)
	return ok && bytes.Equal(a, b)
}

// Build implements the SDK's builder, so that a query can stand where one is asked for.
func (q sqlQuery) Build() (variants.Dataquery, error) { return q, nil }

// series is a query whose first column is a time.
func series(sql string) sqlQuery { return query("timeseries", asSeries, sql) }

// rows is a query for a table.
func rows(sql string) sqlQuery { return query("table", asTable, sql) }

func query(kind string, format int, sql string) sqlQuery {
	return sqlQuery{Datasource: clickhouseSource, EditorType: "sql", QueryType: kind, Format: format, RawSQL: sql, RefID: "A"}
}
