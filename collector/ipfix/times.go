package ipfix

import "math"

const (
	second = int64(1e6) // one second in microseconds
	day    = 24 * 3600 * second
	year   = 365 * day

	// ntpToUnix is the number of seconds from 1900, where NTP format
	// begins, to 1970.
	ntpToUnix = 2208988800
)

// maxTime leaves room to add without overflow.
const maxTime = math.MaxInt64 / 4

// fromUnix scales a time to microseconds, and stops at maxTime.
func fromUnix(v uint64, scale int64) int64 {
	if v > uint64(maxTime/scale) {
		return maxTime
	}
	return int64(v) * scale
}

// before is delta microseconds before t, and never before 1970.
func before(t int64, delta uint64) int64 {
	if delta > uint64(t) {
		return 0
	}
	return t - int64(delta)
}

// fromNTPMicros reads a dateTimeMicroseconds (RFC 7011, section 6.1.9): NTP
// format whose fraction has 21 good bits. Rounding gives back the microsecond
// that was encoded.
func fromNTPMicros(v uint64, near int64) int64 {
	return fromNTP(v&^0x7ff, v, near, 1)
}

// fromNTPNanos reads a dateTimeNanoseconds (RFC 7011, section 6.1.10).
func fromNTPNanos(v uint64, near int64) int64 {
	return fromNTP(v, v, near, 1000)
}

// fromNTP reads a time in NTP format, in the era nearest to near. Exporters
// exist that send Unix time instead, in perMicro units a microsecond: where
// only that reading is within a year of near, it is the one.
func fromNTP(v, raw uint64, near int64, perMicro uint64) int64 {
	if raw == 0 {
		return 0
	}
	sec := near / second
	sec += int64(int32(uint32(v>>32) - ntpToUnix - uint32(sec)))
	t := sec*second + int64((v&math.MaxUint32*1e6+1<<31)>>32)
	if d := t - near; d > year || d < -year {
		u := raw / perMicro
		if u > uint64(max(0, near-year)) && u < uint64(near+year) {
			return int64(u)
		}
	}
	return max(0, t)
}

// times puts the start and end of the record in order. Without a time of its
// own a record happened when it was exported; with one of the two, that one
// is both. An end before the start means that they were swapped. A flow that
// ended after it was exported is moved to end then.
func (x *decoding) times(p *plan) {
	r := x.rec
	if r.Start == 0 || r.End == 0 {
		switch {
		case r.Start != 0:
			r.End = r.Start
		case r.End != 0:
			r.Start = r.End
		default:
			r.Start, r.End = x.export, x.export
		}
	}
	if r.Start > r.End {
		r.Start, r.End = r.End, r.Start
	}
	limit := x.limit
	if p.needs&(needStartUptime|needEndUptime) != 0 {
		// An uptime that the exporter has not reached yet: it reads
		// a capture older than itself, or its clock was set.
		limit = x.export + maxActive
	}
	if r.End > limit {
		x.count(ReasonImplausibleTime, 1)
		r.Start = x.export - min(r.End-r.Start, day)
		r.End = x.export
	}
	if r.End < x.late {
		x.domain.counters.LateRecords++
	}
}

// maxActive is longer than any active timeout in use: within it the end of a
// reported flow lies before its export.
const maxActive = 3600 * second

// lateAfter is how long after its end a flow may be received. A flow is reported
// an inactive timeout after its end, which is seconds or minutes, and a busy
// exporter or path takes minutes more: past this bound, a proposal may have
// been made without it.
const lateAfter = maxActive

// uptimes turns flowStartSysUpTime and flowEndSysUpTime, milliseconds since
// the exporter started, into times. When it started is said by the record, by
// options data, or, failing both, taken from the records themselves: a flow
// ended before it was exported, so the exporter started no later than export
// time less flowEndSysUpTime, and the smallest such bound is closest.
func (x *decoding) uptimes(p *plan) {
	r, s, d := x.rec, &x.scratch, x.domain
	init := s.systemInit * 1000
	if init == 0 {
		init = d.options.SystemInit * 1000
	}
	startUp, endUp := int64(s.startUptime)*1000, int64(s.endUptime)*1000
	if init == 0 {
		latest := max(startUp, endUp)
		bound := x.export - latest
		if d.initBound == 0 || bound < d.initBound || bound > d.initBound+maxActive {
			// Later by more than that: the exporter restarted, or
			// its 32 bits of milliseconds rolled over.
			d.initBound = bound
		}
		init = d.initBound
	} else {
		// After 49.7 days the counter starts over.
		const rollover = (1 << 32) * 1000
		if behind := x.export - (init + max(startUp, endUp)); behind > rollover/2 {
			init += (behind + rollover/2) / rollover * rollover
		}
	}
	if p.needs&needStartUptime != 0 {
		r.Start = max(1, init+startUp)
	}
	if p.needs&needEndUptime != 0 {
		r.End = max(1, init+endUp)
	}
}
