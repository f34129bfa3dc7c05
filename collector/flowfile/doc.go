// Package flowfile reads flow records from files: flow CSV, IPFIX files
// (RFC 5655), and captures (pcap, pcapng) of IPFIX over UDP or TCP. Which of them
// a file is, and whether it is compressed with gzip or Zstandard, is told from its
// first bytes, whatever its name.
//
// # Flow CSV
//
// The header line names the columns, in any order. Columns with other names are
// ignored, and noted where the name is nearly that of a column. A value that is
// empty or whose column is absent has its default. Fields may be quoted as in
// RFC 4180; blanks around values, a byte order mark and CRLF are allowed.
//
// What a row says of completeness: a value in rev_packets means that both
// directions are in the record ([schema.BothWays]), even if it is 0. Otherwise, if
// the header has rev_packets or tcp_flags, the other direction may have a row of
// its own ([schema.OneWay]). If it has neither, nobody can tell
// ([schema.Unknowable]).
//
// A row with count N stands for N records that are alike, so its bytes and
// packets count N times. Rows whose end lies before their start are taken the
// other way round. Ports of protocols that have none are dropped. Where an ICMP
// row has its type in dst_port and that is above 255, it is type times 256 plus
// code, as NetFlow has it.
package flowfile
