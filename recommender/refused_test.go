package recommender

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/recommender/policy"
)

// refusedForms are ways in which a row of both directions gives the flags of a
// connection that was refused, used, and used and then reset.
var refusedForms = []struct{ name, refused, used, reset string }{
	{"union of both sides", "SRA", "SAPF", "SAPR"},
	{"union of both sides, RST without ACK", "SR", "SAPF", "SAPR"},
	{"the source's flags", "S", "SAPF", "SAPR"},
	{"RST alone", "RA", "SAPF", "SAPR"},
	{"no flags", "", "", ""},
}

// A company whose closed ports answer RST, seen by exporters that put both
// directions into one row: of its scans nothing is permitted and of its true
// sessions everything, in whichever way the row gives flags.
func TestRefusedScansStayOut(t *testing.T) {
	const (
		clients, servers, services = 10, 8, 4 // Counts for each form.
		ports                      = 25
	)
	var rows strings.Builder
	rows.WriteString("src_ip,src_port,dst_ip,dst_port,proto,start_time,packets,bytes,rev_packets,rev_bytes,tcp_flags\n")
	port, scans, used := 0, 0, 0
	row := func(client, server string, service, packets, bytes, revPackets, revBytes int, flags string) {
		port++
		fmt.Fprintf(&rows, "%s,%d,%s,%d,tcp,2026-11-20T%02d:00:00Z,%d,%d,%d,%d,%s\n", client, 50000+port%10000, server, service, port%24, packets, bytes, revPackets, revBytes, flags)
	}
	for n, form := range refusedForms {
		for s := range servers {
			server := fmt.Sprintf("10.2.%d.%d", n, s+1)
			for c := range clients {
				used++
				flags := form.used
				if (c+s)%3 == 0 {
					flags = form.reset
				}
				row(fmt.Sprintf("10.1.%d.%d", n, c+1), server, 443+s%services, 8, 900, 9, 7000, flags)
			}
			for p := range ports {
				scans++
				tries := 1
				if form.refused != "" && p%2 == 0 {
					tries = 3 // Windows tries as often.
				}
				row(fmt.Sprintf("10.1.9.%d", n), server, 1000+p, tries, 60*tries, tries, 40*tries, form.refused)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "company.csv")
	if err := os.WriteFile(path, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	groups := parseGroups(t, `
categories:
  - name: role
    groups:
      - {name: clients, prefixes: [10.1.0.0/16]}
      - {name: servers, prefixes: [10.2.0.0/16]}
`)
	conn := store(t)
	insertFile(t, conn, path)
	for _, targets := range []uint64{0, 100} {
		got, err := Generate(t.Context(), conn, Settings{Categories: []string{"role"}, Settings: policy.Settings{ScannerTargets: targets}}, groups)
		if err != nil {
			t.Fatal(err)
		}
		if s := got[0].Summary; s.Sessions != uint64(scans+used) || s.Included != uint64(used) || s.Cells != services {
			t.Errorf("scanners out %v: %d of %d sessions included in %d cells, want %d of %d in %d; %d are scans", targets > 0, s.Included, s.Sessions, s.Cells, used, scans+used, services, scans)
			for i, form := range refusedForms {
				var n uint64
				if err := conn.QueryRow(t.Context(), fmt.Sprintf("SELECT countIf(complete > 0) FROM sessions WHERE client = '10.1.9.%d'", i)).Scan(&n); err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: %d scans of %d count as answered", form.name, n, servers*ports)
			}
		}
	}
}
