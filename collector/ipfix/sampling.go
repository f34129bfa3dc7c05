package ipfix

import (
	"math"
	"net/netip"
	"sync"
	"sync/atomic"

	"cordon/schema"
)

// sampling gathers what a record says of how packets were selected: elements of
// RFC 5477, those for flows of RFC 7014, and the older ones of NetFlow that RFC
// 7270 lists.
type sampling struct {
	interval                uint32 // one in interval
	packets, space          uint32 // packets, or flows, in a row taken, then space left out
	open, shut              uint32 // time that packets are taken, then not
	size, population        uint32 // size of every population
	probability             float64
	sampler, selector       uint64
	hasSampler, hasSelector bool
}

func (s *sampling) take(t target, v uint64, n int) {
	u := uint32(min(v, math.MaxUint32))
	switch t {
	case toSamplingRate:
		s.interval = u
	case toSamplingPackets:
		s.packets = u
	case toSamplingSpace:
		s.space = u
	case toSamplingTime:
		s.open = u
	case toSamplingTimeSpace:
		s.shut = u
	case toSamplingSize:
		s.size = u
	case toSamplingPopulation:
		s.population = u
	case toSamplingProbability:
		if n == 4 {
			s.probability = float64(math.Float32frombits(uint32(v)))
		} else {
			s.probability = math.Float64frombits(v)
		}
	case toSampler:
		s.sampler, s.hasSampler = v, true
	case toSelector:
		s.selector, s.hasSelector = v, true
	}
}

// rate is how many packets stand behind one that was looked at, rounded, or
// zero where that is not said.
func (s *sampling) rate() uint32 {
	switch {
	case s.interval > 0:
		return min(s.interval, maxRate)
	case s.packets > 0:
		return share(uint64(s.packets), uint64(s.packets)+uint64(s.space))
	case s.size > 0 && s.population >= s.size:
		return share(uint64(s.size), uint64(s.population))
	case s.probability > 0 && s.probability <= 1:
		return uint32(min(math.Round(1/s.probability), maxRate))
	case s.open > 0:
		return share(uint64(s.open), uint64(s.open)+uint64(s.shut))
	}
	return 0
}

// maxRate is the coarsest rate; what is above stands for an unknown one.
const maxRate = schema.SamplingUnknown - 1

// share gives one in how many it is if part of whole is taken, rounded.
func share(part, whole uint64) uint32 {
	return uint32(min((whole+part/2)/part, maxRate))
}

// rateKey names what a sampling rate in options data belongs to.
type rateKey struct {
	Kind rateKind `json:"kind"`
	ID   uint64   `json:"id"`
	// Scoped says that the rate is that of another observation domain than
	// the one that announced it.
	Scoped bool   `json:"scoped,omitempty"`
	Domain uint32 `json:"domain,omitempty"`
	// Exporter is whose rate it is where the options data says so.
	Exporter netip.Addr `json:"exporter,omitzero"`
}

type rateKind uint8

// What a rate can belong to. The numbers stand in files of templates.
const (
	byDomain    rateKind = iota // all of the exporter or domain
	bySampler                   // samplerId (48)
	bySelector                  // selectorId (302), the newer name of the same
	byInterface                 // ingressInterface (10) or egressInterface (14)
	byTemplate                  // templateId (145)
	byOther                     // a scope that no record names, such as meteringProcessId (143)
	numRateKinds
)

// announced is a sampling rate of options data.
type announced struct {
	rateKey
	rate uint32
}

// announcements are the sampling rates that one address has announced, from
// whichever port and in whichever observation domain. Exporters exist that send
// options data from another port than flow records, or in another domain.
//
// Its lock is taken while that of a source is held; it takes no other.
type announcements struct {
	users int           // sources; guarded by Decoder.mu
	gen   atomic.Uint64 // counts changes
	mu    sync.Mutex
	of    map[*domain][]announced
}

// publish makes known to the other sources of the address what a domain has
// announced.
func (a *announcements) publish(d *domain) {
	list := make([]announced, 0, len(d.options.rates))
	for k, rate := range d.options.rates {
		list = append(list, announced{k, rate})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[*domain][]announced)
	}
	a.of[d] = list
	a.gen.Add(1)
}

// withdraw forgets what a source has announced.
func (a *announcements) withdraw(s *source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range s.domains {
		if _, ok := a.of[d]; ok {
			delete(a.of, d)
			a.gen.Add(1)
		}
	}
}

// How close an announcement is to a record, closest first.
const (
	tierOwn     = iota // said of the domain, from where its records come
	tierPort           // said of the domain, from another port or connection
	tierGeneral        // said of the exporter, in domain 0 (RFC 7011, section 3.1)
	tierDomain         // said in another domain, or about one that the source does not have
	tiers
)

// resolver finds the sampling rates of the records of one domain.
type resolver struct {
	gen   uint64 // counts announcements
	built bool
	tiers [tiers][]announced
	// plain says that all records that name no sampler have the same rate.
	plain bool
	rate  uint32
	cache *[rateCache]cachedRate
}

const rateCache = 64

// asked is what of a record decides its rate.
type asked struct {
	sampler, selector uint64 // zero where not named
	inIf, outIf       uint32
	template          uint16
	direction         schema.FlowDirection
	exporter          [16]byte // the exporter that a mediator names
}

type cachedRate struct {
	asked
	ok   bool
	rate uint32
}

// resolver gives the resolver of the domain, up to date.
func (d *domain) resolver() *resolver {
	r := &d.rates
	if a := d.source.announcements; !r.built || r.gen != a.gen.Load() {
		r.build(d, a)
	}
	return r
}

func (r *resolver) build(d *domain, a *announcements) {
	for i := range r.tiers {
		r.tiers[i] = r.tiers[i][:0]
	}
	r.plain = true
	a.mu.Lock()
	r.gen = a.gen.Load()
	for from, list := range a.of {
		for _, x := range list {
			tier := tierOf(d, from, &x)
			if tier < 0 {
				continue
			}
			if x.Kind == byTemplate && tier != tierOwn {
				continue // template ids are those of a domain and a session
			}
			if x.Kind == byInterface || x.Kind == byTemplate || x.Exporter.IsValid() {
				r.plain = false
			}
			r.tiers[tier] = append(r.tiers[tier], x)
		}
	}
	a.mu.Unlock()
	r.built = true
	r.rate = r.find(&asked{})
	if r.cache != nil {
		*r.cache = [rateCache]cachedRate{}
	}
}

// tierOf says how close announcement x of domain from is to the records of
// domain d, or that it is about others.
func tierOf(d, from *domain, x *announced) int {
	about := from.id
	if x.Scoped {
		about = x.Domain
	}
	switch {
	case about == d.id && from.source == d.source:
		return tierOwn
	case about == d.id:
		return tierPort
	case about == 0:
		return tierGeneral
	case x.Scoped && (from.source != d.source || d.source.domains[x.Domain] != nil):
		return -1
	}
	return tierDomain
}

// of gives the rate of a record that does not say it itself.
func (r *resolver) of(q *asked, charge func(int64) bool) uint32 {
	if r.cache == nil {
		if !charge(rateCache * 72) {
			return r.find(q)
		}
		r.cache = new([rateCache]cachedRate)
	}
	c := &r.cache[(uint64(q.inIf)*31+uint64(q.outIf)*7+q.sampler*5+q.selector*3+uint64(q.template)+uint64(q.exporter[15])*11)%rateCache]
	if !c.ok || c.asked != *q {
		*c = cachedRate{*q, true, r.find(q)}
	}
	return c.rate
}

// find gives the one rate that can be meant. Where several can be, or where the
// record names a sampler of which nothing is known, that is an unknown rate.
// Zero means that nobody has said that the record was sampled.
func (r *resolver) find(q *asked) uint32 {
	for _, tier := range r.tiers {
		if rate := named(tier, q); rate != 0 {
			return rate
		}
	}
	for _, tier := range r.tiers {
		if rate := implied(tier, q); rate != 0 {
			return rate
		}
	}
	if q.sampler|q.selector != 0 {
		return schema.SamplingUnknown
	}
	return 0
}

// agree is the rate on which all that are added agree.
type agree uint32

func (a *agree) add(rate uint32) {
	switch {
	case *a == 0:
		*a = agree(rate)
	case *a != agree(rate):
		*a = schema.SamplingUnknown
	}
}

// about reports whether an announcement can be about the exporter of a record.
func (x *announced) about(q *asked) bool {
	return q.exporter == [16]byte{} || !x.Exporter.IsValid() || x.Exporter.As16() == q.exporter
}

// named gives the rate of the sampler that the record names.
func named(list []announced, q *asked) uint32 {
	if q.sampler|q.selector == 0 {
		return 0
	}
	var same, other agree
	for i := range list {
		x := &list[i]
		if x.ID == 0 || !x.about(q) {
			continue
		}
		switch {
		case x.Kind == bySampler && x.ID == q.sampler, x.Kind == bySelector && x.ID == q.selector:
			same.add(x.rate)
		case x.Kind == bySampler && x.ID == q.selector, x.Kind == bySelector && x.ID == q.sampler:
			other.add(x.rate)
		}
	}
	if same != 0 {
		return uint32(same)
	}
	return uint32(other)
}

// implied gives the rate of a record by its interfaces, by its template, by its
// domain, or because there is no other.
func implied(list []announced, q *asked) uint32 {
	var in, out, template, domain, any agree
	for i := range list {
		x := &list[i]
		if !x.about(q) {
			continue
		}
		switch x.Kind {
		case byInterface:
			if q.inIf|q.outIf == 0 {
				any.add(x.rate)
			}
			if x.ID != 0 && x.ID == uint64(q.inIf) {
				in.add(x.rate)
			}
			if x.ID != 0 && x.ID == uint64(q.outIf) {
				out.add(x.rate)
			}
		case byTemplate:
			if x.ID == uint64(q.template) {
				template.add(x.rate)
			}
		case byDomain:
			domain.add(x.rate)
		default:
			if q.sampler|q.selector == 0 {
				any.add(x.rate)
			}
		}
	}
	switch {
	case in == 0 || out != 0 && q.direction == schema.Egress:
		in = out
	case out != 0 && q.direction == schema.FlowDirectionUnknown:
		in.add(uint32(out))
	}
	for _, rate := range []agree{in, template, domain, any} {
		if rate != 0 {
			return uint32(rate)
		}
	}
	return 0
}
