// Package chdb runs ClickHouse's engine inside the process, as the shared library
// libchdb. It imports nothing of Cordon.
//
// [Load] opens the library at run time, see [FindLibrary]; there is no cgo. One
// process runs at most one engine, because the library keeps it in a global.
// [Library.Start] makes that engine, [Engine.Open] a connection with settings,
// roles and temporary tables of its own, which costs about a third of a
// millisecond. The engine keeps state by thread between the calls for one query:
// whoever holds a connection is locked to an OS thread for as long as a query
// runs.
//
// [RepairDeduplication] and [MoveStdin] see to two traps of the engine: what a
// kill leaves in its log of inserts, and its appetite for standard input.
package chdb
