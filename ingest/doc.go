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
//
// # States of a batch
//
// A batch is in JetStream until it is acknowledged; what stands here is where this
// ingester has it. A process that dies in any state leaves the batch in the stream.
//
//	           handle                 insert                 groups.add
//	in stream ────────▶ in hand ────────────────▶ flows in ─────────────▶ in a group
//	  ▲  ▲                 │  │ ledger.find: it is in a      │ alone: no flows,     │
//	  │  │                 │  │ recorded group already       │ or sent again by     │ settle: the sessions
//	  │  │                 │  ▼                              │ a person             │ of the group are in
//	  │  │ giveBack        │ redo ──────────┐                ▼                      ▼
//	  │  └─────────────────┤ (below)        └────────▶ acknowledged ◀───────────────┘
//	  │   server away at   │
//	  │   the end, refused │ bury: damaged, of another version, or refused
//	  │   for now          ▼ again and again
//	  │                 dead letter
//	  └── AckWait is over without a sign of life (keepAlive)
//
// # States of a group
//
//	        add                full, or its time came       finish: ledger.append
//	empty ──────▶ open ───────────────────────────▶ closed ───────────────────────▶ recorded
//	  ▲                                                │                               │
//	  │                   giveBack: a batch is in      │                               │ insertSessions
//	  │                   another group (errTaken),    │                               ▼
//	  │                   or records were missed       ▼                        sessions in: each batch
//	  └──────────────────────────────────────── batches in stream               is settled
//
// A recorded group never changes. If its ingester dies before the sessions are in,
// its batches come again, to whomever: redo finds the record, refold makes the same
// sessions from the messages, and inserts them under the record's id, so that
// ClickHouse drops them where they are in already. If one of the messages is gone, it
// was acknowledged, so the sessions were in, and redo only settles the batch. Sessions
// that ClickHouse refuses for good bury the batches of the group.
package ingest
