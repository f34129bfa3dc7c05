package ipfix

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"cordon/schema"
)

// Counters count what came from a source or observation domain. They only
// grow.
type Counters struct {
	Messages uint64
	Bytes    uint64 // size of messages without transport headers

	Records        uint64 // data records that were decoded, options left out
	Flows          uint64 // flow records given to the sink; the others are ReasonNotFlow
	OptionsRecords uint64
	LateRecords    uint64 // flow records received more than lateAfter after the flow's end; none from files
	Templates      uint64 // template records that could be used, new or repeated

	WaitedSets        uint64 // data sets that came before their template
	RecoveredSets     uint64 // waiting sets that were decoded when their template came
	NoTemplateSets    uint64 // data sets given up for want of a template
	NoTemplateBytes   uint64 // bytes of records in them
	NoTemplateRecords uint64 // records in sets that came without a template, as far as sequence numbers tell

	// By sequence number. A late message fills the gap that it left, so
	// what is lost for good is Missed less Filled.
	MissedMessages uint64 // estimated from the records in a message
	MissedRecords  uint64
	FilledMessages uint64
	FilledRecords  uint64
	Duplicates     uint64 // datagrams that had come before; not decoded again
	Reordered      uint64 // datagrams that came late
	Restarts       uint64 // the exporter began to count anew

	Errors [numReasons]uint64 // indexed by Reason
}

// Lost gives the messages and records that were sent and have not arrived.
func (c *Counters) Lost() (messages, records uint64) {
	return c.MissedMessages - min(c.FilledMessages, c.MissedMessages), c.MissedRecords - min(c.FilledRecords, c.MissedRecords)
}

// Add adds those of o.
func (c *Counters) Add(o *Counters) {
	c.Messages += o.Messages
	c.Bytes += o.Bytes
	c.Records += o.Records
	c.Flows += o.Flows
	c.OptionsRecords += o.OptionsRecords
	c.LateRecords += o.LateRecords
	c.Templates += o.Templates
	c.WaitedSets += o.WaitedSets
	c.RecoveredSets += o.RecoveredSets
	c.NoTemplateSets += o.NoTemplateSets
	c.NoTemplateBytes += o.NoTemplateBytes
	c.NoTemplateRecords += o.NoTemplateRecords
	c.MissedMessages += o.MissedMessages
	c.MissedRecords += o.MissedRecords
	c.FilledMessages += o.FilledMessages
	c.FilledRecords += o.FilledRecords
	c.Duplicates += o.Duplicates
	c.Reordered += o.Reordered
	c.Restarts += o.Restarts
	for i := range c.Errors {
		c.Errors[i] += o.Errors[i]
	}
}

// Stats is a snapshot of a [Decoder].
type Stats struct {
	Counters                   // counts of all sources there ever were
	Sources      []SourceStats // those known now, by address
	Evicted      uint64        // sources forgotten because there were too many
	StateBytes   int64         // memory of templates and options data
	WaitingBytes int64         // memory of data that came before its template
}

// SourceStats is a snapshot of one source.
type SourceStats struct {
	Source       Source
	Counters     // counts of all its domains, and of messages that belong to none
	Domains      []DomainStats
	WaitingSets  int // data sets that wait for a template now
	WaitingBytes int64
}

// DomainStats is a snapshot of one observation domain.
type DomainStats struct {
	ID uint32
	Counters
	LastMessage int64  // Unix microseconds at the collector
	LastExport  int64  // Unix microseconds, the exporter's clock
	Skew        int64  // microseconds that the exporter's clock is behind, transmission included
	Numbering   string // the unit that its sequence numbers count
	Software    string // a guess at the exporter, or empty
	Name        string // observationDomainName from options data, or empty
	Exporter    string // exporterIPv4Address or IPv6Address from options data, or empty
	SystemInit  int64  // Unix milliseconds, from options data; 0 unknown
	Sampling    uint32 // the coarsest in use, one packet in so many; [schema.SamplingUnknown] where it is not known how many; 0 none is known of
	Templates   []TemplateStats
	// Missing are a few of the templates that data has come without; Elsewhere
	// are those of them that the same address has announced from another port.
	Missing   []uint16
	Elsewhere []Elsewhere
	// PassedOn are the exporters of a mediator's records; Names says that the
	// records name several exporters, while the source is no mediator.
	PassedOn   []PassedOn
	Names      bool
	VRFs       map[uint32]string // names by VRF id
	Interfaces map[uint32]string // names by interface index
}

// Elsewhere is a template that another source of the same address has announced
// for the same observation domain.
type Elsewhere struct {
	Template uint16
	Source   Source
}

// PassedOn counts the flow records of one exporter behind a mediator.
type PassedOn struct {
	Exporter netip.Addr
	Domain   uint32 // the exporter's number, or else the mediator's
	Flows    uint64
}

// TemplateStats describes a template.
type TemplateStats struct {
	ID      uint16
	Options bool
	Seen    int64 // time of its last announcement, Unix microseconds
	Flow    bool  // its records become flow records

	fields []field
	names  map[elementID]string
}

// Fields lists the elements as id or enterprise/id, with the names that
// exporters gave to them (RFC 5610), and the length, v where it varies.
func (t TemplateStats) Fields() string {
	var s strings.Builder
	for i, f := range t.fields {
		if i > 0 {
			s.WriteByte(' ')
		}
		s.WriteString(f.elementID.String())
		if name := t.names[f.elementID]; name != "" {
			s.WriteString("(" + name + ")")
		}
		if f.length == variable {
			s.WriteString(":v")
		} else {
			fmt.Fprintf(&s, ":%d", f.length)
		}
	}
	return s.String()
}

// Stats takes a snapshot. Each source is locked for a moment.
func (d *Decoder) Stats() Stats {
	var st Stats
	d.mu.RLock()
	st.Counters, st.Evicted = d.gone, d.evicted
	sources := slices.Collect(maps.Values(d.sources))
	d.mu.RUnlock()
	for _, s := range sources {
		s.mu.Lock()
		if !s.closed {
			st.Sources = append(st.Sources, s.stats())
		}
		s.mu.Unlock()
		s.settle()
	}
	slices.SortFunc(st.Sources, func(a, b SourceStats) int {
		return cmp.Or(a.Source.Addr.Compare(b.Source.Addr), cmp.Compare(a.Source.Transport, b.Source.Transport), cmp.Compare(a.Source.Session, b.Source.Session))
	})
	elsewhere(st.Sources)
	for i := range st.Sources {
		st.Counters.Add(&st.Sources[i].Counters)
	}
	st.StateBytes, st.WaitingBytes = d.state.Load(), d.waiting.Load()
	return st
}

// elsewhere finds the templates that data has come without among those that the
// same address has announced from another port. Sources are in order of address.
func elsewhere(sources []SourceStats) {
	for i := range sources {
		for j := range sources[i].Domains {
			d := &sources[i].Domains[j]
			for _, id := range d.Missing {
				if from, ok := announcer(sources, i, d.ID, id); ok {
					d.Elsewhere = append(d.Elsewhere, Elsewhere{id, from})
				}
			}
		}
	}
}

// announcer finds another source, of the address of source i, that has a template.
func announcer(sources []SourceStats, i int, domain uint32, id uint16) (Source, bool) {
	addr := sources[i].Source.Addr.Addr()
	if !addr.IsValid() {
		return Source{}, false
	}
	at, _ := slices.BinarySearchFunc(sources, addr, func(s SourceStats, a netip.Addr) int { return s.Source.Addr.Addr().Compare(a) })
	for k := at; k < len(sources) && sources[k].Source.Addr.Addr() == addr; k++ {
		if k == i {
			continue
		}
		for j := range sources[k].Domains {
			d := &sources[k].Domains[j]
			if d.ID == domain && slices.ContainsFunc(d.Templates, func(t TemplateStats) bool { return t.ID == id }) {
				return sources[k].Source, true
			}
		}
	}
	return Source{}, false
}

func (s *source) stats() SourceStats {
	st := SourceStats{Source: s.key, Counters: s.total(), WaitingSets: len(s.queue), WaitingBytes: s.queued}
	for _, d := range s.domains {
		st.Domains = append(st.Domains, d.stats())
	}
	slices.SortFunc(st.Domains, func(a, b DomainStats) int { return cmp.Compare(a.ID, b.ID) })
	return st
}

// total counts over all domains of the source.
func (s *source) total() Counters {
	c := s.counters
	for _, d := range s.domains {
		c.Add(&d.counters)
	}
	return c
}

func (d *domain) stats() DomainStats {
	o := &d.options
	st := DomainStats{
		ID: d.id, Counters: d.counters,
		LastMessage: d.lastMessage, LastExport: d.lastExport * second, Skew: d.lastMessage - d.lastExport*second,
		Numbering: d.sequence.how.String(), Software: d.software.name,
		Name: o.name, SystemInit: o.SystemInit, Sampling: max(o.coarsest(), d.applied),
		VRFs: maps.Clone(o.vrfs), Interfaces: maps.Clone(o.interfaces),
	}
	st.Missing = slices.Sorted(maps.Keys(d.missing))
	st.PassedOn, st.Names = d.passedOn.list(), d.passedOn.several
	if o.exporter != ([16]byte{}) {
		st.Exporter = schema.Addr(o.exporter).String()
	}
	names := maps.Clone(o.elements)
	for _, t := range d.templates {
		st.Templates = append(st.Templates, TemplateStats{
			ID: t.id, Options: t.scope > 0, Seen: t.seen, Flow: t.scope == 0 && t.plan.flow,
			fields: t.fields, names: names,
		})
	}
	slices.SortFunc(st.Templates, func(a, b TemplateStats) int { return cmp.Compare(a.ID, b.ID) })
	return st
}
