package collector

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"
)

// maxNames is how many names of exporters are kept apart; a source can have
// [ipfix.Config].MaxStateBytes of them.
const maxNames = 1 << 17

// maxNameRows is how many names a batch has, each of up to 255 bytes.
const maxNameRows = 2048

// names remembers which names of exporters are written to table
// exporter_name_rows. It is used by one goroutine at a time.
type names map[nameKey]string

type nameKey struct {
	exporter netip.Addr
	domain   uint32
	kind     string
	id       uint32
}

// rows gives a row for each name that is new or has changed.
func (n names) rows(now time.Time, sources []ipfix.SourceStats) (rows []schema.ExporterName) {
	for i := range sources {
		s := &sources[i]
		for j := range s.Domains {
			d := &s.Domains[j]
			for _, named := range []struct {
				kind string
				ids  map[uint32]string
			}{{schema.NameInterface, d.Interfaces}, {schema.NameVRF, d.VRFs}} {
				for id, name := range named.ids {
					k := nameKey{s.Source.Addr.Addr(), d.ID, named.kind, id}
					old, known := n[k]
					if known && old == name || !known && len(n) >= maxNames {
						continue
					}
					n[k] = name
					rows = append(rows, schema.ExporterName{
						Time: now.UnixMilli(), Exporter: schema.Addr16(k.exporter), Domain: k.domain, Kind: k.kind, ID: id, Name: name,
					})
				}
			}
		}
	}
	slices.SortFunc(rows, func(a, b schema.ExporterName) int {
		return cmp.Or(slices.Compare(a.Exporter[:], b.Exporter[:]), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	return rows
}
