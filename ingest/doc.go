// Package ingest takes sealed batches from JetStream and inserts them into
// ClickHouse, each exactly once.
//
// A message of stream FLOWS is one batch is one insert, whose deduplication
// token is the batch's id. The sessions of flows follow for a group of batches
// at a time, with the group's id as token; see type ledger for who is in which
// group. A message is acknowledged after both inserts returned. If the process
// ends before, JetStream gives the message again, and ClickHouse drops what is
// in already. Any number of ingesters share the durable consumer.
//
// What becomes of a batch that cannot be inserted depends on whose fault it is:
//
//   - ClickHouse is away or overloaded: the batch is kept and tried again for
//     ever, with growing pauses, and the stream holds the rest.
//   - The batch is bad (damaged, of another schema version, or refused by
//     ClickHouse again and again while others get in): it moves to the
//     dead-letter stream with the reason in its headers, and the rest goes on.
package ingest
