package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOptionsData: what an exporter says of itself, its sampling, its
// interfaces and its VRFs in options data reaches its records, the sessions
// they make, its hours, and `cordon status`.
func TestOptionsData(t *testing.T) {
	dir := t.TempDir()
	_, a := up(t, dir, "CORDON_COLLECTOR_STATS_INTERVAL=200ms")
	w := exportFrom(t, "127.0.0.1", a.UDP[0], 7)
	w.send(5,
		wireTemplate(300, 1, [][2]uint16{{149, 4}, {300, 8}, {305, 4}, {306, 4}}...),
		wireTemplate(301, 1, [][2]uint16{{10, 4}, {82, 16}}...),
		wireTemplate(302, 1, [][2]uint16{{234, 4}, {236, 8}}...),
		wireSet(300, u32(7), fixed("leaf1", 8), u32(1), u32(99)),
		wireSet(301, u32(3), fixed("Ethernet3", 16), u32(4), fixed("Ethernet4/1", 16)),
		wireSet(302, u32(9), fixed("red", 8), u32(10), fixed("blue", 8)),
	)
	w.send(3, flowTemplate, wireSet(256,
		wireFlow("10.0.0.1", "10.0.0.2", 40000, 53, 9, 0),
		wireFlow("10.0.0.1", "10.0.0.2", 40000, 53, 11, 0), // a VRF without a name
		wireFlow("10.0.0.1", "10.0.0.2", 40000, 53, 0, 0),
	))
	const window = "sessions_window(since = '2020-01-01', until = '2100-01-01')"
	for query, want := range map[string]string{
		"SELECT vrf, client, server, service, sampling, scaled_packets FROM " + window + " ORDER BY vrf": "default 10.0.0.1 10.0.0.2 udp/53 100 100, red 10.0.0.1 10.0.0.2 udp/53 100 100, vrf-11 10.0.0.1 10.0.0.2 udp/53 100 100",
		`SELECT i.name, o.name FROM flows AS f
			LEFT JOIN exporter_names AS i ON i.exporter_ip = f.exporter AND i.domain = f.domain AND i.kind = 'interface' AND i.id = f.in_if
			LEFT JOIN exporter_names AS o ON o.exporter_ip = f.exporter AND o.domain = f.domain AND o.kind = 'interface' AND o.id = f.out_if
			WHERE f.vrf = 'red'`: "Ethernet3 Ethernet4/1",
		"SELECT exporter, domain, kind, id, name FROM exporter_names ORDER BY kind, id": "127.0.0.1 7 interface 3 Ethernet3, 127.0.0.1 7 interface 4 Ethernet4/1, 127.0.0.1 7 vrf 9 red, 127.0.0.1 7 vrf 10 blue",
		"SELECT exporter, name, sampling, options_records, records FROM exporters":      "127.0.0.1 leaf1 100 5 3",
	} {
		waitFor(t, a, query, want)
	}
	status := cordon(t, nil, "status", "--data-dir", dir)
	for _, line := range strings.Split(status, "\n") {
		if strings.HasPrefix(line, "127.0.0.1 ") && strings.Contains(line, "1:100") && strings.HasSuffix(line, "leaf1") {
			return
		}
	}
	t.Errorf("status does not say how leaf1 samples:\n%s", status)
}

// waitFor waits until a query answers with these rows, which commas part.
func waitFor(t *testing.T, a addresses, query, want string) {
	t.Helper()
	eventually(t, patience, "the answer to "+query, func() error {
		got, err := a.query(query + " FORMAT TabSeparatedRaw")
		if err != nil {
			return err
		}
		if got = strings.NewReplacer("\t", " ", "\n", ", ").Replace(got); got != want {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	})
}

// TestLoss: sequence gaps, data without a template, restarts and late records
// are in the exporter's hour, and the proposal says how much, from whom, and
// what rests on it. A second exporter without any is not named.
func TestLoss(t *testing.T) {
	dir := t.TempDir()
	_, a := up(t, dir, "CORDON_COLLECTOR_STATS_INTERVAL=200ms", "CORDON_COLLECTOR_DECODER_WAIT_FOR=100ms")
	w := exportFrom(t, "127.0.0.1", a.UDP[0], 7)
	flow := func(server string, ago time.Duration) []byte {
		return wireSet(256, wireFlow("10.0.0.1", server, 40000, 53, 0, ago))
	}
	w.send(1, flowTemplate, flow("10.0.0.2", 0))
	w.send(1, flow("10.0.0.2", time.Second))
	w.sequence += 5 // never sent
	w.send(1, flow("10.0.0.2", 2*time.Second))
	w.send(1, flow("10.0.0.2", 3*time.Second))
	w.sequence = 0 // the exporter has restarted
	w.send(1, flowTemplate, flow("10.0.0.2", 3*time.Hour))
	w.send(1, flow("10.0.0.2", 4*time.Second))
	w.send(1, wireSet(999, u32(1)))
	good := exportFrom(t, "127.0.0.2", a.UDP[0], 7)
	good.send(1, flowTemplate, wireSet(256, wireFlow("10.0.0.9", "10.0.0.3", 40000, 514, 0, 0)))

	waitFor(t, a, "SELECT exporter, sum(records), sum(lost_records), sum(restarts), sum(no_template), sum(late_records) FROM exporters GROUP BY exporter ORDER BY exporter",
		"127.0.0.1 6 5 1 1 1, 127.0.0.2 1 0 0 0 0")
	waitFor(t, a, "SELECT sum(flows) FROM sessions", "7")
	var p struct {
		Loss  []map[string]any
		Rules []struct {
			Destinations []string
			Evidence     struct{ LossyExporters []string }
		}
	}
	if err := json.Unmarshal([]byte(cordon(t, nil, "generate-rules", "--data-dir", dir, "--format", "json")), &p); err != nil {
		t.Fatal(err)
	}
	for i := range p.Loss {
		delete(p.Loss[i], "hours") // two, if the hour changed meanwhile
	}
	if d := cmp.Diff([]map[string]any{{"exporter": "127.0.0.1", "records": 6., "lostRecords": 5., "noTemplate": 1., "restarts": 1., "lateRecords": 1.}}, p.Loss); d != "" {
		t.Errorf("loss (-want +got):\n%s", d)
	}
	got := map[string][]string{}
	for _, r := range p.Rules {
		got[r.Destinations[0]] = r.Evidence.LossyExporters
	}
	if d := cmp.Diff(map[string][]string{"ip:10.0.0.2/32": {"127.0.0.1"}, "ip:10.0.0.3/32": nil}, got); d != "" {
		t.Errorf("rules that rest on a lossy exporter (-want +got):\n%s", d)
	}
	if table := cordon(t, nil, "generate-rules", "--data-dir", dir, "--format", "table"); !strings.Contains(table, "127.0.0.1, in") || !strings.Contains(table, "5 of 11 records lost") {
		t.Errorf("the table does not tell of the loss:\n%s", table)
	}
}

// TestOddRecords: whatever a record says, it is stored, means the same every
// time, and stops none of the others.
func TestOddRecords(t *testing.T) {
	dir := t.TempDir()
	_, a := up(t, dir, "CORDON_COLLECTOR_STATS_INTERVAL=200ms")
	w := exportFrom(t, "127.0.0.1", a.UDP[0], 7)
	odd := func(src, dst string, change func(r []byte)) []byte {
		r := wireFlow(src, dst, 40000, 53, 0, time.Minute)
		change(r)
		return r
	}
	proto := func(p byte) func([]byte) { return func(r []byte) { r[12] = p } }
	const octets, packets, start, end = 13, 21, 29, 37
	fill := func(at int, b byte) func([]byte) {
		return func(r []byte) {
			for i := range 8 {
				r[at+i] = b
			}
		}
	}
	sets := [][]byte{flowTemplate, wireSet(256,
		odd("10.0.0.1", "10.0.0.2", func([]byte) {}),
		odd("10.0.0.1", "10.0.0.3", func(r []byte) { // start after end
			var s [8]byte
			copy(s[:], r[start:end])
			copy(r[start:], r[end:end+8])
			copy(r[end:], s[:])
		}),
		odd("10.0.0.1", "10.0.0.4", func(r []byte) { fill(start, 0)(r); fill(end, 0)(r) }),               // 1970
		odd("10.0.0.1", "10.0.0.5", func(r []byte) { fill(start, 0xff)(r); fill(end, 0xff)(r) }),         // the end of time
		odd("10.0.0.1", "10.0.0.6", fill(octets, 0xff)), odd("10.0.0.1", "10.0.0.6", fill(octets, 0xff)), // counters that wrap
		odd("10.0.0.1", "10.0.0.7", fill(packets, 0)),
		odd("0.0.0.0", "10.0.0.8", func([]byte) {}), odd("0.0.0.0", "0.0.0.0", func([]byte) {}),
		odd("10.0.0.1", "10.0.0.9", proto(47)), // ports beside a protocol without
		odd("10.0.0.1", "10.0.0.10", proto(253)), odd("10.0.0.1", "10.0.0.11", proto(255)), odd("10.0.0.1", "10.0.0.12", proto(0)),
	)}
	w.send(13, sets...)
	const recent = "first_seen <= last_seen AND first_seen BETWEEN now() - INTERVAL 1 HOUR AND now() + INTERVAL 1 MINUTE"
	waitFor(t, a, "SELECT client, server, service, flows, if("+recent+", 'now', toString(first_seen)) FROM sessions ORDER BY toIPv6(client), toIPv6(server)",
		"0.0.0.0 0.0.0.0 udp/53 1 now, 0.0.0.0 10.0.0.8 udp/53 1 now, "+
			"10.0.0.1 10.0.0.2 udp/53 1 now, 10.0.0.1 10.0.0.3 udp/53 1 now, 10.0.0.1 10.0.0.4 udp/53 1 now, 10.0.0.1 10.0.0.5 udp/53 1 now, "+
			"10.0.0.1 10.0.0.6 udp/53 2 now, 10.0.0.1 10.0.0.7 udp/53 1 now, "+
			"10.0.0.1 10.0.0.9 gre 1 now, 10.0.0.1 10.0.0.10 253 1 now, 10.0.0.1 10.0.0.11 255 1 now, 10.0.0.1 10.0.0.12 hopopt 1 now")
	waitFor(t, a, "SELECT sum(records), sum(lost_records) FROM exporters", "13 0")
	var p struct {
		Unproposed []struct {
			Reason   string
			Sessions int
		}
		Summary struct{ Sessions, Included int }
	}
	if err := json.Unmarshal([]byte(cordon(t, nil, "generate-rules", "--data-dir", dir, "--format", "json")), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Unproposed) != 1 || p.Unproposed[0].Reason != "local" || p.Unproposed[0].Sessions != 2 || p.Summary.Sessions != 12 || p.Summary.Included != 10 {
		t.Errorf("%+v", p)
	}
}

// TestOneWayExporter: where an exporter shows both directions, a request without
// an answer is half-open; where it never does, nobody can tell, so the session
// counts as complete, and `cordon status` says so.
func TestOneWayExporter(t *testing.T) {
	dir := t.TempDir()
	_, a := up(t, dir, "CORDON_COLLECTOR_STATS_INTERVAL=200ms")
	one, both := exportFrom(t, "127.0.0.1", a.UDP[0], 7), exportFrom(t, "127.0.0.2", a.UDP[0], 7)
	one.send(2, flowTemplate, wireSet(256, wireFlow("10.0.0.1", "10.0.0.2", 40000, 53, 0, 0), wireFlow("10.0.0.1", "10.0.0.3", 40001, 514, 0, 0)))
	both.send(3, flowTemplate, wireSet(256,
		wireFlow("10.0.1.1", "10.0.1.2", 40000, 53, 0, 0), wireFlow("10.0.1.2", "10.0.1.1", 53, 40000, 0, 0), wireFlow("10.0.1.1", "10.0.1.3", 40001, 514, 0, 0)))
	waitFor(t, a, "SELECT client, server, service, complete, half_open, exporters[1] FROM sessions ORDER BY client, server",
		"10.0.0.1 10.0.0.2 udp/53 1 0 127.0.0.1, 10.0.0.1 10.0.0.3 udp/514 1 0 127.0.0.1, "+
			"10.0.1.1 10.0.1.2 udp/53 2 0 127.0.0.2, 10.0.1.1 10.0.1.3 udp/514 0 1 127.0.0.2")
	status := cordon(t, nil, "status", "--data-dir", dir)
	if !strings.Contains(status, "exporter 127.0.0.1 shows one direction only") || strings.Contains(status, "exporter 127.0.0.2 shows") {
		t.Errorf("status does not tell the exporter of one direction:\n%s", status)
	}
	proposal := cordon(t, nil, "generate-rules", "--data-dir", dir, "--format", "json")
	if strings.Count(proposal, `"reason": "half-open"`) != 1 || !strings.Contains(proposal, `"destination": "10.0.1.3"`) || !strings.Contains(proposal, "ip:10.0.0.3/32") {
		t.Errorf("the proposal should leave out 10.0.1.3 alone:\n%s", proposal)
	}
}
