package target

import (
	"fmt"
	"net/netip"
	"strings"

	"cordon/internal/iana"
	"cordon/internal/text"
	"cordon/recommender/policy"
)

// ciscoNames are those of access lists and object groups.
var ciscoNames = alphabet{also: "-_", most: 63, letter: true}

// ciscoDialect is how one of Cisco's systems writes access lists.
type ciscoDialect struct {
	group     [2]string // begins an object group, by family
	list      [2]string // begins an access list
	reference string    // names an object group in a rule
	numbered  bool      // lines have numbers
	netmask   bool      // members of object groups, and prefixes in rules, have masks
	ports     []uint8   // protocols of which it matches ports
}

var (
	ciscoIOS = ciscoDialect{[2]string{"object-group network", "object-group v6-network"}, [2]string{"ip access-list extended", "ipv6 access-list"},
		"object-group", false, true, []uint8{iana.TCP, iana.UDP, iana.SCTP}}
	ciscoNXOS = ciscoDialect{[2]string{"object-group ip address", "object-group ipv6 address"}, [2]string{"ip access-list", "ipv6 access-list"},
		"addrgroup", true, false, []uint8{iana.TCP, iana.UDP}}
)

func writeIOS(w *writer) error  { return writeCisco(w, &ciscoIOS) }
func writeNXOS(w *writer) error { return writeCisco(w, &ciscoNXOS) }

// writeCisco writes an access list for each VRF and family. Both systems deny what no line of a list permits; that is not
// written as a line, since before that end IPv6 lists permit neighbour discovery.
func writeCisco(w *writer, c *ciscoDialect) error {
	lists := newNames(w.target.Name, ciscoNames)
	groups := newSets(newNames(w.target.Name, ciscoNames), [2]string{"", ""}, [2]string{"", "-v6"})
	var body strings.Builder
	open := 0
	for i := range w.documents {
		d := &w.documents[i]
		rules, err := w.packetRules(d)
		if err != nil {
			return err
		}
		open += openPorts(rules)
		wish := d.Name
		if wish == "" {
			wish = "cordon-" + vrfName(d)
		}
		for _, ipv6 := range []bool{false, true} {
			name, err := lists.take(wish+map[bool]string{true: "-v6"}[ipv6], "the policy of VRF "+vrfName(d))
			if err != nil {
				return err
			}
			x := ciscoList{w: w, c: c, groups: groups, ipv6: ipv6}
			if err := x.rules(rules); err != nil {
				return err
			}
			if d.Default.Of(ipv6) == policy.Allow {
				x.line("permit " + x.everything() + " any any")
			}
			fmt.Fprintf(&body, "!\n%s %s\n", c.list[family(ipv6)], name)
			for _, r := range remarks(d) {
				fmt.Fprintf(&body, "  remark %s\n", printable(r, 100))
			}
			body.WriteString(x.out.String())
		}
	}
	var out strings.Builder
	for _, s := range groups.list {
		fmt.Fprintf(&out, "!\n%s %s\n", c.group[family(s.ipv6)], s.name)
		for i, p := range s.addresses.Prefixes() {
			number := ""
			if c.numbered {
				number = fmt.Sprint(10*(i+1)) + " "
			}
			fmt.Fprintf(&out, "  %s%s\n", number, c.member(p))
		}
	}
	w.file("", out.String()+body.String()+"!\n")
	w.noteOpen(open)
	w.note("the lists are for packets in one direction, such as those that come in: bind them to interfaces yourself")
	return nil
}

func family(ipv6 bool) int {
	if ipv6 {
		return 1
	}
	return 0
}

// noteOpen says how many ports answers open.
func (w *writer) noteOpen(open int) {
	if open > 0 {
		w.note("a device keeps no state, so rules for answers also permit what a server sends from its own port to any port of a client: %s in all rules together%s",
			text.Count(open, "port"), map[bool]string{true: ", of TCP only where ACK or RST is set"}[w.options.Established])
	}
}

// openPorts counts the ports from which answers may come.
func openPorts(rules []packetRule) (n int) {
	for i := range rules {
		if r := &rules[i]; !r.deny && strings.HasSuffix(r.name, "-reverse") {
			for _, k := range r.kinds {
				for _, s := range k.source {
					n += int(s.Hi) - int(s.Lo) + 1
				}
			}
		}
	}
	return n
}

// ciscoList is an access list in the making.
type ciscoList struct {
	w      *writer
	c      *ciscoDialect
	groups *sets
	ipv6   bool
	out    strings.Builder
	number int
}

func (x *ciscoList) line(text string) {
	if x.c.numbered {
		x.number += 10
		text = fmt.Sprintf("%d %s", x.number, text)
	}
	fmt.Fprintf(&x.out, "  %s\n", text)
}

// everything is the word for every protocol.
func (x *ciscoList) everything() string {
	if x.ipv6 {
		return "ipv6"
	}
	return "ip"
}

func (x *ciscoList) rules(rules []packetRule) error {
	for i := range rules {
		r := &rules[i]
		if r.ipv6 != x.ipv6 {
			continue
		}
		src, err := x.side(&r.src)
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.name, err)
		}
		dst, err := x.side(&r.dst)
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.name, err)
		}
		action := "permit"
		if r.deny {
			action = "deny"
		}
		var lines []string
		for _, k := range r.kinds {
			more, err := x.kind(r, k, src, dst)
			if err != nil {
				return err
			}
			lines = append(lines, more...)
		}
		if len(lines) > 0 {
			x.line("remark " + printable(r.name, 100))
		}
		for _, l := range lines {
			x.line(action + " " + l)
		}
	}
	return nil
}

// side writes the addresses of one side.
func (x *ciscoList) side(e *end) (string, error) {
	set, every := e.of(x.ipv6)
	if every {
		return "any", nil
	}
	if prefixes := set.Prefixes(); len(prefixes) == 1 {
		p := prefixes[0]
		switch {
		case p.IsSingleIP():
			return "host " + p.Addr().String(), nil
		case x.c.netmask && !x.ipv6:
			return fmt.Sprintf("%s %s", p.Addr(), mask(p, true)), nil
		}
		return p.String(), nil
	}
	name, err := x.groups.name(e, x.ipv6)
	return x.c.reference + " " + name, err
}

// member writes a member of an object group.
func (c *ciscoDialect) member(p netip.Prefix) string {
	switch {
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	case c.netmask && p.Addr().Is4():
		return fmt.Sprintf("%s %s", p.Addr(), mask(p, false))
	}
	return p.String()
}

// mask writes the length of an IPv4 prefix as a netmask, or inverted, as wildcards of access lists are.
func mask(p netip.Prefix, inverted bool) string {
	m := ^uint32(0) << (32 - p.Bits())
	if p.Bits() == 0 {
		m = 0
	}
	if inverted {
		m = ^m
	}
	return fmt.Sprintf("%d.%d.%d.%d", byte(m>>24), byte(m>>16), byte(m>>8), byte(m))
}

// kind gives the lines for one kind of packets, without the action.
func (x *ciscoList) kind(r *packetRule, k kind, src, dst string) (out []string, err error) {
	if k.any {
		return x.fragments(r, k, []string{fmt.Sprintf("%s %s %s", x.everything(), src, dst)})
	}
	named := map[uint8]string{iana.TCP: "tcp", iana.UDP: "udp", iana.SCTP: "sctp"}
	proto := fmt.Sprint(k.proto)
	switch {
	case k.proto == 0:
		return nil, x.w.gapOfPackets(r, "protocol 0 means every protocol in access lists")
	case iana.IsICMP(k.proto):
		if k.ports == nil {
			return x.fragments(r, k, []string{fmt.Sprintf("icmp %s %s", src, dst)})
		}
		for _, s := range k.ports {
			for n := int(s.Lo); n <= int(s.Hi); n++ {
				out = append(out, fmt.Sprintf("icmp %s %s %d", src, dst, n))
			}
		}
		return x.fragments(r, k, out)
	case (len(k.source) > 0 || len(k.ports) > 0) && !x.matchesPorts(k.proto):
		return nil, x.w.gapOfPackets(r, "%s matches no ports of %s", x.w.target.Name, iana.ProtocolName(k.proto))
	case x.matchesPorts(k.proto):
		proto = named[k.proto]
	}
	flags := ""
	switch {
	case k.flags == "":
	case k.flags == policy.Initial && (x.ipv6 || x.c.numbered):
		return nil, x.w.gapOfPackets(r, "%s cannot say SYN without ACK here", x.w.target.Name)
	default:
		flags = map[string]string{policy.Established: " established", policy.Reset: " rst", policy.Initial: " match-all +syn -ack"}[k.flags]
	}
	for _, from := range ciscoPorts(k.source) {
		for _, to := range ciscoPorts(k.ports) {
			out = append(out, proto+" "+src+from+" "+dst+to+flags)
		}
	}
	return x.fragments(r, k, out)
}

func (x *ciscoList) matchesPorts(proto uint8) bool {
	for _, p := range x.c.ports {
		if p == proto {
			return true
		}
	}
	return false
}

// fragments adds the condition that packets are fragments.
func (x *ciscoList) fragments(r *packetRule, k kind, lines []string) ([]string, error) {
	switch {
	case k.fragments == "":
		return lines, nil
	case k.fragments != "all":
		return nil, x.w.gapOfPackets(r, "%s matches no offsets of fragments", x.w.target.Name)
	}
	for i := range lines {
		lines[i] += " fragments"
	}
	return lines, nil
}

// ciscoPorts writes each range, with a space before it.
func ciscoPorts(list []policy.PortSpan) []string {
	if len(list) == 0 {
		return []string{""}
	}
	var out []string
	for _, s := range list {
		if s.Lo == s.Hi {
			out = append(out, fmt.Sprintf(" eq %d", s.Lo))
		} else {
			out = append(out, fmt.Sprintf(" range %d %d", s.Lo, s.Hi))
		}
	}
	return out
}
