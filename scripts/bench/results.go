package main

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results are the figures of benchmarks, in the order in which they came.
type results struct {
	list []*result
	text string // Output of commands, for figures that are just that.
}

// result is one benchmark with the figures of all its runs.
type result struct {
	name  string // The name less "Benchmark" and the number of processors.
	units []string
	runs  map[string][]float64 // Keyed by unit.
}

// benchmarkLine is a line of `go test -bench`: name, iterations, figures with units.
var benchmarkLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.+)$`)

// noise are units that say nothing here: an operation is a run or a batch.
var noise = map[string]bool{"ns/op": true, "B/op": true, "allocs/op": true, "MB/s": true}

// parse adds the figures of `go test -bench` output.
func (rs *results) parse(text string) {
	for line := range strings.Lines(text) {
		m := benchmarkLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		r := rs.get(m[1])
		for f := strings.Fields(m[2]); len(f) >= 2; f = f[2:] {
			v, err := strconv.ParseFloat(f[0], 64)
			if err != nil {
				break
			}
			r.add(f[1], v)
		}
	}
}

func (rs *results) get(name string) *result {
	for _, r := range rs.list {
		if r.name == name {
			return r
		}
	}
	r := &result{name: name, runs: make(map[string][]float64)}
	rs.list = append(rs.list, r)
	return r
}

func (r *result) add(unit string, v float64) {
	if _, has := r.runs[unit]; !has {
		r.units = append(r.units, unit)
	}
	r.runs[unit] = append(r.runs[unit], v)
}

func (rs *results) add(others results) { rs.list = append(rs.list, others.list...) }

// median gives NaN where there is no such figure.
func (r *result) median(unit string) float64 {
	v := slices.Sorted(slices.Values(r.runs[unit]))
	if len(v) == 0 {
		return math.NaN()
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// columns are the heads of figures that do not explain themselves.
var columns = map[string]string{
	"cpu-ns/record": "CPU ns/record", "nats-cpu-ns/record": "NATS CPU ns/record", "cpu-ns/row": "CPU ns/row",
	"share-of-rate-without": "share of the rate without", "share-by-cpu": "share by CPU", "cpu-ns/row-with": "CPU ns/row", "cpu-ns/row-without": "CPU ns/row without",
	"lost-records": "lost records", "kernel-drops": "kernel drops", "lag-s": "lag, s", "middle-MB": "middle third, MB", "last-MB": "last third, MB",
	"peak-MB": "peak, MB", "sender-%": "sender, % of a core", "buffer-B": "receive buffer, bytes",
	"median-ms": "median, ms", "p99-ms": "p99, ms", "max-ms": "max, ms", "message-B/row": "message, B/row",
	"flows-B/row": "flows, B/row", "sessions_hourly-B/row": "sessions, B/row", "Mrecords/s": "M records/s",
}

// table prints a row for each benchmark. Where there were several runs, a figure is
// their median, with the extremes behind it if these differ by more than a tenth.
func (rs *results) table(w io.Writer) {
	if len(rs.list) == 0 {
		fmt.Fprintln(w, "Not measured: see what the command says.")
		return
	}
	var units []string
	runs := 0
	for _, r := range rs.list {
		for _, u := range r.units {
			if !noise[u] && !slices.Contains(units, u) {
				units = append(units, u)
			}
			runs = max(runs, len(r.runs[u]))
		}
	}
	if runs > 1 {
		fmt.Fprintf(w, "Medians of %d runs.\n\n", runs)
	}
	slices.SortStableFunc(units, func(a, b string) int { return rank(a) - rank(b) })
	head, rule := []string{"benchmark"}, []string{"---"}
	for _, u := range units {
		name := columns[u]
		if name == "" {
			name = u
		}
		head, rule = append(head, name), append(rule, "---:")
	}
	row(w, head)
	row(w, rule)
	for _, r := range rs.list {
		cells := []string{"`" + r.name + "`"}
		for _, u := range units {
			cells = append(cells, r.cell(u))
		}
		row(w, cells)
	}
}

// rank puts what matters first: speed, cost, loss.
func rank(unit string) int {
	for i, u := range []string{"records/s", "Mrecords/s", "rows/s", "cpu-ns/record", "nats-cpu-ns/record", "cpu-ns/row", "ns/record", "lost-records", "kernel-drops", "allocs/record", "lag-s", "median-ms", "p99-ms", "max-ms", "middle-MB", "last-MB", "peak-MB"} {
		if u == unit {
			return i
		}
	}
	return 100
}

func row(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

func (r *result) cell(unit string) string {
	m := r.median(unit)
	if math.IsNaN(m) {
		return ""
	}
	lo, hi := slices.Min(r.runs[unit]), slices.Max(r.runs[unit])
	if hi-lo > 0.1*math.Abs(m) {
		return fmt.Sprintf("%s (%s to %s)", figure(m), figure(lo), figure(hi))
	}
	return figure(m)
}

// figure prints three digits that count, and whole thousands grouped.
func figure(v float64) string {
	if a := math.Abs(v); a < 1000 && v != math.Trunc(v) {
		digits := 2 - int(math.Floor(math.Log10(a)))
		return strconv.FormatFloat(v, 'f', min(max(digits, 0), 5), 64)
	}
	s := strconv.FormatFloat(math.Abs(math.Round(v)), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if math.Round(v) < 0 {
		s = "-" + s
	}
	return s
}
