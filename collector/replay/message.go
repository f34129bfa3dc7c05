package replay

import (
	"encoding/binary"
	"net/netip"
	"time"

	"cordon/schema"
)

const messageHeader = 16 // bytes

// message is an IPFIX message in the making, and the numbering of those before.
type message struct {
	domain uint32
	limit  int // bytes

	buf      []byte
	set      int    // offset of the open data set, 0 if there is none
	setID    uint16 // id of the open data set
	records  int    // data records in the message, options data included
	sequence uint32 // data records in all messages before
}

func newMessage(domain uint32, limit int) *message {
	m := &message{domain: domain, limit: limit, buf: make([]byte, 0, limit+1024)}
	m.begin()
	return m
}

func (m *message) begin() {
	m.buf = m.buf[:messageHeader]
	m.set, m.records = 0, 0
}

func (m *message) empty() bool { return len(m.buf) == messageHeader }

// append adds a data record. It reports false, and adds nothing, if the message
// has no room for it.
func (m *message) append(t *template, r *schema.Record) bool {
	old, oldSet, oldID := len(m.buf), m.set, m.setID
	if m.set == 0 || m.setID != t.id {
		m.open(t.id)
	}
	m.buf = t.appendRecord(m.buf, r)
	if len(m.buf) > m.limit {
		m.buf, m.set, m.setID = m.buf[:old], oldSet, oldID
		return false
	}
	m.records++
	return true
}

// open ends the set that is open and begins another.
func (m *message) open(id uint16) {
	m.close()
	m.set, m.setID = len(m.buf), id
	m.buf = binary.BigEndian.AppendUint16(m.buf, id)
	m.buf = append(m.buf, 0, 0)
}

// close writes the length of the open set.
func (m *message) close() {
	if m.set > 0 {
		binary.BigEndian.PutUint16(m.buf[m.set+2:], uint16(len(m.buf)-m.set))
		m.set = 0
	}
}

// announce adds a template set. It reports false, and adds nothing, if the message
// has no room for it.
func (m *message) announce(t *template) bool {
	return m.try(func() {
		m.open(setTemplate)
		m.buf = appendTemplate(m.buf, t)
	})
}

// describe adds the options template and data of the exporter.
func (m *message) describe(addr netip.Addr, started time.Time, sampling uint32) bool {
	return m.try(func() {
		m.open(setOptionsTemplate)
		for _, v := range []uint16{optionsID, 5, 1} {
			m.buf = binary.BigEndian.AppendUint16(m.buf, v)
		}
		m.buf = appendField(m.buf, penIANA, 149, 4) // scope: observationDomainId
		address := addr.Unmap()
		if address.Is4() {
			m.buf = appendField(m.buf, penIANA, 130, 4)
		} else {
			m.buf = appendField(m.buf, penIANA, 131, 16)
		}
		m.buf = appendField(m.buf, penIANA, 160, 8) // systemInitTimeMilliseconds
		m.buf = appendField(m.buf, penIANA, 305, 4) // samplingPacketInterval
		m.buf = appendField(m.buf, penIANA, 306, 4) // samplingPacketSpace

		m.open(optionsID)
		m.buf = binary.BigEndian.AppendUint32(m.buf, m.domain)
		m.buf = append(m.buf, address.AsSlice()...)
		m.buf = binary.BigEndian.AppendUint64(m.buf, uint64(started.UnixMilli()))
		m.buf = binary.BigEndian.AppendUint32(m.buf, 1)
		m.buf = binary.BigEndian.AppendUint32(m.buf, max(sampling, 1)-1)
		m.records++
	})
}

// try lets add append whole sets, and undoes it if the message has no room.
func (m *message) try(add func()) bool {
	m.close()
	old, records := len(m.buf), m.records
	add()
	m.close()
	if len(m.buf) > m.limit {
		m.buf, m.records = m.buf[:old], records
		return false
	}
	return true
}

// finish writes the header and gives the message, valid until begin.
func (m *message) finish(now time.Time) []byte {
	m.close()
	patch(m.buf, uint16(len(m.buf)), uint32(now.Unix()), m.sequence, m.domain)
	m.sequence += uint32(m.records)
	return m.buf
}

// patch writes a message header (RFC 7011, section 3.1).
func patch(b []byte, length uint16, export, sequence, domain uint32) {
	binary.BigEndian.PutUint16(b, 10)
	binary.BigEndian.PutUint16(b[2:], length)
	binary.BigEndian.PutUint32(b[4:], export)
	binary.BigEndian.PutUint32(b[8:], sequence)
	binary.BigEndian.PutUint32(b[12:], domain)
}
