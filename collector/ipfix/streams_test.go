package ipfix

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"

	"cordon/internal/iana"
	"cordon/schema"
)

// sharedIPFIX is where the streams of real exporters lie beside the repository.
const sharedIPFIX = "../../../shared/data/ipfix"

func needShared(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(sharedIPFIX); err != nil {
		t.Skipf("needs the shared exporter streams: %v", err)
	}
}

// records gathers what a Decoder gives.
type records []schema.Record

func (r *records) Append(rec *schema.Record) { *r = append(*r, *rec) }

// discard counts.
type discard int

func (d *discard) Append(*schema.Record) { *d++ }

func udpSource(addr string) Source { return Source{Addr: netip.MustParseAddrPort(addr)} }

var testSource = udpSource("192.0.2.1:4739")

// messages reads a stream file: a capture of UDP datagrams, or messages one
// after the other.
func messages(t testing.TB, path string) [][]byte {
	t.Helper()
	if strings.HasSuffix(path, ".pcap") {
		return datagrams(t, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A file of one message is taken as it is: one device's length is short.
	if n := int(binary.BigEndian.Uint16(data[2:])); n+16 > len(data) {
		return [][]byte{data}
	}
	var msgs [][]byte
	for f := NewFramer(strings.NewReader(string(data))); ; {
		msg, err := f.Next()
		if err == io.EOF {
			return msgs
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		msgs = append(msgs, append([]byte(nil), msg...))
	}
}

// datagrams gives the UDP payloads of a capture of raw IPv4.
func datagrams(t testing.TB, path string) [][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var all [][]byte
	for {
		ip, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if ip[0]>>4 != 4 || ip[9] != iana.UDP {
			t.Fatalf("%s: a packet that is not UDP over IPv4", path)
		}
		udp := ip[int(ip[0]&0xf)*4:]
		all = append(all, append([]byte(nil), udp[8:binary.BigEndian.Uint16(udp[4:])]...))
	}
}

// streamCase is one of index.json.
type streamCase struct {
	Name            string   `json:"name"`
	Files           []string `json:"files"`
	Messages        int      `json:"messages"`
	DataRecords     int      `json:"data_records"`
	OptionsRecords  int      `json:"options_records"`
	WithoutTemplate int      `json:"records_without_template"`

	Expected []json.RawMessage `json:"expected"`
}

func streamCases(t testing.TB) []streamCase {
	t.Helper()
	needShared(t)
	data, err := os.ReadFile(filepath.Join(sharedIPFIX, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []streamCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func (c streamCase) messages(t testing.TB) (msgs [][]byte) {
	for _, f := range c.Files {
		msgs = append(msgs, messages(t, filepath.Join(sharedIPFIX, f))...)
	}
	return msgs
}

// hexMessages reads one message from each line of a file.
func hexMessages(t testing.TB, path string) (msgs [][]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		msg, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		msgs = append(msgs, msg)
	}
	return msgs
}
