package flowfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"unicode/utf8"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/schema"
)

// csvReader reads flow CSV.
type csvReader struct {
	*source
	lines  *lines
	header header

	now     int64 // time of import, Unix microseconds
	untimed int64 // time of records without one

	badClock bool // a note says so

	protos map[string]uint8  // spellings seen in this file
	vrfs   map[string]string // one string for each VRF
}

func newCSV(s *source, r io.Reader) (*csvReader, error) {
	c := &csvReader{
		source: s, lines: newLines(r), now: schema.Micros(s.now), untimed: schema.Micros(s.untimed),
		protos: make(map[string]uint8), vrfs: make(map[string]string),
	}
	fields, err := c.lines.next()
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("%s: the file is empty", s.name)
	case errors.Is(err, errQuote), errors.Is(err, errLongLine):
		return nil, c.rowError(err.Error())
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	c.lines.firstLineOnly()
	h, notes, err := parseHeader(fields)
	if err != nil {
		return nil, c.rowError(err.Error())
	}
	c.header = h
	for _, n := range notes {
		c.note("%s", n)
	}
	return c, nil
}

func (c *csvReader) Next(rec *schema.Record) error {
	fields, err := c.lines.next()
	switch {
	case err == nil:
	case err == io.EOF:
		return io.EOF
	case errors.Is(err, errQuote), errors.Is(err, errLongLine):
		return c.rowError(err.Error())
	default:
		return fmt.Errorf("%s:%d: %w", c.name, c.lines.line, cutShort(err))
	}
	if len(fields) != len(c.header.fields) {
		c.lines.firstLineOnly()
		return c.rowError(fmt.Sprintf("the row has %d fields and the header %d", len(fields), len(c.header.fields)))
	}
	if err := c.record(rec, fields); err != nil {
		c.lines.firstLineOnly()
		return err
	}
	return nil
}

func (c *csvReader) rowError(what string) *RowError {
	return &RowError{File: c.name, Line: c.lines.line, Want: what}
}

// given says which optional fields of a row have a value.
type given struct{ start, end, revPackets, icmp bool }

// record reads the fields of a row. It returns nil or a *RowError.
func (c *csvReader) record(rec *schema.Record, fields [][]byte) error {
	*rec = schema.Record{Received: c.now, Packets: 1, PacketsAssumed: true, Count: 1}
	var has given
	for i, col := range c.header.fields {
		f := fields[i]
		if len(f) == 0 {
			if col.required() {
				return c.fieldError(col, f)
			}
			continue
		}
		if !c.field(rec, col, f, &has) {
			return c.fieldError(col, f)
		}
	}
	c.times(rec, has)
	switch {
	case c.header.totals(): // the row says so itself
	case has.revPackets:
		rec.Completeness = schema.BothWays
	case !c.header.has[revPackets] && !c.header.has[tcpFlags]:
		rec.Completeness = schema.Unknowable
	}
	c.service(rec, has.icmp || c.header.has[service])
	if c.header.sessions {
		finishSession(rec)
	}
	if rec.Count > 1 && !c.header.totals() {
		n := uint64(rec.Count)
		rec.Bytes, rec.Packets = multiply(rec.Bytes, n), multiply(rec.Packets, n)
		rec.RevBytes, rec.RevPackets = multiply(rec.RevBytes, n), multiply(rec.RevPackets, n)
	}
	return nil
}

// field reads one field that has a value, and reports whether it could.
func (c *csvReader) field(rec *schema.Record, col column, f []byte, has *given) (ok bool) {
	ok = true
	var n uint64
	switch col {
	case srcIP:
		rec.Src, ok = parseAddr(f)
	case dstIP:
		rec.Dst, ok = parseAddr(f)
	case proto:
		rec.Proto, ok = c.parseProto(f)
	case srcPort:
		n, ok = parseUint(f, 65535)
		rec.SrcPort = uint16(n)
	case dstPort:
		n, ok = parseUint(f, 65535)
		rec.DstPort = uint16(n)
	case icmpType:
		n, ok = parseUint(f, 255)
		rec.ICMPType, has.icmp = uint8(n), true
	case icmpCode:
		n, ok = parseUint(f, 255)
		rec.ICMPCode = uint8(n)
	case startTime:
		rec.Start, ok = parseTime(f)
		has.start = true
	case endTime:
		rec.End, ok = parseTime(f)
		has.end = true
	case octets:
		rec.Bytes, ok = parseUint(f, 1<<64-1)
	case packets:
		rec.Packets, ok = parseUint(f, 1<<64-1)
		rec.PacketsAssumed = false
	case revOctets:
		rec.RevBytes, ok = parseUint(f, 1<<64-1)
	case revPackets:
		rec.RevPackets, ok = parseUint(f, 1<<64-1)
		has.revPackets = true
	case tcpFlags:
		rec.TCPFlags, ok = parseFlags(f)
	case vrf:
		rec.VRF, ok = c.parseVRF(f)
	case exporter:
		rec.Exporter, ok = parseAddr(f)
	case action:
		rec.Action, ok = parseAction(f)
	case count:
		n, ok = parseUint(f, 1<<32-1)
		rec.Count, ok = uint32(n), ok && n > 0
	case completeness, client, service, state:
		ok = parseOwn(rec, col, string(f))
	}
	return ok
}

// times settles when a record began and ended, where the row says only one, none,
// or both the wrong way round.
func (c *csvReader) times(rec *schema.Record, has given) {
	switch {
	case !has.start && !has.end:
		rec.Start, rec.End = c.untimed, c.untimed
	case !has.start:
		rec.Start = rec.End
	case !has.end:
		rec.End = rec.Start
	case rec.End < rec.Start:
		rec.Start, rec.End = rec.End, rec.Start
	}
	if !c.badClock && !schema.SaneTime(rec.Start, c.now) && !schema.SaneTime(rec.End, c.now) {
		c.badClock = true
		c.note("line %d: times before the year 2000 or more than a day ahead are taken for a broken clock; in sessions the time of import stands in for them", c.lines.line)
	}
}

// service leaves a record the ports, type and flags that its protocol has.
func (c *csvReader) service(rec *schema.Record, icmp bool) {
	if rec.Proto != iana.TCP {
		rec.TCPFlags = 0
	}
	switch {
	case iana.HasPorts(rec.Proto):
		rec.ICMPType, rec.ICMPCode = 0, 0
		if rec.SrcPort == 0 {
			rec.Direction, rec.Basis = schema.Forward, schema.BasisStated
		}
		return
	case !iana.IsICMP(rec.Proto):
		rec.ICMPType, rec.ICMPCode = 0, 0
	case !icmp && rec.DstPort > 255:
		rec.ICMPType, rec.ICMPCode = uint8(rec.DstPort>>8), uint8(rec.DstPort)
	case !icmp:
		rec.ICMPType = uint8(rec.DstPort)
	}
	rec.SrcPort, rec.DstPort = 0, 0
}

// multiply does not wrap: what is more than 64 bits is the most they hold.
func multiply(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi != 0 {
		return 1<<64 - 1
	}
	return lo
}

func (c *csvReader) parseProto(f []byte) (uint8, bool) {
	if p, ok := c.protos[string(f)]; ok {
		return p, true
	}
	p, err := categories.ParseProtocol(string(f))
	if err != nil {
		return 0, false
	}
	if len(c.protos) < 1024 {
		c.protos[string(f)] = p
	}
	return p, true
}

func (c *csvReader) parseVRF(f []byte) (string, bool) {
	if v, ok := c.vrfs[string(f)]; ok {
		return v, true
	}
	if len(f) > maxVRF || !utf8.Valid(f) || bytes.ContainsFunc(f, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	v := string(f)
	if len(c.vrfs) < 4096 {
		c.vrfs[v] = v
	}
	return v, true
}

const maxVRF = 255 // bytes in the name of a VRF

// wants says what each column allows.
var wants = func() (w [numColumns]string) {
	const (
		address = "an IPv4 or IPv6 address without a zone"
		number  = "a whole number from 0 to 18446744073709551615"
		moment  = "a time: RFC 3339 (2026-11-20T08:00:00Z), 2026-11-20 08:00:00 in UTC, or Unix seconds with or without a fraction"
		small   = "a number from 0 to 255"
		port    = "a port from 0 to 65535"
	)
	w[srcIP], w[dstIP], w[exporter] = address, address, address
	w[proto] = "an IANA protocol name (tcp, udp, icmp, gre) or a number from 0 to 255"
	w[srcPort], w[dstPort] = port, port
	w[icmpType], w[icmpCode] = small, small
	w[startTime], w[endTime] = moment, moment
	w[octets], w[packets], w[revOctets], w[revPackets] = number, number, number, number
	w[tcpFlags] = "TCP flags: a number up to 65535 (0x.. allowed) or letters of FSRPAUEC"
	w[vrf] = fmt.Sprintf("a VRF name: text of at most %d bytes without control characters", maxVRF)
	w[completeness] = "one-way, both-ways or unknowable"
	w[client] = "unknown, forward or reverse"
	w[service] = "a service such as tcp/443, icmp/8 or gre"
	w[state] = "complete, half-open or denied"
	w[action] = "forwarded, dropped or empty"
	w[count] = "a whole number from 1 to 4294967295"
	return w
}()

func (c *csvReader) fieldError(col column, value []byte) *RowError {
	want := wants[col]
	switch {
	case (col == startTime || col == endTime) && looksLikeMillis(value):
		want += "; is this in milliseconds?"
	case (col == srcIP || col == dstIP) && bytes.IndexByte(value, '/') >= 0:
		if _, err := netip.ParsePrefix(string(value)); err == nil {
			want += "; a flow has one address at each end, not a prefix"
		}
	}
	return &RowError{File: c.name, Line: c.lines.line, Column: col.String(), Value: shorten(value), Want: want}
}
