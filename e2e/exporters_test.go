package e2e

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// account is what an exporter says of a capture: octets and packets by
// source, destination, ports and protocol.
type account map[flowKey]counts

type flowKey struct {
	src, dst     string
	sport, dport int
	proto        int
}

type counts struct{ packets, octets int }

func (a account) add(k flowKey, c counts) {
	if c.packets == 0 {
		return
	}
	if k.proto == 1 || k.proto == 58 {
		// Exporters put ICMP type and code into different ports and fields;
		// here the addresses must do.
		k.sport, k.dport = 0, 0
	}
	old := a[k]
	a[k] = counts{old.packets + c.packets, old.octets + c.octets}
}

// stored gives the same account from table flows, reverse counts included.
func stored(t *testing.T, a addresses, where string) account {
	t.Helper()
	got := account{}
	out, err := a.query(`SELECT replaceRegexpOne(toString(src_ip), '^::ffff:', ''), replaceRegexpOne(toString(dst_ip), '^::ffff:', ''),
		src_port, dst_port, proto, packets, bytes, rev_packets, rev_bytes FROM flows WHERE ` + where + ` FORMAT TabSeparated`)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		var k flowKey
		var c, rev counts
		if _, err := fmt.Sscan(strings.TrimSpace(line), &k.src, &k.dst, &k.sport, &k.dport, &k.proto, &c.packets, &c.octets, &rev.packets, &rev.octets); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got.add(k, c)
		got.add(flowKey{k.dst, k.src, k.dport, k.sport, k.proto}, rev)
	}
	return got
}

// need skips where a real exporter is not installed, except where the
// exporters are what is tested.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CORDON_REAL_EXPORTERS") != "" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed (Debian: apt-get install softflowd pmacct)", program)
}

// captures are what the exporters read: one that the test makes, and the
// Active Directory lab where it is at hand.
func captures(t *testing.T) map[string]string {
	m := map[string]string{"made": makeCapture(t)}
	lab := filepath.Join("..", "..", "shared", "data", "pcaps", "otrf-ad-lab-merged.pcap")
	if _, err := os.Stat(lab); errors.Is(err, fs.ErrNotExist) {
		t.Logf("no %s: only the capture that the test makes is used", lab)
	} else {
		m["ad-lab"] = lab
	}
	return m
}

// softflowd -D says of every flow how many octets and packets it saw each way.
var expired = regexp.MustCompile(`EXPIRED: seq:\d+ \[(.+?)\]:(\d+) <> \[(.+?)\]:(\d+) proto:(\d+) octets>:(\d+) packets>:(\d+) octets<:(\d+) packets<:(\d+)`)

func TestSoftflowd(t *testing.T) {
	need(t, "softflowd")
	for name, file := range captures(t) {
		for _, mode := range []struct {
			name string
			args []string
		}{
			{"udp-milli", []string{"-P", "udp", "-A", "milli"}},
			{"udp-micro", []string{"-P", "udp", "-A", "micro"}},
			{"udp-sysuptime", []string{"-P", "udp"}},
			{"tcp-nano", []string{"-P", "tcp", "-A", "nano"}},
			{"udp-biflow", []string{"-P", "udp", "-A", "milli", "-b"}},
		} {
			t.Run(name+"/"+mode.name, func(t *testing.T) {
				_, addr := up(t, t.TempDir(), "CORDON_COLLECTOR_STATS_INTERVAL=500ms")
				to := addr.UDP[0]
				if mode.args[1] == "tcp" {
					to = addr.TCP[0]
				}
				args := append([]string{"-r", file, "-v", "10", "-6", "-n", to, "-D", "-c", "none", "-p", filepath.Join(t.TempDir(), "pid")}, mode.args...)
				out, err := exec.Command("softflowd", args...).CombinedOutput()
				if err != nil {
					t.Fatalf("softflowd: %v\n%s", err, tail(string(out), 10))
				}
				want := account{}
				for _, m := range expired.FindAllStringSubmatch(string(out), -1) {
					n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
					want.add(flowKey{m[1], m[3], n(2), n(4), n(5)}, counts{n(7), n(6)})
					want.add(flowKey{m[3], m[1], n(4), n(2), n(5)}, counts{n(9), n(8)})
				}
				if len(want) == 0 {
					t.Fatalf("softflowd said nothing of any flow:\n%s", tail(string(out), 10))
				}
				waitForAccount(t, addr, want)
				noFalseLoss(t, addr)
			})
		}
	}
}

func TestPmacctd(t *testing.T) {
	need(t, "pmacctd")
	for name, file := range captures(t) {
		t.Run(name, func(t *testing.T) {
			_, addr := up(t, t.TempDir(), "CORDON_COLLECTOR_STATS_INTERVAL=500ms")
			dir := t.TempDir()
			table := filepath.Join(dir, "own.csv")
			conf := filepath.Join(dir, "pmacctd.conf")
			host, port, _ := strings.Cut(addr.UDP[0], ":")
			err := os.WriteFile(conf, []byte(fmt.Sprintf(`daemonize: false
pcap_savefile: %s
pcap_savefile_wait: true
plugin_pipe_size: 100000000
plugin_buffer_size: 10000
plugins: nfprobe[a], print[b]
aggregate[a]: src_host, dst_host, src_port, dst_port, proto, tos, tcpflags
nfprobe_receiver[a]: %s:%s
nfprobe_version[a]: 10
nfprobe_timeouts[a]: maxlife=36000
aggregate[b]: src_host, dst_host, src_port, dst_port, proto
print_output[b]: csv
print_refresh_time[b]: 600
print_output_file[b]: %s
print_output_file_append[b]: true
`, file, host, port, table)), 0o600)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("pmacctd", "-f", conf)
			log := new(logBuffer)
			cmd.Stdout, cmd.Stderr = log, log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			// It reads the whole capture, then waits to be interrupted.
			eventually(t, patience, "pmacctd to have read the capture", func() error {
				if !strings.Contains(log.String(), "finished reading PCAP capture file") {
					return errors.New(tail(log.String(), 3))
				}
				return nil
			})
			cmd.Process.Signal(os.Interrupt)
			cmd.Wait()
			want := account{}
			for _, row := range readCSV(t, table) {
				if row["PROTOCOL"] == "PROTOCOL" {
					continue // pmacctd writes the header again when it appends
				}
				n := func(col string) int { v, _ := strconv.Atoi(row[col]); return v }
				proto, ok := map[string]int{"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "ipv6-icmp": 58}[row["PROTOCOL"]]
				if !ok {
					t.Fatalf("protocol %q of pmacctd's own account", row["PROTOCOL"])
				}
				want.add(flowKey{row["SRC_IP"], row["DST_IP"], n("SRC_PORT"), n("DST_PORT"), proto}, counts{n("PACKETS"), n("BYTES")})
			}
			if len(want) == 0 {
				t.Fatalf("pmacctd said nothing of any flow:\n%s", log)
			}
			waitForAccount(t, addr, want)
			noFalseLoss(t, addr)
		})
	}
}

// waitForAccount waits until the stored flows agree with an exporter's
// account, flow by flow.
func waitForAccount(t *testing.T, a addresses, want account) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := stored(t, a, "1")
		d := cmp.Diff(want, got, cmp.AllowUnexported(flowKey{}, counts{}))
		if d == "" {
			t.Logf("%d flows agree", len(want))
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("exporter's own account (-) against stored flows (+):\n%s", d)
		}
		time.Sleep(100 * time.Millisecond) // A pause separates looks at a condition.
	}
}

// noFalseLoss checks that nothing was reported lost on loopback.
func noFalseLoss(t *testing.T, a addresses) {
	t.Helper()
	eventually(t, patience, "exporter statistics", func() error {
		got, err := a.query("SELECT sum(lost_records), sum(records) > 0 FROM exporters FORMAT TabSeparated")
		if err == nil && got != "0\t1" {
			err = fmt.Errorf("lost records, any records = %q", got)
		}
		return err
	})
}

// readCSV reads a CSV file with a header into a map for each row.
func readCSV(t *testing.T, name string) (rows []map[string]string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReader(f))
	r.FieldsPerRecord = -1
	all, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range all[1:] {
		row := map[string]string{}
		for i, v := range rec {
			row[all[0][i]] = v
		}
		rows = append(rows, row)
	}
	return rows
}
