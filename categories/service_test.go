package categories

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestProtocolNames(t *testing.T) {
	for n := range 256 {
		name := ProtocolName(uint8(n))
		for _, text := range []string{name, strings.ToUpper(name)} {
			if got, err := ParseProtocol(text); err != nil || int(got) != n {
				t.Errorf("ParseProtocol(%q) = %d, %v; want %d", text, got, err, n)
			}
		}
		if strings.ContainsAny(name, "/ ,") || name != strings.ToLower(name) {
			t.Errorf("protocol %d is called %q", n, name)
		}
	}
	for name, want := range map[string]uint8{
		"icmp": 1, "igmp": 2, "ipv4": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51,
		"ipv6-icmp": 58, "icmpv6": 58, "icmp6": 58, "eigrp": 88, "ospf": 89, "ospfigp": 89, "pim": 103, "vrrp": 112,
		"l2tp": 115, "sctp": 132, "udplite": 136, "a/n": 107, "0": 0, "255": 255,
	} {
		if got, err := ParseProtocol(name); err != nil || got != want {
			t.Errorf("ParseProtocol(%q) = %d, %v; want %d", name, got, err, want)
		}
	}
	for _, n := range []uint8{61, 63, 68, 99, 114, 148, 253, 255} {
		if name := ProtocolName(n); name[0] < '0' || name[0] > '9' {
			t.Errorf("protocol %d has no keyword at IANA, got %q", n, name)
		}
	}
	for _, bad := range []string{"", "256", "-1", "+6", "0x6", "tcpp", "tcp ", "ip", strings.Repeat("x", 1000)} {
		if n, err := ParseProtocol(bad); err == nil {
			t.Errorf("ParseProtocol(%q) = %d, want an error", bad, n)
		} else if len(err.Error()) > 250 || strings.Contains(err.Error(), "\n") {
			t.Errorf("ParseProtocol: error is not one short line: %v", err)
		}
	}
}

func TestServiceString(t *testing.T) {
	for _, tc := range []struct {
		service Service
		want    string
	}{
		{NewService(6, 443, 9), "tcp/443"},
		{NewService(17, 0, 9), "udp/0"},
		{NewService(1, 443, 8), "icmp/8"},
		{NewService(58, 0, 128), "ipv6-icmp/128"},
		{NewService(47, 443, 8), "gre"},
		{NewService(132, 2905, 0), "sctp/2905"},
		{NewService(33, 1, 0), "dccp/1"},
		{NewService(136, 1, 0), "udplite/1"},
		{NewService(0, 0, 0), "hopopt"},
		{NewService(200, 5, 5), "200"},
	} {
		if got := tc.service.String(); got != tc.want {
			t.Errorf("%#v is %q, want %q", tc.service, got, tc.want)
		}
		if got, err := ParseService(tc.want); err != nil || got != tc.service {
			t.Errorf("ParseService(%q) = %#v, %v; want %#v", tc.want, got, err, tc.service)
		}
	}
	var s Service
	if err := json.Unmarshal([]byte(`"TCP/22"`), &s); err != nil || s != (Service{6, 22}) {
		t.Errorf("JSON: got %v, %v", s, err)
	}
	if text, err := json.Marshal(s); err != nil || string(text) != `"tcp/22"` {
		t.Errorf("JSON: got %s, %v", text, err)
	}
}

func TestParseServiceTerm(t *testing.T) {
	for text, want := range map[string]ServiceTerm{
		"tcp/443":       {6, 443, 443},
		"6/443":         {6, 443, 443},
		"TCP/1024-2048": {6, 1024, 2048},
		"udp":           {17, 0, 65535},
		"udp/0-65535":   {17, 0, 65535},
		"icmp":          {1, 0, 255},
		"icmp/8":        {1, 8, 8},
		"icmp6/128-129": {58, 128, 129},
		"gre":           {47, 0, 0},
		"47":            {47, 0, 0},
		"a/n":           {107, 0, 0},
		"tcp/5-5":       {6, 5, 5},
	} {
		if got, err := ParseServiceTerm(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":            "unknown protocol",
		"/":           "unknown protocol",
		"foo/1":       "unknown protocol",
		"https":       "unknown protocol",
		"tcp/":        "the port must be a number from 0 to 65535",
		"tcp/65536":   "the port must be a number from 0 to 65535",
		"tcp/-1":      "the port must be",
		"tcp/+1":      "the port must be",
		"tcp/1-":      "the port must be",
		"tcp/1-2-3":   "the port must be",
		"tcp/80,443":  "the port must be",
		"tcp/https":   "the port must be",
		"tcp/443/1":   "the port must be",
		"tcp/ 1":      "the port must be",
		"tcp/9-1":     "backwards, write tcp/1-9",
		"icmp/256":    "the type must be a number from 0 to 255",
		"gre/1":       "has no ports, write gre alone",
		"tcp/1\n2":    "the port must be",
		"tcp/99999-1": "the port must be",
	} {
		if got, err := ParseServiceTerm(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want an error with %q", text, got, err, want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error of several lines: %v", text, err)
		}
	}
	for _, text := range []string{"tcp", "icmp", "tcp/1-2"} {
		if s, err := ParseService(text); err == nil || !strings.Contains(err.Error(), "is a range") {
			t.Errorf("ParseService(%q) = %v, %v; want an error", text, s, err)
		}
	}
}

func drawTerm(t *rapid.T) ServiceTerm {
	proto := rapid.SampledFrom([]uint8{0, 1, 6, 17, 33, 47, 58, 132, 136, 200}).Draw(t, "proto")
	limit := maxPort(proto)
	lo := rapid.Uint16Range(0, limit).Draw(t, "lo")
	return ServiceTerm{proto, lo, rapid.Uint16Range(lo, limit).Draw(t, "hi")}
}

func TestServiceTermProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTerm(t), drawTerm(t)
		if got, err := ParseServiceTerm(a.String()); err != nil || got != a {
			t.Fatalf("%v is written %q and read as %v, %v", a, a.String(), got, err)
		}
		s := Service{b.Proto, b.Lo}
		if got, err := ParseService(s.String()); err != nil || got != s {
			t.Fatalf("%#v is written %q and read as %v, %v", s, s.String(), got, err)
		}
		if !s.Term().Matches(s) || s.Term().Size() != 1 || !b.Matches(s) {
			t.Fatalf("%v: its term is %v, and %v holds it", s, s.Term(), b)
		}
		if a.Matches(s) && !a.Overlaps(b) {
			t.Fatalf("%v and %v share %v but do not overlap", a, b, s)
		}
		if a.Overlaps(b) != b.Overlaps(a) || a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%v and %v", a, b)
		}
	})
}

func TestServiceNames(t *testing.T) {
	term := func(texts ...string) (out []ServiceTerm) {
		for _, text := range texts {
			parsed, err := ParseServiceTerm(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, parsed)
		}
		return out
	}
	n := NewServiceNames([]NamedService{
		{Name: "anything", Match: term("tcp")},
		{Name: "DNS", Match: term("udp/53", "tcp/53")},
		{Name: "resolver", Match: term("udp/53")},
		{Name: "high", Match: term("tcp/1000-2000")},
		{Name: "tunnel", Match: term("gre", "icmp")},
	})
	for text, want := range map[string][2]string{
		"udp/53":   {"DNS", "DNS"},
		"tcp/53":   {"DNS", "DNS"},
		"tcp/1433": {"high", "high"},
		"tcp/443":  {"anything", "anything"},
		"udp/123":  {"", "ntp"},
		"udp/9":    {"", "discard"},
		"udp/4567": {"", "udp/4567"},
		"gre":      {"tunnel", "tunnel"},
		"icmp/8":   {"tunnel", "tunnel"},
		"esp":      {"", "esp"},
	} {
		s, err := ParseService(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{n.Lookup(s), n.Name(s)}; got != want {
			t.Errorf("%s is called %q, want %q", text, got, want)
		}
	}
	if got := new(ServiceNames).Name(Service{6, 22}); got != "ssh" {
		t.Errorf("tcp/22 is called %q without a file", got)
	}
}

func TestKnownServices(t *testing.T) {
	for text, want := range map[string]string{
		"tcp/22": "ssh", "tcp/80": "http", "tcp/443": "https", "udp/443": "https", "udp/53": "dns", "tcp/53": "dns",
		"udp/123": "ntp", "tcp/88": "kerberos", "tcp/389": "ldap", "tcp/636": "ldaps", "tcp/445": "smb", "tcp/135": "msrpc",
		"tcp/3389": "rdp", "tcp/5985": "winrm", "tcp/1433": "mssql", "tcp/5432": "postgres", "tcp/3306": "mysql",
		"tcp/6379": "redis", "tcp/27017": "mongodb", "tcp/9092": "kafka", "tcp/5672": "amqp", "tcp/4222": "nats",
		"tcp/9000": "clickhouse", "tcp/50051": "grpc", "udp/514": "syslog", "tcp/514": "rsh", "udp/67": "dhcp",
		"udp/4739": "ipfix", "icmp/8": "ping", "ipv6-icmp/128": "ping6",
	} {
		s, err := ParseService(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := KnownService(s.Proto, s.Port); !ok || got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"tcp/49152", "udp/60000", "gre", "icmp/0"} {
		s, _ := ParseService(text)
		if got, ok := KnownService(s.Proto, s.Port); ok {
			t.Errorf("%s is known as %q", text, got)
		}
	}
	if len(knownPorts) < 150 {
		t.Errorf("only %d ports", len(knownPorts))
	}
	seen := map[Service]bool{}
	for _, k := range knownPorts {
		for _, on := range []transport{tcp, udp, sctp} {
			if s := (Service{uint8(on), k.port}); k.on&on != 0 {
				if seen[s] {
					t.Errorf("port %d is in the table twice", k.port)
				}
				seen[s] = true
			}
		}
		if checkName(k.name) != nil || k.name != strings.ToLower(k.name) {
			t.Errorf("port %d has the name %q", k.port, k.name)
		}
	}
	if !slices.IsSortedFunc(knownPorts, func(a, b struct {
		port uint16
		on   transport
		name string
	}) int {
		return int(a.port) - int(b.port)
	}) {
		t.Error("the table is not in order of port")
	}
}
