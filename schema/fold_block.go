package schema

import (
	"encoding/binary"
	"slices"

	"github.com/ClickHouse/ch-go/proto"
)

// sessionColumns are table sessions_hourly, in its order. Width is the bytes of
// a value, 0 for the dictionary that vrf is.
var sessionColumns = []struct {
	name, typ string
	width     int
}{
	{"month", "Date", 2},
	{"decided", "Bool", 1},
	{"hour", "DateTime('UTC')", 4},
	{"vrf", "LowCardinality(String)", 0},
	{"server", "IPv6", 16},
	{"proto", "UInt8", 1},
	{"port", "UInt16", 2},
	{"icmp_type", "UInt8", 1},
	{"icmp_code", "UInt8", 1},
	{"client", "IPv6", 16},
	{"client_port", "UInt16", 2},
	{"exporter", "IPv6", 16},
	{"first_seen", typeTime, 8},
	{"last_seen", typeTime, 8},
	{"client_packets", "UInt64", 8},
	{"client_bytes", "UInt64", 8},
	{"server_packets", "UInt64", 8},
	{"server_bytes", "UInt64", 8},
	{"complete", "UInt64", 8},
	{"half_open", "UInt64", 8},
	{"unanswered", "UInt64", 8},
	{"requests", "UInt64", 8},
	{"replies", "UInt64", 8},
	{"denied", "UInt64", 8},
	{"client_flags", "UInt16", 2},
	{"server_flags", "UInt16", 2},
	{"sides", "UInt8", 1},
	{"basis", "UInt8", 1},
	{"sampling", "UInt32", 4},
	{"egress", "Bool", 1},
	{"import", "UInt32", 4},
}

// SessionColumns are the columns of table sessions_hourly, in its order, and
// of the blocks of [Folder.Block].
var SessionColumns = func() (names []string) {
	for _, c := range sessionColumns {
		names = append(names, c.name)
	}
	return names
}()

// About what a block takes: a head for all columns, and a row.
const blockHead = 4 << 10

var rowSize = func() (n int) {
	for _, c := range sessionColumns {
		n += max(c.width, 4)
	}
	return n
}()

// sessionWriter writes the values of row n, one column after the other.
type sessionWriter struct {
	columns [][]byte // the values of each
	n, next int
}

func (w *sessionWriter) skip() { w.next++ }

func (w *sessionWriter) u8(v uint8) {
	w.columns[w.next][w.n] = v
	w.next++
}

func (w *sessionWriter) u16(v uint16) {
	binary.LittleEndian.PutUint16(w.columns[w.next][2*w.n:], v)
	w.next++
}

func (w *sessionWriter) u32(v uint32) {
	binary.LittleEndian.PutUint32(w.columns[w.next][4*w.n:], v)
	w.next++
}

func (w *sessionWriter) u64(v uint64) {
	binary.LittleEndian.PutUint64(w.columns[w.next][8*w.n:], v)
	w.next++
}

func (w *sessionWriter) address(v *[16]byte) {
	*(*[16]byte)(w.columns[w.next][16*w.n:]) = *v
	w.next++
}

// write writes a session as row n, in the order of sessionColumns.
func (w *sessionWriter) write(n int, f *Folder, s *session) {
	w.n, w.next = n, 0
	k, v := &s.key, &s.sums
	w.u16(k.month)
	w.u8(k.decided)
	w.u32(k.hour)
	w.skip() // vrf
	w.address(&k.server)
	w.u8(k.proto)
	w.u16(k.port)
	w.u8(k.icmpType)
	w.u8(k.icmpCode)
	w.address(&k.client)
	w.u16(k.clientPort)
	w.address(&f.origins[k.origin].exporter)
	w.u64(uint64(v.firstSeen))
	w.u64(uint64(v.lastSeen))
	w.u64(v.clientPackets)
	w.u64(v.clientBytes)
	w.u64(v.serverPackets)
	w.u64(v.serverBytes)
	for i := range v.kinds {
		w.u64(v.kinds[i])
	}
	w.u16(v.clientFlags)
	w.u16(v.serverFlags)
	w.u8(v.sides)
	w.u8(v.basis)
	w.u32(v.sampling)
	w.u8(k.egress)
	w.u32(f.origins[k.origin].imported)
}

// Block gives the rows that the batches added make as one uncompressed Native
// block for table sessions_hourly, in the table's order: sorting them took
// ClickHouse longer than all the rest of the insert. The block is valid until
// the next call.
func (f *Folder) Block() []byte {
	order := f.order()
	b := &f.buf
	b.Reset()
	b.Buf = slices.Grow(b.Buf, blockHead+rowSize*len(order)) // once, not a column at a time
	b.PutInt(len(sessionColumns))
	b.PutInt(len(order))
	starts := make([]int, len(sessionColumns))
	for i, c := range sessionColumns {
		b.PutString(c.name)
		b.PutString(c.typ)
		if c.width == 0 {
			f.putVRFs(order)
		}
		starts[i] = len(b.Buf)
		b.Buf = slices.Grow(b.Buf, c.width*len(order))[:len(b.Buf)+c.width*len(order)]
	}
	w := sessionWriter{columns: make([][]byte, len(sessionColumns))}
	for i, c := range sessionColumns {
		w.columns[i] = b.Buf[starts[i]:][:c.width*len(order)]
	}
	var sessions [near]session
	for from := 0; from < len(order); from += near {
		some := order[from:min(from+near, len(order))]
		for i := range some {
			sessions[i] = *f.session(int(some[i].session))
		}
		for i := range some {
			w.write(from+i, f, &sessions[i])
		}
	}
	return b.Buf
}

func (f *Folder) putVRFs(order []ordered) {
	if len(order) == 0 {
		return
	}
	var names proto.ColStr
	for _, name := range f.vrfs {
		names.Append(name)
	}
	vrfs := proto.ColLowCardinalityRaw{Index: &names}
	switch n := len(f.vrfs); {
	case n <= 1<<8:
		vrfs.Key = proto.KeyUInt8
	case n <= 1<<16:
		vrfs.Key = proto.KeyUInt16
	default:
		vrfs.Key = proto.KeyUInt32
	}
	for n := range order {
		vrfs.AppendKey(int(order[n].vrf))
	}
	vrfs.EncodeState(&f.buf)
	vrfs.EncodeColumn(&f.buf)
}
