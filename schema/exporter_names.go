package schema

import (
	"errors"
	"fmt"
	"io"

	"bytes"

	"github.com/ClickHouse/ch-go/proto"
)

// ExporterName is a name that an exporter gave to one of its numbers in options
// data, as a row of table exporter_name_rows. Flow records have the numbers.
type ExporterName struct {
	Time     int64    // Unix milliseconds, when the collector found it
	Exporter [16]byte // address as in Record
	Domain   uint32
	Kind     string // NameInterface or NameVRF
	ID       uint32
	Name     string
}

// What an [ExporterName] names.
const (
	NameInterface = "interface" // in_if and out_if of table flows
	NameVRF       = "vrf"       // vrf_id
)

// nameColumns are the columns of table exporter_name_rows, in its order.
type nameColumns struct {
	time       proto.ColDateTime64
	exporter   proto.ColIPv6
	domain, id proto.ColUInt32
	kind       *proto.ColLowCardinality[string]
	name       proto.ColStr
}

func newNameColumns() *nameColumns {
	c := &nameColumns{kind: new(proto.ColStr).LowCardinality()}
	c.time.WithPrecision(proto.PrecisionMilli)
	return c
}

// each calls f with every column: its name, its type, and itself.
func (c *nameColumns) each(f func(name, typ string, col proto.Column)) {
	f("time", "DateTime64(3, 'UTC')", &c.time)
	f("exporter", "IPv6", &c.exporter)
	f("domain", "UInt32", &c.domain)
	f("kind", "LowCardinality(String)", c.kind)
	f("id", "UInt32", &c.id)
	f("name", "String", &c.name)
}

var nameColumnNames = func() (names []string) {
	newNameColumns().each(func(name, _ string, _ proto.Column) { names = append(names, name) })
	return names
}()

// SealExporterNames encodes rows as a batch of table exporter_name_rows: one
// Native block in LZ4 frames, like a batch of flows. It takes at most
// [MaxRows] rows.
func SealExporterNames(rows []ExporterName) ([]byte, error) {
	if len(rows) > MaxRows {
		return nil, fmt.Errorf("%d names of exporters; a batch has at most %d", len(rows), MaxRows)
	}
	c := newNameColumns()
	for i := range rows {
		r := &rows[i]
		c.time.AppendRaw(proto.DateTime64(r.Time))
		c.exporter.Append(r.Exporter)
		c.domain.Append(r.Domain)
		c.kind.Append(r.Kind)
		c.id.Append(r.ID)
		c.name.Append(r.Name)
	}
	payload, err := sealColumns(len(nameColumnNames), len(rows), c.each)
	if err != nil {
		return nil, fmt.Errorf("seal names of exporters: %w", err)
	}
	return payload, nil
}

// OpenExporterNames gives back the rows of a sealed payload that [Decompress] has
// decompressed.
func OpenExporterNames(raw []byte) ([]ExporterName, error) {
	p := proto.NewReader(bytes.NewReader(raw))
	ncols, n, err := blockHeader(p)
	if err != nil {
		return nil, err
	}
	if ncols != len(nameColumnNames) {
		return nil, fmt.Errorf("%d columns; table %s has %d", ncols, TableExporterNames, len(nameColumnNames))
	}
	c := newNameColumns()
	c.each(func(name, typ string, col proto.Column) {
		if err == nil {
			err = decodeColumn(p, TableExporterNames, n, name, typ, col)
		}
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("bytes after the block")
	}
	rows := make([]ExporterName, n)
	for i := range rows {
		rows[i] = ExporterName{int64(c.time.Data[i]), c.exporter[i], c.domain[i], c.kind.Row(i), c.id[i], c.name.Row(i)}
	}
	return rows, nil
}
