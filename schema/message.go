package schema

import (
	"fmt"
	"strconv"
)

// Headers of a batch's message in stream FLOWS. The batch's id travels as
// Nats-Msg-Id, which JetStream deduplicates by, and becomes the
// insert_deduplication_token of the one insert that the message is.
const (
	HeaderSchema = "Cordon-Schema" // version of the batch format that it needs, see Version
	HeaderTable  = "Cordon-Table"  // table that the block belongs to
	HeaderRows   = "Cordon-Rows"   // records in the block
)

// Tables that a batch may belong to.
const (
	TableFlows         = "flows"
	TableExporterStats = "exporter_stats"
	TableExporterNames = "exporter_name_rows"
)

// Sealed is a batch that will not change any more.
type Sealed struct {
	// ID is unique for ever: the collector instance and a counter.
	ID      string
	Table   string
	Rows    int
	Needs   int    // version of the batch format, see Batch.Needs; 0 is the first
	Payload []byte // one Native block in LZ4 frames
}

// Headers gives the message headers of s, without the message id.
func (s *Sealed) Headers() map[string]string {
	return map[string]string{
		HeaderSchema: strconv.Itoa(max(s.Needs, firstVersion)),
		HeaderTable:  s.Table,
		HeaderRows:   strconv.Itoa(s.Rows),
	}
}

// SealedFrom puts a message back together. Get returns a header's value, or
// the empty string.
func SealedFrom(id string, get func(string) string, payload []byte) (*Sealed, error) {
	if id == "" {
		return nil, fmt.Errorf("message without a Nats-Msg-Id")
	}
	needs, err := strconv.Atoi(get(HeaderSchema))
	if err != nil || needs < firstVersion || needs > Version {
		return nil, fmt.Errorf("batch %s: header %s is %q; this version of cordon reads %d to %d", id, HeaderSchema, get(HeaderSchema), firstVersion, Version)
	}
	table := get(HeaderTable)
	switch table {
	case TableFlows, TableExporterStats, TableExporterNames:
	default:
		return nil, fmt.Errorf("batch %s: header %s is %q, not %s, %s or %s", id, HeaderTable, table, TableFlows, TableExporterStats, TableExporterNames)
	}
	n, err := strconv.Atoi(get(HeaderRows))
	if err != nil || n < 0 || n > MaxRows {
		return nil, fmt.Errorf("batch %s: header %s is %q, not a number from 0 to %d", id, HeaderRows, get(HeaderRows), MaxRows)
	}
	return &Sealed{ID: id, Table: table, Rows: n, Needs: needs, Payload: payload}, nil
}
