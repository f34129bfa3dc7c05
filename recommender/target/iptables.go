package target

import (
	"fmt"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

const (
	maxMultiport      = 15 // ports of one line; a range counts two
	maxIPTableComment = 255
)

// writeIPTables writes the table filter. One file serves both families: iptables-restore passes over lines that begin
// with -6, and ip6tables-restore over those with -4. A rule is a chain for its destinations and one for its services, so
// that sources, destinations and services add up instead of multiplying.
func writeIPTables(w *writer) error {
	d := &w.documents[0]
	rules, err := w.sessionRules(d)
	if err != nil {
		return err
	}
	var chains, lines strings.Builder
	for i := range rules {
		r := &rules[i]
		for _, ipv6 := range r.families() {
			x := ipTablesRule{w: w, r: r, ipv6: ipv6, chain: fmt.Sprintf("cordon-%d-v4", i+1), option: "-4"}
			if ipv6 {
				x.chain, x.option = fmt.Sprintf("cordon-%d-v6", i+1), "-6"
			}
			if err := x.write(&chains, &lines); err != nil {
				return err
			}
		}
	}
	for _, ipv6 := range []bool{false, true} {
		if d.Default.Of(ipv6) == policy.Allow {
			fmt.Fprintf(&lines, "%s -A FORWARD -m comment --comment \"default\" -j ACCEPT\n", map[bool]string{false: "-4", true: "-6"}[ipv6])
		}
	}
	var out strings.Builder
	for _, r := range remarks(d) {
		fmt.Fprintf(&out, "# %s\n", printable(r, 1000))
	}
	out.WriteString("# For iptables-restore and for ip6tables-restore. It replaces the table filter.\n")
	out.WriteString("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n" + chains.String())
	out.WriteString("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\n")
	out.WriteString(lines.String() + "COMMIT\n")
	w.file("", out.String())
	w.note("load the file with iptables-restore and with ip6tables-restore: it replaces their tables filter, of which INPUT and OUTPUT accept everything; what is forwarded and no rule permits is dropped")
	return nil
}

// ipTablesRule is a rule in one family.
type ipTablesRule struct {
	w             *writer
	r             *rule
	ipv6          bool
	chain, option string
}

func (x *ipTablesRule) write(chains, lines *strings.Builder) error {
	verdict := "ACCEPT"
	if x.r.deny {
		verdict = "DROP"
	}
	var services []string
	for _, k := range x.r.services.kinds(x.ipv6) {
		matches, err := x.kind(k)
		if err != nil {
			return err
		}
		services = append(services, matches...)
	}
	if len(services) == 0 {
		return nil
	}
	fmt.Fprintf(chains, ":%s - [0:0]\n:%s-s - [0:0]\n", x.chain, x.chain)
	comment := fmt.Sprintf("-m comment --comment \"%s\" ", printable(x.r.name, maxIPTableComment))
	addresses := func(e *end, option, chain, to string) {
		set, every := e.of(x.ipv6)
		if every {
			fmt.Fprintf(lines, "%s -A %s %s-j %s\n", x.option, chain, comment, to)
			return
		}
		for _, p := range set.Prefixes() {
			fmt.Fprintf(lines, "%s -A %s %s %s %s-j %s\n", x.option, chain, option, p, comment, to)
		}
	}
	addresses(&x.r.src, "-s", "FORWARD", x.chain)
	comment = ""
	addresses(&x.r.dst, "-d", x.chain, x.chain+"-s")
	for _, s := range services {
		fmt.Fprintf(lines, "%s -A %s-s %s-j %s\n", x.option, x.chain, s, verdict)
	}
	return nil
}

// kind gives what matches one kind of sessions, each with a space behind it.
func (x *ipTablesRule) kind(k kind) (out []string, err error) {
	switch {
	case k.any:
		return []string{""}, nil
	case k.proto == 0:
		return nil, x.w.gapOf(x.r, "protocol 0 means every protocol in iptables")
	case iana.IsICMP(k.proto) && k.ports != nil:
		option := "icmp -m icmp --icmp-type"
		if x.ipv6 {
			option = "ipv6-icmp -m icmp6 --icmpv6-type"
		}
		for _, s := range k.ports {
			for n := int(s.Lo); n <= int(s.Hi); n++ {
				if n == 255 && !x.ipv6 {
					if err := x.w.gapOf(x.r, "icmp/255 means every type in iptables"); err != nil {
						return nil, err
					}
					continue
				}
				out = append(out, fmt.Sprintf("-p %s %d ", option, n))
			}
		}
		return out, nil
	case k.ports == nil:
		return []string{fmt.Sprintf("-p %d ", k.proto)}, nil
	}
	for _, list := range chunks(k.ports, maxMultiport) {
		out = append(out, fmt.Sprintf("-p %d -m multiport --dports %s ", k.proto, strings.ReplaceAll(spans(list, ","), "-", ":")))
	}
	return out, nil
}

// chunks divides ranges into lists of so many ports at most, where a range of several ports counts two.
func chunks(list []policy.PortSpan, most int) (out [][]policy.PortSpan) {
	left := 0
	for _, s := range list {
		n := 1
		if s.Lo != s.Hi {
			n = 2
		}
		if left < n {
			out, left = append(out, nil), most
		}
		out[len(out)-1] = append(out[len(out)-1], s)
		left -= n
	}
	return out
}
