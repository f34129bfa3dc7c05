// Package collector receives IPFIX over UDP, TCP and TLS, decodes it, decides
// the direction of every record, seals records into batches and publishes the
// batches to JetStream.
//
// # From a datagram to an acknowledged batch
//
//	sockets ──▶ decoder, direction ──▶ sealer ──▶ publisher ──▶ JetStream
//	            a lock for each lane   goroutine   queue in memory, spool on disk
//
// The receiving goroutines decode into columns and hand full batches to the
// sealer, which compresses them beside the receiving. What it seals goes to
// the publisher, whose queue is bounded: receiving never waits for NATS.
//
// # What may be lost, and where it is counted
//
// A datagram that finds the socket's buffer full is dropped by the kernel,
// which counts it; the collector reads that counter. A sealed batch that finds
// the queue full is dropped, the newest first, and its records are counted: what
// already waits stays. That is what stream FLOWS does too when it is full, so
// the oldest evidence is the one that is kept.
//
// A process that is killed loses the records that are not sealed yet (at most
// [BatchConfig.MaxAge] of them), the batches in memory that NATS has not
// acknowledged, and nothing else. While NATS is away, batches go to the spool
// folder, where they survive the process and, being synced, the machine's power. A batch
// keeps its id wherever it waits, so a batch that is sent twice is stored once.
package collector
