package flowfile

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"cordon/collector/direction"
	"cordon/internal/recordtest"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write golden files anew")

var importTime = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func open(t testing.TB, data string) Reader {
	t.Helper()
	r, err := newReader("f.csv", strings.NewReader(data), int64(len(data)), importTime, importTime)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// all reads every record and every bad row.
func all(t testing.TB, r Reader) (recs []schema.Record, bad []string) {
	t.Helper()
	for {
		var rec schema.Record
		err := r.Next(&rec)
		var row *RowError
		switch {
		case err == nil:
			recs = append(recs, rec)
		case errors.As(err, &row):
			bad = append(bad, err.Error())
		case err == io.EOF:
			return recs, bad
		default:
			t.Fatal(err)
		}
	}
}

func addr(s string) [16]byte { return schema.Addr16(netip.MustParseAddr(s)) }

// row is a record as the defaults of the flow CSV make it, and then as the
// changes say.
func row(change func(r *schema.Record)) schema.Record {
	now := schema.Micros(importTime)
	r := schema.Record{
		Received: now, Start: now, End: now, Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), Proto: 6,
		SrcPort: 40000, DstPort: 443, Packets: 1, PacketsAssumed: true, Count: 1, Completeness: schema.Unknowable,
	}
	change(&r)
	return r
}

func TestCSVRows(t *testing.T) {
	const base = "src_ip,dst_ip,proto,src_port,dst_port"
	const ends = "10.0.0.1,10.0.0.2,"
	stated := func(r *schema.Record) { r.Direction, r.Basis = schema.Forward, schema.BasisStated }
	tests := []struct {
		name, header, row string
		want              func(r *schema.Record)
	}{
		{"plain", base, ends + "tcp,40000,443", func(r *schema.Record) {}},
		{"blanks, quotes and CRLF", base, ` 10.0.0.1 ,"10.0.0.2", "tcp" ,40000,443` + "\r", func(r *schema.Record) {}},
		{"only what is required", "src_ip,dst_ip,proto", ends + "tcp", func(r *schema.Record) { r.SrcPort, r.DstPort = 0, 0; stated(r) }},
		{"any order, other columns", "label,dst_port,proto,dst_ip,src_port,src_ip", "x,443,6,10.0.0.2,40000,10.0.0.1", func(r *schema.Record) {}},
		{"header in capitals", strings.ToUpper(base), ends + "TCP,40000,443", func(r *schema.Record) {}},
		{"IPv6", base, "2001:db8::1,2001:db8::2,udp,40000,443", func(r *schema.Record) {
			r.Src, r.Dst, r.Proto = addr("2001:db8::1"), addr("2001:db8::2"), 17
		}},
		{"IPv4 mapped", base, "::ffff:10.0.0.1,10.0.0.2,tcp,40000,443", func(r *schema.Record) {}},
		{"source is the client", base, ends + "tcp,0,443", func(r *schema.Record) { r.SrcPort = 0; stated(r) }},
		{"source port empty", base, ends + "sctp,,443", func(r *schema.Record) { r.SrcPort, r.Proto = 0, 132; stated(r) }},
		{"destination port 0", base, ends + "tcp,443,0", func(r *schema.Record) { r.SrcPort, r.DstPort = 443, 0 }},
		{"portless protocol with ports", base, ends + "gre,1,2", func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort = 47, 0, 0 }},
		{"unknown protocol", base, ends + "255,1,2", func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort = 255, 0, 0 }},
		{"ICMP type in dst_port", base, ends + "icmp,0,8", func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort, r.ICMPType = 1, 0, 0, 8 }},
		{"ICMP type and code in dst_port", base, ends + "icmp,0,769", func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType, r.ICMPCode = 1, 0, 0, 3, 1
		}},
		{"ICMP type in its own column", base + ",icmp_type,icmp_code", ends + "ipv6-icmp,5,6,1,4", func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType, r.ICMPCode = 58, 0, 0, 1, 4
		}},
		{"ICMP type 0 in its own column", base + ",icmp_type", ends + "icmp,0,8,0", func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort = 1, 0, 0 }},
		{"ICMP type in an empty column of its own", base + ",icmp_type,icmp_code", ends + "icmp,0,3,,1", func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType, r.ICMPCode = 1, 0, 0, 3, 1
		}},
		{"ICMP type on TCP", base + ",icmp_type,icmp_code", ends + "tcp,40000,443,8,1", func(r *schema.Record) {}},
		{"Unix seconds", base + ",start_time", ends + "tcp,40000,443,1644451200", func(r *schema.Record) {
			r.Start, r.End = 1644451200e6, 1644451200e6
		}},
		{"fraction", base + ",start_time,end_time", ends + "tcp,40000,443,1445353834.524710,1445353835.5", func(r *schema.Record) {
			r.Start, r.End = 1445353834_524710, 1445353835_500000
		}},
		{"nanoseconds are cut off", base + ",start_time", ends + "tcp,40000,443,1.123456789", func(r *schema.Record) { r.Start, r.End = 1_123456, 1_123456 }},
		{"RFC 3339", base + ",start_time", ends + "tcp,40000,443,2026-11-20T09:00:00.25+01:00", func(r *schema.Record) {
			r.Start = schema.Micros(importTime) + 250_000
			r.End = r.Start
		}},
		{"only an end", base + ",end_time", ends + "tcp,40000,443,5", func(r *schema.Record) { r.Start, r.End = 5e6, 5e6 }},
		{"end before start", base + ",start_time,end_time", ends + "tcp,40000,443,9,5", func(r *schema.Record) { r.Start, r.End = 5e6, 9e6 }},
		{"counters", base + ",bytes,packets", ends + "tcp,40000,443,18446744073709551615,7", func(r *schema.Record) { r.Bytes, r.Packets, r.PacketsAssumed = 1<<64-1, 7, false }},
		{"counters empty", base + ",bytes,packets", ends + "tcp,40000,443,,", func(r *schema.Record) {}},
		{"packets 0", base + ",packets", ends + "tcp,40000,443,0", func(r *schema.Record) { r.Packets, r.PacketsAssumed = 0, false }},
		{"packets 1, which somebody counted", base + ",packets", ends + "tcp,40000,443,1", func(r *schema.Record) { r.PacketsAssumed = false }},
		{"both ways", base + ",rev_bytes,rev_packets", ends + "tcp,40000,443,10,2", func(r *schema.Record) {
			r.RevBytes, r.RevPackets, r.Completeness = 10, 2, schema.BothWays
		}},
		{"both ways, no answer", base + ",rev_packets", ends + "tcp,40000,443,0", func(r *schema.Record) { r.Completeness = schema.BothWays }},
		{"one way in a file that has both", base + ",rev_packets", ends + "tcp,40000,443,", func(r *schema.Record) { r.Completeness = schema.OneWay }},
		{"flags", base + ",tcp_flags", ends + "tcp,40000,443,S", func(r *schema.Record) { r.TCPFlags, r.Completeness = 2, schema.OneWay }},
		{"all flags", base + ",tcp_flags", ends + "tcp,40000,443,ceuaprsf", func(r *schema.Record) { r.TCPFlags, r.Completeness = 0xff, schema.OneWay }},
		{"flags with dots", base + ",tcp_flags", ends + "tcp,40000,443,..AP.SF", func(r *schema.Record) { r.TCPFlags, r.Completeness = 0x1b, schema.OneWay }},
		{"flags, decimal", base + ",tcp_flags", ends + "tcp,40000,443,27", func(r *schema.Record) { r.TCPFlags, r.Completeness = 27, schema.OneWay }},
		{"flags, hexadecimal", base + ",tcp_flags", ends + "tcp,40000,443,0x1B", func(r *schema.Record) { r.TCPFlags, r.Completeness = 27, schema.OneWay }},
		{"flags of UDP", base + ",tcp_flags", ends + "udp,40000,443,2", func(r *schema.Record) { r.Proto, r.Completeness = 17, schema.OneWay }},
		{"vrf, exporter, action", base + ",vrf,exporter,action", ends + "tcp,40000,443,red net,192.0.2.9,Dropped", func(r *schema.Record) {
			r.VRF, r.Exporter, r.Action = "red net", addr("192.0.2.9"), schema.Dropped
		}},
		{"forwarded", base + ",action", ends + "tcp,40000,443,forwarded", func(r *schema.Record) { r.Action = schema.Forwarded }},
		{"count", base + ",count,bytes,packets,rev_bytes,rev_packets", ends + "tcp,40000,443,3,100,2,50,1", func(r *schema.Record) {
			r.Count, r.Bytes, r.Packets, r.RevBytes, r.RevPackets, r.Completeness = 3, 300, 6, 150, 3, schema.BothWays
			r.PacketsAssumed = false
		}},
		{"count times bytes is more than fits", base + ",count,bytes", ends + "tcp,40000,443,3,9223372036854775808", func(r *schema.Record) {
			r.Count, r.Bytes, r.Packets = 3, 1<<64-1, 3
		}},
		{"quoted comma, quote and line break in another column", "label," + base, "\"a, \"\"b\"\"\n c\"," + ends + "tcp,40000,443", func(r *schema.Record) {}},
	}
	for _, test := range tests {
		for _, ending := range []string{"", "\n", "\n\n"} {
			recs, bad := all(t, open(t, test.header+"\n"+test.row+ending))
			if len(bad) > 0 {
				t.Errorf("%s: %q", test.name, bad)
				continue
			}
			if d := cmp.Diff([]schema.Record{row(test.want)}, recs); d != "" {
				t.Errorf("%s (-want +got):\n%s", test.name, d)
			}
		}
	}
}

// One bad row is one error, and the good rows around it are read.
func TestCSVErrors(t *testing.T) {
	const header = "src_ip,dst_ip,proto,src_port,dst_port,icmp_type,start_time,bytes,tcp_flags,vrf,exporter,action,count"
	const good = "10.0.0.1,10.0.0.2,tcp,40000,443,,,,,,,,"
	rows := []string{
		"10.0.0.1.5,10.0.0.2,tcp,1,2,,,,,,,,",
		"10.0.0.256,10.0.0.2,tcp,1,2,,,,,,,,",
		"10.0.0.01,10.0.0.2,tcp,1,2,,,,,,,,",
		",10.0.0.2,tcp,1,2,,,,,,,,",
		"10.0.0.1,fe80::1%eth0,tcp,1,2,,,,,,,,",
		"10.0.0.1,10.0.0.0/24,tcp,1,2,,,,,,,,",
		"10.0.0.1,10.0.0.2,tpc,1,2,,,,,,,,",
		"10.0.0.1,10.0.0.2,256,1,2,,,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,65536,2,,,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,-1,2,,,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,http,,,,,,,,",
		"10.0.0.1,10.0.0.2,icmp,1,2,256,,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,yesterday,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,1644451200000,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,2026-13-01T00:00:00Z,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,1.,,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,18446744073709551616,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,1.5,,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,SX,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,0x10000,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,1B,,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,,a\x07b,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,,\xff,,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,,,router1,,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,,,,denied,",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,,,,,0",
		"10.0.0.1,10.0.0.2,tcp",
		"10.0.0.1,10.0.0.2,tcp,1,2,,,,,,,,,",
		`10.0.0.1,10.0.0.2,tcp,1,2,,,,,"red,,,`,
		`10.0.0.1,10.0.0.2,tcp,1,2,,,,,"red"x,,,`,
		`"10.0.0.1,10.0.0.2",tcp`,
		strings.Repeat("x", 3*maxLine),
		"x\x00\x01",
	}
	var got strings.Builder
	for _, bad := range rows {
		recs, errs := all(t, open(t, header+"\n"+good+"\n"+bad+"\n"+good+"\r\n"+good))
		if len(recs) != 3 || len(errs) != 1 {
			t.Errorf("%.60q: %d records and errors %q, want 3 and one", bad, len(recs), errs)
		}
		fmt.Fprintln(&got, strings.Join(errs, "\n"))
	}
	for _, h := range []string{
		"", "\n\n", "a,b\n", "src_ip;dst_ip;proto\n", "src_ip,dst_ip,proto,proto\n", "srcip,DstAddr,protocol\n", `"src_ip,dst_ip` + "\n",
		"\x00\x0a\x00\x00 no", "\xff\xfes\x00r\x00c\x00", "\x00\x09\x00\x01xxxxxxxxxxxxxxx", "\x0c\xa5\x01\x00 nfdump", strings.Repeat("x", 2*maxLine),
	} {
		_, err := newReader("f.csv", strings.NewReader(h), 0, importTime, importTime)
		fmt.Fprintln(&got, err)
	}
	golden(t, "errors.golden", got.String())
}

// Two quotes that nobody meant, lines apart, look like one long field. The rows
// between them are good all the same.
func TestStrayQuotesTakeNoRowsAway(t *testing.T) {
	const good = "10.0.0.1,10.0.0.2,tcp,red\n"
	recs, bad := all(t, open(t, "src_ip,dst_ip,proto,vrf\n"+good+"10.0.0.1,10.0.0.2,tcp,\"red\n"+good+good+"10.0.0.1,10.0.0.2,tcp,red\"\n"+good))
	want := []string{"f.csv:3: column vrf: \"red\\n10.0.0.1,10.0.0.2,tcp,red\\n10.0.0.1,10.0.0.2,tcp,red\\n10.0\"... is not " + wants[vrf]}
	if d := cmp.Diff(want, bad); d != "" {
		t.Error(d)
	}
	if len(recs) != 5 || recs[3].VRF != "red\"" {
		t.Errorf("%d records, want 5: the good rows and one with a quote in it", len(recs))
	}
	recs, bad = all(t, open(t, "src_ip,dst_ip,proto,vrf\n10.0.0.1,\"10.0.0.2,tcp,\n"+good+good+"10.0.0.1,10.0.0.2\",tcp\n"+good))
	if len(recs) != 3 || len(bad) != 2 {
		t.Errorf("%d records and errors %q, want 3 and two", len(recs), bad)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, d)
	}
}

func TestNearColumns(t *testing.T) {
	for name, want := range map[string]column{
		"srcip": srcIP, "source_ip": srcIP, "Src-IP": srcIP, "src_addr": srcIP, "dst_prot": dstPort, "destination port": dstPort,
		"protocol": proto, "packet": packets, "byte": octets, "rev_octets": revOctets, "tcpflags": tcpFlags, "start": ignored, "starttime": startTime,
		"label": ignored, "vlan": ignored, "site": ignored, "duration": ignored, "": ignored, "src_ipp": srcIP, "rev_packet": revPackets,
		"src_mac": ignored, "counts": count, "reaction": ignored, "exporters": exporter,
	} {
		if got := nearColumn(strings.ToLower(name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	r := open(t, "src_ip,dst_ip,proto,dstport,label\n")
	want := []string{`f.csv: column 4, "dstport", is ignored; did you mean dst_port?`}
	if d := cmp.Diff(want, r.Notes()); d != "" {
		t.Error(d)
	}
}

func TestBrokenClockIsNoted(t *testing.T) {
	r := open(t, "src_ip,dst_ip,proto,dst_port,start_time,end_time\n"+
		"10.0.0.1,10.0.0.2,tcp,443,1700000000,\n10.0.0.1,10.0.0.2,tcp,443,0,1700000000\n10.0.0.1,10.0.0.2,tcp,443,0,20\n10.0.0.1,10.0.0.2,tcp,443,5,\n")
	if recs, bad := all(t, r); len(recs) != 4 || len(bad) != 0 {
		t.Fatalf("%d records, errors %q", len(recs), bad)
	}
	if n := r.Notes(); len(n) != 1 || !strings.HasPrefix(n[0], "f.csv: line 4: times before the year 2000") {
		t.Errorf("%q", n)
	}
}

func TestCompressionAndMarks(t *testing.T) {
	const plain = "\ufeffsrc_ip,dst_ip,proto,src_port,dst_port\r\n10.0.0.1,10.0.0.2,tcp,40000,443\r\n"
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write([]byte(plain))
	g.Close()
	z, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	z.Write([]byte(plain))
	z.Close()
	quoted := strings.Replace(plain, "src_ip,dst_ip", `"src_ip","dst_ip"`, 1) // Spreadsheets quote names so.
	for name, data := range map[string]string{"plain": plain, "quoted": quoted, "gzip": gz.String(), "zstd": zs.String()} {
		r := open(t, data)
		recs, bad := all(t, r)
		if len(bad) > 0 || len(recs) != 1 || recs[0] != row(func(*schema.Record) {}) {
			t.Errorf("%s: %v %q", name, recs, bad)
		}
		if done, size := r.Progress(); done != int64(len(data)) || size != done {
			t.Errorf("%s: progress %d of %d, want %d", name, done, size, len(data))
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if name == "plain" || name == "quoted" {
			continue
		}
		// Cut short: what was read is kept, and the error is not the end of the file.
		// It names the line after the last that could be read, if any, and the file once.
		r, err = newReader("f.csv.gz", strings.NewReader(data[:len(data)-5]), 0, importTime, importTime)
		var rec schema.Record
		for err == nil {
			err = r.Next(&rec)
		}
		if text := err.Error(); !regexp.MustCompile(`^f\.csv\.gz:(\d+| decompress): the file cannot be read further: `).MatchString(text) || strings.Count(text, "f.csv") != 1 {
			t.Errorf("%s cut short: %v", name, err)
		}
	}
}

func TestOpenFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	name := filepath.Join(dir, "x.dat")
	if err := os.WriteFile(name, []byte("src_ip,dst_ip,proto\n10.0.0.1,10.0.0.2,icmp\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	r, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var rec schema.Record
	if err := r.Next(&rec); err != nil {
		t.Fatal(err)
	}
	if at := schema.Time(rec.Start); at.Before(before.Truncate(time.Microsecond)) || at.After(time.Now()) || rec.End != rec.Start || rec.Received != rec.Start {
		t.Errorf("start %v is not the time of import", at)
	}

	if r, err = OpenAt(name, importTime); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Next(&rec); err != nil {
		t.Fatal(err)
	}
	if want := schema.Micros(importTime); rec.Start != want || rec.End != want || rec.Received < schema.Micros(before) {
		t.Errorf("from %v to %v, received %v, want %v, received now", rec.Start, rec.End, rec.Received, want)
	}
}

// records makes records such as a flow CSV can hold.
func records() *rapid.Generator[schema.Record] {
	address := rapid.Custom(func(t *rapid.T) [16]byte {
		if rapid.Bool().Draw(t, "v6") {
			return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6"))
		}
		return schema.Addr16(netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4"))))
	})
	return rapid.Custom(func(t *rapid.T) schema.Record {
		r := schema.Record{
			Received: schema.Micros(importTime),
			Src:      address.Draw(t, "src"), Dst: address.Draw(t, "dst"), Proto: rapid.OneOf(rapid.SampledFrom([]uint8{1, 6, 17, 58, 132}), rapid.Uint8()).Draw(t, "proto"),
			Start: rapid.Int64Range(0, maxTime*1e6).Draw(t, "start"),
			Bytes: rapid.Uint64().Draw(t, "bytes"), Packets: rapid.Uint64().Draw(t, "packets"),
			VRF:      rapid.StringMatching(`[ -~äß世]{0,20}`).Filter(func(s string) bool { return strings.TrimSpace(s) == s }).Draw(t, "vrf"),
			Exporter: address.Draw(t, "exporter"), Action: schema.Action(rapid.IntRange(0, 2).Draw(t, "action")), Count: 1,
		}
		r.End = rapid.Int64Range(r.Start, maxTime*1e6).Draw(t, "end")
		switch r.Proto {
		case 6, 17, 33, 132, 136:
			r.SrcPort, r.DstPort = rapid.Uint16().Draw(t, "sport"), rapid.Uint16().Draw(t, "dport")
			if r.SrcPort == 0 {
				r.Direction, r.Basis = schema.Forward, schema.BasisStated
			}
		case 1, 58:
			r.ICMPType, r.ICMPCode = rapid.Uint8().Draw(t, "type"), rapid.Uint8().Draw(t, "code")
		}
		if r.Proto == 6 {
			r.TCPFlags = rapid.Uint16().Draw(t, "flags")
		}
		if rapid.Bool().Draw(t, "both ways") {
			r.RevBytes, r.RevPackets, r.Completeness = rapid.Uint64().Draw(t, "rbytes"), rapid.Uint64().Draw(t, "rpackets"), schema.BothWays
		}
		return r
	})
}

func writeCSV(recs []schema.Record, quote bool) string {
	var b strings.Builder
	b.WriteString("src_ip,dst_ip,proto,src_port,dst_port,icmp_type,icmp_code,start_time,end_time,bytes,packets,rev_bytes,rev_packets,tcp_flags,vrf,exporter,action,count\n")
	for _, r := range recs {
		fields := []string{
			schema.Addr(r.Src).String(), schema.Addr(r.Dst).String(), fmt.Sprint(r.Proto), fmt.Sprint(r.SrcPort), fmt.Sprint(r.DstPort),
			fmt.Sprint(r.ICMPType), fmt.Sprint(r.ICMPCode), schema.Time(r.Start).Format(time.RFC3339Nano), fmt.Sprintf("%d.%06d", r.End/1e6, r.End%1e6),
			fmt.Sprint(r.Bytes), fmt.Sprint(r.Packets), "", "", fmt.Sprintf("0x%x", r.TCPFlags), r.VRF, schema.Addr(r.Exporter).String(),
			[]string{"", "forwarded", "dropped"}[r.Action], fmt.Sprint(r.Count),
		}
		if r.Completeness == schema.BothWays {
			fields[11], fields[12] = fmt.Sprint(r.RevBytes), fmt.Sprint(r.RevPackets)
		}
		for i, f := range fields {
			if quote || strings.ContainsAny(f, ",\"") {
				fields[i] = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
			}
		}
		b.WriteString(strings.Join(fields, ",") + "\n")
	}
	return b.String()
}

func TestWriteThenReadGivesTheSameRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(records(), 0, 20).Draw(t, "records")
		data := writeCSV(want, rapid.Bool().Draw(t, "quote"))
		var in io.Reader = strings.NewReader(data)
		if rapid.Bool().Draw(t, "slow") {
			in = iotest.OneByteReader(in)
		}
		r, err := newReader("f", in, 0, importTime, importTime)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ {
			var got schema.Record
			err := r.Next(&got)
			if err == io.EOF && i == len(want) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want[i], got); d != "" {
				t.Fatalf("record %d (-want +got):\n%s", i, d)
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("src_ip,dst_ip,proto,src_port,dst_port,start_time,bytes,packets,label\n1.2.3.4,2001:db8::1,tcp,1,2,1.5,3,4,x\n"))
	f.Add([]byte("\ufeffproto,dst_ip,src_ip,tcp_flags\r\n\"tcp\",\"1.1.1.1\",2.2.2.2,SA\r\n\r\nx,\"\n"))
	f.Add([]byte("src_ip,dst_ip,proto,icmp_type,count,rev_packets,vrf,action\n::1,::2,icmp,,3,4,red,dropped\n\"a\nb\",1,2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Byte for byte or at once, the same comes out.
		var outcomes [2][]string
		for i, in := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data))} {
			s := &source{name: "f", now: importTime, count: &counter{r: in}}
			r, err := newCSV(s, s.count)
			for err == nil {
				var rec schema.Record
				if err = r.Next(&rec); err == nil {
					outcomes[i] = append(outcomes[i], fmt.Sprint(rec))
					if rec.End < rec.Start || rec.Count == 0 {
						t.Fatalf("impossible record %+v", rec)
					}
					continue
				}
				outcomes[i] = append(outcomes[i], err.Error())
				if row := (*RowError)(nil); errors.As(err, &row) {
					err = nil
				}
			}
			if n := bytes.Count(data, []byte{'\n'}) + 2; len(outcomes[i]) > n {
				t.Fatalf("%d outcomes of %d lines", len(outcomes[i]), n)
			}
		}
		if d := cmp.Diff(outcomes[0], outcomes[1]); d != "" {
			t.Fatal(d)
		}
	})
}

// shared opens one of the real sets.
func shared(t testing.TB, name string) Reader {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "sets", name, "sessions.csv.zst")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real set %s is not here: %v", name, err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

type tuple struct {
	client, server [16]byte
	proto          uint8
	port           uint16
	icmpType       uint8
}

// The real sets, and what is known of them.
func TestSets(t *testing.T) {
	rules, err := direction.New(direction.Config{})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		set              string
		records          int
		apparent, tuples int // Distinct tuples of the file, and those left once the direction is decided.
		unknown          int // records whose direction is left to the stored sessions
	}{
		{"cisco_g21", 503111, 10851, 10851, 2},
		{"ics_4sics", 12444, 2545, 10, 6},
		{"k8s_boutique", 60000, 1356, 1356, 9},
		{"m57", 8462, 664, 660, 1469},
		{"synth_small", 106200, 50493, 50275, 1144},
	}
	for _, test := range tests {
		t.Run(test.set, func(t *testing.T) {
			r := shared(t, test.set)
			apparent, tuples := map[tuple]bool{}, map[tuple]bool{}
			var n, unknown int
			var rec schema.Record
			for ; ; n++ {
				if err := r.Next(&rec); err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				apparent[tuple{rec.Src, rec.Dst, rec.Proto, rec.DstPort, rec.ICMPType}] = true
				rules.Infer(&rec)
				proto, port, icmpType, _ := recordtest.Service(&rec)
				s := tuple{rec.Src, rec.Dst, proto, port, icmpType}
				if rec.Direction == schema.Reverse {
					s.client, s.server = rec.Dst, rec.Src
				}
				tuples[s] = true
				if rec.Direction == schema.DirectionUnknown {
					unknown++
				}
			}
			if n != test.records || len(apparent) != test.apparent || len(tuples) != test.tuples || unknown != test.unknown {
				t.Errorf("%d records, %d apparent tuples, %d tuples, %d records undecided; want %d, %d, %d, %d",
					n, len(apparent), len(tuples), unknown, test.records, test.apparent, test.tuples, test.unknown)
			}
		})
	}
}

func BenchmarkCSV(b *testing.B) {
	r := shared(b, "cisco_g21")
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(r.(*csvReader).lines.r); err != nil {
		b.Fatal(err)
	}
	plain.Reset()
	plain.WriteString("start_time,src_ip,src_port,dst_ip,dst_port,proto,bytes,packets,label\n")
	for range 10_000 {
		plain.WriteString("1644451202,10.21.0.1,59883,10.21.0.10,909,tcp,9946284,71556,\n")
	}
	b.SetBytes(int64(plain.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r, err := newReader("f", bytes.NewReader(plain.Bytes()), 0, importTime, importTime)
		if err != nil {
			b.Fatal(err)
		}
		var rec schema.Record
		for err = r.Next(&rec); err == nil; err = r.Next(&rec) {
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/record")
}

// newReader reads a file that is in memory.
func newReader(name string, file io.Reader, size int64, now, untimed time.Time) (Reader, error) {
	s := &source{name: name, now: now, untimed: untimed, size: size}
	return s.open(file)
}

// The contents have one digest, however they are compressed.
func TestDigest(t *testing.T) {
	const text = "src_ip,dst_ip,proto\n10.0.0.1,10.0.0.2,tcp\n"
	var packed, zstandard bytes.Buffer
	gz := gzip.NewWriter(&packed)
	io.WriteString(gz, text)
	gz.Close()
	zw, err := zstd.NewWriter(&zstandard)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(zw, text)
	zw.Close()
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	for name, data := range map[string][]byte{"plain": []byte(text), "gzip": packed.Bytes(), "zstd": zstandard.Bytes()} {
		for round := range 2 {
			content := io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))
			r, err := OpenWith(name, Options{Digest: round == 0, Content: content})
			if err != nil {
				t.Fatal(err)
			}
			var rec schema.Record
			for err == nil {
				err = r.Next(&rec)
			}
			if expect := map[int]string{0: want, 1: ""}[round]; err != io.EOF || r.Digest() != expect {
				t.Errorf("%s: digest %q, want %q (%v)", name, r.Digest(), expect, err)
			}
		}
	}
}
