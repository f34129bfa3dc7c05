package schema

import (
	"fmt"
	"strconv"
	"strings"

	"cordon/internal/iana"
	"cordon/internal/sqltext"
)

// addressText is the SQL that writes an IPv6 value as people do: IPv4 as IPv4.
// '::ffff:' has seven characters.
func addressText(ip string) string {
	return fmt.Sprintf("if(%[1]s BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(%[1]s), 8), toString(%[1]s))", ip)
}

// serviceText is the SQL that writes a service: tcp/443, icmp/8, gre.
func serviceText(proto, port, icmpType string) string {
	var numbers, names []string
	for n := range 256 {
		number := strconv.Itoa(n)
		if name := iana.ProtocolName(uint8(n)); name != number {
			numbers, names = append(numbers, number), append(names, sqltext.Text(name))
		}
	}
	return fmt.Sprintf("concat(transform(%[1]s, [%[2]s], [%[3]s], toString(%[1]s)), multiIf(%[4]s, concat('/', toString(%[5]s)), %[6]s, concat('/', toString(%[7]s)), ''))",
		proto, strings.Join(numbers, ", "), strings.Join(names, ", "), sqltext.ProtocolIn(proto, iana.HasPorts), port, sqltext.ProtocolIn(proto, iana.IsICMP), icmpType)
}

// portlessText is the SQL that says whether a protocol has neither ports nor
// ICMP's types, so that nothing tells a request from its answer.
func portlessText(proto string) string {
	return sqltext.ProtocolNotIn(proto, func(p uint8) bool { return iana.HasPorts(p) || iana.IsICMP(p) })
}
