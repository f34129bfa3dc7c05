package ipfix

import (
	"encoding/binary"
	"fmt"

	"cordon/schema"
)

// Lengths of headers (RFC 7011, sections 3.1 and 3.3.2).
const (
	messageHeader = 16
	setHeader     = 4
	version       = 10
)

// decoding is the work on one message. Each source has one, and reuses it.
type decoding struct {
	decoder *Decoder
	source  *source
	domain  *domain
	sink    Sink
	context
	record  schema.Record // handed to the sink
	rec     *schema.Record
	scratch scratch
	err     *Error // the first problem

	// Of the set that is decoded.
	template uint16
	rates    *resolver

	// Of the message: data records of flows and of options, and whether
	// there were others that could not be counted.
	flows, options uint32
	uncounted      bool
}

// count counts what could not be used.
func (x *decoding) count(r Reason, n uint64) {
	if x.domain != nil {
		x.domain.counters.Errors[r] += n
	} else {
		x.source.counters.Errors[r] += n
	}
}

// problem counts something wrong, and describes it if it is the first.
func (x *decoding) problem(r Reason, template uint16, format string, args ...any) {
	x.count(r, 1)
	x.problemCounted(r, template, format, args...)
}

// problemCounted is problem for what was counted already.
func (x *decoding) problemCounted(r Reason, template uint16, format string, args ...any) {
	if x.err != nil {
		return
	}
	x.err = &Error{Source: x.source.key, Template: template, Reason: r, Detail: fmt.Sprintf(format, args...)}
	if x.domain != nil {
		x.err.Domain = x.domain.id
	}
}

// datagram decodes all of msg, which may be more than one message where the
// exporter put several into one datagram.
func (x *decoding) datagram(msg []byte) {
	for {
		rest := x.message(msg)
		if rest == nil {
			return
		}
		msg = rest
	}
}

// message decodes the first message of b. What it returns, if not nil, begins
// with the header of another one.
func (x *decoding) message(b []byte) (rest []byte) {
	x.domain = nil
	if len(b) < messageHeader {
		x.problem(ReasonShortMessage, 0, "%d bytes; the header alone has %d", len(b), messageHeader)
		return nil
	}
	if r, detail, ok := notIPFIX(b); !ok {
		x.problem(r, 0, "%s", detail)
		return nil
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length < messageHeader {
		x.problem(ReasonMessageLength, 0, "length %d in the header, which alone has %d bytes", length, messageHeader)
		return nil
	}
	exportTime := int64(binary.BigEndian.Uint32(b[4:]))
	sequence := binary.BigEndian.Uint32(b[8:])
	d, ok := x.source.domain(binary.BigEndian.Uint32(b[12:]))
	if !ok {
		x.problem(ReasonDomainLimit, 0, "observation domain %d is one too many", binary.BigEndian.Uint32(b[12:]))
		return nil
	}
	x.domain = d

	sets := b[messageHeader:min(length, len(b))]
	if length > len(b) {
		x.problem(ReasonTruncated, 0, "%d bytes of a message of %d", len(b), length)
	} else if extra := b[length:]; len(extra) > 0 {
		switch {
		case isMessage(extra):
			rest = extra
		case chain(b[messageHeader:]):
			// The sets are right and the header is wrong.
			x.problem(ReasonMessageLength, 0, "length %d in the header, but the sets end after %d bytes", length, len(b))
			sets = b[messageHeader:]
		default:
			x.problem(ReasonTrailingBytes, 0, "%d bytes behind the message", len(extra))
		}
	}

	c := &d.counters
	c.Messages++
	c.Bytes += uint64(messageHeader + len(sets))
	if x.source.key.Transport == UDP && d.sequence.duplicate(b[:messageHeader+len(sets)]) {
		c.Duplicates++
		return rest
	}
	d.lastMessage, d.lastExport = x.received, exportTime
	x.export = exportTime * second
	x.limit = x.received + day
	x.late = x.received - lateAfter
	if x.source.key.Transport == File {
		x.late = 0 // a file is read when somebody gets round to it
	}
	if exportTime == 0 || x.export > x.limit {
		x.export = x.received
	}
	x.flows, x.options, x.uncounted = 0, 0, false
	x.sets(sets, length-messageHeader)
	d.sequence.observe(sequence, x.flows, x.options, x.uncounted, c)
	return rest
}

// sets walks the sets of a message. size is how many bytes the header says
// that they have, which is more than there are when the message is truncated.
func (x *decoding) sets(b []byte, size int) {
	for len(b) > 0 {
		if len(b) < setHeader {
			if !zeros(b) || size > len(b) {
				x.uncounted = x.uncounted || size > len(b)
			}
			x.problem(ReasonTrailingBytes, 0, "%d bytes behind the last set", len(b))
			return
		}
		id := binary.BigEndian.Uint16(b)
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < setHeader {
			x.uncounted = true
			x.problem(ReasonSetLength, id, "set length %d; the header of a set alone has %d bytes", length, setHeader)
			return
		}
		whole := length <= len(b)
		if !whole && length > size {
			x.uncounted = true
			x.problem(ReasonSetLength, id, "set length %d, with %d bytes left in the message", length, len(b))
			return
		}
		// A set that ends where the message should have ended is only
		// cut short. Its whole records are as good as any.
		body := b[setHeader:min(length, len(b))]
		switch {
		case id == setTemplates || id == setOptions:
			x.templates(id, body)
		case id < firstDataSet:
			x.problem(ReasonReservedSet, id, "set id %d has no meaning", id)
		default:
			x.data(id, body, whole)
		}
		size -= length
		b = b[min(length, len(b)):]
	}
}

// data decodes a data set, or keeps it until its template comes.
func (x *decoding) data(id uint16, body []byte, whole bool) {
	t := x.domain.template(id)
	if t != nil && x.source.key.Transport == UDP && x.received-t.seen > x.decoder.lifetime {
		x.source.forget(x.domain, t)
		t = nil
	}
	if t == nil {
		x.uncounted = true
		if _, refused := x.domain.refused[id]; refused {
			x.domain.counters.lostData(len(body))
			x.problemCounted(ReasonNoTemplate, id, "data of a template whose last definition was refused")
			return
		}
		x.source.wait(x, id, body)
		return
	}
	n := x.records(t, body, whole)
	if t.scope > 0 {
		x.options += uint32(n)
	} else {
		x.flows += uint32(n)
	}
}

// records decodes the records of a data set and returns how many there were. A
// set that does not fit its template is left out as a whole: if its end is not
// that of a record, nobody knows whether its other fields are what the template
// says.
func (x *decoding) records(t *template, body []byte, whole bool) (n int) {
	p, c := t.plan, &x.domain.counters
	n, rest, ok := p.skip(body)
	if whole && !x.fits(t, n, rest, ok) {
		x.uncounted = true
		return 0
	}
	x.uncounted = x.uncounted || !whole
	if n > 0 && !x.source.useful.Load() {
		x.source.useful.Store(true)
	}
	body = body[:len(body)-len(rest)]
	switch {
	case t.scope > 0:
		x.optionsRecords(t, body)
		c.OptionsRecords += uint64(n)
		return n
	case !p.flow:
		x.count(ReasonNotFlow, uint64(n))
	default:
		flows := x.flowRecords(t, body)
		c.Flows += uint64(flows)
		if flows < n {
			x.count(ReasonNotFlow, uint64(n-flows))
		}
	}
	c.Records += uint64(n)
	return n
}

// fits reports whether a data set with n records, behind which rest is left, can
// be of template t, and counts it if not. ok is false if rest begins with a
// record that runs past the end of the set. What is behind the last record must
// be padding: zero bytes, fewer than a record has (RFC 7011, section 3.3.1).
// Exporters exist that align sets to four bytes and leave what was in their
// memory there (MikroTik RouterOS 6), so up to three bytes that do just that pass.
func (x *decoding) fits(t *template, n int, rest []byte, ok bool) bool {
	switch {
	case !ok && !(zeros(rest) && len(rest) < 8):
		x.problem(ReasonRecordCut, t.id, "record %d of the set runs past the end of the set, which is left out", n+1)
	case ok && n == 0 && len(rest) > 0:
		x.problem(ReasonRecordCut, t.id, "%d bytes in the set, while a record has at least %d", len(rest), t.plan.min)
	case ok && !zeros(rest) && !(len(rest) < 4 && (n*t.plan.min+len(rest))%4 == 0 && t.plan.fixed):
		x.problem(ReasonSetPadding, t.id, "%d bytes behind record %d are neither a record nor padding, so the set is not of this template and is left out", len(rest), n)
	default:
		return true
	}
	return false
}

// flowRecords decodes the flow records of a data set that holds nothing else,
// and returns how many it gave to the sink.
func (x *decoding) flowRecords(t *template, b []byte) (n int) {
	p := t.plan
	x.template, x.rates = t.id, x.domain.resolver()
	head := p.proto
	head.Exporter = x.source.exporter
	head.Domain = x.domain.id
	head.Received = x.received
	x.scratch = scratch{}
	r := &x.record
	x.rec = r
	for len(b) > 0 {
		*r = head
		if p.needs != 0 {
			x.scratch = scratch{}
		}
		for _, o := range p.ops {
			x.take(o.target, b[o.off:int(o.off)+int(o.size)])
		}
		for _, s := range p.sections {
			x.takeBytes(s.target, b[s.off:int(s.off)+int(s.size)])
		}
		if p.fixed {
			b = b[p.min:]
		} else {
			b = b[x.tail(p, b):]
		}
		if x.finish(p) {
			x.sink.Append(r)
			n++
		}
	}
	x.scratch.sections = sections{} // do not keep the message
	return n
}

// tail takes the values behind the fixed part of the record at the start of
// b, which is whole, and returns where the record ends.
func (x *decoding) tail(p *plan, b []byte) (end int) {
	at := p.head
	for i := range p.steps {
		s := &p.steps[i]
		n := int(s.length)
		if n == variable {
			at, n, _ = variableLength(b, at)
		}
		if s.target != toNone && n > 0 {
			if s.target == toVRFName || s.target >= toFrameSection || s.lengths.has(n) {
				x.take(s.target, b[at:at+n])
			} else {
				x.problem(ReasonFieldLength, 0, "a field of interest has %d bytes, and is left out", n)
			}
		}
		at += n
	}
	return at
}

// variableLength reads the length of a field of variable length at b[at:] and
// returns where its value begins (RFC 7011, section 7).
func variableLength(b []byte, at int) (begin, n int, ok bool) {
	if at >= len(b) {
		return 0, 0, false
	}
	n = int(b[at])
	at++
	if n == 255 {
		if len(b)-at < 2 {
			return 0, 0, false
		}
		n = int(binary.BigEndian.Uint16(b[at:]))
		at += 2
	}
	return at, n, true
}

// skip counts records without looking into them.
func (p *plan) skip(b []byte) (n int, rest []byte, ok bool) {
	if p.fixed {
		n = len(b) / p.min
		return n, b[n*p.min:], true
	}
	for len(b) >= p.min {
		at := p.head
		for _, s := range p.steps {
			l := int(s.length)
			if l == variable {
				if at, l, ok = variableLength(b, at); !ok {
					return n, b, false
				}
			}
			if l > len(b)-at {
				return n, b, false
			}
			at += l
		}
		b = b[at:]
		n++
	}
	return n, b, true
}

// optionsRecords reads the options data of a set that holds nothing else.
func (x *decoding) optionsRecords(t *template, b []byte) {
	for len(b) > 0 {
		var r optionsRecord
		at := 0
		for i, f := range t.fields {
			l := int(f.length)
			if l == variable {
				at, l, _ = variableLength(b, at)
			}
			r.take(f.elementID, b[at:at+l], i < t.scope)
			at += l
		}
		b = b[at:]
		x.domain.options.learnRate(&r, x.domain.id)
		about := x.domain
		if r.hasDomain && r.domain != about.id {
			// Of another domain, where there is one.
			if other := x.source.domains[r.domain]; other != nil {
				about = other
			}
		}
		about.options.learn(&r)
	}
	if o := &x.domain.options; o.ratesChanged {
		o.ratesChanged = false
		x.source.announcements.publish(x.domain)
	}
}

// isMessage reports whether b begins with what looks like a message.
func isMessage(b []byte) bool {
	return len(b) >= messageHeader && binary.BigEndian.Uint16(b) == version &&
		int(binary.BigEndian.Uint16(b[2:])) >= messageHeader && int(binary.BigEndian.Uint16(b[2:])) <= len(b)
}

// chain reports whether b is nothing but well-formed sets.
func chain(b []byte) bool {
	for len(b) >= setHeader {
		id, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if n < setHeader || n > len(b) || id < setTemplates || id > setOptions && id < firstDataSet {
			return false
		}
		b = b[n:]
	}
	return len(b) == 0
}
