package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// Version is the version of the batch format. A reader takes it and those
// before it. A batch says in the message header [HeaderSchema] which version it
// needs, the oldest that has all its columns, so that ingesters of the version
// before go on reading what collectors of this one send, but for batches that
// hold something new. Version 2 brought the columns post_...., 3 brought import.
const Version = 3

// firstVersion is the oldest version that is still read.
const firstVersion = 1

// Bounds of a sealed batch. A reader refuses what lies outside them, so that
// a hostile message cannot make it allocate without end.
const (
	// MaxRows is the most records a batch holds.
	MaxRows = 64 << 10
	// MaxPayload is the size in bytes at which a batch is sealed, and
	// the most that a sealed batch may have.
	MaxPayload = 1 << 20

	frameSize = 1 << 20 // uncompressed bytes in a compressed frame
	maxRaw    = MaxRows * 512
)

// ErrTooLarge says that a batch with more than one record does not fit into
// the limit given to [Batch.Seal]; the caller seals it in parts.
var ErrTooLarge = errors.New("batch too large")

// Batch gathers flow records by column. The zero value is an empty batch
// ready to use. A Batch is not safe for concurrent use.
type Batch struct {
	rows rows
	n    int

	version int // the version that the encoded block needs

	raw proto.Buffer
	lz4 *compress.Writer
}

// Len is the number of records in the batch.
func (b *Batch) Len() int { return b.n }

// Grow makes room for n records, so that Append does not allocate until there
// are more.
func (b *Batch) Grow(n int) {
	for i := range columns {
		columns[i].grow(&b.rows, n)
	}
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	for i := range columns {
		columns[i].reset(&b.rows)
	}
	b.n = 0
}

// Append adds a copy of r.
func (b *Batch) Append(r *Record) {
	c := &b.rows
	c.exporter = append(c.exporter, r.Exporter)
	c.domain = append(c.domain, r.Domain)
	c.received = append(c.received, r.Received)
	c.start = append(c.start, r.Start)
	c.end = append(c.end, r.End)
	c.src = append(c.src, r.Src)
	c.dst = append(c.dst, r.Dst)
	c.srcPort = append(c.srcPort, r.SrcPort)
	c.dstPort = append(c.dstPort, r.DstPort)
	c.proto = append(c.proto, r.Proto)
	c.icmpType = append(c.icmpType, r.ICMPType)
	c.icmpCode = append(c.icmpCode, r.ICMPCode)
	c.bytes = append(c.bytes, r.Bytes)
	c.packets = append(c.packets, r.Packets)
	c.revBytes = append(c.revBytes, r.RevBytes)
	c.revPackets = append(c.revPackets, r.RevPackets)
	c.tcpFlags = append(c.tcpFlags, r.TCPFlags)
	c.revTCPFlags = append(c.revTCPFlags, r.RevTCPFlags)
	c.inIf = append(c.inIf, r.InIf)
	c.outIf = append(c.outIf, r.OutIf)
	c.vlan = append(c.vlan, r.VLAN)
	c.l2Segment = append(c.l2Segment, r.L2Segment)
	c.vrfID = append(c.vrfID, r.VRFID)
	c.vrf = append(c.vrf, r.VRF)
	c.flowDirection = append(c.flowDirection, uint8(r.FlowDirection))
	c.forwarding = append(c.forwarding, r.ForwardingStatus)
	c.firewall = append(c.firewall, r.FirewallEvent)
	c.endReason = append(c.endReason, r.EndReason)
	c.sampling = append(c.sampling, r.Sampling)
	c.action = append(c.action, uint8(r.Action))
	c.direction = append(c.direction, uint8(r.Direction))
	c.basis = append(c.basis, uint8(r.Basis))
	c.completeness = append(c.completeness, uint8(r.Completeness))
	c.count = append(c.count, max(r.Count, 1))
	c.postSrc = append(c.postSrc, r.PostSrc)
	c.postDst = append(c.postDst, r.PostDst)
	c.postSrcPort = append(c.postSrcPort, r.PostSrcPort)
	c.postDstPort = append(c.postDstPort, r.PostDstPort)
	c.imports = append(c.imports, r.Import)
	b.n++
}

// Record gives record i as it was appended, but for an empty VRF, which may
// come back as the name of the default VRF.
func (b *Batch) Record(i int) Record {
	c := &b.rows
	return Record{
		Exporter: c.exporter[i], Domain: c.domain[i],
		Received: c.received[i], Start: c.start[i], End: c.end[i],
		Src: c.src[i], Dst: c.dst[i], SrcPort: c.srcPort[i], DstPort: c.dstPort[i],
		Proto: c.proto[i], ICMPType: c.icmpType[i], ICMPCode: c.icmpCode[i],
		Bytes: c.bytes[i], Packets: c.packets[i], RevBytes: c.revBytes[i], RevPackets: c.revPackets[i],
		TCPFlags: c.tcpFlags[i], RevTCPFlags: c.revTCPFlags[i],
		InIf: c.inIf[i], OutIf: c.outIf[i], VLAN: c.vlan[i], L2Segment: c.l2Segment[i],
		VRFID: c.vrfID[i], VRF: c.vrf[i],
		FlowDirection:    FlowDirection(c.flowDirection[i]),
		ForwardingStatus: c.forwarding[i], FirewallEvent: c.firewall[i], EndReason: c.endReason[i],
		Sampling: c.sampling[i],
		Action:   Action(c.action[i]), Direction: Direction(c.direction[i]), Basis: Basis(c.basis[i]),
		Completeness: Completeness(c.completeness[i]), Count: c.count[i], Import: c.imports[i],
		PostSrc: c.postSrc[i], PostDst: c.postDst[i], PostSrcPort: c.postSrcPort[i], PostDstPort: c.postDstPort[i],
	}
}

// Seal encodes the batch as one Native block in LZ4 frames, appended to dst.
// Optional columns that hold nothing but their default are left out. It
// returns [ErrTooLarge], and dst as it was, if the result would exceed limit
// bytes and the batch holds more than one record. The batch is unchanged.
func (b *Batch) Seal(dst []byte, limit int) ([]byte, error) {
	if b.lz4 == nil {
		b.lz4 = compress.NewWriter(compress.LevelZero, compress.LZ4)
	}
	b.encode()
	start := len(dst)
	for raw := b.raw.Buf; len(raw) > 0; {
		frame := raw[:min(frameSize, len(raw))]
		raw = raw[len(frame):]
		if err := b.lz4.Compress(frame); err != nil {
			return dst[:start], fmt.Errorf("compress batch: %w", err)
		}
		dst = append(dst, b.lz4.Data...)
		if len(dst)-start > limit && b.n > 1 {
			return dst[:start], ErrTooLarge
		}
	}
	return dst, nil
}

// Needs is the version of the batch format that the block needs which Seal made
// last; 0 before that.
func (b *Batch) Needs() int { return b.version }

// encode writes the uncompressed Native block (revision 0) into b.raw.
func (b *Batch) encode() {
	b.raw.Reset()
	b.version = firstVersion
	present := make([]*column, 0, len(columns))
	for i := range columns {
		if c := &columns[i]; c.always || !c.isDefault(&b.rows) {
			present = append(present, c)
			b.version = max(b.version, c.since)
		}
	}
	b.raw.PutInt(len(present))
	b.raw.PutInt(b.n)
	for _, c := range present {
		b.raw.PutString(c.name)
		b.raw.PutString(c.typ)
		if b.n > 0 {
			c.encode(&b.rows, &b.raw)
		}
	}
}

// Split divides the batch into two halves for sealing in parts. It copies.
func (b *Batch) Split() (first, second *Batch) {
	first, second = new(Batch), new(Batch)
	for i := range b.n {
		r := b.Record(i)
		if i < b.n/2 {
			first.Append(&r)
		} else {
			second.Append(&r)
		}
	}
	return first, second
}

// Open replaces the contents of the batch by those of a sealed payload. The
// payload must be exactly one block of this Version. After an error the batch
// is empty.
func (b *Batch) Open(payload []byte) error {
	raw, err := Decompress(nil, payload)
	if err == nil {
		_, err = b.openBlock(raw)
	}
	if err != nil {
		b.Reset()
		return fmt.Errorf("open batch: %w", err)
	}
	return nil
}

// openBlock replaces the contents of the batch by those of a decompressed
// payload, and gives the names of the columns that the block has.
func (b *Batch) openBlock(raw []byte) (names []string, err error) {
	b.Reset()
	defer func() {
		if err != nil {
			b.Reset()
		}
	}()
	p := proto.NewReader(bytes.NewReader(raw))
	ncols, n, err := blockHeader(p)
	if err != nil {
		return nil, err
	}
	seen := make([]bool, len(columns))
	names = make([]string, 0, ncols)
	for range ncols {
		name, err := p.Str()
		if err != nil {
			return nil, fmt.Errorf("column name: %w", err)
		}
		typ, err := p.Str()
		if err != nil {
			return nil, fmt.Errorf("type of column %q: %w", name, err)
		}
		i, ok := columnIndex[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("column %q is not one of table flows in schema version %d", name, Version)
		case typ != columns[i].typ:
			return nil, fmt.Errorf("column %q has type %q, not %q", name, typ, columns[i].typ)
		case seen[i]:
			return nil, fmt.Errorf("column %q stands twice", name)
		}
		seen[i] = true
		names = append(names, columns[i].name)
		if n == 0 {
			continue
		}
		if err := columns[i].decode(&b.rows, p, n); err != nil {
			return nil, fmt.Errorf("column %q: %w", name, err)
		}
	}
	for i := range columns {
		if c := &columns[i]; !seen[i] {
			if c.always {
				return nil, fmt.Errorf("column %q is missing", c.name)
			}
			c.fill(&b.rows, n)
		}
	}
	if _, err := p.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, errors.New("bytes after the block")
	}
	b.n = n
	return names, nil
}

func blockHeader(p *proto.Reader) (ncols, n int, err error) {
	c, err := p.UVarInt()
	if err != nil {
		return 0, 0, fmt.Errorf("number of columns: %w", err)
	}
	if c > uint64(len(columns)) {
		return 0, 0, fmt.Errorf("%d columns; table flows has %d", c, len(columns))
	}
	r, err := p.UVarInt()
	if err != nil {
		return 0, 0, fmt.Errorf("number of rows: %w", err)
	}
	if r > MaxRows {
		return 0, 0, fmt.Errorf("%d rows; a batch has at most %d", r, MaxRows)
	}
	return int(c), int(r), nil
}
