package schema

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ClickHouse/ch-go/proto"
)

// Block is what [Check] found in the Native block of a batch.
type Block struct {
	Rows    int
	Columns []string // in the order of the block
	// Received is the time of receipt of the first row, or for exporter
	// statistics the end of its interval, in Unix microseconds. Rows come in
	// that order, nearly, so it tells how long the batch was under way.
	Received int64
}

// Check looks through a decompressed block of the named table without
// decoding its values: the columns are those of the table, with its types, each
// once, the required ones are there, and the block ends where its row count
// says. What passes, ClickHouse can read.
func Check(table string, raw []byte) (Block, error) {
	switch table {
	case TableFlows:
		return checkFlows(raw)
	case TableExporterStats:
		return checkExporterStats(raw)
	}
	return Block{}, fmt.Errorf("table %q does not take batches", table)
}

func checkExporterStats(raw []byte) (b Block, err error) {
	rows, err := openExporterStats(raw)
	if err != nil {
		return b, err
	}
	newStatsColumns().each(func(name, _ string, _ proto.Column) { b.Columns = append(b.Columns, name) })
	if b.Rows = len(rows); b.Rows > 0 {
		b.Received = rows[0].Time * 1000
	}
	return b, nil
}

func checkFlows(raw []byte) (Block, error) {
	s := blockScanner{rest: raw}
	ncols, n, err := s.header()
	if err != nil {
		return Block{}, err
	}
	b := Block{Rows: n, Columns: make([]string, 0, ncols)}
	var seen uint64 // a bit for each of columns
	for range ncols {
		name, err := s.text()
		if err != nil {
			return b, fmt.Errorf("column name: %w", err)
		}
		typ, err := s.text()
		if err != nil {
			return b, fmt.Errorf("type of column %q: %w", name, err)
		}
		i, ok := columnIndex[string(name)]
		switch {
		case !ok:
			return b, fmt.Errorf("column %q is not one of table flows in schema version %d", name, Version)
		case string(typ) != columns[i].typ:
			return b, fmt.Errorf("column %q has type %q, not %q", name, typ, columns[i].typ)
		case seen&(1<<i) != 0:
			return b, fmt.Errorf("column %q stands twice", name)
		}
		seen |= 1 << i
		c := &columns[i]
		b.Columns = append(b.Columns, c.name)
		if n == 0 {
			continue
		}
		if c.width > 0 {
			data, err := s.take(uint64(n) * uint64(c.width))
			if err != nil {
				return b, fmt.Errorf("column %q: %w", c.name, err)
			}
			if c.name == "received" {
				b.Received = int64(binary.LittleEndian.Uint64(data))
			}
			continue
		}
		if err := s.lowCardinality(n); err != nil {
			return b, fmt.Errorf("column %q: %w", c.name, err)
		}
	}
	for i := range columns {
		if columns[i].always && seen&(1<<i) == 0 {
			return b, fmt.Errorf("column %q is missing", columns[i].name)
		}
	}
	if len(s.rest) > 0 {
		return b, fmt.Errorf("%d bytes after the block", len(s.rest))
	}
	return b, nil
}

// blockScanner walks over a Native block in memory.
type blockScanner struct{ rest []byte }

func (s *blockScanner) header() (ncols, n int, err error) {
	p := proto.NewReader(bytes.NewReader(s.rest))
	if ncols, n, err = blockHeader(p); err != nil {
		return 0, 0, err
	}
	// Read again, to know how long it is.
	for range 2 {
		if _, err := s.uvarint(); err != nil {
			return 0, 0, err
		}
	}
	return ncols, n, nil
}

func (s *blockScanner) uvarint() (uint64, error) {
	v, n := binary.Uvarint(s.rest)
	if n <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	s.rest = s.rest[n:]
	return v, nil
}

func (s *blockScanner) take(n uint64) ([]byte, error) {
	if n > uint64(len(s.rest)) {
		return nil, fmt.Errorf("%d bytes where %d are needed: %w", len(s.rest), n, io.ErrUnexpectedEOF)
	}
	data := s.rest[:n]
	s.rest = s.rest[n:]
	return data, nil
}

func (s *blockScanner) text() ([]byte, error) {
	n, err := s.uvarint()
	if err != nil {
		return nil, err
	}
	return s.take(n)
}

// lowCardinality walks over a LowCardinality(String) column as one dictionary
// for the whole block: a version, flags with the width of the keys, the
// dictionary, the keys.
func (s *blockScanner) lowCardinality(n int) error {
	const (
		version           = 1
		keyWidth          = 0xff
		hasAdditionalKeys = 1 << 9
		needsUpdate       = 1 << 10
	)
	head, err := s.take(24)
	if err != nil {
		return err
	}
	if v := binary.LittleEndian.Uint64(head); v != version {
		return fmt.Errorf("version %d of the dictionary's encoding, not %d", v, version)
	}
	flags := binary.LittleEndian.Uint64(head[8:])
	if flags&^(needsUpdate|keyWidth) != hasAdditionalKeys {
		return fmt.Errorf("dictionary flags %#x", flags)
	}
	size := binary.LittleEndian.Uint64(head[16:])
	if size > uint64(n)+1 { // one for the default value
		return fmt.Errorf("a dictionary of %d values for %d rows", size, n)
	}
	for range size {
		if _, err := s.text(); err != nil {
			return err
		}
	}
	count, err := s.take(8)
	if err != nil {
		return err
	}
	if c := binary.LittleEndian.Uint64(count); c != uint64(n) {
		return fmt.Errorf("%d keys for %d rows", c, n)
	}
	width := flags & keyWidth
	if width > 3 {
		return fmt.Errorf("keys of type %d", width)
	}
	keys, err := s.take(uint64(n) << width)
	if err != nil {
		return err
	}
	for len(keys) > 0 {
		var k uint64
		for i := range 1 << width {
			k |= uint64(keys[i]) << (8 * i)
		}
		if k >= size {
			return errors.New("a key outside the dictionary")
		}
		keys = keys[1<<width:]
	}
	return nil
}
