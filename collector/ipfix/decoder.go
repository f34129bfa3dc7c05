package ipfix

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cordon/schema"
)

// Config bounds what a [Decoder] keeps. Zero fields take the values of
// [DefaultConfig].
type Config struct {
	// TemplateLifetime is how long a template of a UDP source is good for
	// after it was last announced. Exporters repeat templates every few
	// minutes to once an hour.
	TemplateLifetime time.Duration
	// WaitFor is how long data is kept that came before its template.
	WaitFor time.Duration

	MaxSources   int // sources; beyond, the one that was silent longest is forgotten
	MaxDomains   int // observation domains of one source
	MaxTemplates int // templates of one source
	MaxFields    int // fields of one template

	MaxStateBytes      int64 // templates and options data of one source
	MaxTotalStateBytes int64 // bound of all sources; beyond it, sources are forgotten as above
	MaxWaitingBytes    int64 // data before its template, of one source
	MaxTotalWaiting    int64 // bound of all sources
}

// DefaultConfig gives the bounds for a collector of some thousand exporters.
func DefaultConfig() Config {
	return Config{
		TemplateLifetime:   24 * time.Hour,
		WaitFor:            30 * time.Second,
		MaxSources:         8192,
		MaxDomains:         256,
		MaxTemplates:       4096,
		MaxFields:          1024,
		MaxStateBytes:      8 << 20,
		MaxTotalStateBytes: 256 << 20,
		MaxWaitingBytes:    1 << 20,
		MaxTotalWaiting:    64 << 20,
	}
}

func (c Config) withDefaults() Config {
	def := DefaultConfig()
	c.TemplateLifetime = cmp.Or(c.TemplateLifetime, def.TemplateLifetime)
	c.WaitFor = cmp.Or(c.WaitFor, def.WaitFor)
	c.MaxSources = cmp.Or(c.MaxSources, def.MaxSources)
	c.MaxDomains = cmp.Or(c.MaxDomains, def.MaxDomains)
	c.MaxTemplates = cmp.Or(c.MaxTemplates, def.MaxTemplates)
	c.MaxFields = cmp.Or(c.MaxFields, def.MaxFields)
	c.MaxStateBytes = cmp.Or(c.MaxStateBytes, def.MaxStateBytes)
	c.MaxTotalStateBytes = cmp.Or(c.MaxTotalStateBytes, def.MaxTotalStateBytes)
	c.MaxWaitingBytes = cmp.Or(c.MaxWaitingBytes, def.MaxWaitingBytes)
	c.MaxTotalWaiting = cmp.Or(c.MaxTotalWaiting, def.MaxTotalWaiting)
	return c
}

// Sink takes flow records. The record is valid until Append returns.
// [schema.Batch] is a Sink.
type Sink interface {
	Append(*schema.Record)
}

// Decoder decodes the messages of any number of sources. Its methods may be
// called from several goroutines: messages of different sources are decoded
// at the same time, those of one source one after the other.
//
// Locks: a goroutine that holds the lock of a source may take that of the
// Decoder, never the other way round.
type Decoder struct {
	cfg               Config
	lifetime, waitFor int64 // microseconds

	mediator func(netip.Addr) bool // nil: none

	mu      sync.RWMutex
	sources map[Source]*source
	byAddr  map[netip.Addr]*announcements
	gone    Counters // counts of sources that are no longer known
	evicted uint64

	changes atomic.Uint64 // counts templates that are new, refused, withdrawn or expired
	state   atomic.Int64  // bytes of templates and options data
	waiting atomic.Int64  // bytes of data before its template
}

// New makes a Decoder.
func New(cfg Config) *Decoder {
	cfg = cfg.withDefaults()
	return &Decoder{
		cfg:      cfg,
		lifetime: cfg.TemplateLifetime.Microseconds(),
		waitFor:  cfg.WaitFor.Microseconds(),
		sources:  make(map[Source]*source),
		byAddr:   make(map[netip.Addr]*announcements),
	}
}

// Trust says which senders are mediators (RFC 6183), whose records may name the
// exporter that they come from: exporterIPv4Address and exporterIPv6Address (130,
// 131), originalExporterIPv4Address and originalExporterIPv6Address (403, 404) and
// originalObservationDomainId (405). Sources without an address, as files, may
// always. It is to be called before the first message.
func (d *Decoder) Trust(mediator func(netip.Addr) bool) { d.mediator = mediator }

// Message decodes the message, or datagram, msg that src sent and that
// arrived at received (Unix microseconds), and gives its flow records to sink,
// with those that waited for a template in it. msg is not kept.
//
// The error, always an [*Error], describes the first problem; the rest of the
// message was decoded all the same as far as it goes. Every problem is
// counted in [Stats].
func (d *Decoder) Message(src Source, msg []byte, received int64, sink Sink) error {
	s := d.lock(src, received)
	x := &s.work
	x.sink, x.received, x.err = sink, received, nil
	s.expire(received)
	x.datagram(msg)
	err := x.err
	x.sink, x.err, x.domain = nil, nil, nil
	s.mu.Unlock()
	s.settle()
	if err != nil {
		return err
	}
	return nil
}

// Refuse counts what a source sent and no message could be made of, such as a
// stream that is not IPFIX. received is in Unix microseconds.
func (d *Decoder) Refuse(src Source, r Reason, received int64) {
	s := d.lock(src, received)
	s.counters.Errors[r]++
	s.mu.Unlock()
	s.settle()
}

// EndSession forgets a TCP or TLS session, or a file, and returns its final
// statistics. Data that still waits for its template is counted as lost.
func (d *Decoder) EndSession(src Source) SourceStats {
	d.mu.Lock()
	s := d.sources[src]
	d.remove(s)
	d.mu.Unlock()
	if s == nil {
		return SourceStats{Source: src}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandon()
	final := s.stats()
	total := s.close()
	d.mu.Lock()
	d.gone.Add(&total)
	d.mu.Unlock()
	return final
}

// Expire drops data that has waited for its template too long and templates
// of UDP sources that are out of date, as of now (Unix microseconds). It is to
// be called every few seconds, for sources that send nothing more.
func (d *Decoder) Expire(now int64) {
	for _, s := range d.all() {
		s.mu.Lock()
		s.expire(now)
		s.expireTemplates(now)
		s.mu.Unlock()
		s.settle()
	}
}

// Changes counts changes of templates: what [Decoder.Save] would write differs
// from the last time in more than ages if this does.
func (d *Decoder) Changes() uint64 { return d.changes.Load() }

// remove takes a source, if there is one, out of the maps. The caller holds d.mu.
func (d *Decoder) remove(s *source) {
	if s == nil {
		return
	}
	delete(d.sources, s.key)
	if s.announcements.users--; s.announcements.users == 0 {
		delete(d.byAddr, s.key.Addr.Addr())
	}
}

// announcementsOf gives what the sources of one address share. The caller holds
// d.mu.
func (d *Decoder) announcementsOf(key Source) *announcements {
	if !key.Addr.IsValid() {
		return &announcements{users: 1}
	}
	a := d.byAddr[key.Addr.Addr()]
	if a == nil {
		a = new(announcements)
		d.byAddr[key.Addr.Addr()] = a
	}
	a.users++
	return a
}

// Foretell makes known the sampling rates that another Decoder has learned of the
// same sources. Whoever reads a file can look ahead that way: exporters announce
// rates after their first records as well as before.
func (d *Decoder) Foretell(from *Decoder) {
	for _, known := range from.all() {
		known.mu.Lock()
		for _, dom := range known.domains {
			if len(dom.options.rates) == 0 || known.closed {
				continue
			}
			s := d.lock(known.key, known.lastUsed.Load())
			if to, ok := s.domain(dom.id); ok {
				for k, rate := range dom.options.rates {
					put(&to.options, &to.options.rates, k, rate, 0)
				}
				s.announcements.publish(to)
			}
			s.mu.Unlock()
		}
		known.mu.Unlock()
	}
}

// all lists the sources, in no order.
func (d *Decoder) all() []*source {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Collect(maps.Values(d.sources))
}

// lock finds the state of a source, or makes it, and locks it.
func (d *Decoder) lock(key Source, now int64) *source {
	for {
		s := d.source(key, now)
		s.mu.Lock()
		if !s.closed {
			return s
		}
		s.mu.Unlock() // forgotten in between
	}
}

// source finds the state of a source, or makes it.
func (d *Decoder) source(key Source, now int64) *source {
	d.mu.RLock()
	s := d.sources[key]
	d.mu.RUnlock()
	if s == nil {
		d.mu.Lock()
		if s = d.sources[key]; s == nil {
			if len(d.sources) >= d.cfg.MaxSources {
				d.evict(nil, 0)
			}
			s = newSource(d, key)
			d.sources[key] = s
		}
		d.mu.Unlock()
	}
	s.lastUsed.Store(now)
	return s
}

// evict forgets sources until one in eight is gone and the memory of the rest
// leaves need bytes free: first those that have never sent a record, since
// they may be forged, then those that were silent longest. It spares keep.
// The caller holds d.mu.
func (d *Decoder) evict(keep *source, need int64) {
	type candidate struct {
		*source
		useful bool
		last   int64
	}
	var all []candidate
	for _, s := range d.sources {
		if s != keep {
			all = append(all, candidate{s, s.useful.Load(), s.lastUsed.Load()})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.useful != b.useful {
			if b.useful {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.last, b.last)
	})
	enough := len(all)/8 + 1
	for i, c := range all {
		if i >= enough && d.state.Load()+need <= d.cfg.MaxTotalStateBytes {
			return
		}
		d.remove(c.source)
		d.evicted++
		c.evicted.Store(true)
		if c.mu.TryLock() {
			if !c.closed {
				total := c.close()
				d.gone.Add(&total)
			}
			c.mu.Unlock()
		} // whoever has the lock does it otherwise, see settle
	}
}
