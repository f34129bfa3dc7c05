// Package ingest takes sealed batches from JetStream and inserts them into
// ClickHouse, each exactly once.
//
// A message of stream FLOWS is one batch is one insert, whose deduplication
// token is the batch's id, and it is acknowledged after the insert returned. If
// the process ends between the two, JetStream gives the message again and
// ClickHouse drops the second insert, in the table and in what its materialized
// views feed. Any number of ingesters share the durable consumer.
//
// What becomes of a batch that cannot be inserted depends on whose fault it is:
//
//   - ClickHouse is away or overloaded: the batch is kept and tried again for
//     ever, with growing pauses, and the stream holds the rest.
//   - The batch is bad (damaged, of another schema version, or refused by
//     ClickHouse again and again while others get in): it moves to the
//     dead-letter stream with the reason in its headers, and the rest goes on.
package ingest
