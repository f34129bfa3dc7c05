package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// ExporterStats is what a collector counted about one exporter, observation
// domain and transport in one interval, as a row of table exporter_stats. The
// counters are differences: their sum over time is the total.
type ExporterStats struct {
	Time      int64    // Unix milliseconds, end of the interval
	Interval  uint32   // milliseconds
	Collector string   // instance
	Exporter  [16]byte // address as in Record; zero in rows about a listener as a whole
	Domain    uint32
	Transport string // udp, tcp, tls or file
	Name      string // the name that the exporter gives itself in options data

	Messages       uint64
	Bytes          uint64
	Records        uint64 // data records decoded
	OptionsRecords uint64
	Templates      uint64 // template records, new or repeated
	LostMessages   uint64 // estimated from sequence gaps, UDP
	LostRecords    uint64 // counted by sequence gaps (RFC 7011, section 3.1)
	Duplicates     uint64 // messages received twice
	Reordered      uint64 // messages that came late
	Restarts       uint64 // sequence numbers started anew
	NoTemplate     uint64 // data sets given up because their template never came
	Waiting        uint64 // data sets waiting for their template now; not a difference
	LateRecords    uint64 // records whose flow ended long before they came
	Errors         uint64 // malformed messages, sets and records
	DroppedRecords uint64 // records that no queue had room for
	Refused        uint64 // messages of exporters that the allow-list does not have
	KernelDrops    uint64 // datagrams that the listener's socket buffer had no room for

	Sampling   uint32 // coarsest in use; 0 unknown
	ClockSkew  int64  // milliseconds: export time less time of receipt, last message
	LastExport int64  // Unix milliseconds, export time of the last message
}

// statsColumns are the columns of table exporter_stats, in its order.
type statsColumns struct {
	time, lastExport           proto.ColDateTime64
	interval, domain, sampling proto.ColUInt32
	collector, transport, name *proto.ColLowCardinality[string]
	exporter                   proto.ColIPv6
	counters                   [statsCounters]proto.ColUInt64
	clockSkew                  proto.ColInt64
}

const statsCounters = 17

var statsCounterNames = [statsCounters]string{
	"messages", "bytes", "records", "options_records", "templates", "lost_messages", "lost_records",
	"duplicates", "reordered", "restarts", "no_template", "waiting", "late_records", "errors",
	"dropped_records", "refused", "kernel_drops",
}

func (s *ExporterStats) counters() [statsCounters]*uint64 {
	return [statsCounters]*uint64{
		&s.Messages, &s.Bytes, &s.Records, &s.OptionsRecords, &s.Templates, &s.LostMessages, &s.LostRecords,
		&s.Duplicates, &s.Reordered, &s.Restarts, &s.NoTemplate, &s.Waiting, &s.LateRecords, &s.Errors,
		&s.DroppedRecords, &s.Refused, &s.KernelDrops,
	}
}

func newStatsColumns() *statsColumns {
	c := &statsColumns{
		collector: new(proto.ColStr).LowCardinality(),
		transport: new(proto.ColStr).LowCardinality(),
		name:      new(proto.ColStr).LowCardinality(),
	}
	for _, t := range []*proto.ColDateTime64{&c.time, &c.lastExport} {
		t.WithPrecision(proto.PrecisionMilli)
	}
	return c
}

// each calls f with every column: its name, its type, and itself.
func (c *statsColumns) each(f func(name, typ string, col proto.Column)) {
	const typeMillis = "DateTime64(3, 'UTC')"
	f("time", typeMillis, &c.time)
	f("interval_ms", "UInt32", &c.interval)
	f("collector", "LowCardinality(String)", c.collector)
	f("exporter", "IPv6", &c.exporter)
	f("domain", "UInt32", &c.domain)
	f("transport", "LowCardinality(String)", c.transport)
	f("name", "LowCardinality(String)", c.name)
	for i := range c.counters {
		f(statsCounterNames[i], "UInt64", &c.counters[i])
	}
	f("sampling", "UInt32", &c.sampling)
	f("clock_skew_ms", "Int64", &c.clockSkew)
	f("last_export", typeMillis, &c.lastExport)
}

var statsColumnNames = func() (names []string) {
	newStatsColumns().each(func(name, _ string, _ proto.Column) { names = append(names, name) })
	return names
}()

// SealExporterStats encodes rows as a batch of table exporter_stats: one
// Native block in LZ4 frames, like a batch of flows. It takes at most
// [MaxRows] rows.
func SealExporterStats(rows []ExporterStats) ([]byte, error) {
	if len(rows) > MaxRows {
		return nil, fmt.Errorf("%d rows of exporter statistics; a batch has at most %d", len(rows), MaxRows)
	}
	c := newStatsColumns()
	for i := range rows {
		s := &rows[i]
		c.time.AppendRaw(proto.DateTime64(s.Time))
		c.interval.Append(s.Interval)
		c.collector.Append(s.Collector)
		c.exporter.Append(s.Exporter)
		c.domain.Append(s.Domain)
		c.transport.Append(s.Transport)
		c.name.Append(s.Name)
		for j, v := range s.counters() {
			c.counters[j].Append(*v)
		}
		c.sampling.Append(s.Sampling)
		c.clockSkew.Append(s.ClockSkew)
		c.lastExport.AppendRaw(proto.DateTime64(s.LastExport))
	}
	payload, err := sealColumns(len(statsColumnNames), len(rows), c.each)
	if err != nil {
		return nil, fmt.Errorf("seal exporter statistics: %w", err)
	}
	return payload, nil
}

// sealColumns encodes columns, which each lists with name and type, as one
// Native block in LZ4 frames.
func sealColumns(columns, rows int, each func(f func(name, typ string, col proto.Column))) ([]byte, error) {
	var b proto.Buffer
	b.PutInt(columns)
	b.PutInt(rows)
	var err error
	each(func(name, typ string, col proto.Column) {
		b.PutString(name)
		b.PutString(typ)
		if rows == 0 {
			return
		}
		if p, ok := col.(proto.Preparable); ok && err == nil {
			err = p.Prepare()
		}
		if st, ok := col.(proto.StateEncoder); ok {
			st.EncodeState(&b)
		}
		col.EncodeColumn(&b)
	})
	if err != nil {
		return nil, err
	}
	return compressFrames(b.Buf)
}

func compressFrames(raw []byte) (dst []byte, err error) {
	w := compress.NewWriter(compress.LevelZero, compress.LZ4)
	for len(raw) > 0 {
		frame := raw[:min(frameSize, len(raw))]
		raw = raw[len(frame):]
		if err := w.Compress(frame); err != nil {
			return nil, fmt.Errorf("compress batch: %w", err)
		}
		dst = append(dst, w.Data...)
	}
	return dst, nil
}

// OpenExporterStats gives back the rows of a sealed payload that [Decompress] has
// decompressed.
func OpenExporterStats(raw []byte) ([]ExporterStats, error) {
	p := proto.NewReader(bytes.NewReader(raw))
	ncols, n, err := blockHeader(p)
	if err != nil {
		return nil, err
	}
	c := newStatsColumns()
	if ncols != len(statsColumnNames) {
		return nil, fmt.Errorf("%d columns; table exporter_stats has %d", ncols, len(statsColumnNames))
	}
	c.each(func(name, typ string, col proto.Column) {
		if err != nil {
			return
		}
		err = decodeColumn(p, TableExporterStats, n, name, typ, col)
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("bytes after the block")
	}
	rows := make([]ExporterStats, n)
	for i := range rows {
		s := &rows[i]
		s.Time = int64(c.time.Data[i])
		s.Interval = c.interval[i]
		s.Collector = c.collector.Row(i)
		s.Exporter = c.exporter[i]
		s.Domain = c.domain[i]
		s.Transport = c.transport.Row(i)
		s.Name = c.name.Row(i)
		for j, v := range s.counters() {
			*v = c.counters[j][i]
		}
		s.Sampling = c.sampling[i]
		s.ClockSkew = c.clockSkew[i]
		s.LastExport = int64(c.lastExport.Data[i])
	}
	return rows, nil
}

// decodeColumn reads the column of a table that must come next.
func decodeColumn(p *proto.Reader, table string, n int, name, typ string, col proto.Column) error {
	got, err := p.Str()
	if err != nil {
		return fmt.Errorf("column name: %w", err)
	}
	if got != name {
		return fmt.Errorf("column %q where table %s has %q", got, table, name)
	}
	if got, err = p.Str(); err != nil {
		return fmt.Errorf("type of column %q: %w", name, err)
	}
	if got != typ {
		return fmt.Errorf("column %q has type %q, not %q", name, got, typ)
	}
	if n == 0 {
		return nil
	}
	if st, ok := col.(proto.StateDecoder); ok {
		if err := st.DecodeState(p); err != nil {
			return fmt.Errorf("column %q: %w", name, err)
		}
	}
	if err := col.DecodeColumn(p, n); err != nil {
		return fmt.Errorf("column %q: %w", name, err)
	}
	return nil
}
