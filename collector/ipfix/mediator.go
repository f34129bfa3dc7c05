package ipfix

import (
	"cmp"
	"slices"

	"cordon/schema"
)

// maxPassedOn is how many exporters behind a domain of a mediator are counted
// apart. The records of others are counted as the mediator's own.
const maxPassedOn = 4096

// passedOn counts the records of a domain by the exporter that they name.
type passedOn struct {
	first   [16]byte // the first that a source named which may not
	several bool     // whether it named others as well

	flows   map[passedKey]*uint64
	last    passedKey
	counter *uint64 // the counter of last
}

type passedKey struct {
	exporter [16]byte
	domain   uint32
}

// see notes an exporter that is named by a source that may not. One that always
// names the same exporter means itself.
func (p *passedOn) see(exporter [16]byte) {
	if p.first == [16]byte{} {
		p.first = exporter
	} else if p.first != exporter {
		p.several = true
	}
}

// count counts a record of a mediator.
func (p *passedOn) count(s *source, r *schema.Record) {
	k := passedKey{r.Exporter, r.Domain}
	if p.counter != nil && p.last == k {
		*p.counter++
		return
	}
	n := p.flows[k]
	if n == nil {
		if len(p.flows) >= maxPassedOn || !s.charge(2*entryOverhead) {
			return
		}
		if p.flows == nil {
			p.flows = make(map[passedKey]*uint64)
		}
		n = new(uint64)
		p.flows[k] = n
	}
	p.last, p.counter = k, n
	*n++
}

// list gives the counts, by exporter and domain.
func (p *passedOn) list() []PassedOn {
	list := make([]PassedOn, 0, len(p.flows))
	for k, n := range p.flows {
		list = append(list, PassedOn{schema.Addr(k.exporter), k.domain, *n})
	}
	slices.SortFunc(list, func(a, b PassedOn) int {
		return cmp.Or(a.Exporter.Compare(b.Exporter), cmp.Compare(a.Domain, b.Domain))
	})
	return list
}
