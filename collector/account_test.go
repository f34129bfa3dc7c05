package collector

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestSubtractKnowsEveryCounter sets all counters and takes them away again.
func TestSubtractKnowsEveryCounter(t *testing.T) {
	var a ipfix.Counters
	v := reflect.ValueOf(&a).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Uint64:
			f.SetUint(uint64(100 + i))
		case reflect.Array:
			for j := range f.Len() {
				f.Index(j).SetUint(uint64(1000 + j))
			}
		default:
			t.Fatalf("counter %s has type %s", v.Type().Field(i).Name, f.Type())
		}
	}
	if d := gocmp.Diff(a, subtract(&a, &ipfix.Counters{})); d != "" {
		t.Errorf("less nothing (-want +got):\n%s", d)
	}
	if d := gocmp.Diff(ipfix.Counters{}, subtract(&a, &a)); d != "" {
		t.Errorf("less itself (-want +got):\n%s", d)
	}
}

func sourceStats(port uint16, domain uint32, c ipfix.Counters) ipfix.SourceStats {
	return ipfix.SourceStats{
		Source:   ipfix.Source{Addr: netip.AddrPortFrom(loopback, port), Transport: ipfix.UDP},
		Counters: c,
		Domains:  []ipfix.DomainStats{{ID: domain, Counters: c, LastMessage: 2_000_000, LastExport: 1_000_000, Skew: 1_000_000, Software: "softflowd", Sampling: 10}},
	}
}

func TestAccountWritesDifferences(t *testing.T) {
	a := newAccount()
	now := time.UnixMilli(50_000)
	row := func(change func(*schema.ExporterStats)) []schema.ExporterStats {
		r := schema.ExporterStats{
			Time: 50_000, Interval: 10_000, Collector: "c", Exporter: schema.Addr16(loopback), Domain: 3, Transport: "udp",
			Name: "softflowd", Sampling: 10, ClockSkew: -1000, LastExport: 1000,
		}
		change(&r)
		return []schema.ExporterStats{r}
	}
	for _, step := range []struct {
		name           string
		current, ended []ipfix.SourceStats
		want           []schema.ExporterStats
	}{
		{"first",
			[]ipfix.SourceStats{sourceStats(1, 3, ipfix.Counters{Messages: 2, Bytes: 200, Records: 20, MissedRecords: 10, MissedMessages: 1, LateRecords: 3, Templates: 4})}, nil,
			row(func(r *schema.ExporterStats) {
				r.Messages, r.Bytes, r.Records, r.LostRecords, r.LostMessages = 2, 200, 20, 10, 1
				r.LateRecords, r.Templates = 3, 4
			})},
		{"nothing new",
			[]ipfix.SourceStats{sourceStats(1, 3, ipfix.Counters{Messages: 2, Bytes: 200, Records: 20, MissedRecords: 10, MissedMessages: 1, LateRecords: 3, Templates: 4})}, nil, nil},
		{"late datagram fills the gap",
			[]ipfix.SourceStats{sourceStats(1, 3, ipfix.Counters{Messages: 3, Records: 30, MissedRecords: 10, MissedMessages: 1, FilledRecords: 10, FilledMessages: 1})}, nil,
			row(func(r *schema.ExporterStats) { r.Messages, r.Records = 1, 10 })},
		{"what is lost then was written already",
			[]ipfix.SourceStats{sourceStats(1, 3, ipfix.Counters{Messages: 4, Records: 40, MissedRecords: 22, MissedMessages: 1, FilledRecords: 10, FilledMessages: 1})}, nil,
			row(func(r *schema.ExporterStats) { r.Messages, r.Records, r.LostRecords = 1, 10, 2 })},
		{"restart from another port",
			[]ipfix.SourceStats{sourceStats(2, 3, ipfix.Counters{Messages: 1, Records: 5})},
			[]ipfix.SourceStats{sourceStats(1, 3, ipfix.Counters{Messages: 5, Records: 50, MissedRecords: 22, MissedMessages: 1, FilledRecords: 10, FilledMessages: 1})},
			row(func(r *schema.ExporterStats) { r.Messages, r.Records = 2, 15 })},
		{"gone", nil, nil, nil},
	} {
		a.update(step.current, step.ended)
		if d := gocmp.Diff(step.want, a.rows(now, 10*time.Second, "c")); d != "" {
			t.Fatalf("%s (-want +got):\n%s", step.name, d)
		}
	}
	if len(a.marks) != 0 {
		t.Errorf("%d marks are kept for sources that are gone", len(a.marks))
	}
}

func TestAccountIsBounded(t *testing.T) {
	a := newAccount()
	good := ipfix.SourceStats{Source: ipfix.Source{Addr: netip.AddrPortFrom(loopback, 1)}, Counters: ipfix.Counters{Messages: 1, Records: 1}}
	a.update([]ipfix.SourceStats{good}, nil)
	forged := 0
	for range 3 {
		var list []ipfix.SourceStats
		for range maxTallies {
			addr := netip.AddrFrom4([4]byte{10, byte(forged >> 16), byte(forged >> 8), byte(forged)})
			forged++
			bad := ipfix.Counters{}
			bad.Errors[ipfix.ReasonVersion] = 1
			list = append(list, ipfix.SourceStats{Source: ipfix.Source{Addr: netip.AddrPortFrom(addr, 1)}, Counters: bad})
		}
		a.update(append(list, good), nil)
	}
	if n := len(a.tallies); n > maxTallies+1 {
		t.Errorf("%d tallies", n)
	}
	if a.tallies[tallyKey{exporter: loopback}] == nil {
		t.Error("the exporter with records was forgotten")
	}
	var bad uint64
	for _, row := range a.rows(time.Now(), time.Second, "c") {
		bad += row.Errors
	}
	if bad != uint64(forged) {
		t.Errorf("%d errors in all rows, want %d", bad, forged)
	}
}

// TestAccountOfMediator: records and losses of a mediator go to the exporters that
// the records name, and the sums stay as they are.
func TestAccountOfMediator(t *testing.T) {
	a := newAccount()
	one, two := netip.MustParseAddr("10.255.0.1"), netip.MustParseAddr("10.255.0.2")
	source := func(records, lost, first, second uint64) ipfix.SourceStats {
		s := sourceStats(5000, 3, ipfix.Counters{Messages: 7, Records: records, Flows: records, MissedRecords: lost, MissedMessages: lost / 10})
		s.Domains[0].PassedOn = []ipfix.PassedOn{{Exporter: one, Domain: 11, Flows: first}, {Exporter: two, Domain: 3, Flows: second}}
		return s
	}
	for _, step := range []struct {
		now  ipfix.SourceStats
		want map[netip.Addr][2]uint64 // flows and lost records
	}{
		{source(100, 0, 75, 20), map[netip.Addr][2]uint64{loopback: {5, 0}, one: {75, 0}, two: {20, 0}}},
		{source(100, 0, 75, 20), map[netip.Addr][2]uint64{loopback: {5, 0}, one: {75, 0}, two: {20, 0}}},
		{source(200, 100, 125, 70), map[netip.Addr][2]uint64{loopback: {5, 0}, one: {125, 50}, two: {70, 50}}},
		{source(210, 101, 132, 72), map[netip.Addr][2]uint64{loopback: {6, 1}, one: {132, 50}, two: {72, 50}}},
	} {
		a.update([]ipfix.SourceStats{step.now}, nil)
		got := make(map[netip.Addr][2]uint64)
		for _, e := range a.exporters() {
			got[e.Exporter] = [2]uint64{e.Flows, e.LostRecords}
			if (e.Exporter != loopback) != (e.Mediator == loopback) {
				t.Errorf("%s comes by %s", e.Exporter, e.Mediator)
			}
		}
		if d := gocmp.Diff(step.want, got, gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("exporters (-want +got):\n%s", d)
		}
		var records uint64
		for _, r := range a.rows(time.UnixMilli(1), time.Second, "c") {
			records += r.Records
		}
		if records > 200 {
			t.Errorf("%d records in rows", records)
		}
	}
}
