package ipfix

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	calmh "github.com/calmh/ipfix"

	"cordon/internal/iana"
	"cordon/schema"
)

// received is when the tests receive what exporters sent: after all of it.
const received = 1_800_000_000 * second

// reasons counts by reason, for comparison.
func reasons(c *Counters) map[Reason]uint64 {
	m := make(map[Reason]uint64)
	for r, n := range c.Errors {
		if n > 0 {
			m[Reason(r)] = n
		}
	}
	return m
}

// TestExporters decodes what real exporters sent and compares the counts with
// those on which independent decoders agree. What is not stored has a reason.
func TestExporters(t *testing.T) {
	// What of a stream is worth a reason. The first NetScaler case names
	// each file once, but its counts are of the whole stream, which the
	// second one has: template 280 never comes, and a datagram comes twice.
	noted := map[string]map[Reason]uint64{
		// Read a capture that is older than itself, so uptimes are negative.
		"softflowd-v10": {ReasonImplausibleTime: 297},
		"fixbuf-tcp":    {ReasonWithdrawal: 1}, // sent as UDP in the capture
		"fixbuf-udp":    {ReasonWithdrawal: 1},
		"issue_14370":   {ReasonMessageLength: 1, ReasonSetPadding: 2},
		"IPFIX Netscaler with variable length fields":                    {ReasonNoTemplate: 1},
		"IPFIX Netscaler with variable length fields again":              {ReasonNoTemplate: 1},
		"IPFIX Netscaler with variable length fields, missing templates": {ReasonNoTemplate: 4},
	}
	// Snippets of longer streams: what is missing between them was never
	// recorded.
	snippets := []string{
		"IPFIX Nokia BRAS", "IPFIX Procera", "IPFIX Barracuda firewall", "IPFIX Mikrotik RouterOS 6.39.2",
		"IPFIX Netscaler with variable length fields", "IPFIX VMware virtual distributed switch",
	}
	cases := streamCases(t)
	for i, c := range cases {
		if slices.ContainsFunc(cases[:i], func(o streamCase) bool { return o.Name == c.Name }) {
			c.Name += " again"
		}
		t.Run(c.Name, func(t *testing.T) {
			var got records
			d := New(Config{})
			msgs := c.messages(t)
			for _, m := range msgs {
				if err := d.Message(testSource, m, received, &got); err != nil {
					t.Log(err)
				}
			}
			d.Expire(received + 3600*second)
			st := d.Stats()
			want := c.DataRecords
			if c.Name == "issue_14370" {
				want = 0 // its template has times of no bytes, and its data has them
			}
			if int(st.Records) != want {
				t.Errorf("%d data records, want %d", st.Records, want)
			}
			if int(st.OptionsRecords) != c.OptionsRecords {
				t.Errorf("%d options records, want %d", st.OptionsRecords, c.OptionsRecords)
			}
			if int(st.Messages) != len(msgs) {
				t.Errorf("%d messages counted of %d", st.Messages, len(msgs))
			}
			if st.Records != st.Flows+st.Errors[ReasonNotFlow] || int(st.Flows) != len(got) {
				t.Errorf("%d records, but %d flows, %d in the sink and %d that are no flows", st.Records, st.Flows, len(got), st.Errors[ReasonNotFlow])
			}
			if got, want := reasons(&st.Counters), noted[c.Name]; fmt.Sprint(got) != fmt.Sprint(want) && len(got)+len(want) > 0 {
				t.Errorf("reasons %v, want %v", got, want)
			}
			if _, lost := st.Lost(); lost > 0 && !slices.Contains(snippets, c.Name) {
				t.Errorf("%d records reported lost of a stream that is whole", lost)
			}
			for _, e := range c.Expected {
				checkExpected(t, e, got)
			}
			if st.StateBytes == 0 || st.WaitingBytes != 0 {
				t.Errorf("%d bytes of state, %d waiting", st.StateBytes, st.WaitingBytes)
			}
		})
	}
}

// expectedFlow is a record as another decoder saw it.
type expectedFlow struct {
	Src4     string  `json:"sourceIPv4Address"`
	Dst4     string  `json:"destinationIPv4Address"`
	Src6     string  `json:"sourceIPv6Address"`
	Dst6     string  `json:"destinationIPv6Address"`
	SrcPort  uint16  `json:"sourceTransportPort"`
	DstPort  uint16  `json:"destinationTransportPort"`
	Proto    uint8   `json:"protocolIdentifier"`
	Bytes    *uint64 `json:"octetDeltaCount"`
	Packets  *uint64 `json:"packetDeltaCount"`
	Flags    uint16  `json:"tcpControlBits"`
	InIf     uint32  `json:"ingressInterface"`
	OutIf    uint32  `json:"egressInterface"`
	EndCause uint8   `json:"flowEndReason"`
	Firewall uint8   `json:"firewallEvent"`
	L2       uint64  `json:"layer2SegmentId"`

	StartSeconds, StartMillis, StartMicros time.Time
	EndSeconds, EndMillis, EndMicros       time.Time
}

// checkExpected looks for the record that another decoder made.
func checkExpected(t *testing.T, raw json.RawMessage, got records) {
	t.Helper()
	var e struct {
		Netflow *expectedFlow `json:"netflow"`
	}
	var times struct {
		Netflow map[string]any `json:"netflow"`
	}
	if json.Unmarshal(raw, &e) != nil || json.Unmarshal(raw, &times) != nil || e.Netflow == nil || e.Netflow.Src4+e.Netflow.Src6 == "" {
		return // Options and templates are no flow records.
	}
	want := e.Netflow
	same := func(r schema.Record) bool {
		src, dst := schema.Addr(r.Src).String(), schema.Addr(r.Dst).String()
		ports := r.SrcPort == want.SrcPort && r.DstPort == want.DstPort
		if r.Proto == iana.ICMP || r.Proto == iana.ICMPv6 {
			ports = true
		}
		return (src == want.Src4 || src == want.Src6) && (dst == want.Dst4 || dst == want.Dst6) && ports && r.Proto == want.Proto &&
			(want.Bytes == nil || r.Bytes == *want.Bytes) && (want.Packets == nil || r.Packets == *want.Packets) &&
			r.TCPFlags == want.Flags && r.InIf == want.InIf && r.OutIf == want.OutIf &&
			r.EndReason == want.EndCause && r.FirewallEvent == want.Firewall && r.L2Segment == want.L2 &&
			sameTime(times.Netflow, "flowStart", r.Start) && sameTime(times.Netflow, "flowEnd", r.End)
	}
	if !slices.ContainsFunc(got, same) {
		t.Errorf("not among the records: %s\ngot %+v", raw, got)
	}
}

// sameTime compares to the precision that the other decoder kept.
func sameTime(want map[string]any, prefix string, got int64) bool {
	for _, unit := range []string{"Seconds", "Milliseconds", "Microseconds"} {
		s, ok := want[prefix+unit].(string)
		if !ok {
			continue
		}
		w, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return false
		}
		g := schema.Time(got)
		if w.Nanosecond() == 0 {
			g = g.Truncate(time.Second)
		}
		return g.Truncate(time.Millisecond).Equal(w)
	}
	return true
}

// TestDifferential compares each record of streams without oddities with what
// github.com/calmh/ipfix finds in the same message.
func TestDifferential(t *testing.T) {
	for _, c := range streamCases(t) {
		switch {
		case c.WithoutTemplate > 0: // calmh drops what we keep for later
			continue
		case c.Name == "issue_14370": // calmh takes the second set for lost
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			d, s := New(Config{}), calmh.NewSession()
			total := 0
			for n, m := range c.messages(t) {
				var got records
				d.Message(testSource, m, received, &got)
				want, err := s.ParseBuffer(m)
				if err != nil {
					t.Fatalf("message %d: calmh: %v", n, err)
				}
				if len(got) != len(want.DataRecords) {
					t.Fatalf("message %d: %d records, calmh finds %d", n, len(got), len(want.DataRecords))
				}
				specifiers := make(map[uint16][]calmh.TemplateFieldSpecifier)
				for _, tr := range s.ExportTemplateRecords() {
					specifiers[tr.TemplateID] = tr.FieldSpecifiers
				}
				for i, r := range want.DataRecords {
					if diff := compare(&got[i], specifiers[r.TemplateID], r.Fields); diff != "" {
						t.Errorf("message %d, record %d: %s", n, i, diff)
					}
				}
				total += len(got)
			}
			if total != c.DataRecords {
				t.Errorf("%d records", total)
			}
		})
	}
}

// compare checks a record against raw fields, the slow way.
func compare(r *schema.Record, specifiers []calmh.TemplateFieldSpecifier, values [][]byte) string {
	first := func(ids ...elementID) []byte {
		for _, id := range ids {
			for i, s := range specifiers {
				if s.EnterpriseID == id.pen && s.FieldID == id.id && len(values[i]) > 0 {
					return values[i]
				}
			}
		}
		return nil
	}
	number := func(ids ...elementID) uint64 {
		var v uint64
		for _, b := range first(ids...) {
			v = v<<8 | uint64(b)
		}
		return v
	}
	addr := func(four, six uint16) [16]byte {
		if b := first(elementID{0, six}); b != nil && [16]byte(b) != ([16]byte{}) {
			return [16]byte(b)
		}
		var a [16]byte
		if b := first(elementID{0, four}); b != nil {
			a[10], a[11] = 0xff, 0xff
			copy(a[12:], b)
		}
		return a
	}
	ie := func(id uint16) elementID { return elementID{0, id} }
	rev := func(id uint16) elementID { return elementID{penReverse, id} }
	for _, f := range []struct {
		what      string
		got, want uint64
	}{
		{"protocol", uint64(r.Proto), number(ie(4))},
		{"octets", r.Bytes, number(ie(1), ie(85), ie(352), ie(353), ie(23))},
		{"packets", r.Packets, number(ie(2), ie(86), ie(24))},
		{"reverse octets", r.RevBytes, number(rev(1), rev(85))},
		{"reverse packets", r.RevPackets, number(rev(2), rev(86))},
		{"TCP flags", uint64(r.TCPFlags), number(ie(6))},
		{"reverse TCP flags", uint64(r.RevTCPFlags), number(rev(6))},
		{"ingress interface", uint64(r.InIf), number(ie(10))},
		{"egress interface", uint64(r.OutIf), number(ie(14))},
		{"end reason", uint64(r.EndReason), number(ie(136))},
		{"source port", uint64(r.SrcPort), portOf(r.Proto, number(ie(7)))},
		{"destination port", uint64(r.DstPort), portOf(r.Proto, number(ie(11)))},
	} {
		if f.got != f.want {
			return fmt.Sprintf("%s %d, want %d", f.what, f.got, f.want)
		}
	}
	if src, dst := addr(8, 27), addr(12, 28); r.Src != src || r.Dst != dst {
		return fmt.Sprintf("addresses %x %x, want %x %x", r.Src, r.Dst, src, dst)
	}
	if b := first(ie(152)); b != nil && r.Start != int64(binary.BigEndian.Uint64(b))*1000 {
		return fmt.Sprintf("start %d, want %x ms", r.Start, b)
	}
	return ""
}

func portOf(proto uint8, port uint64) uint64 {
	switch proto {
	case iana.TCP, iana.UDP, iana.SCTP, iana.DCCP, iana.UDPLite, 0:
		return port
	}
	return 0
}

// TestSoftware names the exporters of the shared streams.
func TestSoftware(t *testing.T) {
	want := map[string]string{
		"softflowd-v10": "softflowd", "softflowd-v10-biflow": "softflowd", "IPFIX": "softflowd",
		"ovs-ipfix": "Open vSwitch", "pmacctd-nfprobe10": "pmacct nfprobe", "fixbuf-udp": "YAF or libfixbuf",
		"ipfixprobe-all": "ipfixprobe", "goipfix-udp": "go-ipfix", "IPFIX VMware virtual distributed switch": "VMware",
	}
	for _, c := range streamCases(t) {
		if want[c.Name] == "" {
			continue
		}
		d := New(Config{})
		for _, m := range c.messages(t) {
			d.Message(testSource, m, received, new(discard))
		}
		var got []string
		for _, dom := range d.Stats().Sources[0].Domains {
			got = append(got, dom.Software)
		}
		if !slices.Contains(got, want[c.Name]) {
			t.Errorf("%s: %q, want %q", c.Name, got, want[c.Name])
		}
	}
}

// TestRealTimes checks the times of flows. Several exporters read a capture
// joined from two, of which the minutes are known, in several units.
func TestRealTimes(t *testing.T) {
	minutes := func(year, month, day, hour, minute, n int) [2]int64 {
		start := time.Date(year, time.Month(month), day, hour, minute, 0, 0, time.UTC)
		return [2]int64{start.UnixMicro(), start.Add(time.Duration(n) * time.Minute).UnixMicro()}
	}
	capture := [][2]int64{minutes(2016, 8, 2, 2, 19, 8), minutes(2022, 6, 4, 23, 24, 5)}
	within := map[string][][2]int64{
		"softflowd-v10-6": capture, "softflowd-v10-biflow": capture, "softflowd-v10-ether-micro": capture,
		"softflowd-v10-nano": capture, "softflowd-v10-tcp": capture, "pmacctd-nfprobe10": capture,
		"ipfixprobe-basic": capture, "ipfixprobe-tcp": capture,
		// Live, at the time of export.
		"ovs-ipfix":     {minutes(2026, 11, 20, 11, 34, 2)},
		"softflowd-v10": {minutes(2026, 11, 20, 11, 10, 20)},
	}
	type flow struct {
		src, dst         [16]byte
		srcPort, dstPort uint16
		proto            uint8
		startMillis      int64
	}
	starts := make(map[string]map[flow]bool)
	for _, c := range streamCases(t) {
		d := New(Config{})
		var got records
		for _, m := range c.messages(t) {
			d.Message(testSource, m, received, &got)
		}
		limits, ok := within[c.Name]
		if !ok {
			limits = [][2]int64{{1, received}}
		}
		starts[c.Name] = make(map[flow]bool)
		for i, r := range got {
			starts[c.Name][flow{r.Src, r.Dst, r.SrcPort, r.DstPort, r.Proto, r.Start / 1000}] = true
			if !slices.ContainsFunc(limits, func(l [2]int64) bool { return l[0] <= r.Start && r.Start <= r.End && r.End <= l[1] }) {
				t.Errorf("%s: record %d from %s to %s", c.Name, i, schema.Time(r.Start), schema.Time(r.End))
				break
			}
		}
	}
	// Milliseconds of one exporter are those of another one, and of one
	// that gave microseconds.
	for _, other := range []string{"softflowd-v10-ether-micro", "pmacctd-nfprobe10"} {
		same := 0
		for f := range starts[other] {
			if starts["softflowd-v10-6"][f] {
				same++
			}
		}
		if n := len(starts[other]); same*100 < n*95 {
			t.Errorf("%s: %d of %d flows start when softflowd says in milliseconds", other, same, n)
		}
	}
}
