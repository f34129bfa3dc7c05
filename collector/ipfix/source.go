package ipfix

import (
	"bytes"
	"cmp"
	"sync"
	"sync/atomic"

	"cordon/schema"
)

// source is the state of one source.
type source struct {
	decoder  *Decoder
	key      Source
	exporter [16]byte

	announcements *announcements // shared by the sources of one address
	mediates      bool           // its word about the exporters of its records is believed

	lastUsed atomic.Int64 // arrival of its last message
	useful   atomic.Bool  // it has sent records that could be decoded
	evicted  atomic.Bool  // no longer in the Decoder; to be closed

	mu        sync.Mutex // guards all below
	closed    bool
	work      decoding
	domains   map[uint32]*domain
	lastUsedD *domain
	templates int
	state     int64     // bytes, also in Decoder.state
	queue     []waiting // data before its template, oldest first
	queued    int64     // bytes, also in Decoder.waiting
	counters  Counters  // counts of messages that belong to no domain
}

// domain is the state of an observation domain of a source.
type domain struct {
	id        uint32
	source    *source
	templates map[uint16]*template
	refused   map[uint16]struct{} // ids whose last definition could not be used
	last      *template           // the one used last
	options   options
	rates     resolver
	applied   uint32 // coarsest sampling of a record
	passedOn  passedOn
	missing   map[uint16]struct{} // templates that data has come without, a few of them
	initBound int64               // upper bound of when the exporter started, see uptimes
	sequence  sequence
	software  software
	counters  Counters

	lastMessage int64 // Unix microseconds
	lastExport  int64 // Unix seconds, as in the header
}

// domainOverhead is about what the state of a domain takes.
const domainOverhead = 4096

// waiting is a data set that came before its template.
type waiting struct {
	domain *domain
	id     uint16
	context
	body []byte
}

// waitingOverhead is about what a waiting set takes besides its bytes.
const waitingOverhead = 96

func newSource(d *Decoder, key Source) *source {
	s := &source{decoder: d, key: key, domains: make(map[uint32]*domain)}
	if key.Addr.IsValid() {
		s.exporter = schema.Addr16(key.Addr.Addr())
	}
	s.work.decoder, s.work.source = d, s
	s.announcements = d.announcementsOf(key)
	s.mediates = !key.Addr.IsValid() || d.mediator != nil && d.mediator(key.Addr.Addr())
	return s
}

// domain finds the state of an observation domain, or makes it.
func (s *source) domain(id uint32) (*domain, bool) {
	if d := s.lastUsedD; d != nil && d.id == id {
		return d, true
	}
	d := s.domains[id]
	if d == nil {
		if len(s.domains) >= s.decoder.cfg.MaxDomains || !s.charge(domainOverhead) {
			return nil, false
		}
		d = &domain{id: id, source: s, templates: make(map[uint16]*template)}
		d.options.charge = s.charge
		s.domains[id] = d
		s.announcements.gen.Add(1) // an announcement about an unknown domain may be about this one
	}
	s.lastUsedD = d
	return d, true
}

// template finds a template by its id.
func (d *domain) template(id uint16) *template {
	if t := d.last; t != nil && t.id == id {
		return t
	}
	t := d.templates[id]
	if t != nil {
		d.last = t
	}
	return t
}

// forget removes a template.
func (s *source) forget(d *domain, t *template) {
	delete(d.templates, t.id)
	d.last = nil
	s.templates--
	s.charge(-t.cost())
	s.decoder.changes.Add(1)
}

// markRefused remembers that the last definition of a template id was refused.
// Where there is no room for that, data of the id waits like any other whose
// template is not known.
func (s *source) markRefused(d *domain, id uint16) {
	if _, ok := d.refused[id]; ok || len(d.refused) >= s.decoder.cfg.MaxTemplates || !s.charge(entryOverhead) {
		return
	}
	if d.refused == nil {
		d.refused = make(map[uint16]struct{})
	}
	d.refused[id] = struct{}{}
	s.decoder.changes.Add(1)
}

// accept forgets that a definition of a template id was refused.
func (s *source) accept(d *domain, id uint16) {
	delete(d.missing, id)
	if _, ok := d.refused[id]; ok {
		delete(d.refused, id)
		s.charge(-entryOverhead)
	}
}

// charge accounts for n more bytes of state, unless they are more than the
// source may have. Where all sources together have too much, others go.
func (s *source) charge(n int64) bool {
	d := s.decoder
	if n > 0 {
		if s.state+n > d.cfg.MaxStateBytes || n > d.cfg.MaxTotalStateBytes {
			return false
		}
		if d.state.Load()+n > d.cfg.MaxTotalStateBytes {
			d.mu.Lock()
			d.evict(s, n)
			d.mu.Unlock()
			if d.state.Load()+n > d.cfg.MaxTotalStateBytes {
				return false
			}
		}
	}
	s.state += n
	d.state.Add(n)
	return true
}

// wait keeps a copy of a data set until its template comes.
func (s *source) wait(x *decoding, id uint16, body []byte) {
	d, c := s.decoder, &x.domain.counters
	x.domain.miss(id)
	n := int64(len(body) + waitingOverhead)
	if s.queued+n > d.cfg.MaxWaitingBytes || d.waiting.Load()+n > d.cfg.MaxTotalWaiting {
		c.lostData(len(body))
		x.problem(ReasonNoTemplate, id, "data for a template that is not known, and no room to keep it until the template comes")
		return
	}
	s.queue = append(s.queue, waiting{x.domain, id, x.context, bytes.Clone(body)})
	s.queued += n
	d.waiting.Add(n)
	c.WaitedSets++
}

// maxMissing is how many templates that are not known are remembered.
const maxMissing = 8

// miss remembers a template that data has come without.
func (d *domain) miss(id uint16) {
	if _, ok := d.missing[id]; ok || len(d.missing) >= maxMissing {
		return
	}
	if d.missing == nil {
		d.missing = make(map[uint16]struct{}, maxMissing)
	}
	d.missing[id] = struct{}{}
}

// lostData counts a data set that could not be decoded for want of a template.
func (c *Counters) lostData(n int) {
	c.Errors[ReasonNoTemplate]++
	c.NoTemplateSets++
	c.NoTemplateBytes += uint64(n)
}

// drop takes the waiting sets for which gone says so out of the queue.
func (s *source) drop(gone func(*waiting) bool) {
	kept := s.queue[:0]
	for i := range s.queue {
		w := &s.queue[i]
		if !gone(w) {
			kept = append(kept, *w)
			continue
		}
		n := int64(len(w.body) + waitingOverhead)
		s.queued -= n
		s.decoder.waiting.Add(-n)
	}
	clear(s.queue[len(kept):])
	s.queue = kept
	if len(kept) == 0 {
		s.queue = nil
	}
}

// release decodes what has waited for template id, each set with the times of
// the message that it came in.
func (s *source) release(x *decoding, id uint16) {
	if len(s.queue) == 0 {
		return
	}
	now := x.context
	t := x.domain.templates[id]
	s.drop(func(w *waiting) bool {
		if w.domain != x.domain || w.id != id {
			return false
		}
		x.context = w.context
		x.records(t, w.body, true)
		x.domain.counters.RecoveredSets++
		return true
	})
	x.context = now
}

// expire drops data that has waited too long.
func (s *source) expire(now int64) {
	if len(s.queue) == 0 || now-s.queue[0].received <= s.decoder.waitFor {
		return
	}
	s.drop(func(w *waiting) bool {
		if now-w.received <= s.decoder.waitFor {
			return false
		}
		w.domain.counters.lostData(len(w.body))
		return true
	})
}

// expireTemplates drops templates that were not announced for too long, and the
// sampling rates of a source that has been silent for as long: an exporter that
// restarts has another port, and perhaps another rate.
func (s *source) expireTemplates(now int64) {
	if s.key.Transport != UDP {
		return
	}
	if now-s.lastUsed.Load() > s.decoder.lifetime {
		s.announcements.withdraw(s)
		for _, d := range s.domains {
			s.charge(-entryOverhead * int64(len(d.options.rates)))
			d.options.rates = nil
		}
	}
	for _, d := range s.domains {
		for _, t := range d.templates {
			if now-t.seen > s.decoder.lifetime {
				s.forget(d, t)
			}
		}
	}
}

// close ends the life of the source, gives back its memory, and returns what
// it counted. The caller holds s.mu.
func (s *source) close() Counters {
	s.abandon()
	s.announcements.withdraw(s)
	c := s.total()
	s.closed = true
	s.decoder.state.Add(-s.state)
	s.state = 0
	s.domains, s.lastUsedD = nil, nil
	return c
}

// abandon gives up all data that waits for a template.
func (s *source) abandon() {
	s.drop(func(w *waiting) bool {
		w.domain.counters.lostData(len(w.body))
		return true
	})
}

// settle closes a source that was evicted while it was in use.
func (s *source) settle() {
	if !s.evicted.Load() || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	total := s.close()
	d := s.decoder
	d.mu.Lock()
	d.gone.Add(&total)
	d.mu.Unlock()
}

// software is a guess at what exporter a domain has, with the strength of the
// evidence.
type software struct {
	name     string
	strength int
}

// enterprises are exporters that their enterprise numbers give away.
var enterprises = map[uint32]string{
	9: "Cisco", 637: "Nokia", 2011: "Huawei", 2636: "Juniper", 3054: "Ixia",
	5951: "NetScaler", 6871: "YAF or libfixbuf", 8057: "ipfixprobe", 8741: "SonicWall",
	10704: "Barracuda", 12356: "Fortinet", 15397: "Procera", 25461: "Palo Alto",
	26866: "Gigamon", 30065: "Arista", 35632: "nProbe", 39499: "ipfixprobe",
	41916: "Viptela", 56506: "go-ipfix", penVMware: "VMware",
}

// recognise guesses the exporter from a template.
func (d *domain) recognise(t *template) {
	guess := func(name string, strength int) {
		if cmp.Compare(strength, d.software.strength) > 0 {
			d.software = software{name, strength}
		}
	}
	ids := func(want ...uint16) bool {
		if len(t.fields) < len(want) {
			return false
		}
		for i, id := range want {
			if t.fields[i].elementID != (elementID{penIANA, id}) {
				return false
			}
		}
		return true
	}
	switch {
	case t.scope == 1 && (ids(143, 160, 305, 306, 304) || ids(143, 160, 304, 305, 306)):
		guess("softflowd", 3)
		d.sequence.assume(numberedAfter)
	case t.id >= 1024 && ids(153, 152, 1, 2, 60, 10, 14, 61):
		guess("pmacct nfprobe", 2)
	}
	for _, f := range t.fields {
		if f.pen == penVMware && f.id >= 891 && f.id <= 900 {
			guess("Open vSwitch", 2)
		}
		if name, ok := enterprises[f.pen]; ok {
			guess(name, 1)
		}
	}
}
