package schema

import (
	"hash/maphash"
	"time"

	"cordon/internal/iana"

	"github.com/ClickHouse/ch-go/proto"
)

// Folder turns batches of flow records into rows of table sessions_hourly: one
// for each session, hour, exporter and import of all batches added. The zero value is
// ready to use. A Folder is not safe for concurrent use.
//
// A materialized view could do the same in SQL, and a test holds the two
// together. But ClickHouse analyses a view at every insert, so that for a batch
// of 28,000 records folding took 23 ms at best and 45 ms as a reader would have
// liked it, beside 8 ms for the insert itself. Here it takes 2 ms. And batches
// folded together are one insert, which costs some 10 ms however few its rows,
// and have fewer sessions together than apart.
type Folder struct {
	// chunks hold n sessions in the order in which they were first seen. A
	// slice of them all would be copied whenever it grew.
	chunks []*[chunkSize]session
	n      int
	// index is a hash table with open addressing. Each slot has the upper half
	// of a hash and, below, 1 + the session's index; 0 is empty.
	index []uint64
	seed  maphash.Seed

	vrfs    []string
	origins []origin
	// originIndex finds origins where they are many.
	originIndex map[origin]uint32

	touched uint64 // keeps the compiler from leaving fetch out

	sorted, spare []ordered
	buf           proto.Buffer
}

// origin is where records come from: their exporter and, where a file brought
// them, the number of the import. Rows of different imports stay apart, so that
// one import can be taken back.
type origin struct {
	exporter [16]byte
	imported uint32
}

// session is a row of sessions_hourly in the making.
type session struct {
	key  sessionKey
	sums sessionSums
}

// sessionKey is the sorting key of sessions_hourly. It has no padding, which
// makes hashing it fast.
type sessionKey struct {
	server, client   [16]byte
	hour             uint32 // Unix seconds
	origin           uint32 // index in Folder.origins
	vrf              uint32 // index in Folder.vrfs
	month            uint16 // days since 1970 of its first day
	port, clientPort uint16
	proto            uint8
	icmpType         uint8
	icmpCode         uint8
	decided          uint8 // 1 if so
	egress           uint8 // 1 if the records were metered where packets leave
	_                uint8
}

// sessionSums are what sessions_hourly aggregates.
type sessionSums struct {
	firstSeen, lastSeen        int64
	clientPackets, clientBytes uint64
	serverPackets, serverBytes uint64
	kinds                      [kinds]uint64
	sampling                   uint32
	clientFlags, serverFlags   uint16
	sides                      uint8
	basis                      uint8
}

// Bits of column sides: whose packets the exporter has shown, in one-way records
// or in one for both directions.
const (
	clientSends = 1
	serverSends = 2
)

// kind is what a record says about whether its session was answered.
type kind uint8

// The kinds of records, a column of sessions_hourly each.
const (
	complete   kind = iota // shows an answer, or cannot tell
	halfOpen               // has both directions, one of them empty
	unanswered             // one-way: its TCP flags show that nothing was accepted
	request                // one-way, client to server, no evidence either way
	reply                  // one-way, server to client: an answer
	denied                 // dropped by the network
	kinds
)

// portTFTP is where TFTP is asked for. It is answered from another port (RFC
// 1350), to the client's, which sessions keep therefore.
const portTFTP = 69

// Times that a clock can show and be believed.
var (
	oldestTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	newestTime = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

const (
	microsPerHour = int64(time.Hour / time.Microsecond)
	microsPerDay  = 24 * microsPerHour
)

// Add folds the records of a batch.
func (f *Folder) Add(b *Batch) {
	if f.index == nil {
		f.seed = maphash.MakeSeed()
		f.growIndex()
	}
	var m month
	var some [near]single
	for from := 0; from < b.n; from += near {
		some := some[:min(near, b.n-from)]
		for i := range some {
			some[i].read(f, &b.rows, from+i, &m)
		}
		f.fetch(some)
		for i := range some {
			f.add(&some[i])
		}
	}
}

// near is how many sessions are looked at in a row. They lie far apart in
// memory, and so the processor waits for all of them at once.
const near = 64

// single is a record as a session of its own.
type single struct {
	session
	hash uint64 // the key's hash
}

// read makes a session of record i.
func (r *single) read(f *Folder, c *rows, i int, m *month) {
	d := Direction(c.direction[i])
	k := &r.key
	*k = sessionKey{origin: f.origin(origin{c.exporter[i], c.imports[i]}), proto: c.proto[i], vrf: f.vrf(c.vrf[i]), egress: egress(c, i)}

	src, dst, srcPort, dstPort := ends(&c.src[i], &c.dst[i], &c.postSrc[i], &c.postDst[i], c.srcPort[i], c.dstPort[i], c.postSrcPort[i], c.postDstPort[i])
	if !iana.HasPorts(k.proto) {
		srcPort, dstPort = 0, 0
	} else if srcPort|dstPort == 0 {
		d = DirectionUnknown // a later fragment, of whatever session
	}
	known := d != DirectionUnknown
	turned := sourceIsServer(d, srcPort, dstPort, &src, &dst)
	packets, bytes, flags := c.packets[i], c.bytes[i], c.tcpFlags[i]
	revPackets, revBytes, revFlags := c.revPackets[i], c.revBytes[i], c.revTCPFlags[i]
	kd := classify(c, i, d, turned)

	if turned {
		k.server, k.client, k.port = src, dst, srcPort
		packets, bytes, flags, revPackets, revBytes, revFlags = revPackets, revBytes, revFlags, packets, bytes, flags
	} else {
		k.server, k.client, k.port = dst, src, dstPort
	}
	if known {
		k.decided = 1
	}
	if !known || k.proto == iana.UDP && k.port == portTFTP {
		k.clientPort = srcPort
		if turned {
			k.clientPort = dstPort
		}
	}
	if iana.IsICMP(k.proto) {
		k.icmpType, k.icmpCode = icmpService(k.proto, c.icmpType[i], c.icmpCode[i], known && turned)
	}
	first, last, received := saneTimes(c.start[i], c.end[i], c.received[i])
	k.hour = uint32(first / microsPerHour * 3600)
	k.month = m.of(received)

	r.sums = sessionSums{
		firstSeen: first, lastSeen: last,
		clientPackets: packets, clientBytes: bytes, serverPackets: revPackets, serverBytes: revBytes,
		sampling: c.sampling[i], clientFlags: flags, serverFlags: revFlags,
	}
	s := &r.sums
	s.kinds[kd] = uint64(max(c.count[i], 1))
	switch how := Completeness(c.completeness[i]); {
	case kd == denied:
	case how == BothWays && packets|bytes != 0 && revPackets|revBytes != 0:
		s.sides = clientSends | serverSends
	case how == OneWay && turned:
		s.sides = serverSends
	case how == OneWay:
		s.sides = clientSends
	}
	if known {
		s.basis = c.basis[i]
	}
	r.hash = maphash.Comparable(f.seed, *k)
}

// egress tells whether a record was metered where its packets left the exporter:
// it says so (IE 61), or knows the interface of exit alone. The same packets are
// often metered on entry too, in records of their own, and count once then.
func egress(c *rows, i int) uint8 {
	switch FlowDirection(c.flowDirection[i]) {
	case Egress:
		return 1
	case FlowDirectionUnknown:
		if c.inIf[i] == 0 && c.outIf[i] != 0 {
			return 1
		}
	}
	return 0
}

// add adds what another has.
func (s *sessionSums) add(o *sessionSums) {
	s.firstSeen, s.lastSeen = min(s.firstSeen, o.firstSeen), max(s.lastSeen, o.lastSeen)
	s.clientPackets += o.clientPackets
	s.clientBytes += o.clientBytes
	s.serverPackets += o.serverPackets
	s.serverBytes += o.serverBytes
	for i := range s.kinds {
		s.kinds[i] += o.kinds[i]
	}
	s.clientFlags |= o.clientFlags
	s.serverFlags |= o.serverFlags
	s.sides |= o.sides
	s.basis = max(s.basis, o.basis)
	s.sampling = max(s.sampling, o.sampling)
}

// fetch touches what add will look at.
func (f *Folder) fetch(some []single) {
	var slots [near]uint64
	mask := uint64(len(f.index) - 1)
	for i := range some {
		slots[i] = f.index[some[i].hash&mask]
	}
	touched := uint64(0)
	for i := range some {
		if slot := slots[i]; slot != 0 && slot&hashMask == some[i].hash&hashMask {
			s := f.session(int(uint32(slot)) - 1)
			touched += uint64(s.key.server[0]) + s.sums.clientPackets + uint64(s.sums.basis)
		}
	}
	f.touched = touched
}

// Len is the number of rows that the batches added make.
func (f *Folder) Len() int { return f.n }

const chunkSize = 1 << 10

// session gives session i.
func (f *Folder) session(i int) *session { return &f.chunks[uint(i)/chunkSize][uint(i)%chunkSize] }

func (f *Folder) append(s *session) {
	if f.n == len(f.chunks)*chunkSize {
		f.chunks = append(f.chunks, new([chunkSize]session))
	}
	*f.session(f.n) = *s
	f.n++
}

// Reset forgets all batches and keeps the memory.
func (f *Folder) Reset() {
	clear(f.index)
	clear(f.vrfs)
	clear(f.originIndex)
	f.n, f.vrfs, f.origins = 0, f.vrfs[:0], f.origins[:0]
}

// vrf gives the index of a name. There are few, and neighbours share one.
func (f *Folder) vrf(name string) uint32 {
	if name == "" {
		name = "default"
	}
	for i := len(f.vrfs) - 1; i >= 0; i-- {
		if f.vrfs[i] == name {
			return uint32(i)
		}
	}
	f.vrfs = append(f.vrfs, name)
	return uint32(len(f.vrfs) - 1)
}

// fewOrigins are found faster by looking at each than by hashing.
const fewOrigins = 8

// origin gives the index of an origin.
func (f *Folder) origin(o origin) uint32 {
	for i := range f.origins[:min(len(f.origins), fewOrigins)] {
		if f.origins[i] == o {
			return uint32(i)
		}
	}
	if i, ok := f.originIndex[o]; ok {
		return i
	}
	i := uint32(len(f.origins))
	f.origins = append(f.origins, o)
	if i >= fewOrigins {
		if f.originIndex == nil {
			f.originIndex = make(map[origin]uint32)
		}
		f.originIndex[o] = i
	}
	return i
}

const (
	minIndex = 1 << 12
	hashMask = 0xffffffff << 32 // the bits of a slot that hold a hash
)

// add adds a record to its session, a new one if there is none yet.
func (f *Folder) add(r *single) {
	if 4*f.n >= 3*len(f.index) {
		f.growIndex()
	}
	mask := uint64(len(f.index) - 1)
	for at := r.hash & mask; ; at = (at + 1) & mask {
		slot := f.index[at]
		if slot == 0 {
			f.index[at] = r.hash&hashMask | uint64(f.n+1)
			f.append(&r.session)
			return
		}
		if slot&hashMask == r.hash&hashMask {
			if s := f.session(int(uint32(slot)) - 1); s.key == r.key {
				s.sums.add(&r.sums)
				return
			}
		}
	}
}

// growIndex doubles the index.
func (f *Folder) growIndex() {
	f.index = make([]uint64, max(minIndex, 2*len(f.index)))
	mask := uint64(len(f.index) - 1)
	for i := range f.n {
		hash := maphash.Comparable(f.seed, f.session(i).key)
		at := hash & mask
		for f.index[at] != 0 {
			at = (at + 1) & mask
		}
		f.index[at] = hash&hashMask | uint64(i+1)
	}
}

// sourceIsServer tells which end stands as the server in sessions_hourly.
// Where nobody knows, that is the end with the lower port, then the lower
// address, so that both directions make one row.
func sourceIsServer(d Direction, srcPort, dstPort uint16, src, dst *[16]byte) bool {
	switch {
	case d != DirectionUnknown:
		return d == Reverse
	case srcPort != dstPort:
		return srcPort < dstPort
	}
	return string(src[:]) < string(dst[:])
}

// icmpService gives type and code of the request, of which a reply's type
// tells and its code says nothing.
func icmpService(proto, typ, code uint8, isReply bool) (uint8, uint8) {
	if isReply {
		if request, ok := iana.ICMPRequest(proto, typ); ok {
			return request, 0
		}
	}
	return typ, code
}

// SaneTime tells whether sessions take a time of a record as it is: one from
// 2000 on, and no more than a day after the record was received. All in Unix
// microseconds.
func SaneTime(t, received int64) bool {
	return t >= oldestTime && t <= min(max(received, oldestTime), newestTime)+microsPerDay
}

// saneTimes gives the first and the last time of a record. A start or end
// before 2000 or more than a day after receipt is a broken clock (epoch 0,
// uptime taken for time); the other one of the two stands in, else the time of
// receipt. A start after its end swaps with it.
func saneTimes(start, end, received int64) (first, last, receipt int64) {
	startOK, endOK := SaneTime(start, received), SaneTime(end, received)
	received = min(max(received, oldestTime), newestTime)
	switch {
	case startOK && !endOK:
		end = start
	case endOK && !startOK:
		start = end
	case !startOK:
		start, end = received, received
	}
	return min(start, end), max(start, end), received
}

// month remembers the month of the last time asked for.
type month struct {
	from, to int64 // Unix microseconds, to exclusive
	days     uint16
}

// of gives the first day of the month of a time, in days since 1970.
func (m *month) of(us int64) uint16 {
	if us < m.from || us >= m.to {
		t := time.UnixMicro(us).UTC()
		first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
		m.from, m.to = first.UnixMicro(), first.AddDate(0, 1, 0).UnixMicro()
		m.days = uint16(m.from / microsPerDay)
	}
	return m.days
}
