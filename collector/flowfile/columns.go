package flowfile

import (
	"fmt"
	"strings"
)

// column is a column of the flow CSV.
type column uint8

const (
	ignored column = iota
	srcIP
	dstIP
	proto
	srcPort
	dstPort
	icmpType
	icmpCode
	startTime
	endTime
	octets
	packets
	revOctets
	revPackets
	tcpFlags
	vrf
	exporter
	action
	count
	completeness // column of table flows, as SQL prints it
	client       // direction of table flows
	service      // column of `cordon sessions`
	state        // column of `cordon sessions`
	numColumns
)

var columnNames = [numColumns]string{
	srcIP: "src_ip", dstIP: "dst_ip", proto: "proto", srcPort: "src_port", dstPort: "dst_port",
	icmpType: "icmp_type", icmpCode: "icmp_code", startTime: "start_time", endTime: "end_time",
	octets: "bytes", packets: "packets", revOctets: "rev_bytes", revPackets: "rev_packets",
	tcpFlags: "tcp_flags", vrf: "vrf", exporter: "exporter", action: "action", count: "count",
	completeness: "completeness", client: "direction", service: "service", state: "state",
}

// sessionColumns are the columns of the CSV that cordon sessions prints, by the
// column that has their value.
var sessionColumns = map[string]column{
	"vrf": vrf, "client": srcIP, "server": dstIP, "service": service, "state": state, "flows": count, "client_packets": packets, "client_bytes": octets,
	"server_packets": revPackets, "server_bytes": revOctets, "first_seen": startTime, "last_seen": endTime,
}

// ofSessions says whether the header is that of cordon sessions.
func ofSessions(fields [][]byte) bool {
	needed := map[string]bool{"client": true, "server": true, "service": true, "state": true}
	for _, f := range fields {
		delete(needed, strings.ToLower(strings.TrimSpace(string(f))))
	}
	return len(needed) == 0
}

func (c column) String() string { return columnNames[c] }

func (c column) required() bool { return c == srcIP || c == dstIP || c == proto }

// header says which column each field of a row is, and which columns there are.
type header struct {
	fields []column
	has    [numColumns]bool

	sessions bool // rows are sessions
}

// totals says that bytes and packets are those of all records of the row
// already: Cordon itself has printed it.
func (h *header) totals() bool { return h.sessions || h.has[completeness] }

// parseHeader reads the header line, split into fields. The notes name columns
// that are ignored although their names suggest that they should not be.
func parseHeader(fields [][]byte) (h header, notes []string, err error) {
	h.sessions = ofSessions(fields)
	for i, f := range fields {
		name := strings.ToLower(strings.TrimSpace(string(f)))
		col := ignored
		for c := srcIP; c < service; c++ {
			if columnNames[c] == name {
				col = c
			}
		}
		if h.sessions {
			col = sessionColumns[name]
		}
		if col != ignored && h.has[col] {
			return h, nil, fmt.Errorf("column %s stands twice in the header", col)
		}
		h.fields = append(h.fields, col)
		h.has[col] = true
		if col == ignored && !h.sessions {
			if near := nearColumn(name); near != ignored {
				notes = append(notes, fmt.Sprintf("column %d, %s, is ignored; did you mean %s?", i+1, shorten(f), near))
			}
		}
	}
	h.has[ignored] = false
	var missing []string
	for c := srcIP; c < numColumns; c++ {
		if c.required() && !h.has[c] && !(h.sessions && c == proto) {
			missing = append(missing, c.String())
		}
	}
	if len(missing) == 0 {
		return h, notes, nil
	}
	hint := ""
	switch {
	case len(notes) > 0:
		hint = "; " + strings.Join(notes, "; ")
	case len(fields) == 1:
		hint = "; the first line must name the columns, separated by commas"
	}
	return h, nil, fmt.Errorf("the header has no column %s%s", strings.Join(missing, ", "), hint)
}

// synonyms are words that other tools use in the names of the same columns.
var synonyms = strings.NewReplacer(
	"source", "src", "destination", "dst", "dest", "dst", "address", "ip", "addr", "ip", "protocol", "proto",
	"octets", "bytes", "pkts", "packets", "reverse", "rev", "flags", "flags", "timestamp", "time",
	"_", "", "-", "", ".", "", " ", "",
)

// nearColumn gives the column that name was probably meant to be.
func nearColumn(name string) column {
	if len(name) > 40 {
		return ignored
	}
	plain := synonyms.Replace(name)
	for _, same := range []bool{true, false} {
		for c := srcIP; c <= count; c++ {
			col := strings.ReplaceAll(columnNames[c], "_", "")
			if same && plain == col || !same && distance(plain, col) <= len(col)/4 {
				return c
			}
		}
	}
	return ignored
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to make a into b (optimal string alignment).
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
