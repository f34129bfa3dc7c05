package e2e

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

var updateCases = flag.Bool("update-cases", false, "write the inputs of the cases into testdata/cases")

// sharedCases holds the cases as they were reported. ownCases holds the
// project's copies, which TestCases reads where the former folder is missing.
const (
	sharedCases = "../../shared/cases"
	ownCases    = "testdata/cases"
)

// caseInput gives the path of an input of a case.
func caseInput(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range []string{sharedCases, ownCases} {
		if dir == sharedCases && os.Getenv("CORDON_OWN_CASES") != "" {
			continue
		}
		if path := filepath.Join(dir, name); exists(path) {
			path, err := filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	t.Fatalf("the input %s of a case is missing; write the copies with: go test ./e2e -run TestCaseInputs -update-cases", name)
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// The copies in testdata are what the writer below makes.
func TestCaseInputs(t *testing.T) {
	for name, data := range caseInputs() {
		path := filepath.Join(ownCases, name)
		if *updateCases {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Another release of Go may compress differently, so contents are compared.
		if filepath.Ext(name) == ".gz" {
			got, data = unzipped(got), unzipped(data)
			if len(got) > 0 && len(data) > 0 && name == "16-import-that-fails/trunc.csv.gz" {
				continue
			}
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%s is not what the writer makes; run with -update-cases", path)
		}
	}
}

// unzipped gives the contents as far as they can be read.
func unzipped(data []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(r)
	return out
}

// caseTime is when the sessions of the files took place: 2025-11-20 00:53:20
// UTC, in Unix milliseconds.
const caseTime = 1763600000_000

// fileMessage is one IPFIX message of a file (RFC 7011, section 3.1).
func fileMessage(domain, sequence uint32, sets ...[]byte) []byte {
	b := make([]byte, 16)
	for _, s := range sets {
		b = append(b, s...)
	}
	bigEndian.PutUint16(b, 10)
	bigEndian.PutUint16(b[2:], uint16(len(b)))
	bigEndian.PutUint32(b[4:], caseTime/1000+10)
	bigEndian.PutUint32(b[8:], sequence)
	bigEndian.PutUint32(b[12:], domain)
	return b
}

// caseFields are the elements of a caseFlow: addresses, ports, protocol, TCP
// flags, octets, packets, start and end in milliseconds.
var caseFields = [][2]uint16{{8, 4}, {12, 4}, {7, 2}, {11, 2}, {4, 1}, {6, 2}, {1, 8}, {2, 8}, {152, 8}, {153, 8}}

// caseFlow is one record of one direction.
type caseFlow struct {
	src, dst     string
	sport, dport uint16
	proto        byte
	flags        uint16
	octets       uint64
	packets      uint64
}

// bytes writes the record with start and end, in Unix milliseconds, and what
// the template has behind the usual fields.
func (f caseFlow) bytes(start, end uint64, rest ...byte) []byte {
	b := append(address(f.src), address(f.dst)...)
	b = bigEndian.AppendUint16(b, f.sport)
	b = bigEndian.AppendUint16(b, f.dport)
	b = bigEndian.AppendUint16(append(b, f.proto), f.flags)
	for _, v := range []uint64{f.octets, f.packets, start, end} {
		b = bigEndian.AppendUint64(b, v)
	}
	return append(b, rest...)
}

// answer is the record of the other direction.
func (f caseFlow) answer() caseFlow {
	f.src, f.dst, f.sport, f.dport = f.dst, f.src, f.dport, f.sport
	return f
}

func address(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// https is a session of ten packets each way.
func https(src, dst string) caseFlow { return caseFlow{src, dst, 50001, 443, 6, 0x1b, 1000, 10} }

// caseInputs are the files of testdata/cases.
func caseInputs() map[string][]byte {
	files := map[string][]byte{
		"02-nat-answer-not-joined/snat.ipfix":                  translatedFile(),
		"03-refused-connection-in-biflow/both.ipfix":           biflowFile(false),
		"03-refused-connection-in-biflow/yaf.ipfix":            biflowFile(true),
		"04-old-template-reads-new-data/refused-options.ipfix": refusedFile(),
		"05-raw-header-records/in.ipfix":                       headFile(),
		"10-later-fragments-port-0/in.ipfix":                   fragmentFile(),
	}
	for name, data := range samplingFiles() {
		files["01-sampling-announced-elsewhere/"+name] = data
	}
	for name, text := range caseTexts {
		files[name] = []byte(text)
	}
	var rows bytes.Buffer
	rows.WriteString("src_ip,dst_ip,proto,dst_port\n")
	for i := 1; i <= 2000; i++ {
		fmt.Fprintf(&rows, "10.0.%d.%d,10.9.0.1,tcp,80\n", i/250, i%250)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(rows.Bytes())
	w.Close()
	files["16-import-that-fails/big.csv.gz"] = zipped.Bytes()
	files["16-import-that-fails/trunc.csv.gz"] = zipped.Bytes()[:zipped.Len()*3/5]
	return files
}

// samplingFiles hold one SYN each, of an exporter that looks at one packet in
// 1000 and says so in a way of its own.
func samplingFiles() map[string][]byte {
	syn := caseFlow{"10.10.0.1", "10.10.0.2", 50001, 443, 6, 2, 60, 1}
	template := wireTemplate(256, 0, caseFields...)
	record := wireSet(256, syn.bytes(caseTime-60_000, caseTime-60_000))
	number := func(v ...uint32) (b []byte) {
		for _, n := range v {
			b = bigEndian.AppendUint32(b, n)
		}
		return b
	}
	file := func(options, data []byte) []byte {
		return fileMessage(7, 0, template, options, wireSet(257, data), record)
	}
	selector := wireTemplate(257, 1, [][2]uint16{{302, 4}, {304, 2}, {305, 4}, {306, 4}}...)
	sampler := wireTemplate(257, 1, [][2]uint16{{48, 4}, {49, 1}, {34, 4}}...)
	withSampler := append(append([][2]uint16{}, caseFields...), [2]uint16{48, 4})
	return map[string][]byte{
		"plain.ipfix":         file(wireTemplate(257, 1, [][2]uint16{{149, 4}, {34, 4}}...), number(7, 1000)),
		"sampler-alone.ipfix": file(sampler, append([]byte{0, 0, 0, 1, 2}, number(1000)...)),
		"selector-0.ipfix":    file(selector, append([]byte{0, 0, 0, 0, 0, 3}, number(1, 999)...)),
		"selector-1.ipfix":    file(selector, append([]byte{0, 0, 0, 1, 0, 3}, number(1, 999)...)),
		"domain.ipfix": append(
			fileMessage(6, 0, sampler, wireSet(257, append([]byte{0, 0, 0, 1, 2}, number(1000)...))),
			fileMessage(0, 0, wireTemplate(256, 0, withSampler...), wireSet(256, syn.bytes(caseTime-60_000, caseTime-60_000, 0, 0, 0, 1)))...),
	}
}

// translatedFile holds a session that is not translated and two that source
// NAT translates, both directions each (IE 225 to 228).
func translatedFile() []byte {
	template := wireTemplate(260, 0, append(append([][2]uint16{}, caseFields...), [][2]uint16{{225, 4}, {226, 4}, {227, 2}, {228, 2}}...)...)
	const lan, wan, public = "10.20.0.5", "203.0.113.7", "9.9.9.9"
	record := func(f, post caseFlow) []byte {
		rest := append(address(post.src), address(post.dst)...)
		rest = bigEndian.AppendUint16(rest, post.sport)
		return f.bytes(caseTime-60_000, caseTime-59_000, bigEndian.AppendUint16(rest, post.dport)...)
	}
	translated := func(f caseFlow, back uint64) (b []byte) {
		outside := f
		outside.src = wan
		answer, inside := outside.answer(), f.answer()
		answer.octets = back
		return append(record(f, outside), record(answer, inside)...)
	}
	inside := https(lan, "10.20.9.9")
	body := append(record(inside, inside), record(inside.answer(), inside.answer())...)
	body = append(body, translated(caseFlow{lan, public, 50002, 53, 17, 0, 70, 1}, 150)...)
	web := https(lan, public)
	web.sport = 50003
	return fileMessage(0, 0, template, wireSet(260, append(body, translated(web, 1000)...)))
}

// biflowFile holds records of both directions: an HTTPS session and three
// refused connections. The flags of the sides stand in IE 6 and its reverse
// (RFC 5103), or in those of YAF (PEN 6871: first packet, then the others).
func biflowFile(yaf bool) []byte {
	const reverse, cert = 29305, 6871
	type field struct {
		id, length uint16
		enterprise uint32
	}
	fields := []field{{8, 4, 0}, {12, 4, 0}, {7, 2, 0}, {11, 2, 0}, {4, 1, 0}, {1, 8, 0}, {2, 8, 0}, {1, 8, reverse}, {2, 8, reverse}, {152, 8, 0}, {153, 8, 0}}
	if yaf {
		fields = append(fields, field{14, 1, cert}, field{15, 1, cert}, field{14 | 1<<14, 1, cert}, field{15 | 1<<14, 1, cert})
	} else {
		fields = append(fields, field{6, 2, 0}, field{6, 2, reverse})
	}
	b := bigEndian.AppendUint16(nil, 256)
	b = bigEndian.AppendUint16(b, uint16(len(fields)))
	for _, f := range fields {
		if f.enterprise == 0 {
			b = bigEndian.AppendUint16(bigEndian.AppendUint16(b, f.id), f.length)
			continue
		}
		b = bigEndian.AppendUint16(bigEndian.AppendUint16(b, f.id|1<<15), f.length)
		b = bigEndian.AppendUint32(b, f.enterprise)
	}
	record := func(src string, dport uint16, counts [4]uint64, flags [4]byte) (r []byte) {
		r = append(address(src), address("10.40.9.9")...)
		r = bigEndian.AppendUint16(bigEndian.AppendUint16(r, 50001), dport)
		r = append(r, 6)
		for _, v := range append(counts[:], caseTime-60_000, caseTime-57_500) {
			r = bigEndian.AppendUint64(r, v)
		}
		if yaf {
			return append(r, flags[:]...)
		}
		return append(r, 0, flags[0]|flags[1], 0, flags[2]|flags[3])
	}
	body := record("10.40.0.5", 443, [4]uint64{1000, 10, 9000, 12}, [4]byte{0x02, 0x1a, 0x12, 0x1a})
	for _, port := range []uint16{21, 23, 3389} {
		body = append(body, record("10.40.0.66", port, [4]uint64{60, 1, 40, 1}, [4]byte{0x02, 0, 0x14, 0})...)
	}
	return fileMessage(1, 0, wireSet(2, b), wireSet(256, body))
}

// refusedFile defines template 256 anew, as an options template without a
// scope, which RFC 7011 forbids, and sends data of that definition.
func refusedFile() []byte {
	session := https("10.22.0.5", "10.22.9.9")
	both := append(session.bytes(caseTime-60_000, caseTime-59_000), session.answer().bytes(caseTime-60_000, caseTime-59_000)...)
	refused := [][2]uint16{{144, 4}, {41, 8}, {42, 8}, {40, 8}, {305, 4}, {306, 4}, {322, 8}, {130, 4}, {149, 4}, {164, 4}}
	body := bigEndian.AppendUint16(nil, 256)
	body = bigEndian.AppendUint16(bigEndian.AppendUint16(body, uint16(len(refused))), 0)
	size := 0
	for _, f := range refused {
		body = bigEndian.AppendUint16(bigEndian.AppendUint16(body, f[0]), f[1])
		size += int(f[1])
	}
	data := bytes.Repeat([]byte{0, 0, 0, 99}, size/4)
	return append(
		fileMessage(1, 0, wireTemplate(256, 0, caseFields...), wireSet(256, both)),
		fileMessage(1, 2, wireSet(3, body), wireSet(256, data))...)
}

// headFile holds the beginnings of packets of one connection: frames with a
// VLAN tag (IE 315), and the same packets from the IP header on (IE 313).
func headFile() []byte {
	variable := func(b []byte) []byte { return append([]byte{byte(len(b))}, b...) }
	packet := func(src, dst string, sport, dport uint16, flags byte) []byte {
		b := []byte{0x45, 0, 4, 16, 0, 1, 0, 0, 64, 6, 0, 0}
		b = append(append(b, address(src)...), address(dst)...)
		b = bigEndian.AppendUint16(bigEndian.AppendUint16(b, sport), dport)
		return append(b, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 4, 0, 0, 0, 0, 0)
	}
	frame := func(ip []byte) []byte {
		b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 21, 8, 0}
		return append(b, ip...)
	}
	interfaces := []byte{0, 0, 0, 1, 0, 0, 0, 2}
	syn := packet("10.21.0.5", "10.21.9.9", 50001, 443, 0x02)
	answer := packet("10.21.9.9", "10.21.0.5", 443, 50001, 0x12)
	var frames, packets []byte
	for i, p := range [][]byte{syn, answer} {
		frames = append(append(frames, interfaces...), byte(i), 4, 30) // flowDirection, dataLinkFrameSize
		frames = append(frames, variable(frame(p))...)
		packets = append(append(packets, interfaces...), variable(p)...)
	}
	return append(
		fileMessage(1, 0, wireTemplate(300, 0, [][2]uint16{{10, 4}, {14, 4}, {61, 1}, {312, 2}, {315, 0xffff}}...), wireSet(300, frames)),
		fileMessage(1, 2, wireTemplate(301, 0, [][2]uint16{{10, 4}, {14, 4}, {313, 0xffff}}...), wireSet(301, packets))...)
}

// fragmentFile holds two DNS sessions whose answers come in fragments: the
// exporter gives the later ones ports 0 and 0.
func fragmentFile() []byte {
	var body []byte
	for _, client := range []string{"10.30.0.5", "10.30.0.6"} {
		query := caseFlow{client, "10.30.9.9", 50001, 53, 17, 0, 80, 1}
		first := query.answer()
		first.octets = 1500
		later := caseFlow{first.src, first.dst, 0, 0, 17, 0, 2600, 2}
		for _, f := range []caseFlow{query, first, later} {
			body = append(body, f.bytes(caseTime-60_000, caseTime-59_000)...)
		}
	}
	return fileMessage(1, 0, wireTemplate(256, 0, caseFields...), wireSet(256, body))
}

// caseTexts are the inputs that are text.
var caseTexts = map[string]string{
	"02-nat-answer-not-joined/groups.yaml": `categories:
  - name: role
    groups:
      - {name: lan, prefixes: [10.20.0.0/24]}
      - {name: servers, prefixes: [10.20.9.0/24]}
      - {name: quad9, prefixes: [9.9.9.9]}
      - {name: wan-address, prefixes: [203.0.113.7]}
`,
	"03-refused-connection-in-biflow/flows.csv": `src_ip,dst_ip,proto,src_port,dst_port,start_time,bytes,packets,rev_bytes,rev_packets,tcp_flags
10.0.8.1,10.0.9.5,tcp,41001,8443,2026-11-20T08:00:00Z,100,2,60,1,SR
10.0.8.1,10.0.9.6,tcp,41001,8443,2026-11-20T08:00:00Z,100,2,60,1,SR
10.0.7.7,10.0.9.6,tcp,41001,23,2026-11-20T08:00:00Z,60,1,40,1,S
`,
	"08-link-local-resolver/groups.yaml": `categories:
  - name: role
    groups:
      - {name: shop, prefixes: [10.244.1.0/24]}
      - {name: backend, prefixes: [10.244.2.0/24]}
      - {name: node-local-dns, prefixes: [169.254.20.10/32]}
      - {name: instance-metadata, prefixes: [169.254.169.254/32]}
`,
	"08-link-local-resolver/flows.csv": `src_ip,dst_ip,proto,src_port,dst_port,start_time,bytes,packets,rev_bytes,rev_packets,tcp_flags
10.244.1.5,169.254.20.10,udp,40001,53,2026-11-20T08:00:00Z,70,1,150,1,
10.244.1.6,169.254.20.10,udp,40002,53,2026-11-20T08:00:00Z,70,1,150,1,
10.244.1.5,169.254.169.254,tcp,40003,80,2026-11-20T08:00:00Z,700,5,1500,5,SAPF
10.244.1.5,10.244.2.9,tcp,40004,8080,2026-11-20T08:00:00Z,700,5,1500,5,SAPF
`,
	"09-answered-on-the-same-port/groups.yaml": `categories:
  - name: role
    groups:
      - {name: vtep, prefixes: [10.0.1.0/24]}
      - {name: pxe-clients, prefixes: [10.0.2.0/24]}
      - {name: pxe-server, prefixes: [10.0.3.9]}
      - {name: syslog, prefixes: [10.0.4.4]}
`,
	"09-answered-on-the-same-port/flows.csv": `src_ip,dst_ip,proto,src_port,dst_port,start_time,bytes,packets,tcp_flags
10.0.1.11,10.0.1.12,tcp,51000,179,2026-11-20T08:00:00Z,900,10,SAPF
10.0.1.12,10.0.1.11,tcp,179,51000,2026-11-20T08:00:00Z,900,10,SAPF
10.0.1.11,10.0.1.12,udp,53211,4789,2026-11-20T08:00:00Z,150000,100,
10.0.1.12,10.0.1.11,udp,61877,4789,2026-11-20T08:00:00Z,170000,120,
10.0.1.11,10.0.1.12,udp,49152,3784,2026-11-20T08:00:00Z,6000,100,
10.0.1.12,10.0.1.11,udp,49153,3784,2026-11-20T08:00:00Z,6000,100,
10.0.2.5,10.0.3.9,udp,50123,69,2026-11-20T08:00:00Z,60,1,
10.0.3.9,10.0.2.5,udp,40321,50123,2026-11-20T08:00:00Z,60000,110,
10.0.2.5,10.0.3.9,udp,50123,40321,2026-11-20T08:00:00Z,3520,110,
10.0.1.11,10.0.4.4,udp,514,514,2026-11-20T08:00:00Z,3520,20,
`,
	"10-later-fragments-port-0/groups.yaml": `categories:
  - name: role
    groups:
      - {name: clients, prefixes: [10.30.0.0/24]}
      - {name: dns, prefixes: [10.30.9.9]}
`,
	"16-import-that-fails/badrow.csv": `src_ip,dst_ip,proto,dst_port
10.0.0.1,10.0.0.2,tcp,80
10.0.0.1,10.0.0.2,tcp,800000
10.0.0.3,10.0.0.2,tcp,80
`,
	"14-address-reused-over-time/flows.csv": `src_ip,dst_ip,proto,src_port,dst_port,start_time,bytes,packets
10.244.1.7,10.244.9.9,tcp,0,5432,2026-11-19T08:00:00Z,900,10
10.244.1.7,10.244.8.8,tcp,0,8080,2026-11-20T08:00:00Z,900,10
`,
	"14-address-reused-over-time/timed.yaml": `categories:
  - name: app
    groups:
      - {name: job, prefixes: [{prefix: 10.244.1.7, until: 2026-11-20T00:00:00Z}]}
      - {name: web, prefixes: [{prefix: 10.244.1.7, from: 2026-11-20T00:00:00Z}]}
      - {name: db, prefixes: [10.244.9.9]}
      - {name: api, prefixes: [10.244.8.8]}
`,
	"14-address-reused-over-time/timed.csv": `category,group,prefix,from,until
app,job,10.244.1.7,,2026-11-20T00:00:00Z
app,web,10.244.1.7,2026-11-20T00:00:00Z,
app,db,10.244.9.9,,
app,api,10.244.8.8,,
`,
	"17-leftover-rule/groups.yaml": `categories:
  - name: app
    groups:
      - {name: web01_web02, prefixes: [10.100.99.51, 10.100.99.52]}
      - {name: appserver1, prefixes: [10.100.99.50]}
  - name: infra
    groups:
      - {name: wifi_clients, prefixes: [172.18.6.0/24]}
      - {name: DNS_NTP_servers, prefixes: [10.100.1.6, 10.100.1.7]}
`,
	"17-leftover-rule/policy.yaml": `apiVersion: cordon/v1
kind: Policy
rules:
  - {name: rule72, sources: [group:wifi_clients], destinations: [group:DNS_NTP_servers], services: [udp/123]}
  - {name: rule73, sources: [group:wifi_clients], destinations: [group:DNS_NTP_servers], services: [udp/53]}
  - {name: monitor-web, sources: [group:web01_web02, group:appserver1]}
  - {name: web-dns, sources: [group:web01_web02, group:appserver1], destinations: [group:DNS_NTP_servers], services: [udp/53, udp/123]}
  - {name: web-app, sources: [group:web01_web02], destinations: [group:appserver1], services: [tcp/4567]}
  - {name: clients-web, sources: [group:wifi_clients], destinations: [group:web01_web02], services: [tcp/80]}
  - {name: old-ftp, sources: [group:wifi_clients], destinations: [group:appserver1], services: [tcp/21]}
  - {name: drop_all, action: deny, sources: [group:web01_web02, group:appserver1]}
`,
	"17-leftover-rule/flows.csv": `src_ip,dst_ip,proto,src_port,dst_port,start_time,bytes,packets,rev_bytes,rev_packets,tcp_flags
172.18.6.138,10.100.1.6,udp,50001,53,2026-11-20T08:00:00Z,70,1,150,1,
172.18.6.138,10.100.1.7,udp,50002,123,2026-11-20T08:00:00Z,76,1,76,1,
172.18.6.138,10.100.99.51,tcp,50003,80,2026-11-20T08:00:00Z,700,5,1500,5,SAPF
172.18.6.138,10.100.99.52,tcp,50004,80,2026-11-20T08:01:00Z,700,5,1500,5,SAPF
10.100.99.51,10.100.99.50,tcp,50005,4567,2026-11-20T08:00:00Z,700,5,1500,5,SAPF
10.100.99.52,10.100.99.50,tcp,50006,4567,2026-11-20T08:00:00Z,700,5,1500,5,SAPF
10.100.99.51,10.100.1.6,udp,50007,53,2026-11-20T08:00:00Z,70,1,150,1,
10.100.99.50,10.100.1.7,udp,50008,53,2026-11-20T08:00:00Z,70,1,150,1,
10.100.99.52,10.100.1.6,udp,50009,123,2026-11-20T08:00:00Z,76,1,76,1,
`,
	"18-guardrail-void/flows.csv": `src_ip,dst_ip,proto,dst_port,start_time
10.0.0.1,10.0.1.2,tcp,22,1700000000
`,
	"18-guardrail-void/groups.csv": `category,group,prefix
role,app,10.0.1.2
comp,pci,10.0.1.2
comp,pci,10.0.9.9
`,
	"18-guardrail-void/guardrails.yaml": `apiVersion: cordon/v1
kind: Policy
rules:
  - {name: no-ssh-to-pci, action: deny, destinations: [group:pci], services: [tcp/22]}
`,
}
