//lint:file-ignore SA1019 The boards are in the classic form, which people import and provisioning reads.

package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The data sources are variables of each board, so that one file fits every Grafana.
var (
	clickhouseSource = source(clickhousePlugin, "${clickhouse}")
	prometheusSource = source("prometheus", "${prometheus}")
)

func source(kind, uid string) common.DataSourceRef {
	return common.DataSourceRef{Type: &kind, Uid: &uid}
}

// target is a query of a panel.
type target = cog.Builder[variants.Dataquery]

// board is a dashboard that is being put together, row by row; a row is 24 units wide.
type board struct {
	dashboard *dashboard.DashboardBuilder
	panels    uint32
}

func newBoard(uid, title, description, from string) *board {
	return &board{dashboard: dashboard.NewDashboardBuilder(title).Uid(uid).Description(description).Tags([]string{"cordon"}).
		Time(from, "now").Refresh("1m").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Cordon").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"cordon"}).KeepTime(true))}
}

// sources lets the reader choose the data sources of the given plugins.
func (b *board) sources(names map[string]string, order ...string) *board {
	for _, name := range order {
		b.dashboard.WithVariable(dashboard.NewDatasourceVariableBuilder(name).Type(names[name]).Label("Source: " + name))
	}
	return b
}

// vrfs lets the reader choose one of the VRFs that the store has.
func (b *board) vrfs() *board {
	query, name := "SELECT DISTINCT vrf FROM cordon.sessions_hourly ORDER BY vrf", "default"
	b.dashboard.WithVariable(dashboard.NewQueryVariableBuilder("vrf").Label("VRF").Datasource(clickhouseSource).
		Query(dashboard.StringOrMap{String: &query}).Refresh(dashboard.VariableRefreshOnDashboardLoad).
		Current(dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: &name}, Value: dashboard.StringOrArrayOfString{String: &name}}))
	return b
}

func (b *board) row(title string) {
	b.dashboard.WithRow(dashboard.NewRowBuilder(title))
}

// next is the id of a panel to come.
func (b *board) next() uint32 {
	b.panels++
	return b.panels
}

// graph is a panel of lines over time.
func (b *board) graph(title, description, unit string, width uint32, targets ...target) {
	b.dashboard.WithPanel(timeseries.NewPanelBuilder().Id(b.next()).Title(title).Description(description).Unit(unit).Span(width).Height(8).
		Min(0).FillOpacity(10).SpanNulls(common.BoolOrFloat64{Bool: cog.ToPtr(false)}).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		Datasource(of(targets)).Targets(targets))
}

// bars is a panel of bars over time, for what is counted by hour.
func (b *board) bars(title, description, unit string, width uint32, targets ...target) {
	b.dashboard.WithPanel(timeseries.NewPanelBuilder().Id(b.next()).Title(title).Description(description).Unit(unit).Span(width).Height(8).
		Min(0).FillOpacity(60).DrawStyle(common.GraphDrawStyleBars).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Datasource(of(targets)).Targets(targets))
}

// numbers is a panel of large numbers, one for each column or series; red from a limit on, where there is one.
func (b *board) numbers(title, description, unit string, width uint32, limit *float64, targets ...target) {
	steps := []dashboard.Threshold{{Color: "green"}}
	if limit != nil {
		steps = append(steps, dashboard.Threshold{Color: "red", Value: limit})
	}
	b.dashboard.WithPanel(stat.NewPanelBuilder().Id(b.next()).Title(title).Description(description).Unit(unit).Span(width).Height(4).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)).
		GraphMode(common.BigValueGraphModeNone).Orientation(common.VizOrientationAuto).Datasource(of(targets)).Targets(targets))
}

// table is a panel with the rows of a query. Units go by the names of columns.
func (b *board) table(title, description string, width uint32, units map[string]string, q sqlQuery) {
	p := table.NewPanelBuilder().Id(b.next()).Title(title).Description(description).Span(width).Height(9).
		Filterable(true).ShowHeader(true).Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{"sum"})).Datasource(clickhouseSource).Targets([]target{q})
	for _, column := range []string{"bytes", "skew", "share"} {
		if unit, ok := units[column]; ok {
			p.OverrideByName(column, []dashboard.DynamicConfigValue{{Id: "unit", Value: unit}})
		}
	}
	b.dashboard.WithPanel(p)
}

// of is the data source of a panel's queries.
func of(targets []target) common.DataSourceRef {
	if _, ok := targets[0].(sqlQuery); ok {
		return clickhouseSource
	}
	return prometheusSource
}

// metric is a query of Prometheus's, with a legend such as `{{exporter}}`.
func metric(ref, expr, legend string) target {
	return prometheus.NewDataqueryBuilder().Datasource(prometheusSource).Expr(expr).LegendFormat(legend).RefId(ref).Range()
}
