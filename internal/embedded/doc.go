// Package embedded runs the two servers that Cordon needs inside its own
// process: ClickHouse, as the shared library libchdb behind ClickHouse's own
// HTTP interface, and NATS JetStream, as the nats-server library.
//
// The rest of Cordon talks to both through their ordinary clients, so nothing
// but this package and the commands knows whether a server is embedded.
//
// # ClickHouse
//
// The library is opened at run time (see [FindLibrary]); there is no cgo. One
// process owns one data folder, guarded by a lock file, and one process runs at
// most one engine, because the library keeps it in a global.
//
// Every HTTP request gets an engine connection of its own, which costs about a
// third of a millisecond and means that no setting, role or temporary table of
// one request can reach another. Requests with a session_id keep theirs.
//
// There are two kinds of access. The user "cordon", whose password is the
// random key in the data folder, may do everything; it serves this process and
// other commands of the same person. Everybody else is "default" without a
// password and may only read: see access.go for how that is enforced.
//
// # Durability
//
// What a server acknowledged survives the death of the process (kill -9, a
// fault in the library), since it is in the kernel's page cache by then. What
// survives a loss of power depends on when the page cache was flushed: for
// JetStream at latest NATSConfig.SyncInterval after the write, for ClickHouse
// when the kernel does, unless the table sets fsync_after_insert.
package embedded
