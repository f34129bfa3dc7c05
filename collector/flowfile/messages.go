package flowfile

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"

	"cordon/collector/ipfix"
	"cordon/schema"
)

// messages decodes IPFIX messages and keeps their records until they are asked
// for.
type messages struct {
	decoder *ipfix.Decoder
	now     int64
	records []schema.Record
	next    int
	first   error // first problem in a message
	last    int64 // time at which the last message was received
}

// newMessages trusts what a file says of its exporters: who imports it vouches for
// it as a whole.
func newMessages(now int64) messages {
	d := ipfix.New(ipfix.Config{})
	d.Trust(func(netip.Addr) bool { return true })
	return messages{decoder: d, now: now}
}

// Stats tells what is known of the exporters of the messages read so far.
func (m *messages) Stats() ipfix.Stats { return m.decoder.Stats() }

// Append implements [ipfix.Sink].
func (m *messages) Append(rec *schema.Record) {
	m.records = append(m.records, *rec)
	m.records[len(m.records)-1].Received = m.now
}

// decode takes a message that arrived at received, in Unix microseconds.
func (m *messages) decode(src ipfix.Source, msg []byte, received int64) {
	m.last = max(m.last, received)
	if err := m.decoder.Message(src, msg, received, m); err != nil && m.first == nil {
		m.first = err
	}
}

// pop gives the next record that was decoded, if there is one.
func (m *messages) pop(rec *schema.Record) bool {
	if m.next == len(m.records) {
		m.records, m.next = m.records[:0], 0
		return false
	}
	*rec = m.records[m.next]
	m.next++
	return true
}

// summarise notes what of the messages gave no flow record. It gives up on data
// whose template did not come.
func (m *messages) summarise(s *source) {
	m.decoder.Expire(m.last + 24*3600*1e6)
	st := m.decoder.Stats()
	for _, r := range ipfix.Reasons() {
		switch n := st.Errors[r]; {
		case n == 0 || r == ipfix.ReasonNoTemplate: // see below
		case r == ipfix.ReasonNotFlow:
			s.note("%d data records are no flow records: they have no source and destination address, or log that a translation of addresses began or ended", n)
		default:
			s.note("%d times %s", n, r)
		}
	}
	if st.NoTemplateSets > 0 {
		s.note("%d data sets have no template in the file, so they cannot be decoded; let the capture begin before the exporter starts, or last as long as it takes to repeat its templates", st.NoTemplateSets)
	}
	if st.Duplicates > 0 {
		s.note("%d messages stand in the file twice and were decoded once", st.Duplicates)
	}
	if lost, records := st.Lost(); lost > 0 {
		s.note("by their sequence numbers, %d messages with %d records are not in the file", lost, records)
	}
	if m.first != nil {
		s.note("the first problem: %v", m.first)
	}
}

// ipfixReader reads an IPFIX file: messages one after the other (RFC 5655).
type ipfixReader struct {
	*source
	messages
	in     *bufio.Reader
	offset int64 // offset of the next message
	err    error // the error that ended it
}

func newIPFIX(s *source, r io.Reader) *ipfixReader {
	// Room for the longest message and what may follow it.
	return &ipfixReader{source: s, messages: newMessages(schema.Micros(s.now)), in: bufio.NewReaderSize(r, 128<<10)}
}

func (r *ipfixReader) Next(rec *schema.Record) error {
	for !r.pop(rec) {
		if r.err != nil {
			return r.err
		}
		if r.err = r.message(); r.err != nil {
			r.summarise(r.source)
		}
	}
	return nil
}

// message decodes the next message. It returns nil or the error to end with; of a
// last message that is not complete, it decodes what there is.
func (r *ipfixReader) message() error {
	head, err := r.in.Peek(messageHeader)
	if len(head) == 0 && err == io.EOF {
		return io.EOF
	}
	var version, length int
	if len(head) >= 4 {
		version, length = int(binary.BigEndian.Uint16(head)), int(binary.BigEndian.Uint16(head[2:]))
		if version != 10 || length < messageHeader {
			return fmt.Errorf("%s: version %d and length %d at byte %d are not those of an IPFIX message", r.name, version, length, r.offset)
		}
	}
	msg, err := r.in.Peek(length + lengthError)
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s: after byte %d: %w", r.name, r.offset, err)
	}
	if len(msg) >= length && len(head) == messageHeader {
		msg = msg[:fit(msg, length)]
	}
	if len(msg) >= messageHeader {
		r.decode(ipfix.Source{Transport: ipfix.File}, msg, r.messages.now)
	}
	if len(msg) < length-lengthError || len(msg) < messageHeader {
		return fmt.Errorf("%s: the file ends in the middle of the message that begins at byte %d", r.name, r.offset)
	}
	r.offset += int64(len(msg))
	r.in.Discard(len(msg)) // cannot fail: it was peeked
	return nil
}

// fit gives the length of the message at the beginning of b. It is what its header
// says, unless its last set ends a few bytes later: one device does not count the
// last bytes of what it sends.
func fit(b []byte, length int) int {
	end := messageHeader
	for end+4 <= length {
		n := int(binary.BigEndian.Uint16(b[end+2:]))
		if n < 4 {
			return length
		}
		end += n
	}
	if end > length && end <= min(len(b), length+lengthError) {
		return end
	}
	return length
}
