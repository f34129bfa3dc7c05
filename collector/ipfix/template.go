package ipfix

import (
	"bytes"
	"encoding/binary"
	"fmt"

	calmh "github.com/calmh/ipfix"
)

// Set ids (RFC 7011, section 3.3.2).
const (
	setTemplates = 2
	setOptions   = 3
	firstDataSet = 256
)

// template is a template of a source and observation domain.
type template struct {
	id     uint16
	scope  int    // number of scope fields; 0 for templates that are not options templates
	raw    []byte // field specifiers as they were received
	fields []field
	plan   *plan
	seen   int64 // time of its last announcement
}

// templateOverhead is about what a template takes besides its fields.
const templateOverhead = 512

// cost is about how many bytes of memory the template takes.
func (t *template) cost() int64 {
	return templateOverhead + int64(len(t.raw)) + int64(len(t.fields))*24
}

// templates walks a template set or an options template set. A definition that
// cannot be used is passed over as long as it can be delimited. It ends what its
// id meant before: the data that follows is not of the old template.
func (x *decoding) templates(set uint16, body []byte) {
	for len(body) >= 4 {
		id := binary.BigEndian.Uint16(body)
		count := int(binary.BigEndian.Uint16(body[2:]))
		if id == 0 && count == 0 {
			break // padding
		}
		rest := body[4:]
		if count == 0 {
			body = rest
			x.withdraw(set, id)
			continue
		}
		scope := 0
		if set == setOptions {
			if len(rest) < 2 {
				x.problem(ReasonTemplateCut, id, "the options template ends before its scope field count")
				x.refuse(id)
				return
			}
			scope = int(binary.BigEndian.Uint16(rest))
			rest = rest[2:]
		}
		size, ok := specifiers(rest, count)
		if !ok {
			x.problem(ReasonTemplateCut, id, "%d fields do not fit in the %d bytes that the set has left", count, len(rest))
			if t := x.domain.templates[id]; t == nil || t.scope != scope || len(t.fields) != count || !bytes.HasPrefix(t.raw, rest) {
				x.refuse(id) // This is no repetition that was cut short.
			}
			return
		}
		body = rest[size:]
		switch {
		case id < firstDataSet:
			x.problem(ReasonTemplateID, id, "template ids begin at 256")
		case count > x.decoder.cfg.MaxFields:
			x.problem(ReasonTemplateTooLong, id, "%d fields, of which at most %d are allowed", count, x.decoder.cfg.MaxFields)
			x.refuse(id)
		case set == setOptions && (scope == 0 || scope > count):
			x.problem(ReasonTemplateScope, id, "%d scope fields among %d fields", scope, count)
			x.refuse(id)
		default:
			x.define(id, scope, count, rest[:size])
		}
	}
	if !zeros(body) {
		x.problem(ReasonTemplateCut, 0, "%d bytes behind the last template of the set", len(body))
	}
}

// specifiers gives the bytes that count field specifiers take.
func specifiers(b []byte, count int) (size int, ok bool) {
	if count*4 > len(b) {
		return 0, false
	}
	for range count {
		n := 4
		if size+4 > len(b) {
			return 0, false
		}
		if b[size]&0x80 != 0 {
			n = 8
		}
		size += n
	}
	return size, size <= len(b)
}

// define makes or refreshes a template, and decodes what has waited for it.
func (x *decoding) define(id uint16, scope, count int, raw []byte) {
	d := x.domain
	old := d.templates[id]
	if old != nil && old.scope == scope && bytes.Equal(old.raw, raw) {
		old.seen = x.received
		d.counters.Templates++
		return
	}
	t, reason, err := newTemplate(id, scope, count, raw)
	if err != nil {
		x.problem(reason, id, "%v", err)
		x.refuse(id)
		return
	}
	t.seen = x.received
	grow := t.cost()
	if old != nil {
		grow -= old.cost()
	} else if x.source.templates >= x.decoder.cfg.MaxTemplates {
		x.problem(ReasonTemplateLimit, id, "the source has %d templates already", x.source.templates)
		x.refuse(id)
		return
	}
	if !x.source.charge(grow) {
		x.problem(ReasonTemplateLimit, id, "no memory left for templates of this source")
		x.refuse(id)
		return
	}
	if old == nil {
		x.source.templates++
	}
	x.source.accept(d, id)
	d.templates[id] = t
	d.counters.Templates++
	d.last = nil
	x.decoder.changes.Add(1)
	d.recognise(t)
	if len(t.plan.bad) > 0 {
		for _, e := range t.plan.bad {
			x.problem(ReasonFieldLength, id, "element %s has a length that it cannot have, and is left out", e)
		}
	}
	x.source.release(x, id)
}

// refuse ends what a template id meant, since its exporter has given it a meaning
// that cannot be used. Data that follows, or that has waited for this
// definition, is lost until a definition comes that can be used.
func (x *decoding) refuse(id uint16) {
	if id < firstDataSet {
		return
	}
	s, d := x.source, x.domain
	if t := d.templates[id]; t != nil {
		s.forget(d, t)
	}
	s.drop(func(w *waiting) bool {
		if w.domain != d || w.id != id {
			return false
		}
		d.counters.lostData(len(w.body))
		return true
	})
	s.markRefused(d, id)
}

// newTemplate parses and compiles a template whose specifiers were walked.
// Each goes through a parser of its own, so that none can harm another.
func newTemplate(id uint16, scope, count int, raw []byte) (*template, Reason, error) {
	const header = 16 + 4 + 4
	msg := make([]byte, 0, header+len(raw))
	msg = binary.BigEndian.AppendUint16(msg, 10)
	msg = binary.BigEndian.AppendUint16(msg, uint16(header+len(raw)))
	msg = append(msg, make([]byte, 12)...)
	// An options template is, apart from its scope, a template.
	msg = binary.BigEndian.AppendUint16(msg, setTemplates)
	msg = binary.BigEndian.AppendUint16(msg, uint16(4+4+len(raw)))
	msg = binary.BigEndian.AppendUint16(msg, id)
	msg = binary.BigEndian.AppendUint16(msg, uint16(count))
	msg = append(msg, raw...)

	parsed, err := calmh.NewSession().ParseBuffer(msg)
	if err != nil {
		return nil, ReasonTemplateRefused, err
	}
	if len(parsed.TemplateRecords) != 1 || len(parsed.TemplateRecords[0].FieldSpecifiers) != count {
		return nil, ReasonTemplateRefused, fmt.Errorf("the parser does not find the %d fields of one template", count)
	}
	t := &template{id: id, scope: scope, raw: bytes.Clone(raw), fields: make([]field, count)}
	size := 0
	for i, f := range parsed.TemplateRecords[0].FieldSpecifiers {
		t.fields[i] = field{elementID{f.EnterpriseID, f.FieldID}, f.Length}
		if f.Length == variable {
			size++
		} else {
			size += int(f.Length)
		}
	}
	switch {
	case size == 0:
		return nil, ReasonTemplateEmpty, fmt.Errorf("all of its %d fields have no bytes", count)
	case size > 0xffff-16-4:
		return nil, ReasonTemplateTooLong, fmt.Errorf("a record has at least %d bytes, more than a message can hold", size)
	}
	t.plan = compile(t.fields)
	return t, 0, nil
}

// withdraw forgets one template, or all of the kind when the id is that of
// the set. RFC 7011, section 8.4, has withdrawals over UDP ignored: datagrams
// change places, so one could take away the template that followed it.
func (x *decoding) withdraw(set, id uint16) {
	d := x.domain
	if x.source.key.Transport == UDP {
		x.problem(ReasonWithdrawal, id, "withdrawals do not apply over UDP, and are ignored")
		return
	}
	if id == set {
		for _, t := range d.templates {
			if (t.scope > 0) == (set == setOptions) {
				x.source.forget(d, t)
			}
		}
		return
	}
	t := d.templates[id]
	if t == nil || (t.scope > 0) != (set == setOptions) {
		x.problem(ReasonWithdrawal, id, "there is no such template")
		return
	}
	x.source.forget(d, t)
}

// zeros reports whether b has nothing but zero bytes, as padding has.
func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (e elementID) String() string {
	if e.pen == penIANA {
		return fmt.Sprint(e.id)
	}
	return fmt.Sprintf("%d/%d", e.pen, e.id)
}
