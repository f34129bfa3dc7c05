package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"cordon/categories"
	"cordon/collector/direction"
	"cordon/collector/ipfix"
	"cordon/collector/replay"
	"cordon/internal/recordtest"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func TestNodesAreReproducible(t *testing.T) {
	one, two := Nodes(1, start), Nodes(1, start)
	if d := cmp.Diff(one, two, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
	later := Nodes(1, start.Add(time.Hour))
	for i := range one {
		if len(one[i].Records) < 200 {
			t.Errorf("%s: only %d records", one[i].Name, len(one[i].Records))
		}
		for j, r := range later[i].Records {
			r.Start -= time.Hour.Microseconds()
			r.End -= time.Hour.Microseconds()
			if r != one[i].Records[j] {
				t.Fatalf("%s: record %d does not depend on the start by its times alone", one[i].Name, j)
			}
			if r.Start < schema.Micros(start) || r.End < r.Start || r.End > schema.Micros(start.Add(Duration)) {
				t.Errorf("%s: record %d from %v to %v", one[i].Name, j, schema.Time(r.Start), schema.Time(r.End))
			}
		}
	}
	if slices.Equal(Nodes(2, start)[0].Records, one[0].Records) {
		t.Error("another seed gives the same records")
	}
}

// What a collector makes of the lab: the right client for every record that has
// one, and the sessions that a policy is to permit.
func TestTheLabAsACollectorSeesIt(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rules, err := direction.New(direction.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	seen := map[string]int{}
	undecided := map[uint16]bool{}
	decoder := ipfix.New(ipfix.Config{})
	for _, node := range Nodes(1, start) {
		e, err := replay.Dial(ctx, replay.Config{To: conn.LocalAddr().String(), From: node.Addr, Domain: node.Domain, Biflow: node.Biflow})
		if err != nil {
			t.Fatal(err)
		}
		var got collect
		receive := func() {
			buf := make([]byte, 1<<16)
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Fatal(err)
			}
			if err := decoder.Message(ipfix.Source{Addr: from}, buf[:n], schema.Micros(start.Add(Duration)), &got); err != nil {
				t.Fatal(err)
			}
		}
		for i := range node.Records {
			sent := e.Stats().Messages
			if err := e.Export(ctx, &node.Records[i]); err != nil {
				t.Fatal(err)
			}
			for ; sent < e.Stats().Messages; sent++ {
				receive()
			}
		}
		if err := e.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		receive()
		e.Close()
		for _, r := range got {
			if schema.Addr(r.Exporter) != node.Addr {
				t.Fatalf("exporter %v, want %v", schema.Addr(r.Exporter), node.Addr)
			}
			rules.Infer(&r)
			proto, port, icmpType, _ := recordtest.Service(&r)
			c, s := r.Src, r.Dst
			switch r.Direction {
			case schema.Reverse:
				c, s = s, c
			case schema.DirectionUnknown:
				undecided[port] = true
				continue
			}
			seen[fmt.Sprint(host(c), " ", host(s), " ", categories.NewService(proto, port, icmpType))]++
		}
	}
	for port := range undecided {
		if port != 5353 && port != 137 {
			t.Errorf("the direction on port %d is undecided", port)
		}
	}
	for _, want := range []string{
		"client web01 tcp/80", "client web02 tcp/80", "client dns udp/53", "client dns udp/123", "client web01 icmp/8",
		"web01 app tcp/4567", "web02 app tcp/4567", "web01 dns udp/53", "web02 dns udp/53", "app dns udp/53",
		"web01 dns udp/123", "web02 dns udp/123", "app dns udp/123",
		"client web01 tcp/22", "client app tcp/22", "web01 app tcp/22", "web01 194.71.11.137 tcp/80", "web02 91.189.91.82 tcp/80", "client app tcp/3389",
	} {
		if seen[want] == 0 {
			t.Errorf("no session %s", want)
		}
	}
	for s := range seen {
		if _, to, ok := cutHost(s); ok && to == "client" {
			t.Errorf("a client is taken for a server: %s", s)
		}
	}
}

type collect []schema.Record

func (c *collect) Append(r *schema.Record) { *c = append(*c, *r) }

func host(a [16]byte) string {
	switch addr := schema.Addr(a); {
	case a == web01:
		return "web01"
	case a == web02:
		return "web02"
	case a == appserver1:
		return "app"
	case slices.Contains(resolvers, a):
		return "dns"
	case netip.MustParsePrefix("172.18.6.0/24").Contains(addr) && addr != netip.MustParseAddr("172.18.6.255"):
		return "client"
	default:
		return addr.String()
	}
}

func cutHost(s string) (client, server string, ok bool) {
	var service string
	n, _ := fmt.Sscan(s, &client, &server, &service)
	return client, server, n == 3
}

func TestGroups(t *testing.T) {
	f, err := categories.Parse("groups.yaml", []byte(Groups))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Categories) != 4 || len(f.Services) != 2 {
		t.Errorf("%d categories, %d services", len(f.Categories), len(f.Services))
	}
}
