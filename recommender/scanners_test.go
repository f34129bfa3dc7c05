package recommender

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"cordon/recommender/policy"
	"cordon/schema"
)

// TestScanners: breadth alone makes none.
func TestScanners(t *testing.T) {
	server := func(i int) string { return fmt.Sprintf("10.1.0.%d", i) }
	var clock []flow // sessions in every hour of a day, of someone else
	for h := range 24 {
		clock = append(clock, flow{client: "10.9.9.9", server: "10.9.9.8", proto: 6, port: 22, at: time.Duration(h) * time.Hour, completeness: schema.Unknowable})
	}
	// each gives flows to 12 servers, n ports each.
	each := func(ports int, f flow) (out []flow) {
		for i := range 12 {
			for p := range ports {
				f.client, f.server, f.proto, f.port = "10.0.0.1", server(i), 6, uint16(9100+p)
				out = append(out, f)
			}
		}
		return out
	}
	twice := func(flows []flow) []flow {
		for _, f := range flows {
			f.at += 5 * time.Hour
			flows = append(flows, f)
		}
		return flows
	}
	unknown := flow{completeness: schema.Unknowable}
	cases := []struct {
		name  string
		flows []flow
		want  bool
	}{
		{"monitoring that is answered", each(1, flow{reply: 1, completeness: schema.BothWays}), false},
		{"a vulnerability scan that is answered", each(8, flow{reply: 1, completeness: schema.BothWays}), false},
		{"a sweep without an answer", each(1, flow{completeness: schema.BothWays, packets: 2}), true},
		{"a sweep that is dropped", each(1, flow{completeness: schema.Unknowable, action: schema.Dropped}), true},
		{"monitoring that comes again, answers unknown", twice(each(4, unknown)), false},
		{"once on one port, answers unknown", each(1, flow{completeness: schema.Unknowable, packets: 3}), false},
		{"knocking once at one port, answers unknown", each(1, unknown), true},
		{"knocking at one port over and over, answers unknown", twice(each(1, unknown)), false},
		{"once on many ports, answers unknown", each(4, unknown), true},
		{"mostly answered", append(each(1, flow{completeness: schema.BothWays}), each(3, flow{reply: 1, completeness: schema.BothWays})...), false},
	}
	var flows [][]flow
	for _, c := range cases {
		flows = append(flows, slices.Concat(c.flows, clock))
	}
	for _, targets := range []uint64{12, 0, 1000} {
		for i, p := range proposalsOf(t, Settings{Settings: policy.Settings{ScannerTargets: targets, HalfOpen: policy.HalfOpenAllow}}, nil, flows...) {
			c, found := cases[i], false
			for _, u := range p.Unproposed {
				if u.Reason == policy.Scanner {
					found = true
					if u.Examples[0].Source != "10.0.0.1" || u.Examples[0].Note == "" {
						t.Errorf("%s: %+v", c.name, u)
					}
				} else if u.Reason != policy.Denied {
					t.Errorf("%s: %d sessions are %s", c.name, u.Sessions, u.Reason)
				}
			}
			// What was dropped has that for its reason already.
			if want := c.want && targets == 12 && c.flows[0].action != schema.Dropped; found != want {
				t.Errorf("%s, %d targets: scanner %v, want %v", c.name, targets, found, want)
			}
		}
	}
	// One exporter shows what the client sends, another what comes back: a RST.
	t.Run("refusals alone", func(t *testing.T) {
		conn := store(t)
		var records []schema.Record
		for i := range 12 {
			request := flow{client: "10.0.0.1", server: server(i), proto: 6, port: 445}.record()
			request.Exporter = [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}
			answer := request
			answer.Exporter[15]++
			answer.Src, answer.Dst, answer.SrcPort, answer.DstPort = request.Dst, request.Src, 445, 40000
			answer.TCPFlags, answer.Direction = 0x14, schema.Reverse
			records = append(records, request, answer)
		}
		i := -1
		insert(t, conn, func() (*schema.Record, error) {
			if i++; i == len(records) {
				return nil, io.EOF
			}
			return &records[i], nil
		})
		for targets, want := range map[uint64]policy.Reason{12: policy.Scanner, 13: ""} {
			got, err := Generate(t.Context(), conn, Settings{Settings: policy.Settings{ScannerTargets: targets, HalfOpen: policy.HalfOpenAllow}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			verifyProposal(t, t, conn, &got[0], Settings{}, nil)
			if u := got[0].Unproposed; (want == "") != (len(u) == 0) || want != "" && (u[0].Reason != want || u[0].Sessions != 12) {
				t.Errorf("%d targets: %+v", targets, u)
			}
		}
	})
	t.Run("a short window", func(t *testing.T) {
		conn := store(t)
		insertFlows(t, conn, each(4, unknown))
		got, err := Generate(t.Context(), conn, Settings{Settings: policy.Settings{ScannerTargets: 12}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got[0].Unproposed) != 0 {
			t.Errorf("%+v", got[0].Unproposed)
		}
		// Hours of another VRF say nothing about this one.
		for i := range clock {
			clock[i].vrf = "red"
		}
		insertFlows(t, conn, clock)
		both, err := Generate(t.Context(), conn, Settings{Settings: policy.Settings{ScannerTargets: 12}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(both) != 2 || both[0].ID != got[0].ID {
			t.Errorf("another VRF changes the proposal: %+v", both[0].Unproposed)
		}
	})
}
