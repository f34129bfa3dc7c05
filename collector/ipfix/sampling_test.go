package ipfix

import (
	"bytes"
	"math"
	"net/netip"
	"strings"
	"testing"

	"cordon/internal/iana"
	"cordon/schema"
)

// optionsSets are the options template and the options data of one record.
func optionsSets(w *writer, id uint16, scope int, values ...value) []byte {
	var fields []field
	var body []byte
	for _, v := range values {
		fields = append(fields, v.field)
		body = appendValue(body, v.field, v.bytes, false)
	}
	return cat(w.optionsTemplate(id, scope, fields), set(id, body))
}

// TestSamplingElsewhere: where exactly one announced rate can be that of a
// record it is, wherever it was announced; where several can be, the record is
// sampled at an unknown rate, and never unsampled.
func TestSamplingElsewhere(t *testing.T) {
	const unknown = schema.SamplingUnknown
	here, otherPort, otherHost := udpSource("192.0.2.1:4739"), udpSource("192.0.2.1:5000"), udpSource("192.0.2.9:4739")
	tcp := Source{Addr: netip.MustParseAddrPort("192.0.2.1:6000"), Transport: TCP, Session: 3}
	type announcement struct {
		src    Source
		domain uint32
		scope  int
		values []value
	}
	say := func(src Source, domain uint32, scope int, values ...value) announcement {
		return announcement{src, domain, scope, values}
	}
	thousand := num(34, 4, 1000)
	hundred := num(34, 4, 100)
	for _, c := range []struct {
		name string
		said []announcement
		flow []value
		want uint32
	}{
		{"nothing", nil, nil, 0},
		{"selector id 0", []announcement{say(here, 7, 1, num(302, 4, 0), num(304, 2, 3), num(305, 4, 1), num(306, 4, 999))}, nil, 1000},
		{"selector id 1, not in the record", []announcement{say(here, 7, 1, num(302, 4, 1), num(304, 2, 3), num(305, 4, 1), num(306, 4, 999))}, nil, 1000},
		{"sampler id, not in the record", []announcement{say(here, 7, 1, num(48, 4, 1), num(49, 1, 2), thousand)}, nil, 1000},
		{"sampler id 0 in the record", []announcement{say(here, 7, 1, num(48, 4, 1), num(49, 1, 2), thousand)}, []value{num(48, 1, 0)}, 1000},
		{"announced as sampler, named as selector", []announcement{say(here, 7, 1, num(48, 4, 5), thousand), say(here, 7, 1, num(48, 4, 6), hundred)}, []value{num(302, 8, 5)}, 1000},
		{"announced as selector, named as sampler", []announcement{say(here, 7, 1, num(302, 8, 5), thousand), say(here, 7, 1, num(302, 8, 6), hundred)}, []value{num(48, 1, 5)}, 1000},
		{"sampler in another domain", []announcement{say(here, 6, 1, num(48, 4, 1), num(49, 1, 2), thousand)}, []value{num(48, 4, 1)}, 1000},
		{"sampler in another domain, of two there", []announcement{say(here, 6, 1, num(48, 4, 1), thousand), say(here, 6, 1, num(48, 4, 2), hundred)}, []value{num(48, 4, 2)}, 100},
		{"one of two samplers with one rate", []announcement{say(here, 7, 1, num(48, 4, 1), thousand), say(here, 7, 1, num(48, 4, 2), thousand)}, nil, 1000},
		{"one of two samplers", []announcement{say(here, 7, 1, num(48, 4, 1), thousand), say(here, 7, 1, num(48, 4, 2), hundred)}, nil, unknown},
		{"one of two selectors", []announcement{say(here, 7, 1, num(302, 4, 1), thousand), say(here, 7, 1, num(302, 4, 2), num(305, 4, 1), num(306, 4, 0))}, nil, unknown},
		{"a sampler that nobody knows", nil, []value{num(48, 1, 4)}, unknown},
		{"a sampler that nobody knows, and a rate of the domain", []announcement{say(here, 7, 1, num(149, 4, 7), thousand)}, []value{num(48, 1, 4)}, 1000},
		{"the rate of the domain before that of a sampler", []announcement{say(here, 7, 1, num(149, 4, 7), thousand), say(here, 7, 1, num(48, 4, 2), hundred)}, nil, 1000},

		{"exporter", []announcement{say(here, 7, 1, num(144, 4, 1), thousand)}, nil, 1000},
		{"exporter, by address", []announcement{say(here, 7, 1, addr4(130, "10.255.0.1"), thousand)}, nil, 1000},
		{"metering process", []announcement{say(here, 7, 1, num(143, 4, 1), thousand)}, nil, 1000},
		{"two metering processes", []announcement{say(here, 7, 1, num(143, 4, 1), thousand), say(here, 7, 1, num(143, 4, 2), hundred)}, nil, unknown},
		{"line card of a vendor", []announcement{say(here, 7, 1, value{field{elementID{9, 77}, 4}, uintBytes(3, 4)}, thousand)}, nil, 1000},
		{"domain 0 for all", []announcement{say(here, 0, 1, num(144, 4, 1), thousand)}, nil, 1000},
		{"domain 0 before other domains", []announcement{say(here, 0, 1, num(144, 4, 1), thousand), say(here, 9, 1, num(144, 4, 1), hundred)}, nil, 1000},
		{"about domain 0", []announcement{say(here, 3, 1, num(149, 4, 0), thousand)}, nil, 1000},
		{"another domain, without a word on which", []announcement{say(here, 6, 1, num(144, 4, 1), thousand)}, nil, 1000},
		{"two other domains that differ", []announcement{say(here, 5, 1, num(144, 4, 1), thousand), say(here, 6, 1, num(144, 4, 1), hundred)}, nil, unknown},
		{"about the domain, from another one", []announcement{say(here, 6, 1, num(149, 4, 7), thousand), say(here, 6, 1, num(149, 4, 8), hundred)}, nil, 1000},
		{"about another domain that is there", []announcement{say(here, 8, 1, num(144, 4, 1), hundred), say(here, 6, 1, num(149, 4, 8), thousand), say(here, 7, 1, num(149, 4, 7), num(34, 4, 1))}, nil, 1},
		{"its own domain before others", []announcement{say(here, 7, 1, num(144, 4, 1), thousand), say(here, 6, 1, num(144, 4, 1), hundred)}, nil, 1000},

		{"another port", []announcement{say(otherPort, 7, 1, num(149, 4, 7), thousand)}, nil, 1000},
		{"another port, a sampler", []announcement{say(otherPort, 7, 1, num(48, 4, 1), num(50, 4, 1000))}, []value{num(48, 4, 1)}, 1000},
		{"another port and domain", []announcement{say(otherPort, 6, 1, num(144, 4, 1), thousand)}, nil, 1000},
		{"its own port before another", []announcement{say(otherPort, 7, 1, num(144, 4, 1), hundred), say(here, 7, 1, num(144, 4, 1), thousand)}, nil, 1000},
		{"two other ports that differ", []announcement{say(otherPort, 7, 1, num(144, 4, 1), hundred), say(udpSource("192.0.2.1:5001"), 7, 1, num(144, 4, 1), thousand)}, nil, unknown},
		{"TCP for UDP", []announcement{say(tcp, 7, 1, num(144, 4, 1), thousand)}, nil, 1000},
		{"about another domain, from another port", []announcement{say(otherPort, 6, 1, num(149, 4, 6), thousand)}, nil, 1000},
		{"another address", []announcement{say(otherHost, 7, 1, num(144, 4, 1), thousand)}, nil, 0},

		{"the interface", []announcement{say(here, 7, 1, num(10, 4, 5), thousand), say(here, 7, 1, num(10, 4, 6), hundred)}, []value{num(10, 4, 5)}, 1000},
		{"the interface it leaves by", []announcement{say(here, 7, 1, num(10, 4, 5), thousand)}, []value{num(10, 4, 9), num(14, 4, 5)}, 1000},
		{"two interfaces that differ", []announcement{say(here, 7, 1, num(10, 4, 5), thousand), say(here, 7, 1, num(10, 4, 6), hundred)}, []value{num(10, 4, 5), num(14, 4, 6)}, unknown},
		{"two interfaces, metered on entry", []announcement{say(here, 7, 1, num(10, 4, 5), thousand), say(here, 7, 1, num(10, 4, 6), hundred)}, []value{num(10, 4, 5), num(14, 4, 6), num(61, 1, 0)}, 1000},
		{"two interfaces, metered on exit", []announcement{say(here, 7, 1, num(10, 4, 5), thousand), say(here, 7, 1, num(10, 4, 6), hundred)}, []value{num(10, 4, 5), num(14, 4, 6), num(61, 1, 1)}, 100},
		{"another interface", []announcement{say(here, 7, 1, num(10, 4, 5), thousand)}, []value{num(10, 4, 6)}, 0},
		{"an interface, of a record without", []announcement{say(here, 7, 1, num(10, 4, 5), thousand)}, nil, 1000},
		{"interfaces that differ, of a record without", []announcement{say(here, 7, 1, num(10, 4, 5), thousand), say(here, 7, 1, num(10, 4, 6), hundred)}, nil, unknown},
		{"the template", []announcement{say(here, 7, 1, num(145, 2, 256), thousand), say(here, 7, 1, num(145, 2, 257), hundred)}, nil, 1000},
		{"another template", []announcement{say(here, 7, 1, num(145, 2, 257), thousand)}, nil, 0},

		{"every packet", []announcement{say(here, 7, 1, num(143, 4, 1), num(305, 4, 1), num(306, 4, 0))}, nil, 1},
		{"time", []announcement{say(here, 7, 1, num(143, 4, 1), num(304, 2, 2), num(307, 4, 1000), num(308, 4, 9000))}, nil, 10},
		{"time, in the record", nil, []value{num(307, 4, 1000), num(308, 4, 9000)}, 10},
		{"n out of N", []announcement{say(here, 7, 1, num(302, 8, 1), num(304, 2, 3), num(309, 4, 1), num(310, 4, 64))}, nil, 64},
		{"probability", []announcement{say(here, 7, 1, num(302, 8, 1), num(304, 2, 4), value{ie(311, 8), uintBytes(math.Float64bits(0.001), 8)})}, nil, 1000},
		{"hash", []announcement{say(here, 7, 1, num(302, 8, 1), num(304, 2, 6), num(329, 8, 0), num(330, 8, 0xffffffff), num(331, 8, 0), num(332, 8, 0x3ffffff))}, nil, 64},
		{"flows", []announcement{say(here, 7, 1, num(302, 8, 1), num(390, 2, 1), num(396, 4, 1), num(397, 4, 9))}, nil, 10},
		{"an algorithm and no rate", []announcement{say(here, 7, 1, num(302, 8, 1), num(304, 2, 3))}, nil, unknown},
		{"an old algorithm and no rate", []announcement{say(here, 7, 1, num(144, 4, 1), num(35, 1, 2))}, nil, unknown},
		{"a filter is no sampling", []announcement{say(here, 7, 1, num(302, 8, 1), num(304, 2, 5))}, nil, 0},
		{"a rate as large as what is unknown", []announcement{say(here, 7, 1, num(144, 4, 1), num(34, 4, math.MaxUint32))}, nil, unknown - 1},
		{"the record's own", []announcement{say(here, 7, 1, num(144, 4, 1), thousand)}, []value{num(34, 4, 2)}, 2},
		{"the record's own of 0 says nothing", []announcement{say(here, 7, 1, num(144, 4, 1), thousand)}, []value{num(34, 4, 0)}, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Config{})
			var got records
			w := newWriter(7, testExport)
			template, data := encode(w, 256, append(ends(iana.TCP, 40000, 443), c.flow...))
			d.Message(here, w.message(template), testRecv, &got)
			for i, s := range c.said {
				if err := d.Message(s.src, newWriter(s.domain, testExport).message(optionsSets(w, uint16(300+i), s.scope, s.values...)), testRecv, &got); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Message(here, w.message(data), testRecv, &got); err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Sampling != c.want {
				t.Fatalf("%d records, sampling %d, want %d", len(got), got[0].Sampling, c.want)
			}
			for _, dom := range statsOf(d, here).Domains {
				if dom.ID == 7 && c.want != 0 && dom.Sampling < c.want {
					t.Errorf("status says %d", dom.Sampling)
				}
			}
			if strings.HasPrefix(c.name, "another port") {
				return
			}
			restarted(t, d).Message(here, newWriter(7, testExport+1).message(data), testRecv, &got)
			if len(got) != 2 || got[1].Sampling != c.want && len(c.said) > 0 && c.said[0].src != tcp {
				t.Errorf("after a restart %d records, sampling %d", len(got), got[1].Sampling)
			}
		})
	}
}

// addr4 is a field of an IPv4 address.
func addr4(id uint16, s string) value {
	return value{ie(id, 4), netip.MustParseAddr(s).AsSlice()}
}

func statsOf(d *Decoder, src Source) SourceStats {
	for _, s := range d.Stats().Sources {
		if s.Source == src {
			return s
		}
	}
	return SourceStats{}
}

// restarted gives a Decoder that has loaded what d saves.
func restarted(t *testing.T, d *Decoder) *Decoder {
	t.Helper()
	var file bytes.Buffer
	if err := d.Save(&file); err != nil {
		t.Fatal(err)
	}
	after := New(Config{})
	if err := after.Load(&file); err != nil {
		t.Fatal(err)
	}
	return after
}

// TestSamplingChanges: a rate that changes, comes later or goes with its source
// holds for the records that follow.
func TestSamplingChanges(t *testing.T) {
	w := newWriter(7, testExport)
	template, data := encode(w, 256, ends(iana.TCP, 40000, 443))
	d := New(Config{})
	here, port := udpSource("192.0.2.1:4739"), udpSource("192.0.2.1:5000")
	n := 0
	rate := func(now int64) uint32 {
		var got records
		n++
		w.export = testExport + uint32(n)
		d.Message(here, w.message(template, data), now, &got)
		return got[0].Sampling
	}
	say := func(src Source, v uint64, now int64) {
		n++
		w.export = testExport + uint32(n)
		d.Message(src, w.message(optionsSets(w, 300, 1, num(144, 4, 1), num(34, 4, v))), now, &records{})
	}
	check := func(what string, got, want uint32) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	check("before any", rate(testRecv), 0)
	say(port, 1000, testRecv)
	check("from another port", rate(testRecv), 1000)
	say(port, 500, testRecv)
	check("changed there", rate(testRecv), 500)
	say(here, 10, testRecv)
	check("from its own", rate(testRecv), 10)
	say(here, 20, testRecv)
	check("changed", rate(testRecv), 20)
	d.EndSession(here)
	check("the source is new", rate(testRecv), 500)
	later := testRecv + d.lifetime + 1
	d.source(here, later)
	d.Expire(later)
	check("the other port has been silent for the life of a template", rate(later), 0)
	d.EndSession(here)
	d.EndSession(port)
	if len(d.byAddr) != 0 || d.Stats().StateBytes != 0 {
		t.Errorf("left behind: %d addresses, %d bytes", len(d.byAddr), d.Stats().StateBytes)
	}
}

// TestSamplingAllocates nothing per record, whatever decides the rate.
func TestSamplingAllocates(t *testing.T) {
	w := newWriter(7, testExport)
	d := New(Config{})
	template, data := encode(w, 256, append(ends(iana.TCP, 40000, 443), num(10, 4, 5), num(48, 4, 9)))
	var n discard
	d.Message(testSource, w.message(template, optionsSets(w, 300, 1, num(10, 4, 5), num(34, 4, 7)), data), testRecv, &n)
	i := 0
	msg := w.message(data)
	if allocs := testing.AllocsPerRun(100, func() {
		i++
		renumber(msg, i)
		d.Message(testSource, msg, testRecv, &n)
	}); allocs > 0 {
		t.Errorf("%v allocations a message", allocs)
	}
}
