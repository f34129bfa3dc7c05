package schema

import (
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
)

// Types of the columns whose ClickHouse type is more than a plain number.
const (
	typeTime          = "DateTime64(6, 'UTC')"
	typeFlowDirection = "Enum8('unknown' = 0, 'ingress' = 1, 'egress' = 2)"
	typeAction        = "Enum8('' = 0, 'forwarded' = 1, 'dropped' = 2)"
	typeDirection     = "Enum8('unknown' = 0, 'forward' = 1, 'reverse' = 2)"
	typeBasis         = "Enum8('none' = 0, 'degree' = 1, 'known-port' = 2, 'port-range' = 3, 'icmp' = 4, 'tcp-flags' = 5, 'initiator' = 6, 'stated' = 7)"
	typeCompleteness  = "Enum8('one-way' = 0, 'both-ways' = 1, 'unknowable' = 2)"
)

// rows holds the values of a batch, a slice for each column of table flows.
type rows struct {
	exporter         [][16]byte
	domain           []uint32
	received         []int64
	start, end       []int64
	src, dst         [][16]byte
	srcPort, dstPort []uint16
	proto            []uint8
	icmpType         []uint8
	icmpCode         []uint8
	bytes, packets   []uint64
	revBytes         []uint64
	revPackets       []uint64
	tcpFlags         []uint16
	revTCPFlags      []uint16
	inIf, outIf      []uint32
	vlan             []uint16
	l2Segment        []uint64
	vrfID            []uint32
	vrf              []string
	flowDirection    []uint8
	forwarding       []uint8
	firewall         []uint8
	endReason        []uint8
	sampling         []uint32
	action           []uint8
	direction        []uint8
	basis            []uint8
	completeness     []uint8
	count            []uint32
	postSrc, postDst [][16]byte
	postSrcPort      []uint16
	postDstPort      []uint16
	imports          []uint32
}

// column ties a column of table flows to its slice in rows.
type column struct {
	name, typ string
	// always columns are in every block; the others only where a record of
	// the batch has something other than the default.
	always bool
	// since is the version of the batch format that brought the column; 0 for
	// the first.
	since int

	isDefault func(*rows) bool
	encode    func(*rows, *proto.Buffer)
	decode    func(*rows, *proto.Reader, int) error // sets the slice to n values
	fill      func(*rows, int)                      // sets the slice to n defaults
	grow      func(*rows, int)                      // makes room for n values
	reset     func(*rows)
}

const always, optional = true, false

// columns lists table flows in the order of the table and of the blocks.
var columns = []column{
	fixed("received", typeTime, always, func(r *rows) *[]int64 { return &r.received }),
	fixed("exporter", "IPv6", always, func(r *rows) *[][16]byte { return &r.exporter }),
	fixed("domain", "UInt32", optional, func(r *rows) *[]uint32 { return &r.domain }),
	fixed("start_time", typeTime, always, func(r *rows) *[]int64 { return &r.start }),
	fixed("end_time", typeTime, always, func(r *rows) *[]int64 { return &r.end }),
	fixed("src_ip", "IPv6", always, func(r *rows) *[][16]byte { return &r.src }),
	fixed("dst_ip", "IPv6", always, func(r *rows) *[][16]byte { return &r.dst }),
	fixed("src_port", "UInt16", always, func(r *rows) *[]uint16 { return &r.srcPort }),
	fixed("dst_port", "UInt16", always, func(r *rows) *[]uint16 { return &r.dstPort }),
	fixed("proto", "UInt8", always, func(r *rows) *[]uint8 { return &r.proto }),
	fixed("icmp_type", "UInt8", optional, func(r *rows) *[]uint8 { return &r.icmpType }),
	fixed("icmp_code", "UInt8", optional, func(r *rows) *[]uint8 { return &r.icmpCode }),
	fixed("bytes", "UInt64", always, func(r *rows) *[]uint64 { return &r.bytes }),
	fixed("packets", "UInt64", always, func(r *rows) *[]uint64 { return &r.packets }),
	fixed("rev_bytes", "UInt64", optional, func(r *rows) *[]uint64 { return &r.revBytes }),
	fixed("rev_packets", "UInt64", optional, func(r *rows) *[]uint64 { return &r.revPackets }),
	fixed("tcp_flags", "UInt16", optional, func(r *rows) *[]uint16 { return &r.tcpFlags }),
	fixed("rev_tcp_flags", "UInt16", optional, func(r *rows) *[]uint16 { return &r.revTCPFlags }),
	fixed("in_if", "UInt32", optional, func(r *rows) *[]uint32 { return &r.inIf }),
	fixed("out_if", "UInt32", optional, func(r *rows) *[]uint32 { return &r.outIf }),
	fixed("vlan", "UInt16", optional, func(r *rows) *[]uint16 { return &r.vlan }),
	fixed("l2_segment", "UInt64", optional, func(r *rows) *[]uint64 { return &r.l2Segment }),
	fixed("vrf_id", "UInt32", optional, func(r *rows) *[]uint32 { return &r.vrfID }),
	text("vrf", "default", func(r *rows) *[]string { return &r.vrf }),
	fixed("flow_direction", typeFlowDirection, optional, func(r *rows) *[]uint8 { return &r.flowDirection }),
	fixed("forwarding_status", "UInt8", optional, func(r *rows) *[]uint8 { return &r.forwarding }),
	fixed("firewall_event", "UInt8", optional, func(r *rows) *[]uint8 { return &r.firewall }),
	fixed("end_reason", "UInt8", optional, func(r *rows) *[]uint8 { return &r.endReason }),
	fixed("sampling", "UInt32", optional, func(r *rows) *[]uint32 { return &r.sampling }),
	fixed("action", typeAction, optional, func(r *rows) *[]uint8 { return &r.action }),
	fixed("direction", typeDirection, always, func(r *rows) *[]uint8 { return &r.direction }),
	fixed("basis", typeBasis, always, func(r *rows) *[]uint8 { return &r.basis }),
	fixed("completeness", typeCompleteness, always, func(r *rows) *[]uint8 { return &r.completeness }),
	fixedDefault("count", "UInt32", 1, func(r *rows) *[]uint32 { return &r.count }),
	since(2, fixed("post_src_ip", "IPv6", optional, func(r *rows) *[][16]byte { return &r.postSrc })),
	since(2, fixed("post_dst_ip", "IPv6", optional, func(r *rows) *[][16]byte { return &r.postDst })),
	since(2, fixed("post_src_port", "UInt16", optional, func(r *rows) *[]uint16 { return &r.postSrcPort })),
	since(2, fixed("post_dst_port", "UInt16", optional, func(r *rows) *[]uint16 { return &r.postDstPort })),
	since(3, fixed("import", "UInt32", optional, func(r *rows) *[]uint32 { return &r.imports })),
}

// since says that a later version of the batch format brought the column.
func since(version int, c column) column {
	c.since = version
	return c
}

// columnIndex finds a column by name.
var columnIndex = func() map[string]int {
	m := make(map[string]int, len(columns))
	for i, c := range columns {
		m[c.name] = i
	}
	return m
}()

// fixed describes a column of fixed-width values whose default is zero. The
// block holds them as they lie in memory: little-endian, without gaps.
func fixed[T comparable](name, typ string, always bool, slice func(*rows) *[]T) column {
	var zero T
	c := fixedDefault(name, typ, zero, slice)
	c.always = always
	return c
}

// fixedDefault is fixed for an optional column with another default.
func fixedDefault[T comparable](name, typ string, def T, slice func(*rows) *[]T) column {
	return column{
		name: name, typ: typ,
		isDefault: func(r *rows) bool {
			for _, v := range *slice(r) {
				if v != def {
					return false
				}
			}
			return true
		},
		encode: func(r *rows, b *proto.Buffer) { b.PutRaw(bytesOf(*slice(r))) },
		decode: func(r *rows, p *proto.Reader, n int) error {
			s := slice(r)
			*s = resize(*s, n)
			return p.ReadFull(bytesOf(*s))
		},
		fill: func(r *rows, n int) {
			s := slice(r)
			*s = resize(*s, n)
			for i := range *s {
				(*s)[i] = def
			}
		},
		grow:  func(r *rows, n int) { s := slice(r); *s = growTo(*s, n) },
		reset: func(r *rows) { s := slice(r); *s = (*s)[:0] },
	}
}

// text describes an optional LowCardinality(String) column. The empty string
// stands for def.
func text(name, def string, slice func(*rows) *[]string) column {
	return column{
		name: name, typ: "LowCardinality(String)",
		isDefault: func(r *rows) bool {
			for _, v := range *slice(r) {
				if v != "" && v != def {
					return false
				}
			}
			return true
		},
		encode: func(r *rows, b *proto.Buffer) {
			lc := proto.NewLowCardinality(&proto.ColStr{})
			for _, v := range *slice(r) {
				if v == "" {
					v = def
				}
				lc.Append(v)
			}
			if err := lc.Prepare(); err != nil {
				panic("BUG: low-cardinality column " + name + ": " + err.Error())
			}
			lc.EncodeState(b)
			lc.EncodeColumn(b)
		},
		decode: func(r *rows, p *proto.Reader, n int) error {
			lc := proto.NewLowCardinality(&proto.ColStr{})
			if err := lc.DecodeState(p); err != nil {
				return err
			}
			if err := lc.DecodeColumn(p, n); err != nil {
				return err
			}
			s := slice(r)
			*s = append((*s)[:0], lc.Values...)
			return nil
		},
		fill: func(r *rows, n int) {
			s := slice(r)
			*s = resize(*s, n)
			for i := range *s {
				(*s)[i] = def
			}
		},
		grow: func(r *rows, n int) { s := slice(r); *s = growTo(*s, n) },
		reset: func(r *rows) {
			s := slice(r)
			clear(*s) // let go of the names
			*s = (*s)[:0]
		},
	}
}

// bytesOf views a slice of fixed-width values as the bytes of a Native column.
func bytesOf[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func growTo[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s
	}
	t := make([]T, len(s), n)
	copy(t, s)
	return t
}
