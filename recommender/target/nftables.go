package target

import (
	"fmt"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// maxNFTComment is how long a comment of nftables may be, in bytes.
const maxNFTComment = 128

// writeNFTables writes one table that replaces the one of its name, for what is forwarded.
func writeNFTables(w *writer) error {
	d := &w.documents[0]
	rules, err := w.sessionRules(d)
	if err != nil {
		return err
	}
	// With a prefix no name is a keyword or begins with a digit.
	sets := newSets(newNames("nftables", alphabet{also: "_-.", most: 200}), [2]string{"v4_", ""}, [2]string{"v6_", ""})
	var chain strings.Builder
	for i := range rules {
		r := &rules[i]
		lines, err := nftRule(r, sets)
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.name, err)
		}
		for _, l := range lines {
			fmt.Fprintf(&chain, "\t\t%s\n", l)
		}
	}
	for _, ipv6 := range []bool{false, true} {
		if d.Default.Of(ipv6) == policy.Allow {
			fmt.Fprintf(&chain, "\t\tmeta nfproto %s counter accept comment \"default\"\n", familyName(ipv6))
		}
	}
	var out strings.Builder
	for _, r := range remarks(d) {
		fmt.Fprintf(&out, "# %s\n", printable(r, 1000))
	}
	out.WriteString("table inet cordon\ndelete table inet cordon\ntable inet cordon {\n")
	for _, s := range sets.list {
		kind := "ipv4_addr"
		if s.ipv6 {
			kind = "ipv6_addr"
		}
		fmt.Fprintf(&out, "\tset %s {\n\t\ttype %s\n\t\tflags interval\n\t\tauto-merge\n\t\telements = { %s }\n\t}\n", s.name, kind, strings.Join(prefixTexts(s.addresses), ", "))
	}
	out.WriteString("\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tct state established,related accept\n\t\tct state invalid drop\n")
	out.WriteString(chain.String() + "\t}\n}\n")
	w.file("", out.String())
	w.note("the table decides what the host forwards; what no rule permits is dropped")
	return nil
}

// nftRule gives the lines of a rule.
func nftRule(r *rule, sets *sets) (out []string, err error) {
	verdict := "accept"
	if r.deny {
		verdict = "drop"
	}
	for _, ipv6 := range r.families() {
		family := "ip"
		if ipv6 {
			family = "ip6"
		}
		where := ""
		for _, side := range []struct {
			e    *end
			word string
		}{{&r.src, "saddr"}, {&r.dst, "daddr"}} {
			addresses, every := side.e.of(ipv6)
			prefixes := addresses.Prefixes()
			switch {
			case every:
			case len(prefixes) == 1:
				where += fmt.Sprintf("%s %s %s ", family, side.word, strings.TrimSuffix(strings.TrimSuffix(prefixes[0].String(), "/32"), "/128"))
			default:
				name, err := sets.name(side.e, ipv6)
				if err != nil {
					return nil, err
				}
				where += fmt.Sprintf("%s %s @%s ", family, side.word, name)
			}
		}
		if where == "" {
			where = "meta nfproto " + familyName(ipv6) + " "
		}
		for _, k := range r.services.kinds(ipv6) {
			out = append(out, fmt.Sprintf("%s%scounter %s comment \"%s\"", where, nftKind(k), verdict, printable(r.name, maxNFTComment)))
		}
	}
	return out, nil
}

// nftKind gives what matches one kind of sessions, with a space behind it.
func nftKind(k kind) string {
	list := spans(k.ports, ", ")
	if len(k.ports) > 1 {
		list = "{ " + list + " }"
	}
	switch {
	case k.any:
		return ""
	case k.ports == nil:
		return fmt.Sprintf("meta l4proto %d ", k.proto)
	case k.proto == iana.ICMP:
		return "icmp type " + list + " "
	case k.proto == iana.ICMPv6:
		return "icmpv6 type " + list + " "
	}
	return fmt.Sprintf("meta l4proto %d th dport %s ", k.proto, list)
}
