package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// target is a figure with what it is to be.
type target struct {
	what       string
	benchmarks string // beginning of their names; of several, the best counts
	unit       string
	limit      float64
	atMost     bool // False stands for "at least".
}

// targets are what the pipeline is to be able to do, on two cores.
var targets = []target{
	{"decoding into columns, one core, million records/s", "Decode", "Mrecords/s", 0.68, false},
	{"collector: CPU of a record, ns", "Collector/nats=apart", "cpu-ns/record", 600, true},
	{"collector, one core: records/s", "Collector/nats=apart", "records/s", 1_000_000, false},
	{"collector: records lost at that rate", "Collector/nats=apart", "lost-records", 0, true},
	{"collector: allocations a record (a batch has some)", "Collector/nats=apart", "allocs/record", 0.01, true},
	{"`cordon collect`, one core: highest rate without loss, records/s", "Peers/cordon", "records/s", 1_000_000, false},
	{"ingest: rows/s into embedded ClickHouse", "Ingest/", "rows/s", 600_000, false},
	{"ingest with folding, few hosts: share of the rate without", "IngestShare/datacentre", "share-of-rate-without", 0.75, false},
	{"ingest with folding, many hosts: share of the rate without", "IngestShare/campus", "share-of-rate-without", 0.75, false},
	{"ingest with folding, few hosts: share by processor time", "IngestShare/datacentre", "share-by-cpu", 0.75, false},
	{"ingest with folding, many hosts: share by processor time", "IngestShare/campus", "share-by-cpu", 0.75, false},
	{"ingest beside the engine alone, few hosts: share of its rate", "IngestBesideEngine/datacentre", "share-of-engine-rate", 0.9, false},
	{"ingest beside the engine alone, many hosts: share of its rate", "IngestBesideEngine/campus", "share-of-engine-rate", 0.9, false},
	{"`cordon up`: highest rate without loss, records/s", "Up/highest", "records/s", 250_000, false},
	{"`cordon up`: records lost in a minute at 250,000/s", "Up/rate=250000", "lost-records", 0, true},
	{"view `sessions`, count of a million session-hours: times the engine's grouping", "Views/count", "times-one-grouping", 2, true},
	{"view `sessions`, sums: times the engine's grouping", "Views/sums", "times-one-grouping", 2, true},
	{"view `sessions`, all columns: times the engine's grouping", "Views/listing", "times-one-grouping", 2, true},
	{"view `sessions_window`, sums: times the engine's grouping", "Views/window", "times-one-grouping", 2, true},
	{"sessions of one host: CPU, ms", "Views/host", "cpu-ms", 1000, true},
	{"sessions of one hour: CPU, ms", "Views/hour", "cpu-ms", 1000, true},
	{"600,000 cells of two networks laid over each other: gap, per cent", "Overlaid", "gap-percent", 5, true},
	{"600,000 cells of two networks laid over each other: CPU of the solver, s", "Overlaid", "cpu-s", 60, true},
	{"600,000 cells of two networks laid over each other: memory of the solver, MiB", "Overlaid", "MiB", 2048, true},
	{"680,000 cells: gap between rules and bound, per cent", "Large/shape=observed/seed=1", "gap-percent", 5, true},
	{"680,000 cells: CPU of the solver, s", "Large/shape=observed/seed=1", "cpu-s", 60, true},
	{"680,000 cells: memory of the solver, MiB", "Large/shape=observed/seed=1", "MiB", 2048, true},
	{"`cordon up`: longest delay at a low rate, ms", "UpLatency", "max-ms", 2000, true},
	{"simulate, 1,000 rules: times the grouping of the rows, by processor time", "Simulate", "times-grouping-by-cpu", 2, true},
	{"pages, 606,000 records: first contentful paint, ms", "Pages", "first-contentful-paint-ms", 1000, true},
	{"pages, 606,000 records: matrix painted, view made before, ms", "Pages", "matrix-painted-ms", 2000, true},
	{"pages, 606,000 records: from a rule to its sessions, ms", "Pages", "rule-to-sessions-ms", 500, true},
	{"pages: first view, kB transferred", "Pages", "first-view-kB", 250, true},
	{"matrix of 500 groups and 100,000 cells: median frame, ms", "MatrixDrawing/groups=500/cells=100000", "frame-median-ms", 20, true},
	{"matrix of 500 groups and 100,000 cells: script of a frame, 95th percentile, ms", "MatrixDrawing/groups=500/cells=100000", "script-p95-ms", 8, true},
	{"matrix of 2,000 groups and a million cells: first paint, ms", "MatrixDrawing/groups=2000/cells=1000000", "first-paint-ms", 1000, true},
	{"simulate `--each` of 117 rules: times a replay, by processor time", "SimulateEach", "times-replay-by-cpu", 3, true},
}

// printTargets prints targets beside results. Nothing is printed for benchmarks
// that were not run.
func printTargets(w io.Writer, all results) {
	var rows [][]string
	for _, t := range targets {
		got := math.NaN()
		for _, r := range all.list {
			if r.name != t.benchmarks && !(strings.HasSuffix(t.benchmarks, "/") && strings.HasPrefix(r.name, t.benchmarks)) {
				continue
			}
			// A rate that is sent is not met to the last record.
			if v := r.median(t.unit); math.IsNaN(got) || t.atMost == (v < got) {
				got = v
			}
		}
		if math.IsNaN(got) {
			continue
		}
		sign, met := "at least", got >= 0.995*t.limit
		if t.atMost {
			sign, met = "at most", got <= t.limit
		}
		rows = append(rows, []string{t.what, sign + " " + figure(t.limit), figure(got), map[bool]string{true: "yes", false: "no"}[met]})
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprint(w, "\n### Targets\n\n")
	row(w, []string{"figure", "target", "measured", "met"})
	row(w, []string{"---", "---:", "---:", "---"})
	for _, r := range rows {
		row(w, r)
	}
}
