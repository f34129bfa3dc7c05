package schema_test

import (
	"slices"
	"testing"

	"cordon/schema"
)

func stated(r *schema.Record) { r.Direction, r.Basis = schema.Forward, schema.BasisStated }
func egress(r *schema.Record) { r.FlowDirection = schema.Egress }
func ingress(r *schema.Record) {
	r.FlowDirection, r.InIf, r.OutIf = schema.Ingress, 1, 2
}
func exitOnly(r *schema.Record) { r.OutIf = 2 }

// Records that do not name their session, or tell of it twice: translated ones,
// later fragments, TFTP's data, answers on the service's own port, and what is
// metered on entry and on exit. The order and the batches change nothing.
func TestJoinedSessions(t *testing.T) {
	const query = `SELECT vrf, concat(client, '>', server, ' ', service, ' ', toString(direction_basis), ' flows=', flows, ' ', client_bytes, '/', server_bytes, if(complete > 0, ' complete', ''), if(half_open > 0, ' half-open', ''))
		FROM {db}.sessions WHERE port != 9 ORDER BY vrf, client, server, service`
	translated := func(src string, sport uint16, dst string, dport uint16) func(*schema.Record) {
		return func(r *schema.Record) {
			r.PostSrc, r.PostDst, r.PostSrcPort, r.PostDstPort = ip(src), ip(dst), sport, dport
		}
	}
	s := newStore(t)
	cases := []sessionCase{
		{"source NAT", []schema.Record{
			rec("10.0.0.5", 50001, "9.9.9.9", 53, 17, forward, translated("203.0.113.7", 61001, "9.9.9.9", 53)),
			rec("9.9.9.9", 53, "203.0.113.7", 61001, 17, reverse, translated("9.9.9.9", 53, "10.0.0.5", 50001)),
		}, []string{"10.0.0.5>9.9.9.9 udp/53 port-range flows=2 100/100 complete"}},
		{"destination NAT, IPv6", []schema.Record{
			rec("2001:db8::5", 50001, "2001:db8::7", 443, 6, forward, translated("2001:db8::5", 50001, "fd00::1", 8443)),
			rec("fd00::1", 8443, "2001:db8::5", 50001, 6, reverse, translated("2001:db8::7", 443, "2001:db8::5", 50001)),
		}, []string{"2001:db8::5>fd00::1 tcp/8443 port-range flows=2 100/100 complete"}},

		{"entry and exit", []schema.Record{
			rec("10.0.0.5", 50001, "10.0.0.9", 443, 6, forward, ingress), rec("10.0.0.5", 50001, "10.0.0.9", 443, 6, forward, egress),
			rec("10.0.0.9", 443, "10.0.0.5", 50001, 6, reverse, ingress), rec("10.0.0.9", 443, "10.0.0.5", 50001, 6, reverse, egress),
		}, []string{"10.0.0.5>10.0.0.9 tcp/443 port-range flows=2 100/100 complete"}},
		{"entry and exit by their interfaces", []schema.Record{
			rec("10.0.0.5", 50001, "10.0.0.9", 443, 6, forward, func(r *schema.Record) { r.InIf = 1 }), rec("10.0.0.5", 50001, "10.0.0.9", 443, 6, forward, exitOnly),
		}, []string{"10.0.0.5>10.0.0.9 tcp/443 port-range flows=1 100/0 complete"}},
		{"one direction on entry, the other on exit", []schema.Record{
			rec("10.0.0.5", 50001, "10.0.0.9", 443, 6, forward, ingress), rec("10.0.0.9", 443, "10.0.0.5", 50001, 6, reverse, egress),
		}, []string{"10.0.0.5>10.0.0.9 tcp/443 port-range flows=2 100/100 complete"}},
		{"two flows on entry are two", []schema.Record{
			rec("10.0.0.5", 50001, "10.0.0.9", 443, 6, forward, ingress), rec("10.0.0.5", 50002, "10.0.0.9", 443, 6, forward, ingress),
		}, []string{"10.0.0.5>10.0.0.9 tcp/443 port-range flows=2 200/0 complete"}},

		{"VXLAN both ways", append(twoWays("10.9.9.1"),
			rec("10.0.0.1", 53211, "10.0.0.2", 4789, 17, forward), rec("10.0.0.2", 61877, "10.0.0.1", 4789, 17, forward),
		), []string{"10.0.0.1>10.0.0.2 udp/4789 port-range flows=1 100/0 complete", "10.0.0.2>10.0.0.1 udp/4789 port-range flows=1 100/0 complete"}},
		{"BFD both ways, as biflows that nobody answers", []schema.Record{
			rec("10.0.0.1", 49152, "10.0.0.2", 3784, 17, biflow), rec("10.0.0.2", 49153, "10.0.0.1", 3784, 17, biflow),
		}, []string{"10.0.0.1>10.0.0.2 udp/3784 initiator flows=1 100/0 complete", "10.0.0.2>10.0.0.1 udp/3784 initiator flows=1 100/0 complete"}},
		{"one way only is not answered", append(twoWays("10.9.9.1"),
			rec("10.0.0.1", 53211, "10.0.0.2", 4789, 17, forward), rec("10.0.0.2", 61877, "10.0.0.3", 4789, 17, forward),
		), []string{"10.0.0.1>10.0.0.2 udp/4789 port-range flows=1 100/0 half-open", "10.0.0.2>10.0.0.3 udp/4789 port-range flows=1 100/0 half-open"}},
		{"two SYNs to one port answer nothing", []schema.Record{
			rec("10.0.0.1", 53211, "10.0.0.2", 7000, 6, forward, flags(2)), rec("10.0.0.2", 61877, "10.0.0.1", 7000, 6, forward, flags(2)),
		}, []string{"10.0.0.1>10.0.0.2 tcp/7000 port-range flows=1 100/0 half-open", "10.0.0.2>10.0.0.1 tcp/7000 port-range flows=1 100/0 half-open"}},

		{"TFTP answered from a new port", append(twoWays("10.9.9.1"),
			rec("10.0.0.5", 50123, "10.0.0.9", 69, 17, forward), rec("10.0.0.9", 40321, "10.0.0.5", 50123, 17), rec("10.0.0.5", 50123, "10.0.0.9", 40321, 17),
		), []string{"10.0.0.5>10.0.0.9 udp/69 port-range flows=3 200/100 complete"}},
		{"TFTP of a boot ROM, whose low port looks like a server's", append(twoWays("10.9.9.1"),
			rec("10.0.0.5", 2070, "10.0.0.9", 69, 17, forward), rec("10.0.0.9", 40321, "10.0.0.5", 2070, 17, forward), rec("10.0.0.5", 2070, "10.0.0.9", 40321, 17, reverse),
		), []string{"10.0.0.5>10.0.0.9 udp/69 port-range flows=3 200/100 complete"}},

		{"IKE between equals", []schema.Record{
			rec("10.0.0.1", 500, "10.0.0.2", 500, 17), rec("10.0.0.2", 500, "10.0.0.1", 500, 17),
		}, []string{"10.0.0.2>10.0.0.1 udp/500 degree flows=2 100/100 complete"}},

		{"later fragments of answers", []schema.Record{
			rec("10.0.0.5", 50001, "10.0.0.9", 53, 17, forward), rec("10.0.0.9", 53, "10.0.0.5", 50001, 17, reverse), rec("10.0.0.9", 0, "10.0.0.5", 0, 17),
		}, []string{"10.0.0.5>10.0.0.9 udp/53 port-range flows=3 100/200 complete"}},
		{"later fragments of requests, IPv6, stated", []schema.Record{
			rec("2001:db8::5", 50001, "2001:db8::9", 53, 17, forward), rec("2001:db8::5", 0, "2001:db8::9", 0, 17, stated),
		}, []string{"2001:db8::5>2001:db8::9 udp/53 port-range flows=2 200/0 complete"}},
		{"fragments are no answer", append(twoWays("10.9.9.1"),
			rec("10.0.0.5", 50001, "10.0.0.9", 53, 17, forward), rec("10.0.0.9", 0, "10.0.0.5", 0, 17),
		), []string{"10.0.0.5>10.0.0.9 udp/53 port-range flows=2 100/100 half-open"}},
		{"fragments of a session that nobody saw", []schema.Record{
			rec("10.0.0.9", 0, "10.0.0.5", 0, 17), rec("10.0.0.9", 0, "10.0.0.6", 0, 17),
		}, []string{"10.0.0.9>10.0.0.5 udp/0 none flows=1 100/0 complete", "10.0.0.9>10.0.0.6 udp/0 none flows=1 100/0 complete"}},
	}
	for i, c := range cases {
		apart(t, i, c.records)
		slices.Reverse(c.records)
	}
	s.insertOneByOne(cases)
	checkCases(t, s, cases, "", query)
}
