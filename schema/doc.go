// Package schema is what every part of Cordon agrees on: the flow record, the
// batch that carries flow records from a collector to ClickHouse, the tables
// they land in with their migrations, and the named queries over those tables.
//
// A [Batch] gathers records by column and seals them into one ClickHouse
// Native block, compressed in ClickHouse's own LZ4 frames. The same bytes
// travel through NATS and into the insert: nothing between the collector and
// the table re-encodes them, and a person can read them with public tools
// (clickhouse-compressor --decompress, then clickhouse local --input-format
// Native).
package schema
