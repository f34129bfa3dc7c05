// Package clickhousehttp is ClickHouse's own HTTP interface, in front of the
// engine that package chdb runs inside the process. The rest of Cordon talks to it
// through the ordinary client, so nothing but the commands knows whether the
// server is embedded. Of Cordon it imports chdb, datafolder, whose lock natsserver
// takes too, and sqltext, the one home of quoting.
//
// One process owns one data folder, guarded by a lock file. Every HTTP request gets
// an engine connection of its own, so that no setting, role or temporary table of
// one request can reach another. Requests with a session_id keep theirs.
//
// There are two kinds of access. The user "cordon", whose password is the
// random key in the data folder, may do everything; it serves this process and
// other commands of the same person. Everybody else is "default" without a
// password and may only read: see access.go for how that is enforced.
//
// # Durability
//
// What the server acknowledged survives the death of the process (kill -9, a
// fault in the library), since it is in the kernel's page cache by then. What
// survives a loss of power depends on when the kernel writes the page cache,
// unless the table sets fsync_after_insert.
package clickhousehttp
