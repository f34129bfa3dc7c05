package ipfix

import (
	"strconv"

	"cordon/schema"
)

// Bounds of the tables that options data fills, per source and domain.
const (
	maxOptionEntries = 4096
	maxNameLength    = 255
	entryOverhead    = 64 // bytes that an entry takes besides its name

	// maxSystemInit is the year 37648, in milliseconds.
	maxSystemInit = 1 << 50
)

// options is what options data has told about an observation domain.
type options struct {
	SystemInit int64 // systemInitTimeMilliseconds (160); 0 unknown

	exporter   [16]byte           // exporterIPv4Address or exporterIPv6Address
	name       string             // observationDomainName (300)
	rates      map[rateKey]uint32 // sampling rates
	vrfs       map[uint32]string
	unnamed    map[uint32]string // VRFs that have no name so far
	interfaces map[uint32]string
	elements   map[elementID]string // names by RFC 5610
	names      map[string]string    // VRF names in use, so that records share them

	ratesChanged bool // rates changed and are not published yet

	charge func(int64) bool // accounts for memory, see source.charge
}

// intern gives b as a string, the same one each time.
func (o *options) intern(b []byte) string {
	b = text(b)
	if len(b) == 0 {
		return ""
	}
	if s, ok := o.names[string(b)]; ok {
		return s
	}
	s := string(b)
	put(o, &o.names, s, s, len(s))
	return s
}

// vrf names the VRF of an id. One without a name must not mingle with the
// default VRF, whose addresses it may use again.
func (o *options) vrf(id uint32) string {
	if name, ok := o.vrfs[id]; ok {
		return name
	}
	name, ok := o.unnamed[id]
	if !ok {
		name = "vrf-" + strconv.FormatUint(uint64(id), 10)
		put(o, &o.unnamed, id, name, len(name))
	}
	return name
}

// text cuts the padding off a string element.
func text(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	return b[:min(len(b), maxNameLength)]
}

// put sets m[k], unless the table is full or the source has no memory left.
func put[K comparable, V any](o *options, m *map[K]V, k K, v V, size int) bool {
	if *m == nil {
		*m = make(map[K]V)
	}
	if _, ok := (*m)[k]; !ok && (len(*m) >= maxOptionEntries || !o.charge(int64(size)+entryOverhead)) {
		return false
	}
	(*m)[k] = v
	return true
}

// optionsRecord is one options data record, as far as it is of use.
type optionsRecord struct {
	domain     uint32 // observationDomainId (149)
	hasDomain  bool
	systemInit int64
	exporter   [16]byte
	sampling   sampling
	sampled    bool // whether it samples at all, at whatever rate
	hash       hashFilter
	template   uint16 // the scope is that of a template
	other      uint64 // a hash of the rest of the scope
	ifIndex    uint64
	ifName     string
	vrf        uint64
	vrfName    string
	domainName string

	// RFC 5610
	pen         uint32
	elementID   uint16
	elementName string
}

// hashFilter is hash-based filtering (RFC 5475, section 6.2): packets are taken
// whose hash, from outMin to outMax, lies from min to max.
type hashFilter struct {
	outMin, outMax, min, max uint64
}

// rate gives one in how many it is, or zero where that is not said.
func (h *hashFilter) rate() uint32 {
	if h.outMax <= h.outMin || h.max < h.min || h.max == 0 || h.max-h.min > h.outMax-h.outMin {
		return 0
	}
	part, whole := (h.max-h.min)/2+1, (h.outMax-h.outMin)/2+1 // halves, which cannot overflow
	return share(part, whole)
}

// take reads one field.
func (r *optionsRecord) take(id elementID, b []byte, scope bool) {
	if len(b) == 0 {
		return
	}
	if scope {
		r.takeScope(id, b)
	}
	if id.pen != penIANA {
		return
	}
	var v uint64
	if len(b) <= 8 {
		v = uintOf(b)
	}
	switch id.id {
	case 149:
		r.domain, r.hasDomain = uint32(v), true
	case 160:
		r.systemInit = fromUnix(v, 1)
	case 130:
		if len(b) == 4 && v != 0 {
			put4(&r.exporter, b)
		}
	case 131:
		if len(b) == 16 {
			put6(&r.exporter, b)
		}
	case 34, 50, 305, 306, 307, 308, 309, 310, 311, 48, 302, 396, 397, 398, 399:
		if len(b) <= 8 {
			r.sampling.take(samplingElements[id.id], v, len(b))
		}
	case 35, 49: // samplingAlgorithm, samplerMode: 1 deterministic, 2 random
		r.sampled = r.sampled || v == 1 || v == 2
	case 304: // selectorAlgorithm: 5 takes packets by what they are, and so all of a kind
		r.sampled = r.sampled || v >= 1 && v <= 9 && v != 5
	case 390: // flowSelectorAlgorithm (RFC 7014): 1 and 2 systematic, 3 and 4 random, 6 by hash
		r.sampled = r.sampled || v >= 1 && v <= 6 && v != 5
	case 329:
		r.hash.outMin = v
	case 330:
		r.hash.outMax = v
	case 331:
		r.hash.min = v
	case 332:
		r.hash.max = v
	case 10, 14:
		r.ifIndex = v
	case 82:
		r.ifName = string(text(b))
	case 83: // interfaceDescription, where there is no name
		if r.ifName == "" {
			r.ifName = string(text(b))
		}
	case 234, 235:
		r.vrf = v
	case 236:
		r.vrfName = string(text(b))
	case 300:
		r.domainName = string(text(b))
	case 346:
		r.pen = uint32(v)
	case 303:
		r.elementID = uint16(v)
	case 341:
		r.elementName = string(text(b))
	}
}

// samplingElements are the targets of elements that tell a sampling rate.
var samplingElements = map[uint16]target{
	34: toSamplingRate, 50: toSamplingRate,
	305: toSamplingPackets, 306: toSamplingSpace, 307: toSamplingTime, 308: toSamplingTimeSpace,
	309: toSamplingSize, 310: toSamplingPopulation, 311: toSamplingProbability,
	48: toSampler, 302: toSelector,
	// The same for flows (RFC 7014).
	396: toSamplingPackets, 397: toSamplingSpace, 398: toSamplingTime, 399: toSamplingTimeSpace,
}

// takeScope notes what the record is about.
func (r *optionsRecord) takeScope(id elementID, b []byte) {
	if id.pen == penIANA {
		switch id.id {
		case 145:
			r.template = uint16(uintOf(b[max(0, len(b)-8):]))
			return
		case 10, 14, 48, 302, 130, 131, 144, 149, 403, 404:
			// Told by fields of their own, or by what is told of the
			// whole exporter.
			return
		}
	}
	const prime = 1099511628211 // FNV
	h := r.other ^ uint64(id.pen)<<16 ^ uint64(id.id) ^ 14695981039346656037
	for _, c := range b {
		h = (h ^ uint64(c)) * prime
	}
	r.other = h
}

// learnRate adds the sampling rate that an options record of a domain tells.
func (o *options) learnRate(r *optionsRecord, domain uint32) {
	rate := r.sampling.rate()
	if rate == 0 {
		rate = r.hash.rate()
	}
	if rate == 0 && r.sampled {
		rate = schema.SamplingUnknown
	}
	if rate == 0 {
		return
	}
	k := rateKey{Kind: byDomain}
	switch {
	case r.sampling.hasSampler:
		k.Kind, k.ID = bySampler, r.sampling.sampler
	case r.sampling.hasSelector:
		k.Kind, k.ID = bySelector, r.sampling.selector
	case r.ifIndex != 0:
		k.Kind, k.ID = byInterface, r.ifIndex
	case r.template != 0:
		k.Kind, k.ID = byTemplate, uint64(r.template)
	case r.other != 0:
		k.Kind, k.ID = byOther, r.other
	}
	if r.hasDomain && r.domain != domain {
		k.Scoped, k.Domain = true, r.domain
	}
	if r.exporter != ([16]byte{}) {
		k.Exporter = schema.Addr(r.exporter)
	}
	if o.rates[k] != rate {
		o.ratesChanged = put(o, &o.rates, k, rate, 0) || o.ratesChanged
	}
}

// coarsest is the coarsest sampling rate that is announced.
func (o *options) coarsest() (rate uint32) {
	for _, r := range o.rates {
		rate = max(rate, r)
	}
	return rate
}

// learn adds what else an options record tells.
func (o *options) learn(r *optionsRecord) {
	if r.systemInit > 0 && r.systemInit < maxSystemInit {
		o.SystemInit = r.systemInit
	}
	if r.exporter != ([16]byte{}) && schema.Addr(r.exporter).IsValid() {
		o.exporter = r.exporter
	}
	if r.domainName != "" {
		o.name = r.domainName // its length is at most maxNameLength
	}
	if r.ifName != "" && r.ifIndex != 0 && r.ifIndex < 1<<32 {
		put(o, &o.interfaces, uint32(r.ifIndex), r.ifName, maxNameLength)
	}
	if r.vrfName != "" && r.vrf < 1<<32 {
		put(o, &o.vrfs, uint32(r.vrf), o.intern([]byte(r.vrfName)), maxNameLength)
	}
	if r.elementName != "" {
		put(o, &o.elements, elementID{r.pen, r.elementID}, r.elementName, maxNameLength)
	}
}
