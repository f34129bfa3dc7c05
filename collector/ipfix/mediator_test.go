package ipfix

import (
	"fmt"
	"net/netip"
	"testing"

	"cordon/internal/iana"
	"cordon/schema"
)

// TestMediator: the records of a mediator are those of the exporters that they
// name; what another sender says of that is not believed.
func TestMediator(t *testing.T) {
	trusted := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") }
	v6 := netip.MustParseAddr("2001:db8::7")
	mediator, other, file := udpSource("192.0.2.1:4739"), udpSource("192.0.2.2:4739"), Source{Transport: File}
	for _, c := range []struct {
		name   string
		src    Source
		named  []value
		want   string // exporter and domain
		counts string
	}{
		{"exporter", mediator, []value{addr4(130, "10.255.0.1")}, "10.255.0.1 7", "[{10.255.0.1 7 1}]"},
		{"exporter, IPv6", mediator, []value{{ie(131, 16), v6.AsSlice()}}, "2001:db8::7 7", "[{2001:db8::7 7 1}]"},
		{"original exporter and domain", mediator, []value{addr4(403, "10.255.0.2"), num(405, 4, 12)}, "10.255.0.2 12", "[{10.255.0.2 12 1}]"},
		{"original exporter, IPv6", mediator, []value{{ie(404, 16), v6.AsSlice()}}, "2001:db8::7 7", "[{2001:db8::7 7 1}]"},
		{"original before exporter", mediator, []value{addr4(130, "10.255.0.1"), addr4(403, "10.255.0.2")}, "10.255.0.2 7", "[{10.255.0.2 7 1}]"},
		{"both kinds, one of them empty", mediator, []value{addr4(130, "0.0.0.0"), {ie(131, 16), v6.AsSlice()}}, "2001:db8::7 7", "[{2001:db8::7 7 1}]"},
		{"an empty exporter", mediator, []value{addr4(130, "0.0.0.0"), num(405, 4, 12)}, "192.0.2.1 7", "[]"},
		{"nothing named", mediator, nil, "192.0.2.1 7", "[]"},
		{"a domain alone", mediator, []value{num(405, 4, 12)}, "192.0.2.1 7", "[]"},
		{"no mediator", other, []value{addr4(403, "10.255.0.2"), num(405, 4, 12)}, "192.0.2.2 7", "[]"},
		{"a file", file, []value{addr4(130, "10.255.0.1"), num(405, 4, 12)}, "10.255.0.1 12", "[{10.255.0.1 12 1}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWriter(7, testExport)
			d := New(Config{})
			d.Trust(trusted)
			var got records
			template, data := encode(w, 256, append(ends(iana.TCP, 40000, 443), c.named...))
			if err := d.Message(c.src, w.message(template, data), testRecv, &got); err != nil {
				t.Fatal(err)
			}
			if have := fmt.Sprint(schema.Addr(got[0].Exporter), got[0].Domain); len(got) != 1 || have != c.want {
				t.Errorf("%s, want %s", have, c.want)
			}
			if have := fmt.Sprint(d.Stats().Sources[0].Domains[0].PassedOn); have != c.counts {
				t.Errorf("counted %s, want %s", have, c.counts)
			}
		})
	}
}

// TestNamesOthers: a sender that is no mediator and names several exporters is one
// to tell of; one that always names the same means itself.
func TestNamesOthers(t *testing.T) {
	w := newWriter(7, testExport)
	d := New(Config{})
	for i, c := range []struct {
		exporter string
		want     bool
	}{{"10.255.0.1", false}, {"10.255.0.1", false}, {"0.0.0.0", false}, {"10.255.0.2", true}, {"10.255.0.1", true}} {
		w.export++
		template, data := encode(w, 256, append(ends(iana.TCP, 40000, 443), addr4(130, c.exporter)))
		d.Message(testSource, w.message(template, data), testRecv, new(discard))
		if got := d.Stats().Sources[0].Domains[0].Names; got != c.want {
			t.Errorf("record %d: %v", i, got)
		}
	}
}

// TestMediatorSampling: a rate that is said of one exporter is not that of another
// one behind the same mediator.
func TestMediatorSampling(t *testing.T) {
	w := newWriter(7, testExport)
	d := New(Config{})
	d.Trust(func(netip.Addr) bool { return true })
	say := func(exporter string, rate uint64) {
		w.export++
		d.Message(testSource, w.message(optionsSets(w, 300, 1, addr4(130, exporter), num(34, 4, rate))), testRecv, &records{})
	}
	rate := func(exporter string) uint32 {
		w.export++
		var got records
		template, data := encode(w, 256, append(ends(iana.TCP, 40000, 443), addr4(130, exporter)))
		d.Message(testSource, w.message(template, data), testRecv, &got)
		return got[0].Sampling
	}
	say("10.255.0.1", 1000)
	say("10.255.0.2", 100)
	for exporter, want := range map[string]uint32{"10.255.0.1": 1000, "10.255.0.2": 100, "10.255.0.3": 0, "0.0.0.0": schema.SamplingUnknown} {
		if got := rate(exporter); got != want {
			t.Errorf("%s: %d, want %d", exporter, got, want)
		}
	}
}

// TestTemplateElsewhere: data without a template that the same address has announced
// from another port, for the same domain, says so.
func TestTemplateElsewhere(t *testing.T) {
	w, w8 := newWriter(7, testExport), newWriter(8, testExport)
	tcp := Source{Addr: netip.MustParseAddrPort("192.0.2.1:6000"), Transport: TCP, Session: 3}
	for _, c := range []struct {
		name     string
		from     Source
		announce []byte
		want     string
	}{
		{"another port", udpSource("192.0.2.1:5000"), w.message(w.template(256, pair)), "[{256 udp 192.0.2.1:5000}]"},
		{"TCP", tcp, w.message(w.template(256, pair)), "[{256 tcp 192.0.2.1:6000}]"},
		{"another domain", udpSource("192.0.2.1:5000"), w8.message(w8.template(256, pair)), "[]"},
		{"another template", udpSource("192.0.2.1:5000"), w.message(w.template(257, pair)), "[]"},
		{"another address", udpSource("192.0.2.9:5000"), w.message(w.template(256, pair)), "[]"},
		{"its own port", udpSource("192.0.2.1:4739"), w.message(w.template(256, pair)), "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Config{})
			data := udpSource("192.0.2.1:4739")
			d.Message(data, w.message(set(256, ab)), testRecv, new(discard))
			d.Message(c.from, c.announce, testRecv, new(discard))
			for _, wait := range []int64{0, 3600 * second} { // The first while it waits, the second once it was given up.
				d.Expire(testRecv + wait)
				if got := fmt.Sprint(statsOf(d, data).Domains[0].Elsewhere); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			}
		})
	}
}
