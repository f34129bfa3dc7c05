package collector

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestNamesAreWrittenWhenTheyChange(t *testing.T) {
	at := time.UnixMilli(50_000)
	source := func(interfaces map[uint32]string) []ipfix.SourceStats {
		return []ipfix.SourceStats{{
			Source:  ipfix.Source{Addr: netip.AddrPortFrom(loopback, 1), Transport: ipfix.UDP},
			Domains: []ipfix.DomainStats{{ID: 7, Interfaces: interfaces, VRFs: map[uint32]string{3: "red"}}},
		}}
	}
	row := func(kind string, id uint32, name string) schema.ExporterName {
		return schema.ExporterName{Time: 50_000, Exporter: schema.Addr16(loopback), Domain: 7, Kind: kind, ID: id, Name: name}
	}
	n := make(names)
	for _, step := range []struct {
		name       string
		interfaces map[uint32]string
		want       []schema.ExporterName
	}{
		{"first", map[uint32]string{4: "Ethernet4", 3: "Ethernet3"}, []schema.ExporterName{row("interface", 3, "Ethernet3"), row("interface", 4, "Ethernet4"), row("vrf", 3, "red")}},
		{"the same", map[uint32]string{4: "Ethernet4", 3: "Ethernet3"}, nil},
		{"another name", map[uint32]string{4: "Ethernet4", 3: "core"}, []schema.ExporterName{row("interface", 3, "core")}},
	} {
		if d := gocmp.Diff(step.want, n.rows(at, source(step.interfaces))); d != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, d)
		}
	}
}

func TestNamesAreBounded(t *testing.T) {
	n := make(names)
	for domain := range uint32(40) {
		d := ipfix.DomainStats{ID: domain, Interfaces: map[uint32]string{}}
		for id := range uint32(4096) {
			d.Interfaces[id] = fmt.Sprint(id)
		}
		n.rows(time.Now(), []ipfix.SourceStats{{Domains: []ipfix.DomainStats{d}}})
	}
	if len(n) != maxNames {
		t.Errorf("%d names are remembered, want %d", len(n), maxNames)
	}
}

// What an exporter says of itself in options data is its name.
func TestOwnName(t *testing.T) {
	here := ipfix.Source{Addr: netip.MustParseAddrPort("192.0.2.1:9995")}
	for _, c := range []struct {
		source         ipfix.Source
		name, exporter string
		want           string
	}{
		{here, "leaf1", "10.0.0.1", "leaf1"},
		{here, "", "10.0.0.1", "10.0.0.1"}, // behind address translation
		{here, "", "192.0.2.1", ""},
		{here, "", "", ""},
		{ipfix.Source{Transport: ipfix.File}, "", "10.0.0.1", "10.0.0.1"},
	} {
		if got := ownName(c.source, &ipfix.DomainStats{Name: c.name, Exporter: c.exporter}); got != c.want {
			t.Errorf("%v: %q, want %q", c, got, c.want)
		}
	}
}
