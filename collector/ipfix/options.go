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

// selectorKey names what a sampling rate belongs to.
type selectorKey struct {
	Kind selectorKind `json:"kind"`
	ID   uint64       `json:"id"`
}

type selectorKind uint8

const (
	byDomain    selectorKind = iota // all of the exporter or domain
	bySampler                       // samplerId (48)
	bySelector                      // selectorId (302)
	byInterface                     // ingressInterface (10)
)

// options is what options data has told about an observation domain.
type options struct {
	SystemInit int64 // systemInitTimeMilliseconds (160); 0 unknown

	exporter   [16]byte // exporterIPv4Address or exporterIPv6Address
	name       string   // observationDomainName (300)
	rates      map[selectorKey]uint32
	vrfs       map[uint32]string
	unnamed    map[uint32]string // VRFs that have no name so far
	interfaces map[uint32]string
	elements   map[elementID]string // names by RFC 5610
	names      map[string]string    // VRF names in use, so that records share them

	charge func(int64) bool // accounts for memory, see source.charge
}

func (o *options) hasSampling() bool { return len(o.rates) > 0 }

// rateOf finds the sampling rate that options data gives for a record.
func (o *options) rateOf(s *sampling, inIf uint32) uint32 {
	if s.hasSampler {
		if r := o.rates[selectorKey{bySampler, s.sampler}]; r != 0 {
			return r
		}
	}
	if s.hasSelector {
		if r := o.rates[selectorKey{bySelector, s.selector}]; r != 0 {
			return r
		}
	}
	if inIf != 0 {
		if r := o.rates[selectorKey{byInterface, uint64(inIf)}]; r != 0 {
			return r
		}
	}
	return o.rates[selectorKey{byDomain, 0}]
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
func put[K comparable, V any](o *options, m *map[K]V, k K, v V, size int) {
	if *m == nil {
		*m = make(map[K]V)
	}
	if _, ok := (*m)[k]; !ok && (len(*m) >= maxOptionEntries || !o.charge(int64(size)+entryOverhead)) {
		return
	}
	(*m)[k] = v
}

// optionsRecord is one options data record, as far as it is of use.
type optionsRecord struct {
	domain     uint32 // observationDomainId (149)
	hasDomain  bool
	systemInit int64
	exporter   [16]byte
	sampling   sampling
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

// take reads one field.
func (r *optionsRecord) take(id elementID, b []byte) {
	if id.pen != penIANA || len(b) == 0 {
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
	case 34, 50, 305, 306, 309, 310, 311, 48, 302:
		if len(b) <= 8 {
			r.sampling.take(elements[id].target, v, len(b))
		}
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

// learn adds what an options record tells.
func (o *options) learn(r *optionsRecord) {
	if r.systemInit > 0 && r.systemInit < maxSystemInit {
		o.SystemInit = r.systemInit
	}
	if r.exporter != ([16]byte{}) && schema.Addr(r.exporter).IsValid() {
		o.exporter = r.exporter
	}
	if r.domainName != "" {
		o.name = r.domainName // at most maxNameLength
	}
	if rate := r.sampling.rate(); rate != 0 {
		k := selectorKey{byDomain, 0}
		switch {
		case r.sampling.hasSampler:
			k = selectorKey{bySampler, r.sampling.sampler}
		case r.sampling.hasSelector:
			k = selectorKey{bySelector, r.sampling.selector}
		case r.ifIndex != 0:
			k = selectorKey{byInterface, r.ifIndex}
		}
		put(o, &o.rates, k, rate, 0)
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
