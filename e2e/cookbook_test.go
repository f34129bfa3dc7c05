package e2e

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"cordon/categories"
	"cordon/collector/replay/lab"
	"cordon/schema"
)

var updateDocs = flag.Bool("update-docs", false, "write the answers that the store gives into docs/sql-cookbook.md")

// codeBlock is a fenced block of a document, with the number of its first line.
type codeBlock struct {
	lang, text  string
	title       string // The title of its section.
	line        int
	first, last int // lines of the fences, from 0
}

// codeBlocks lists the fenced blocks of a document.
func codeBlocks(t *testing.T, name string) (blocks []codeBlock, lines []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	lines = strings.Split(string(data), "\n")
	title, open := "", -1
	for i, l := range lines {
		switch {
		case open < 0 && strings.HasPrefix(l, "#"):
			title = strings.TrimLeft(l, "# ")
		case open < 0 && strings.HasPrefix(l, "```"):
			open = i
		case open >= 0 && strings.HasPrefix(l, "```"):
			blocks = append(blocks, codeBlock{
				lang: strings.TrimPrefix(lines[open], "```"), text: strings.Join(lines[open+1:i], "\n"),
				title: title, line: open + 2, first: open, last: i,
			})
			open = -1
		}
	}
	if open >= 0 {
		t.Fatalf("docs/%s:%d: the block is not closed", name, open+1)
	}
	return blocks, lines
}

// Every query of the cookbook runs as anybody may run it, finds something in a
// store with a day and a half of two monitor nodes, and has the columns of the
// answer that is printed beside it.
func TestCookbook(t *testing.T) {
	a, dir := cookbookStore(t)
	blocks, lines := codeBlocks(t, "sql-cookbook.md")
	queries := 0
	for i := len(blocks) - 1; i >= 0; i-- { // Backwards, so that answers of another length move nothing.
		b := blocks[i]
		if b.lang != "sql" {
			continue
		}
		queries++
		t.Run(b.title, func(t *testing.T) {
			result, err := a.query(strings.TrimRight(b.text, "; \n") + "\nFORMAT TabSeparatedWithNames")
			if err != nil {
				t.Fatalf("docs/sql-cookbook.md:%d: %v", b.line, err)
			}
			rows := strings.Split(result, "\n")
			if len(rows) < 2 {
				t.Fatalf("docs/sql-cookbook.md:%d: the query finds nothing", b.line)
			}
			if i+1 == len(blocks) || blocks[i+1].lang != "text" || blocks[i+1].title != b.title {
				t.Fatalf("docs/sql-cookbook.md:%d: the query has no answer beside it", b.line)
			}
			answer := blocks[i+1]
			if *updateDocs {
				lines = slices.Replace(lines, answer.first+1, answer.last, align(rows)...)
				return
			}
			head, _, _ := strings.Cut(answer.text, "\n")
			if got, want := strings.Fields(head), strings.Split(rows[0], "\t"); !slices.Equal(got, want) {
				t.Errorf("docs/sql-cookbook.md:%d: the answer has columns %v, the query %v", answer.line, got, want)
			}
		})
	}
	if queries < 20 {
		t.Errorf("%d queries in the cookbook", queries)
	}
	if *updateDocs && !t.Failed() {
		if err := os.WriteFile(filepath.Join("..", "docs", "sql-cookbook.md"), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("evidence", func(t *testing.T) { cookbookEvidence(t, a, blocks) })
	t.Run("clients", func(t *testing.T) { cookbookClients(t, a, blocks) })
	t.Run("metrics of rules and boards", func(t *testing.T) { testMetrics(t, a, dir) })
	t.Run("boards", func(t *testing.T) { testBoards(t, a) })

	commands := regexp.MustCompile("`cordon (sessions [^`]+)`").FindAllStringSubmatch(strings.Join(lines, "\n"), -1)
	if len(commands) < 5 {
		t.Errorf("%d commands in the cookbook", len(commands))
	}
	for _, c := range commands {
		out := cordon(t, nil, append(strings.Fields(c[1]), "--data-dir", dir, "--format", "csv")...)
		if strings.Count(out, "\n") < 2 {
			t.Errorf("docs/sql-cookbook.md: cordon %s finds nothing", c[1])
		}
	}
}

// The query for the sessions under rules gives every rule of the lab as many as
// its evidence counts.
func cookbookEvidence(t *testing.T, a addresses, blocks []codeBlock) {
	i := slices.IndexFunc(blocks, func(b codeBlock) bool { return b.lang == "sql" && b.title == "The sessions under a rule" })
	if i < 0 {
		t.Fatal("the query is not there")
	}
	got, err := a.query("SELECT rule, count() AS sessions, sum(flows), sum(bytes), min(first), max(last) FROM (" + blocks[i].text + ") GROUP BY rule ORDER BY rule")
	if err != nil {
		t.Fatal(err)
	}
	want, err := a.query("SELECT name, sessions, flows, bytes, first_seen, last_seen FROM proposal_rules ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	if got != want || want == "" {
		t.Errorf("the query gives\n%s\nthe rules say\n%s", got, want)
	}
}

// align prints the first rows of a result in columns, with what was cut off
// marked.
func align(rows []string) []string {
	const most, widest = 6, 40
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, r := range rows[:min(len(rows), most+1)] {
		cells := strings.Split(r, "\t")
		for i, c := range cells {
			c = strings.ReplaceAll(c, `\'`, `'`)
			if len(c) > widest {
				c = c[:widest-3] + "..."
			}
			cells[i] = c
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	if more := len(rows) - 1 - most; more > 0 {
		fmt.Fprintf(&b, "... %d more\n", more)
	}
	out := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	for i := range out {
		out[i] = strings.TrimRight(out[i], " ")
	}
	return out
}

// The examples of flow CSV give the sessions that stand below them.
func TestFlowCSVExamples(t *testing.T) {
	blocks, _ := codeBlocks(t, "flow-csv.md")
	examples := 0
	for i, b := range blocks {
		if b.lang != "csv" {
			continue
		}
		examples++
		file := filepath.Join(t.TempDir(), "flows.csv")
		if err := os.WriteFile(file, []byte(b.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		cordon(t, nil, "import", "--data-dir", dir, file)
		got := cordon(t, nil, "sql", "--data-dir", dir, `SELECT client, server, service, flows, complete, half_open, denied, direction_basis
			FROM sessions ORDER BY client, server, service`)
		if want := blocks[i+1].text; !slices.Equal(strings.Fields(got), strings.Fields(want)) {
			t.Errorf("docs/flow-csv.md:%d gives\n%s, and shows\n%s", b.line, got, want)
		}
	}
	if examples != 3 {
		t.Errorf("%d examples", examples)
	}
}

// The groups files of the documentation are what it says of them: addresses are in the groups of its table, lint
// prints of the first what is printed there, and finds nothing wrong in the others.
func TestGroupsExamples(t *testing.T) {
	blocks, lines := codeBlocks(t, "groups.md")
	var file *categories.File
	for _, b := range blocks {
		f, err := categories.Parse("groups."+b.lang, []byte(b.text))
		switch {
		case b.lang != "yaml" && b.lang != "csv":
		case err != nil:
			t.Errorf("docs/groups.md:%d: %v", b.line, err)
		case b.lang == "yaml" && file != nil: // Further examples show a part of a file.
			for _, finding := range categories.Lint(f) {
				if finding.Severity != categories.Info {
					t.Errorf("docs/groups.md:%d: %v", b.line, finding)
				}
			}
		case b.lang == "yaml":
			file = f
			var want strings.Builder
			for _, finding := range categories.Lint(f) {
				fmt.Fprintln(&want, finding)
			}
			if !strings.Contains(strings.Join(lines, "\n"), want.String()) {
				t.Errorf("docs/groups.md does not show what lint says of its file:\n%s", want.String())
			}
		}
	}
	var selections [][]string
	rows := 0
	for i, l := range lines {
		cells := strings.Split(strings.Trim(l, "| "), " | ")
		if len(cells) != 4 {
			continue
		}
		addr, err := netip.ParseAddr(strings.Trim(cells[0], "`"))
		if err != nil {
			for _, c := range cells[1:] {
				_, selected, _ := strings.Cut(strings.Trim(c, "`"), " ")
				selections = append(selections, strings.Split(selected, ","))
			}
			continue
		}
		rows++
		for j, want := range cells[1:] {
			r, err := categories.NewResolver(file, selections[j])
			if err != nil {
				t.Fatal(err)
			}
			got := "-"
			if ref, ok := r.Lookup(addr); ok {
				got = ref.Group
			}
			if got != want {
				t.Errorf("docs/groups.md:%d: %v is in %s with %v, not in %s", i+1, addr, got, selections[j], want)
			}
		}
	}
	if rows < 5 {
		t.Errorf("%d rows of addresses", rows)
	}
}

// firstCells gives the first cell of each row of a document's tables, without
// its quotes.
func firstCells(lines []string) (cells []string) {
	for _, l := range lines {
		if strings.HasPrefix(l, "| ") {
			first, _, _ := strings.Cut(l[2:], " | ")
			cells = append(cells, strings.Trim(first, "`"))
		}
	}
	return cells
}

// docs/operations.md lists every setting with its default, and no other.
func TestOperationsSettings(t *testing.T) {
	_, lines := codeBlocks(t, "operations.md")
	documented := map[string]string{}
	for _, l := range lines {
		if cells := strings.Split(l, " | "); len(cells) == 3 && strings.HasPrefix(l, "| `") {
			documented[strings.Trim(cells[0], "|` ")] = strings.Trim(cells[1], "`")
		}
	}
	cmd := exec.Command(binary, "config", "show")
	cmd.Env, cmd.Dir = []string{"HOME=" + t.TempDir()}, t.TempDir()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]bool{}
	for _, l := range strings.Split(strings.TrimSpace(string(out)), "\n")[1:] {
		words := strings.Fields(l)
		value := ""
		if len(words) == 3 {
			value = words[1]
		}
		settings[words[0]] = true
		if got, ok := documented[words[0]]; !ok || got != value {
			t.Errorf("docs/operations.md: %s has default %q, documented as %q", words[0], value, got)
		}
	}
	_, table, _ := strings.Cut(strings.Join(lines, "\n"), "| key | default |")
	for _, key := range firstCells(strings.Split(table, "\n")) {
		if !settings[key] {
			t.Errorf("docs/operations.md: there is no setting %s", key)
		}
	}
}

// docs/operations.md explains every finding of `cordon status`.
func TestOperationsFindings(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "internal", "status", "diagnose.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, lines := codeBlocks(t, "operations.md")
	explained := firstCells(lines)
	verb := regexp.MustCompile(`%[.0-9]*[a-z%]`)
	findings := 0
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 4 {
			return true
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "add" {
			return true
		}
		// The text is a literal, or made from one.
		text := ""
		ast.Inspect(call.Args[2], func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && text == "" && lit.Kind == token.STRING {
				text, _ = strconv.Unquote(lit.Value)
			}
			return text == ""
		})
		findings++
		fixed := verb.Split(text, -1)
		if !slices.ContainsFunc(explained, func(e string) bool {
			return slices.ContainsFunc(fixed, func(f string) bool { return e != "" && strings.Contains(f, e) })
		}) {
			t.Errorf("docs/operations.md does not explain %q", text)
		}
		return true
	})
	if findings < 10 {
		t.Errorf("%d findings in diagnose.go", findings)
	}
}

// Files that the documentation names, and links to, are there.
func TestDocsFiles(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:[a-z0-9_-]+/)+[a-zA-Z0-9_.-]+\\.(?:go|sql|sh|md|yaml|conf|service))`")
	linked := regexp.MustCompile(`\]\(([^)#:]+)[)#]`)
	found := 0
	for _, doc := range docs {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		check := func(re *regexp.Regexp, base string) {
			for _, m := range re.FindAllStringSubmatch(string(data), -1) {
				found++
				if _, err := os.Stat(filepath.Join(base, m[1])); err != nil {
					t.Errorf("%s names %s: %v", doc, m[1], err)
				}
			}
		}
		check(named, "..")
		check(linked, filepath.Dir(doc))
	}
	if found < 20 {
		t.Errorf("%d names of files found", found)
	}
}

// cookbookClients runs the programs that the cookbook shows, against the store
// in place of the default address.
func cookbookClients(t *testing.T, a addresses, blocks []codeBlock) {
	ran := map[string]bool{}
	for _, b := range blocks {
		text := strings.ReplaceAll(b.text, "127.0.0.1:8123", a.ClickHouse)
		var cmd *exec.Cmd
		switch b.lang {
		case "sh":
			if !strings.Contains(text, "curl") {
				continue // TestDocs runs it
			}
			cmd = exec.Command("sh", "-euc", text)
		case "python":
			cmd = exec.Command("python3", "-c", text)
		case "go":
			file := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd = exec.Command("go", "run", file)
		default:
			continue
		}
		ran[b.lang] = true
		t.Run(b.title+"/"+b.lang, func(t *testing.T) {
			for _, program := range []string{cmd.Path, "curl"} {
				if b.lang != "sh" && program == "curl" {
					continue
				}
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("%s is not installed", program)
				}
			}
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("docs/sql-cookbook.md:%d: %v\n%s", b.line, err, out)
			}
			if !bytes.Contains(out, []byte("udp/53")) {
				t.Errorf("docs/sql-cookbook.md:%d: prints no session of udp/53:\n%s", b.line, out)
			}
		})
	}
	for _, lang := range []string{"sh", "python", "go"} {
		if !ran[lang] {
			t.Errorf("the cookbook has no example for %s", lang)
		}
	}
}

// cookbookStore runs a cordon whose store holds: the lab of a day ago, imported;
// the lab of today, from two monitor nodes over UDP, one of which loses datagrams
// on the way and has a clock that is behind; some traffic that the lab does not
// have; and a proposal. It
// gives the addresses of that cordon and its data folder.
func cookbookStore(t *testing.T) (a addresses, dir string) {
	dir = t.TempDir()
	_, a = up(t, dir, "CORDON_COLLECTOR_STATS_INTERVAL=200ms", "CORDON_WATCH_INTERVAL=1s")
	now := time.Now()
	records := 0
	write := func(rows [][]string) string {
		records += len(rows)
		return writeFlows(t, rows)
	}

	var yesterday [][]string
	for _, n := range lab.Nodes(1, now.Add(-28*time.Hour)) {
		for i := range n.Records {
			yesterday = append(yesterday, flowRow(&n.Records[i], n.Addr))
		}
	}
	cordon(t, nil, "import", "--data-dir", dir, write(yesterday))
	cordon(t, nil, "import", "--data-dir", dir, write(besideTheLab(now.Add(-time.Hour))))
	cordon(t, nil, "import", "--data-dir", dir, write(backups(now.Add(-8*time.Hour))))
	a.optimize(t, dir, "flows")
	messages := 0
	for _, n := range lab.Nodes(2, now.Add(-lab.Duration)) {
		var today [][]string
		for i := range n.Records {
			today = append(today, flowRow(&n.Records[i], netip.Addr{}))
		}
		args := []string{"replay", writeFlows(t, today), "--rate", "2000", "--source", n.Addr.String()}
		if !n.Biflow {
			messages += sentMessages(t, cordon(t, nil, append(args, "--to", a.UDP[0])...))
			continue
		}
		sent := sentMessages(t, cordon(t, nil, append(args, "--biflow", "--to", lossyPath(t, n.Addr, a.UDP[0]))...))
		messages += sent - sent/lostEvery
	}
	// A switch that names its interfaces.
	w := exportFrom(t, "127.0.0.5", a.UDP[0], 7)
	w.send(2, wireTemplate(301, 1, [][2]uint16{{10, 4}, {82, 16}}...), wireSet(301, u32(3), fixed("Ethernet3", 16), u32(4), fixed("Ethernet4/1", 16)))
	w.send(1, flowTemplate, wireSet(256, wireFlow("10.100.50.7", "10.100.1.6", 40000, 53, 0, time.Minute)))
	messages += 2
	eventually(t, patience, "all flows and what is known of their exporters to be stored", func() error {
		for _, q := range []struct{ query, want string }{
			{"SELECT count() FROM flows WHERE domain = 0", strconv.Itoa(records)},
			{"SELECT sum(messages) FROM exporters WHERE exporter != '::'", strconv.Itoa(messages)},
			{"SELECT sum(records) = (SELECT count() FROM flows WHERE domain != 0) FROM exporters", "1"},
			{"SELECT count() FROM exporter_names", "2"},
		} {
			if got, err := a.query(q.query); err != nil || got != q.want {
				return fmt.Errorf("%s: %s, want %s (%v)", q.query, got, q.want, err)
			}
		}
		return nil
	})
	groups := filepath.Join(dir, "groups.yaml")
	if err := os.WriteFile(groups, []byte(lab.Groups), 0o600); err != nil {
		t.Fatal(err)
	}
	cordon(t, nil, "generate-rules", "--data-dir", dir, "--groups", groups, "--category", "role,infra,clients", "--vrf", "default")
	return a, dir
}

var flowHeader = []string{
	"src_ip", "dst_ip", "proto", "src_port", "dst_port", "icmp_type", "icmp_code", "start_time", "end_time",
	"bytes", "packets", "rev_bytes", "rev_packets", "tcp_flags", "vrf", "exporter", "action",
}

// flowRow writes a record as a row of flow CSV.
func flowRow(r *schema.Record, exporter netip.Addr) []string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	moment := func(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }
	from := ""
	if exporter.IsValid() {
		from = exporter.String()
	}
	return []string{
		netip.AddrFrom16(r.Src).Unmap().String(), netip.AddrFrom16(r.Dst).Unmap().String(), number(uint64(r.Proto)),
		number(uint64(r.SrcPort)), number(uint64(r.DstPort)), number(uint64(r.ICMPType)), number(uint64(r.ICMPCode)), moment(r.Start), moment(r.End),
		number(r.Bytes), number(r.Packets), number(r.RevBytes), number(r.RevPackets), number(uint64(r.TCPFlags)), "", from, "",
	}
}

func writeFlows(t *testing.T, rows [][]string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "flows.csv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := csv.NewWriter(f)
	w.Write(flowHeader)
	w.WriteAll(rows)
	if err := w.Error(); err != nil {
		t.Fatal(err)
	}
	return name
}

// besideTheLab is what the lab does not have, in an hour from start: passive
// FTP, syslog between equal ports, a pair of equal ports that says nothing, what
// a firewall dropped, IPv6, a VRF of guests, and a job that ran the day before.
func besideTheLab(start time.Time) (rows [][]string) {
	add := func(minute int, src, dst, proto string, srcPort, dstPort int, flags, vrf, action string) {
		at := start.Add(time.Duration(minute) * time.Minute).UTC()
		back := "3"
		if action == "dropped" || flags == "S" {
			back = "0"
		}
		rows = append(rows, []string{
			src, dst, proto, strconv.Itoa(srcPort), strconv.Itoa(dstPort), "", "", at.Format(time.RFC3339), at.Add(2 * time.Second).Format(time.RFC3339),
			"420", "4", "300", back, flags, vrf, "127.0.0.4", action,
		})
	}
	const ftp, filer = "172.18.6.120", "10.100.20.21"
	for i := range 24 {
		add(2*i, ftp, filer, "tcp", 33000+i, 21, "SAFP", "", "")
		add(2*i, ftp, filer, "tcp", 34000+i, 10090+i, "SAF", "", "")
	}
	for i := range 5 {
		add(i, fmt.Sprintf("10.100.99.%d", 50+i), "10.100.1.20", "udp", 514, 514, "", "", "")
	}
	add(-27*60, "10.100.40.5", "10.100.40.9", "tcp", 40100, 873, "SAFP", "", "")
	add(7, "10.100.30.1", "10.100.30.2", "udp", 17500, 17500, "", "", "")
	add(9, "172.18.6.131", "10.100.99.50", "tcp", 41000, 3306, "S", "", "dropped")
	add(11, "172.18.6.133", "10.100.99.50", "tcp", 41001, 3306, "S", "", "dropped")
	add(12, "172.18.6.133", "10.100.99.50", "tcp", 41002, 4567, "S", "", "dropped")
	add(13, "2001:db8:6::15", "2001:db8:1::6", "udp", 50123, 53, "", "", "")
	add(14, "2001:db8:6::15", "2001:db8:99::51", "tcp", 50124, 443, "SAFP", "", "")
	for i := range 3 {
		add(20+i, fmt.Sprintf("192.168.7.%d", 10+i), "10.100.1.6", "udp", 40000+i, 53, "", "guest", "")
	}
	return rows
}

// sentMessages reads the count in what `cordon replay` prints.
func sentMessages(t *testing.T, printed string) (messages int) {
	t.Helper()
	var records int
	if _, err := fmt.Sscanf(printed, "%d records in %d messages", &records, &messages); err != nil {
		t.Fatalf("%q: %v", printed, err)
	}
	return messages
}

// lostEvery is how many datagrams a lossy path takes for each that it drops.
const lostEvery = 8

// backups are a night's transfers in a VRF of their own: enough records for
// ClickHouse to store each column by itself.
func backups(start time.Time) (rows [][]string) {
	rng := rand.New(rand.NewPCG(3, 0))
	for range 100_000 {
		at := start.Add(time.Duration(rng.Int64N(int64(4 * time.Hour)))).UTC()
		octets := 40_000 + rng.IntN(4_000_000)
		rows = append(rows, []string{
			fmt.Sprintf("10.9.0.%d", 10+rng.IntN(16)), "10.9.1.1", "tcp", strconv.Itoa(32768 + rng.IntN(28232)), "8200", "", "",
			at.Format(time.RFC3339Nano), at.Add(time.Duration(rng.Int64N(int64(time.Minute)))).Format(time.RFC3339Nano),
			strconv.Itoa(octets), strconv.Itoa(1 + octets/1400), strconv.Itoa(octets / 50), strconv.Itoa(1 + octets/2800), "SAFP", "backup", "127.0.0.4", "",
		})
	}
	return rows
}

// optimize has ClickHouse merge a table into one part for each partition, as
// it does by itself in time. That takes full access.
func (a addresses) optimize(t *testing.T, dir, table string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "clickhouse", "clickhouse.key"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+a.ClickHouse+"/?database=cordon", strings.NewReader("OPTIMIZE TABLE "+table+" FINAL"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("cordon", strings.TrimSpace(string(key)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("optimize %s: %s", table, body)
	}
}

// lossyPath stands between a monitor node at addr and the collector: it drops
// every eighth datagram, and turns the clock in the others back by twenty minutes. It gives the address to send to.
func lossyPath(t *testing.T, addr netip.Addr, collector string) string {
	t.Helper()
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp4", collector)
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.DialUDP("udp4", &net.UDPAddr{IP: addr.AsSlice()}, to)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { in.Close(); <-done; out.Close() })
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for i := 0; ; i++ {
			n, err := in.Read(buf)
			if err != nil {
				return
			}
			if i%lostEvery == lostEvery-1 {
				continue
			}
			// RFC 7011, section 3.1: the export time is in octets 4 to 7.
			at := uint32(buf[4])<<24 | uint32(buf[5])<<16 | uint32(buf[6])<<8 | uint32(buf[7])
			at -= 20 * 60
			buf[4], buf[5], buf[6], buf[7] = byte(at>>24), byte(at>>16), byte(at>>8), byte(at)
			if _, err := out.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	return in.LocalAddr().String()
}
