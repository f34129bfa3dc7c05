package collector

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"
)

// maxTallies is how many (exporter, transport, domain) triples are told apart.
const maxTallies = 8192

// account keeps what happened at each exporter since the start. The decoder
// counts per source, and sources come and go: an exporter that restarts has
// another UDP port, or another connection. What they counted is added up here
// under the exporter's address.
type account struct {
	mu      sync.Mutex
	marks   map[markKey]*mark
	tallies map[tallyKey]*tally
}

type markKey struct {
	source ipfix.Source
	domain int64 // observation domain id; noDomain for what belongs to none

	// Of the records that a mediator passes on: whose they are.
	exporter netip.Addr
	original uint32
}

const noDomain = -1

// mark is what a source had counted when it was looked at last.
type mark struct {
	counters ipfix.Counters
	lost     loss
	seen     bool
}

// loss is what is missing by sequence number. A datagram that comes late makes
// it smaller again, so a mark keeps the most there was, and only what exceeds
// that is new.
type loss struct{ messages, records uint64 }

// tallyKey names a row of table exporter_stats. The zero address stands for
// the exporters beyond maxTallies.
type tallyKey struct {
	exporter  netip.Addr
	transport ipfix.Transport
	domain    uint32
}

// tally is what is known of an exporter's observation domain.
type tally struct {
	tallyCounts
	written tallyCounts // counts that table exporter_stats has already

	waiting     int // data sets that wait for their template
	templates   int
	software    string
	name        string // the name that the exporter gives itself
	sampling    uint32
	mediator    netip.Addr // the mediator that passes its records on
	names       bool       // its records name several exporters, and it is no mediator
	elsewhere   []Elsewhere
	interfaces  int   // known by name
	vrfs        int   // known by name
	lastMessage int64 // Unix microseconds
	lastExport  int64 // Unix microseconds
	skew        int64 // microseconds that the exporter's clock is behind
}

// Elsewhere is a template that data of an exporter has come without, while the
// same address has announced it from another port.
type Elsewhere struct {
	Template  uint16 `json:"template"`
	Port      uint16 `json:"port"`      // the port that the data comes from
	Announced uint16 `json:"announced"` // port that the template came from
	Transport string `json:"transport"` // udp, tcp or tls
}

type tallyCounts struct {
	ipfix.Counters
	lost loss
}

func newAccount() *account {
	return &account{marks: make(map[markKey]*mark), tallies: make(map[tallyKey]*tally)}
}

// update adds what the decoder has counted since the last call. Sources that
// have ended come with their final counts, in ended.
func (a *account) update(current, ended []ipfix.SourceStats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tallies {
		t.waiting, t.templates, t.elsewhere, t.names = 0, 0, nil, false
	}
	for _, list := range [][]ipfix.SourceStats{ended, current} {
		for i := range list {
			a.source(&list[i])
		}
	}
	for k, m := range a.marks {
		if !m.seen {
			delete(a.marks, k) // the source is gone
		}
		m.seen = false
	}
}

func (a *account) source(s *ipfix.SourceStats) {
	rest := s.Counters // counts that belong to no domain
	for i := range s.Domains {
		d := &s.Domains[i]
		rest = subtract(&rest, &d.Counters)
		before := a.counted(s.Source, d.ID)
		t := a.add(s.Source, int64(d.ID), &d.Counters)
		a.passOn(s.Source, d, before)
		t.names = t.names || d.Names
		for _, e := range d.Elsewhere {
			t.elsewhere = append(t.elsewhere, Elsewhere{e.Template, s.Source.Addr.Port(), e.Source.Addr.Port(), e.Source.Transport.String()})
		}
		t.templates += len(d.Templates)
		if d.LastMessage >= t.lastMessage {
			t.lastMessage, t.lastExport, t.skew = d.LastMessage, d.LastExport, d.Skew
			t.software, t.sampling = cmp.Or(d.Software, t.software), d.Sampling
			t.name = cmp.Or(ownName(s.Source, d), t.name)
			t.interfaces, t.vrfs = len(d.Interfaces), len(d.VRFs)
		}
		if i == 0 {
			t.waiting += s.WaitingSets
		}
	}
	if rest != (ipfix.Counters{}) {
		a.add(s.Source, noDomain, &rest)
	}
}

// counted is what a domain had counted when it was looked at last.
func (a *account) counted(src ipfix.Source, domain uint32) tallyCounts {
	if m := a.marks[markKey{source: src, domain: int64(domain)}]; m != nil {
		return tallyCounts{m.counters, m.lost}
	}
	return tallyCounts{}
}

// passOn lays the records of a mediator's domain to the exporters that they name.
// What the mediator's sequence numbers say is lost was theirs: each gets a share of
// it by its share of the records that came meanwhile.
func (a *account) passOn(src ipfix.Source, d *ipfix.DomainStats, before tallyCounts) {
	if len(d.PassedOn) == 0 {
		return
	}
	m := a.marks[markKey{source: src, domain: int64(d.ID)}]
	from := a.tally(tallyKey{src.Addr.Addr(), src.Transport, d.ID})
	records := d.Counters.Records - min(before.Records, d.Counters.Records)
	lost := loss{m.lost.messages - before.lost.messages, m.lost.records - before.lost.records}
	for _, p := range d.PassedOn {
		key := markKey{src, int64(d.ID), p.Exporter, p.Domain}
		pm := a.marks[key]
		if pm == nil {
			pm = new(mark)
			a.marks[key] = pm
		}
		pm.seen = true
		flows := p.Flows - min(pm.counters.Flows, p.Flows)
		pm.counters.Flows = p.Flows
		if flows == 0 || records == 0 || p.Exporter == src.Addr.Addr() && p.Domain == d.ID {
			continue
		}
		t := a.tally(tallyKey{p.Exporter, src.Transport, p.Domain})
		t.mediator = src.Addr.Addr()
		t.sampling = d.Sampling
		if d.LastMessage >= t.lastMessage {
			t.lastMessage, t.lastExport, t.skew = d.LastMessage, d.LastExport, d.Skew
		}
		share := loss{lost.messages * flows / records, lost.records * flows / records}
		for _, c := range []*uint64{&t.Records, &t.Flows} {
			*c += flows
		}
		for _, c := range []*uint64{&from.Records, &from.Flows} {
			*c -= min(flows, *c)
		}
		t.lost.messages += share.messages
		t.lost.records += share.records
		from.lost.messages -= min(share.messages, from.lost.messages)
		from.lost.records -= min(share.records, from.lost.records)
	}
}

// ownName is what an exporter calls itself in options data: its name, or the
// address that it knows itself by if its messages come from another one.
func ownName(s ipfix.Source, d *ipfix.DomainStats) string {
	if d.Name != "" || s.Addr.IsValid() && d.Exporter == s.Addr.Addr().Unmap().String() {
		return d.Name
	}
	return d.Exporter
}

// add adds what counters has more than at the last look.
func (a *account) add(src ipfix.Source, domain int64, counters *ipfix.Counters) *tally {
	key := markKey{source: src, domain: domain}
	m := a.marks[key]
	if m == nil {
		m = new(mark)
		a.marks[key] = m
	}
	m.seen = true
	t := a.tally(tallyKey{src.Addr.Addr(), src.Transport, uint32(max(domain, 0))})
	more := subtract(counters, &m.counters)
	t.Add(&more)
	m.counters = *counters

	var now loss
	now.messages, now.records = counters.Lost()
	if now.messages > m.lost.messages {
		t.lost.messages += now.messages - m.lost.messages
		m.lost.messages = now.messages
	}
	if now.records > m.lost.records {
		t.lost.records += now.records - m.lost.records
		m.lost.records = now.records
	}
	return t
}

// tally finds or makes a tally. Where there are too many, those of exporters
// that have never sent a record become one, since they may be forged.
func (a *account) tally(key tallyKey) *tally {
	if t := a.tallies[key]; t != nil {
		return t
	}
	other := tallyKey{transport: key.transport}
	if len(a.tallies) >= maxTallies {
		for k, t := range a.tallies {
			if k.exporter.IsValid() && t.Records == 0 && t.OptionsRecords == 0 {
				o := a.other(tallyKey{transport: k.transport})
				o.merge(&t.tallyCounts)
				o.written.merge(&t.written)
				delete(a.tallies, k)
			}
		}
		if len(a.tallies) >= maxTallies {
			return a.other(other)
		}
	}
	t := new(tally)
	a.tallies[key] = t
	return t
}

func (a *account) other(key tallyKey) *tally {
	t := a.tallies[key]
	if t == nil {
		t = new(tally)
		a.tallies[key] = t
	}
	return t
}

func (c *tallyCounts) merge(o *tallyCounts) {
	c.Add(&o.Counters)
	c.lost.messages += o.lost.messages
	c.lost.records += o.lost.records
}

// rows gives a row of table exporter_stats for each tally that has changed
// since the last call.
func (a *account) rows(now time.Time, interval time.Duration, collector string) []schema.ExporterStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	var rows []schema.ExporterStats
	for k, t := range a.tallies {
		d := subtract(&t.Counters, &t.written.Counters)
		lost := loss{t.lost.messages - t.written.lost.messages, t.lost.records - t.written.lost.records}
		if d == (ipfix.Counters{}) && lost == (loss{}) {
			continue
		}
		t.written = t.tallyCounts
		row := schema.ExporterStats{
			Time: now.UnixMilli(), Interval: uint32(interval.Milliseconds()), Collector: collector,
			Domain: k.domain, Transport: k.transport.String(), Name: cmp.Or(t.name, t.software),
			Messages: d.Messages, Bytes: d.Bytes, Records: d.Records, OptionsRecords: d.OptionsRecords,
			LostMessages: lost.messages, LostRecords: lost.records,
			Duplicates: d.Duplicates, Reordered: d.Reordered, Restarts: d.Restarts,
			Templates: d.Templates, LateRecords: d.LateRecords,
			NoTemplate: d.NoTemplateSets, Waiting: uint64(t.waiting), Errors: errorsIn(&d),
			Sampling: t.sampling, ClockSkew: -t.skew / 1000, LastExport: t.lastExport / 1000,
		}
		if k.exporter.IsValid() {
			row.Exporter = schema.Addr16(k.exporter)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b schema.ExporterStats) int {
		return cmp.Or(slices.Compare(a.Exporter[:], b.Exporter[:]), cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Domain, b.Domain))
	})
	return rows
}

// errorsIn adds up what could not be used. Data without a template has a count of
// its own, and records that are not flows, or have an odd time, are no errors.
func errorsIn(c *ipfix.Counters) (n uint64) {
	for r, count := range c.Errors {
		switch ipfix.Reason(r) {
		case ipfix.ReasonNoTemplate, ipfix.ReasonNotFlow, ipfix.ReasonImplausibleTime:
		default:
			n += count
		}
	}
	return n
}

// subtract gives a less b. Where a counter has gone back it gives zero.
func subtract(a, b *ipfix.Counters) ipfix.Counters {
	less := func(a, b uint64) uint64 { return a - min(a, b) }
	d := ipfix.Counters{
		Messages:          less(a.Messages, b.Messages),
		Bytes:             less(a.Bytes, b.Bytes),
		Records:           less(a.Records, b.Records),
		Flows:             less(a.Flows, b.Flows),
		OptionsRecords:    less(a.OptionsRecords, b.OptionsRecords),
		LateRecords:       less(a.LateRecords, b.LateRecords),
		Templates:         less(a.Templates, b.Templates),
		WaitedSets:        less(a.WaitedSets, b.WaitedSets),
		RecoveredSets:     less(a.RecoveredSets, b.RecoveredSets),
		NoTemplateSets:    less(a.NoTemplateSets, b.NoTemplateSets),
		NoTemplateBytes:   less(a.NoTemplateBytes, b.NoTemplateBytes),
		NoTemplateRecords: less(a.NoTemplateRecords, b.NoTemplateRecords),
		MissedMessages:    less(a.MissedMessages, b.MissedMessages),
		MissedRecords:     less(a.MissedRecords, b.MissedRecords),
		FilledMessages:    less(a.FilledMessages, b.FilledMessages),
		FilledRecords:     less(a.FilledRecords, b.FilledRecords),
		Duplicates:        less(a.Duplicates, b.Duplicates),
		Reordered:         less(a.Reordered, b.Reordered),
		Restarts:          less(a.Restarts, b.Restarts),
	}
	for i := range d.Errors {
		d.Errors[i] = less(a.Errors[i], b.Errors[i])
	}
	return d
}
