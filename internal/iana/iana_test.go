package iana

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestProtocolNames(t *testing.T) {
	for n := range 256 {
		name := ProtocolName(uint8(n))
		for _, text := range []string{name, strings.ToUpper(name)} {
			if got, ok := ProtocolNumber(text); !ok || int(got) != n {
				t.Errorf("ProtocolNumber(%q) = %d, %v; want %d", text, got, ok, n)
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
		if got, ok := ProtocolNumber(name); !ok || got != want {
			t.Errorf("ProtocolNumber(%q) = %d, %v; want %d", name, got, ok, want)
		}
	}
	for _, n := range []uint8{61, 63, 68, 99, 114, 148, 253, 255} {
		if name := ProtocolName(n); name[0] < '0' || name[0] > '9' {
			t.Errorf("protocol %d has no keyword at IANA, got %q", n, name)
		}
	}
	for _, bad := range []string{"", "256", "-1", "+6", "0x6", "tcpp", "tcp ", "ip", strings.Repeat("x", 1000)} {
		if n, ok := ProtocolNumber(bad); ok {
			t.Errorf("ProtocolNumber(%q) = %d, want none", bad, n)
		}
	}
}

func TestHasPorts(t *testing.T) {
	for proto := range 256 {
		want := slices.Contains([]int{6, 17, 33, 132, 136}, proto)
		if got := HasPorts(uint8(proto)); got != want {
			t.Errorf("protocol %d has ports: %v", proto, got)
		}
		if got := IsICMP(uint8(proto)); got != (proto == 1 || proto == 58) {
			t.Errorf("protocol %d is ICMP: %v", proto, got)
		}
	}
}

// Every message is a request, a reply, or neither, and the two tables are each
// other's inverse.
func TestICMPPairs(t *testing.T) {
	for proto := range 256 {
		for typ := range 256 {
			p, m := uint8(proto), uint8(typ)
			request, answers := ICMPRequest(p, m)
			reply, asks := ICMPReply(p, m)
			if answers && asks || (answers || asks) && !IsICMP(p) {
				t.Errorf("protocol %d, type %d asks: %v, answers: %v", proto, typ, asks, answers)
			}
			if back, ok := ICMPReply(p, request); answers && (!ok || back != m) {
				t.Errorf("protocol %d: the reply to %d is %d, want %d", proto, request, back, m)
			}
			if back, ok := ICMPRequest(p, reply); asks && (!ok || back != m) {
				t.Errorf("protocol %d: %d answers %d, want %d", proto, reply, back, m)
			}
		}
	}
	for _, c := range [][3]uint8{{1, 8, 0}, {1, 13, 14}, {1, 15, 16}, {1, 17, 18}, {58, 128, 129}, {58, 135, 136}, {58, 157, 158}} {
		if reply, ok := ICMPReply(c[0], c[1]); !ok || reply != c[2] {
			t.Errorf("protocol %d: the reply to %d is %d, want %d", c[0], c[1], reply, c[2])
		}
	}
	// An error and a multicast listener report answer nothing.
	for _, c := range [][2]uint8{{1, 3}, {1, 11}, {58, 1}, {58, 131}, {58, 143}, {58, 0}} {
		if request, ok := ICMPRequest(c[0], c[1]); ok {
			t.Errorf("protocol %d: %d answers %d", c[0], c[1], request)
		}
	}
}

// service reads PROTOCOL/NUMBER.
func service(t *testing.T, text string) Service {
	t.Helper()
	name, number, _ := strings.Cut(text, "/")
	proto, ok := ProtocolNumber(name)
	n, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil {
		t.Fatalf("%s is no service", text)
	}
	return Service{proto, uint16(n)}
}

func TestServiceNames(t *testing.T) {
	for text, want := range map[string]string{
		"tcp/22": "ssh", "tcp/80": "http", "tcp/443": "https", "udp/443": "https", "udp/53": "dns", "tcp/53": "dns",
		"udp/123": "ntp", "tcp/88": "kerberos", "tcp/389": "ldap", "tcp/636": "ldaps", "tcp/445": "smb", "tcp/135": "msrpc",
		"tcp/3389": "rdp", "tcp/5985": "winrm", "tcp/1433": "mssql", "tcp/5432": "postgres", "tcp/3306": "mysql",
		"tcp/6379": "redis", "tcp/27017": "mongodb", "tcp/9092": "kafka", "tcp/5672": "amqp", "tcp/4222": "nats",
		"tcp/9000": "clickhouse", "tcp/50051": "grpc", "udp/514": "syslog", "tcp/514": "rsh", "udp/67": "dhcp",
		"udp/4739": "ipfix", "icmp/8": "ping", "ipv6-icmp/128": "ping6",
	} {
		s := service(t, text)
		if got, ok := ServiceName(s.Proto, s.Port); !ok || got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"tcp/49152", "udp/60000", "gre/0", "icmp/0", "tcp/68"} {
		s := service(t, text)
		if got, ok := ServiceName(s.Proto, s.Port); ok {
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
		if k.name == "" || strings.ContainsAny(k.name, " ,/") || k.name != strings.ToLower(k.name) {
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

func TestServicesNamed(t *testing.T) {
	if got, want := ServicesNamed("HTTPS"), []Service{{TCP, 443}, {UDP, 443}}; !slices.Equal(got, want) {
		t.Errorf("https is %v, want %v", got, want)
	}
	if got := ServicesNamed("nonesuch"); got != nil {
		t.Errorf("nonesuch is %v", got)
	}
}
