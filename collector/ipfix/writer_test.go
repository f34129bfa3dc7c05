package ipfix

import "encoding/binary"

// writer makes messages for tests. It numbers them as RFC 7011 says when told
// how many records there are.
type writer struct {
	domain, export, sequence uint32
}

func newWriter(domain, export uint32) *writer { return &writer{domain: domain, export: export} }

// message puts sets into a message.
func (w *writer) message(sets ...[]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, version)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint32(b, w.export)
	b = binary.BigEndian.AppendUint32(b, w.sequence)
	b = binary.BigEndian.AppendUint32(b, w.domain)
	for _, s := range sets {
		b = append(b, s...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// counted is message for sets with n data records.
func (w *writer) counted(n int, sets ...[]byte) []byte {
	b := w.message(sets...)
	w.sequence += uint32(n)
	return b
}

// set puts a body into a set.
func set(id uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, uint16(setHeader+len(body)))
	return append(b, body...)
}

// template is a template set of one template.
func (w *writer) template(id uint16, fields []field) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(fields)))
	return set(setTemplates, appendFields(b, fields))
}

// optionsTemplate is an options template set of one options template.
func (w *writer) optionsTemplate(id uint16, scope int, fields []field) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(fields)))
	b = binary.BigEndian.AppendUint16(b, uint16(scope))
	return set(setOptions, appendFields(b, fields))
}

func appendFields(b []byte, fields []field) []byte {
	for _, f := range fields {
		id := f.id
		if f.pen != penIANA {
			id |= 0x8000
		}
		b = binary.BigEndian.AppendUint16(b, id)
		b = binary.BigEndian.AppendUint16(b, f.length)
		if f.pen != penIANA {
			b = binary.BigEndian.AppendUint32(b, f.pen)
		}
	}
	return b
}

// appendValue appends the value of a field, with its length where the
// template leaves that open. long uses the three-byte form of the length.
func appendValue(b []byte, f field, v []byte, long bool) []byte {
	if f.length == variable {
		if len(v) < 255 && !long {
			b = append(b, byte(len(v)))
		} else {
			b = binary.BigEndian.AppendUint16(append(b, 255), uint16(len(v)))
		}
	}
	return append(b, v...)
}

// uintBytes gives v in n bytes.
func uintBytes(v uint64, n int) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint64(b, v)
	for len(b) < n {
		b = append([]byte{0}, b...)
	}
	return b[len(b)-n:]
}

// ie names an element of IANA's.
func ie(id uint16, length uint16) field { return field{elementID{penIANA, id}, length} }
