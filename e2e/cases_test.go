package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fieldCase is a fault that people have reported of collectors, analysers and
// recommenders of rules, with the answer that Cordon has to give.
type fieldCase struct {
	name string
	// file is imported, and args are those of generate-rules besides. @NAME is
	// an input of the case. The store has the sessions of all cases, so args
	// select those of the case; with args --from @NAME the file alone counts.
	file string
	args []string
	// want lists what the proposal permits, and what it leaves out and why.
	want []string
	// answers are SQL queries over the store with the rows that they give.
	answers [][2]string
	// run is for cases that are not an import and a proposal.
	run func(t *testing.T, a addresses, dir string)
	// elsewhere names the test of a case that has its own: file and function.
	elsewhere [2]string
	// later says why the case is not done.
	later string
}

var (
	onlyHTTPS = []string{"allow ip:10.40.0.5/32 -> ip:10.40.9.9/32 tcp/443",
		"half-open 10.40.0.66 -> 10.40.9.9 tcp/21", "half-open 10.40.0.66 -> 10.40.9.9 tcp/23", "half-open 10.40.0.66 -> 10.40.9.9 tcp/3389"}
	sampled  = []string{"allow ip:10.10.0.1/32 -> ip:10.10.0.2/32 tcp/443 (sampled 1 in 1000)"}
	sampling = [][2]string{{"SELECT sampling FROM flows ORDER BY import DESC LIMIT 1", "1000"}}
)

var fieldCases = []fieldCase{
	{name: "01-sampling-announced-elsewhere", file: "@plain.ipfix", args: []string{"--host", "10.10.0.0/16"}, want: sampled, answers: sampling},
	{name: "01-sampling-announced-elsewhere", file: "@selector-0.ipfix", args: []string{"--host", "10.10.0.0/16"}, want: sampled, answers: sampling},
	{name: "01-sampling-announced-elsewhere", file: "@selector-1.ipfix", args: []string{"--host", "10.10.0.0/16"}, want: sampled, answers: sampling},
	{name: "01-sampling-announced-elsewhere", file: "@sampler-alone.ipfix", args: []string{"--host", "10.10.0.0/16"}, want: sampled, answers: sampling},
	{name: "01-sampling-announced-elsewhere", file: "@domain.ipfix", args: []string{"--host", "10.10.0.0/16"}, want: sampled, answers: sampling},
	{
		name: "02-nat-answer-not-joined", file: "@snat.ipfix", args: []string{"--host", "10.20.0.0/16,203.0.113.7", "--groups", "@groups.yaml"},
		want: []string{"allow group:lan -> group:quad9 tcp/443", "allow group:lan -> group:quad9 udp/53", "allow group:lan -> group:servers tcp/443"},
		answers: [][2]string{{"SELECT client, server, service, half_open FROM sessions WHERE client IN ('10.20.0.5', '203.0.113.7') ORDER BY server, service",
			"10.20.0.5 10.20.9.9 tcp/443 0\n10.20.0.5 9.9.9.9 tcp/443 0\n10.20.0.5 9.9.9.9 udp/53 0"}},
	},
	{name: "03-refused-connection-in-biflow", file: "@both.ipfix", args: []string{"--host", "10.40.0.0/16"}, want: onlyHTTPS},
	{name: "03-refused-connection-in-biflow", file: "@yaf.ipfix", args: []string{"--host", "10.40.0.0/16"}, want: onlyHTTPS},
	{
		name: "03-refused-connection-in-biflow", file: "@flows.csv", args: []string{"--host", "10.0.7.7,10.0.8.1"},
		want: []string{"half-open 10.0.7.7 -> 10.0.9.6 tcp/23", "half-open 10.0.8.1 -> 10.0.9.5 tcp/8443", "half-open 10.0.8.1 -> 10.0.9.6 tcp/8443"},
	},
	{
		name: "04-old-template-reads-new-data", file: "@refused-options.ipfix", args: []string{"--host", "10.22.0.0/16"},
		want:    []string{"allow ip:10.22.0.5/32 -> ip:10.22.9.9/32 tcp/443"},
		answers: [][2]string{{"SELECT count() FROM flows WHERE import = (SELECT max(import) FROM flows)", "2"}},
	},
	{
		name: "05-raw-header-records", file: "@in.ipfix", args: []string{"--host", "10.21.0.0/16"},
		want: []string{"allow ip:10.21.0.5/32 -> ip:10.21.9.9/32 tcp/443"},
		answers: [][2]string{{`SELECT replace(toString(src_ip), '::ffff:', ''), replace(toString(dst_ip), '::ffff:', ''), tcp_flags, packets, count() FROM flows
				WHERE import = (SELECT max(import) FROM flows) GROUP BY ALL ORDER BY tcp_flags`,
			"10.21.0.5 10.21.9.9 2 1 2\n10.21.9.9 10.21.0.5 18 1 2"}},
	},
	{name: "06-mediator-hides-exporters", run: caseMediator},
	{name: "07-metered-on-entry-and-exit", run: caseEntryAndExit},
	{
		name: "08-link-local-resolver", file: "@flows.csv", args: []string{"--host", "10.244.0.0/16", "--groups", "@groups.yaml"},
		want: []string{"allow group:shop -> group:backend tcp/8080", "allow group:shop -> group:instance-metadata tcp/80", "allow group:shop -> group:node-local-dns udp/53"},
	},
	{
		name: "09-answered-on-the-same-port", file: "@flows.csv", args: []string{"--host", "10.0.1.0/24,10.0.2.0/24", "--groups", "@groups.yaml"},
		want: []string{
			"allow group:pxe-clients -> group:pxe-server udp/69",
			"allow group:vtep -> group:vtep tcp/179", "allow group:vtep -> group:vtep udp/3784", "allow group:vtep -> group:vtep udp/4789",
			"half-open 10.0.1.11 -> 10.0.4.4 udp/514",
		},
	},
	{
		name: "10-later-fragments-port-0", file: "@in.ipfix", args: []string{"--host", "10.30.0.0/16", "--groups", "@groups.yaml"},
		want: []string{"allow group:clients -> group:dns udp/53"},
	},
	{name: "11-needs-8-GiB-free", elsewhere: [2]string{"../internal/natsserver/disk_linux_test.go", "TestDiskFull"}},
	{name: "12-disk-full-never-recovers", elsewhere: [2]string{"../internal/natsserver/disk_linux_test.go", "TestDiskFull"}},
	{name: "13-grafana-ad-hoc-filters", run: caseFilters},
	{
		name: "14-address-reused-over-time", file: "@flows.csv", args: []string{"--from", "@flows.csv", "--groups", "@timed.yaml"},
		want: []string{"allow group:job -> group:db tcp/5432", "allow group:web -> group:api tcp/8080"},
	},
	{
		name: "14-address-reused-over-time", file: "@timed.csv", args: []string{"--from", "@flows.csv", "--groups", "@timed.csv"},
		want: []string{"allow group:job -> group:db tcp/5432", "allow group:web -> group:api tcp/8080"},
	},
	{name: "15-template-from-another-port", run: caseOtherPort},
	{name: "16-import-that-fails", run: caseFailedImport},
	{
		name: "17-leftover-rule", file: "@flows.csv", args: []string{"--from", "@flows.csv", "--groups", "@groups.yaml", "--existing", "@policy.yaml"},
		want: []string{
			"already-permitted 10.100.99.50 -> 10.100.1.7 udp/53", "already-permitted 10.100.99.51 -> 10.100.1.6 udp/53",
			"already-permitted 10.100.99.51 -> 10.100.99.50 tcp/4567", "already-permitted 10.100.99.52 -> 10.100.1.6 udp/123",
			"already-permitted 10.100.99.52 -> 10.100.99.50 tcp/4567",
			"finding drop_all unused", "finding monitor-web redundant", "finding monitor-web wider-than-seen", "finding old-ftp unused",
		},
	},
	{
		name: "18-guardrail-void", file: "@flows.csv",
		args: []string{"--server", "10.0.1.2", "--groups", "@groups.csv", "--category", "role,comp", "--guardrails", "@guardrails.yaml"},
		want: []string{"guardrail 10.0.0.1 -> 10.0.1.2 tcp/22"},
	},
}

// TestCases gives the cases from the field to one running cordon, one after
// the other.
func TestCases(t *testing.T) {
	dir := t.TempDir()
	_, a := up(t, dir, "CORDON_COLLECTOR_STATS_INTERVAL=200ms", "CORDON_RETENTION_FLOWS=3650d", "CORDON_RETENTION_SESSIONS=3650d")
	for _, c := range fieldCases {
		name := c.name
		if c.file != "" {
			name += "/" + strings.TrimPrefix(c.file, "@")
		}
		t.Run(name, func(t *testing.T) {
			switch {
			case c.later != "":
				t.Skip("not done: ", c.later)
			case c.elsewhere[0] != "":
				source, err := os.ReadFile(c.elsewhere[0])
				if err != nil || !bytes.Contains(source, []byte("func "+c.elsewhere[1]+"(")) {
					t.Errorf("%s has no %s (%v)", c.elsewhere[0], c.elsewhere[1], err)
				}
			case c.run != nil:
				c.run(t, a, dir)
			default:
				c.propose(t, a, dir)
			}
		})
	}
}

// input replaces @NAME by the path of an input of the case.
func (c fieldCase) input(t *testing.T, arg string) string {
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		return caseInput(t, filepath.Join(c.name, name))
	}
	return arg
}

// propose imports the case's files and compares the proposal with what is right.
func (c fieldCase) propose(t *testing.T, a addresses, dir string) {
	args := []string{"generate-rules", "--format", "json"}
	if !slices.Contains(c.args, "--from") {
		cordon(t, nil, "import", "--data-dir", dir, c.input(t, c.file))
		args = append(args, "--data-dir", dir)
	}
	for _, arg := range c.args {
		args = append(args, c.input(t, arg))
	}
	if got := permitted(t, cordon(t, nil, args...)); !slices.Equal(got, c.want) {
		t.Errorf("the proposal says\n%s\nand right is\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
	}
	for _, q := range c.answers {
		sqlSays(t, a, q[0], q[1])
	}
}

// sqlSays compares a query's rows, their columns apart by a blank.
func sqlSays(t *testing.T, a addresses, query, want string) {
	t.Helper()
	got, err := a.query(query + " FORMAT TabSeparated")
	if got = strings.ReplaceAll(got, "\t", " "); err != nil || got != want {
		t.Errorf("%s gives\n%s\nand right is\n%s (%v)", query, got, want, err)
	}
}

// permitted lists each (source, destination, service) that a proposal permits,
// each example that it leaves out, and each finding about rules in force.
func permitted(t *testing.T, document string) (lines []string) {
	t.Helper()
	var p struct {
		Rules []struct {
			Sources, Destinations, Services []string
			Evidence                        struct{ Sampling int }
		}
		Unproposed []struct {
			Reason   string
			Examples []struct{ Source, Destination, Service string }
		}
		Existing []struct{ Rule, Finding string }
	}
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	for _, r := range p.Rules {
		sampled := ""
		if r.Evidence.Sampling > 0 {
			sampled = fmt.Sprintf(" (sampled 1 in %d)", r.Evidence.Sampling)
		}
		for _, s := range r.Sources {
			for _, d := range r.Destinations {
				for _, service := range r.Services {
					lines = append(lines, "allow "+s+" -> "+d+" "+service+sampled)
				}
			}
		}
	}
	for _, u := range p.Unproposed {
		for _, e := range u.Examples {
			lines = append(lines, u.Reason+" "+e.Source+" -> "+e.Destination+" "+e.Service)
		}
	}
	for _, f := range p.Existing {
		lines = append(lines, "finding "+f.Rule+" "+f.Finding)
	}
	slices.Sort(lines)
	return lines
}

// caseWire is an exporter at a loopback address with its template and records,
// sent in one message. The times are the present's.
func caseWire(t *testing.T, a addresses, from string, domain uint32, fields [][2]uint16, records ...[]byte) {
	t.Helper()
	exportFrom(t, from, a.UDP[0], domain).send(uint32(len(records)), wireTemplate(256, 0, fields...), wireSet(256, records...))
}

// now writes a record of the last seconds.
func (f caseFlow) now(rest ...byte) []byte {
	end := uint64(time.Now().UnixMilli()) - 1000
	return f.bytes(end-4000, end, rest...)
}

// caseMediator: two routers behind a mediator that names them in its records
// count as when they send for themselves.
func caseMediator(t *testing.T, a addresses, _ string) {
	const router1, router2 = "10.255.0.1", "10.255.0.2"
	for _, m := range []struct {
		from, host string
		fields     [][2]uint16
		domains    [2][]byte
	}{
		{"127.0.0.60", "10.60.0.5", [][2]uint16{{130, 4}}, [2][]byte{}},
		{"127.0.0.61", "10.61.0.5", [][2]uint16{{403, 4}, {405, 4}}, [2][]byte{u32(11), u32(12)}},
	} {
		session := https(m.host, strings.Replace(m.host, ".0.5", ".9.9", 1))
		var records [][]byte
		for i, router := range []string{router1, router2} {
			tail := append(address(router), m.domains[i]...)
			records = append(records, session.now(tail...), session.answer().now(tail...))
		}
		caseWire(t, a, m.from, 1, append(slices.Clone(caseFields), m.fields...), records...)
	}
	for _, from := range []string{"127.0.0.62", "127.0.0.63"} {
		session := https("10.62.0.5", "10.62.9.9")
		caseWire(t, a, from, 1, caseFields, session.now(), session.answer().now())
	}
	waitFor(t, a, "SELECT client, client_bytes, server_bytes, flows, length(exporters) FROM sessions WHERE client IN ('10.60.0.5', '10.61.0.5', '10.62.0.5') ORDER BY client",
		"10.60.0.5 1000 1000 2 2, 10.61.0.5 1000 1000 2 2, 10.62.0.5 1000 1000 2 2")
}

// caseEntryAndExit: a router that meters every packet on entry and on exit
// (IE 61) has seen each once.
func caseEntryAndExit(t *testing.T, a addresses, _ string) {
	session := https("10.64.0.5", "10.64.9.9")
	var records [][]byte
	for direction := range byte(2) {
		records = append(records,
			session.now(append([]byte{direction}, append(u32(1), u32(2)...)...)...),
			session.answer().now(append([]byte{direction}, append(u32(2), u32(1)...)...)...))
	}
	caseWire(t, a, "127.0.0.64", 1, append(slices.Clone(caseFields), [][2]uint16{{61, 1}, {10, 4}, {14, 4}}...), records...)
	waitFor(t, a, "SELECT count() FROM flows WHERE exporter = '127.0.0.64'", "4")
	waitFor(t, a, "SELECT client_bytes, server_bytes, client_packets, server_packets, flows FROM sessions WHERE client = '10.64.0.5'", "1000 1000 10 10 2")
}

// caseFilters: Grafana's plugin for ClickHouse puts ad-hoc filters behind the
// query as settings.
func caseFilters(t *testing.T, a addresses, dir string) {
	flows := filepath.Join(t.TempDir(), "flows.csv")
	if err := os.WriteFile(flows, []byte("src_ip,dst_ip,proto,dst_port,bytes\n10.13.0.1,10.13.0.2,tcp,443,70\n10.13.0.1,10.13.0.2,tcp,80,9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cordon(t, nil, "import", "--data-dir", dir, flows)
	ask := func(path, query string) string {
		resp, err := http.Post("http://"+a.ClickHouse+"/"+path, "text/plain", strings.NewReader(query))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(body)))
	}
	const ours = " FROM cordon.flows WHERE src_ip = '10.13.0.1' FORMAT TSV"
	for _, c := range [][3]string{
		{"?max_execution_time=60", "SELECT sum(bytes)" + ours + " settings additional_table_filters={'cordon.flows' : ' dst_port = 443 '}", "200 70"},
		{"?additional_table_filters=%7B%27cordon.flows%27%3A%27dst_port%3D443%27%7D", "SELECT count()" + ours, "200 1"},
		{"?max_execution_time=60", "SELECT count()" + ours, "200 2"},
		{"", "SELECT count()" + ours + " SETTINGS join_use_nulls = 1", "200 2"},
	} {
		if got := ask(c[0], c[1]); got != c[2] {
			t.Errorf("%s %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	for _, refused := range []string{"max_execution_time = 0", "additional_table_filters = {'system.users': '1'}"} {
		if got := ask("", "SELECT count()"+ours+" SETTINGS "+refused); strings.HasPrefix(got, "200") {
			t.Errorf("%s was taken: %s", refused, got)
		}
	}
}

// caseOtherPort: a template that came from another port of the same address is
// named, and a sampling rate from another port applies.
func caseOtherPort(t *testing.T, a addresses, dir string) {
	exportFrom(t, "127.0.0.18", a.UDP[0], 7).send(0, wireTemplate(256, 0, caseFields...))
	exportFrom(t, "127.0.0.18", a.UDP[0], 7).send(1, wireSet(256, https("10.18.0.1", "10.18.0.2").now()))
	exportFrom(t, "127.0.0.17", a.UDP[0], 7).send(1, wireTemplate(257, 1, [][2]uint16{{149, 4}, {34, 4}}...), wireSet(257, u32(7), u32(1000)))
	caseWire(t, a, "127.0.0.17", 7, caseFields, caseFlow{"10.17.0.1", "10.17.0.2", 50001, 443, 6, 2, 60, 1}.now())
	waitFor(t, a, "SELECT sampling FROM flows WHERE exporter = '127.0.0.17'", "1000")
	eventually(t, patience, "status to say where the template came from", func() error {
		_, out := statusOf(t, nil, "--data-dir", dir)
		for _, want := range []string{"127.0.0.18", "but has announced that template from"} {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
				return fmt.Errorf("%q is not in\n%s", want, out)
			}
		}
		return nil
	})
}

// caseFailedImport: an import that fails stores nothing and says where, and
// the same contents are stored once.
func caseFailedImport(t *testing.T, a addresses, dir string) {
	const folder = "16-import-that-fails"
	rows := func(want string) {
		t.Helper()
		sqlSays(t, a, "SELECT count() FROM flows WHERE dst_ip IN ('10.9.0.1', '10.0.0.2')", want)
	}
	for _, c := range []struct {
		file, says string
	}{{"trunc.csv.gz", "the file cannot be read further"}, {"badrow.csv", ":3: column dst_port"}} {
		path := caseInput(t, filepath.Join(folder, c.file))
		cmd := exec.Command(binary, "import", "--data-dir", dir, path)
		cmd.Env = environment()
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("import of %s ended with %v, not exit code 2", c.file, err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		if !strings.Contains(line, c.says) || strings.Count(line, path) != 1 {
			t.Errorf("import of %s says %s", c.file, out)
		}
		rows("0")
	}
	for range 2 {
		cordon(t, nil, "import", "--data-dir", dir, caseInput(t, filepath.Join(folder, "big.csv.gz")))
		rows("2000")
	}
}
