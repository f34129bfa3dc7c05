package schema

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Ends selects rows of view sessions_window by the addresses of client, server, either end and exporter. A nil list
// does not select; an empty one that is not nil selects no row. A row has to fit every list, and one prefix of it.
type Ends struct {
	Client, Server, Host, Exporter []netip.Prefix
}

// Conditions gives the SQL conditions on columns client_ip and server_ip, and that on an expression for the list of
// exporters; none where nothing is selected. They hold no text from outside, only prefixes as Go writes them.
func (e *Ends) Conditions(exporters string) (ends, seen []string) {
	if e.Client != nil {
		ends = append(ends, "("+InPrefixes("client_ip", e.Client)+")")
	}
	if e.Server != nil {
		ends = append(ends, "("+InPrefixes("server_ip", e.Server)+")")
	}
	if e.Host != nil {
		ends = append(ends, "("+InPrefixes("client_ip", e.Host)+" OR "+InPrefixes("server_ip", e.Host)+")")
	}
	if e.Exporter != nil {
		seen = []string{"arrayExists(e -> " + InPrefixes("toIPv6(e)", e.Exporter) + ", " + exporters + ")"}
	}
	return ends, seen
}

// ipv4Mapped is where addresses of IPv4 are among those of IPv6.
var ipv4Mapped = netip.MustParsePrefix("::ffff:0:0/96")

// InPrefixes is the SQL condition that an expression of type IPv6 lies in one of the prefixes. It takes one look into
// a set for each length of prefix there is, however many prefixes there are.
func InPrefixes(expression string, prefixes []netip.Prefix) string {
	byBits := map[int][]string{}
	for _, p := range prefixes {
		bits := p.Bits()
		if p.Addr().Is4() {
			bits += ipv4Mapped.Bits()
		}
		byBits[bits] = append(byBits[bits], "'"+netip.AddrFrom16(p.Masked().Addr().As16()).String()+"'")
	}
	if len(byBits) == 0 {
		return "false"
	}
	var any []string
	for _, bits := range slices.Sorted(maps.Keys(byBits)) {
		network := expression
		if bits < 128 {
			network = fmt.Sprintf("IPv6CIDRToRange(%s, %d).1", expression, bits)
		}
		condition := fmt.Sprintf("%s IN (%s)", network, strings.Join(byBits[bits], ", "))
		if bits < ipv4Mapped.Bits() { // a prefix of IPv6 holds no address of IPv4
			condition = fmt.Sprintf("(%s AND NOT %s)", condition, InPrefixes(expression, []netip.Prefix{ipv4Mapped}))
		}
		any = append(any, condition)
	}
	if len(any) == 1 {
		return any[0]
	}
	return "(" + strings.Join(any, " OR ") + ")"
}
