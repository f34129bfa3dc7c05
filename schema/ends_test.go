package schema_test

import (
	"fmt"
	"net/netip"
	"testing"

	"cordon/schema"
)

// Who is at the ends of a translated record: the same two hosts and ports for
// both directions, in each kind of translation.
func TestEndsOfTranslatedRecords(t *testing.T) {
	type end struct{ src, dst string }
	for _, c := range []struct {
		name                string
		out, outPost        end // Both are the client's records; outPost is the translated one.
		back, backPost      end
		wantClient, wantEnd string
	}{
		{"none", end{"10.0.0.5:50001", "9.9.9.9:53"}, end{}, end{"9.9.9.9:53", "10.0.0.5:50001"}, end{}, "10.0.0.5:50001", "9.9.9.9:53"},
		{"said to be none", end{"10.0.0.5:50001", "9.9.9.9:53"}, end{"10.0.0.5:50001", "9.9.9.9:53"}, end{"9.9.9.9:53", "10.0.0.5:50001"}, end{"9.9.9.9:53", "10.0.0.5:50001"},
			"10.0.0.5:50001", "9.9.9.9:53"},
		{"source", end{"10.0.0.5:50001", "9.9.9.9:53"}, end{"203.0.113.7:61001", "9.9.9.9:53"}, end{"9.9.9.9:53", "203.0.113.7:61001"}, end{"9.9.9.9:53", "10.0.0.5:50001"},
			"10.0.0.5:50001", "9.9.9.9:53"},
		{"source, only what changed is said", end{"10.0.0.5:50001", "9.9.9.9:53"}, end{"203.0.113.7:0", ""}, end{"9.9.9.9:53", "203.0.113.7:50001"}, end{"", "10.0.0.5:0"},
			"10.0.0.5:50001", "9.9.9.9:53"},
		{"destination", end{"198.51.100.4:50001", "203.0.113.7:443"}, end{"198.51.100.4:50001", "10.0.9.1:8443"}, end{"10.0.9.1:8443", "198.51.100.4:50001"}, end{"203.0.113.7:443", "198.51.100.4:50001"},
			"198.51.100.4:50001", "10.0.9.1:8443"},
		{"both", end{"10.0.0.5:50001", "10.0.9.254:80"}, end{"10.0.9.253:61001", "10.0.9.1:8080"}, end{"10.0.9.1:8080", "10.0.9.253:61001"}, end{"10.0.9.254:80", "10.0.0.5:50001"},
			"10.0.0.5:50001", "10.0.9.1:8080"},
		{"IPv6 source", end{"[fd00::5]:50001", "[2001:db8::9]:53"}, end{"[2001:db8:1::7]:61001", "[2001:db8::9]:53"}, end{"[2001:db8::9]:53", "[2001:db8:1::7]:61001"}, end{"[2001:db8::9]:53", "[fd00::5]:50001"},
			"[fd00::5]:50001", "[2001:db8::9]:53"},
		{"NAT64", end{"[2001:db8::5]:50001", "[64:ff9b::909:909]:53"}, end{"203.0.113.7:61001", "9.9.9.9:53"}, end{"9.9.9.9:53", "203.0.113.7:61001"}, end{"[64:ff9b::909:909]:53", "[2001:db8::5]:50001"},
			"[2001:db8::5]:50001", "[64:ff9b::909:909]:53"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ends := func(before, after end) (string, string) {
				var r schema.Record
				r.Src, r.SrcPort = addrPort(t, before.src)
				r.Dst, r.DstPort = addrPort(t, before.dst)
				r.PostSrc, r.PostSrcPort = addrPort(t, after.src)
				r.PostDst, r.PostDstPort = addrPort(t, after.dst)
				src, dst, srcPort, dstPort := r.Ends()
				return netip.AddrPortFrom(schema.Addr(src), srcPort).String(), netip.AddrPortFrom(schema.Addr(dst), dstPort).String()
			}
			if client, server := ends(c.out, c.outPost); client != c.wantClient || server != c.wantEnd {
				t.Errorf("there: %s to %s, want %s to %s", client, server, c.wantClient, c.wantEnd)
			}
			if server, client := ends(c.back, c.backPost); client != c.wantClient || server != c.wantEnd {
				t.Errorf("back: %s to %s, want %s to %s", server, client, c.wantEnd, c.wantClient)
			}
		})
	}
}

func addrPort(t *testing.T, s string) (a [16]byte, port uint16) {
	t.Helper()
	if s == "" {
		return a, 0
	}
	p, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Addr16(p.Addr()), p.Port()
}

// A batch says which version of the format it needs: the first, unless a record
// of it was translated. Readers take both, and no later one.
func TestVersionThatABatchNeeds(t *testing.T) {
	plain := rec("10.0.0.1", 40000, "10.0.0.2", 443, 6)
	translated := rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, func(r *schema.Record) { r.PostDst = ip("10.0.0.3") })
	for want, r := range map[int]schema.Record{1: plain, 2: translated} {
		var b schema.Batch
		b.Append(&r)
		payload, err := b.Seal(nil, schema.MaxPayload)
		if err != nil {
			t.Fatal(err)
		}
		s := schema.Sealed{ID: "1", Table: schema.TableFlows, Rows: 1, Needs: b.Needs(), Payload: payload}
		headers := s.Headers()
		if got := headers[schema.HeaderSchema]; got != fmt.Sprint(want) {
			t.Errorf("a batch needs version %s, want %d", got, want)
		}
		get := func(name string) string { return headers[name] }
		back, err := schema.SealedFrom("1", get, payload)
		if err != nil || back.Needs != want {
			t.Errorf("read back: %+v, %v", back, err)
		}
		headers[schema.HeaderSchema] = fmt.Sprint(schema.Version + 1)
		if _, err := schema.SealedFrom("1", get, payload); err == nil {
			t.Error("a reader takes a later version")
		}
	}
}
