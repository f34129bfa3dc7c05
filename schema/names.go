package schema

import (
	"fmt"
	"strconv"
	"strings"
)

// protocolNames are the keywords of IANA's "Assigned Internet Protocol
// Numbers" in lower case, as package categories spells them; a test holds the
// two together. What is not here is written as its number.
var protocolNames = map[uint8]string{
	0: "hopopt", 1: "icmp", 2: "igmp", 3: "ggp", 4: "ipv4", 5: "st", 6: "tcp", 7: "cbt", 8: "egp", 9: "igp",
	10: "bbn-rcc-mon", 11: "nvp-ii", 12: "pup", 13: "argus", 14: "emcon", 15: "xnet", 16: "chaos", 17: "udp",
	18: "mux", 19: "dcn-meas", 20: "hmp", 21: "prm", 22: "xns-idp", 23: "trunk-1", 24: "trunk-2", 25: "leaf-1",
	26: "leaf-2", 27: "rdp", 28: "irtp", 29: "iso-tp4", 30: "netblt", 31: "mfe-nsp", 32: "merit-inp",
	33: "dccp", 34: "3pc", 35: "idpr", 36: "xtp", 37: "ddp", 38: "idpr-cmtp", 39: "tp++", 40: "il", 41: "ipv6",
	42: "sdrp", 43: "ipv6-route", 44: "ipv6-frag", 45: "idrp", 46: "rsvp", 47: "gre", 48: "dsr", 49: "bna",
	50: "esp", 51: "ah", 52: "i-nlsp", 53: "swipe", 54: "narp", 55: "min-ipv4", 56: "tlsp", 57: "skip",
	58: "ipv6-icmp", 59: "ipv6-nonxt", 60: "ipv6-opts", 62: "cftp", 64: "sat-expak", 65: "kryptolan", 66: "rvd",
	67: "ippc", 69: "sat-mon", 70: "visa", 71: "ipcv", 72: "cpnx", 73: "cphb", 74: "wsn", 75: "pvp",
	76: "br-sat-mon", 77: "sun-nd", 78: "wb-mon", 79: "wb-expak", 80: "iso-ip", 81: "vmtp", 82: "secure-vmtp",
	83: "vines", 84: "iptm", 85: "nsfnet-igp", 86: "dgp", 87: "tcf", 88: "eigrp", 89: "ospfigp",
	90: "sprite-rpc", 91: "larp", 92: "mtp", 93: "ax.25", 94: "ipip", 95: "micp", 96: "scc-sp", 97: "etherip",
	98: "encap", 100: "gmtp", 101: "ifmp", 102: "pnni", 103: "pim", 104: "aris", 105: "scps", 106: "qnx",
	107: "a-n", 108: "ipcomp", 109: "snp", 110: "compaq-peer", 111: "ipx-in-ip", 112: "vrrp", 113: "pgm",
	115: "l2tp", 116: "ddx", 117: "iatp", 118: "stp", 119: "srp", 120: "uti", 121: "smp", 122: "sm", 123: "ptp",
	124: "isis-over-ipv4", 125: "fire", 126: "crtp", 127: "crudp", 128: "sscopmce", 129: "iplt", 130: "sps",
	131: "pipe", 132: "sctp", 133: "fc", 134: "rsvp-e2e-ignore", 135: "mobility-header", 136: "udplite",
	137: "mpls-in-ip", 138: "manet", 139: "hip", 140: "shim6", 141: "wesp", 142: "rohc", 143: "ethernet",
	144: "aggfrag", 145: "nsh", 146: "homa", 147: "bit-emu",
}

// icmpPairs maps the types of ICMP and ICMPv6 replies to those of their
// requests, from IANA's parameter registries. The key is 256 * protocol + type.
var icmpPairs = []struct{ reply, request uint16 }{
	{1 << 8, 8},        // echo: reply type 0
	{1<<8 | 9, 10},     // router advertisement, solicitation (RFC 1256)
	{1<<8 | 14, 13},    // timestamp
	{1<<8 | 16, 15},    // information (RFC 792)
	{1<<8 | 18, 17},    // address mask (RFC 950)
	{1<<8 | 34, 33},    // where-are-you, i-am-here
	{1<<8 | 36, 35},    // mobile registration
	{1<<8 | 38, 37},    // domain name (RFC 1788)
	{1<<8 | 43, 42},    // extended echo (RFC 8335)
	{58<<8 | 129, 128}, // echo
	{58<<8 | 131, 130}, // multicast listener report, query
	{58<<8 | 134, 133}, // router advertisement, solicitation (RFC 4861)
	{58<<8 | 136, 135}, // neighbour advertisement, solicitation (RFC 4861)
	{58<<8 | 140, 139}, // node information (RFC 4620)
	{58<<8 | 142, 141}, // inverse neighbour discovery (RFC 3122)
	{58<<8 | 143, 130}, // multicast listener report, version 2 (RFC 3810)
	{58<<8 | 145, 144}, // home agent address discovery (RFC 6275)
	{58<<8 | 147, 146}, // mobile prefix (RFC 6275)
	{58<<8 | 149, 148}, // certification path (RFC 3971)
	{58<<8 | 161, 160}, // extended echo (RFC 8335)
}

// icmpPairsSQL gives icmpPairs as two arrays for transform.
func icmpPairsSQL() (replies, requests string) {
	var a, b []string
	for _, p := range icmpPairs {
		a = append(a, strconv.Itoa(int(p.reply)))
		b = append(b, strconv.Itoa(int(p.request)))
	}
	return "[" + strings.Join(a, ", ") + "]", "[" + strings.Join(b, ", ") + "]"
}

// addressText is the SQL that writes an IPv6 value as people do: IPv4 as IPv4.
// '::ffff:' has seven characters.
func addressText(ip string) string {
	return fmt.Sprintf("if(%[1]s BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(%[1]s), 8), toString(%[1]s))", ip)
}

// serviceText is the SQL that writes a service: tcp/443, icmp/8, gre.
func serviceText(proto, port, icmpType string) string {
	var numbers, names []string
	for n := range 256 {
		if name, ok := protocolNames[uint8(n)]; ok {
			numbers = append(numbers, strconv.Itoa(n))
			names = append(names, quoteText(name))
		}
	}
	return fmt.Sprintf("concat(transform(%[1]s, [%[4]s], [%[5]s], toString(%[1]s)), multiIf(%[1]s IN (6, 17, 33, 132, 136), concat('/', toString(%[2]s)), %[1]s IN (1, 58), concat('/', toString(%[3]s)), ''))",
		proto, port, icmpType, strings.Join(numbers, ", "), strings.Join(names, ", "))
}

// portlessText is the SQL that says whether a protocol has neither ports nor
// ICMP's types, so that nothing tells a request from its answer.
func portlessText(proto string) string {
	return proto + " NOT IN (1, 6, 17, 33, 58, 132, 136)"
}
