package target

import (
	"fmt"
	"slices"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// capircaPlatform is a generator of capirca.
type capircaPlatform struct {
	name string
	// options follow the name in a header, by family; NAME stands for the name of the filter and GIVEN for what the user says.
	options [2]string
	kind    capircaKind
	// asks says what of its options only the user knows; empty where nothing is missing, so that it is written unasked.
	asks string
}

// capircaKind is how platforms treat answers. A policy file is for platforms of one kind, since some generators render the
// headers of others too.
type capircaKind int

// The kinds of platforms.
const (
	capircaStateless capircaKind = iota // they need terms for answers
	capircaStateful
	capircaNetfilter // they have state, and a term has to ask for it
)

// suffix ends the names of policy files.
func (k capircaKind) suffix() string { return [...]string{"", "-stateful", "-netfilter"}[k] }

// capircaPlatforms are those of which a header can be written. For any other name capirca writes no file and says nothing.
// Some of its generators are left out: that of nftables permits every port of IPv4, that of Aruba every type of ICMP, and
// that of Arista's traffic policies writes lists and names that EOS reads otherwise. EOS, OpenConfig and nftables are
// targets of their own.
var capircaPlatforms = []capircaPlatform{
	{name: "arista", options: [2]string{"NAME extended", "NAME inet6"}},
	{name: "cisco", options: [2]string{"NAME extended", "NAME inet6"}},
	{name: "cisconx", options: [2]string{"NAME extended", "NAME inet6"}},
	{name: "ciscoxr", options: [2]string{"NAME extended", "NAME inet6"}},
	{name: "juniper", options: [2]string{"NAME inet", "NAME inet6"}},
	{name: "juniperevo", options: [2]string{"NAME inet GIVEN", "NAME inet6 GIVEN"}, asks: "ingress or egress, and of which kind of interface"},
	{name: "ciscoasa", options: [2]string{"NAME", "NAME"}, kind: capircaStateful},
	{name: "ipset", options: [2]string{"FORWARD inet", "FORWARD inet6"}, kind: capircaNetfilter},
	{name: "iptables", options: [2]string{"FORWARD inet", "FORWARD inet6"}, kind: capircaNetfilter},
	{name: "msmpc", options: [2]string{"NAME inet", "NAME inet6"}, kind: capircaStateful},
	{name: "nsxv", options: [2]string{"NAME inet", "NAME inet6"}, kind: capircaStateful},
	{name: "packetfilter", options: [2]string{"NAME inet", "NAME inet6"}, kind: capircaStateful},
	{name: "paloalto", options: [2]string{"GIVEN inet", "GIVEN inet6"}, kind: capircaStateful, asks: "from-zone ZONE to-zone ZONE"},
	{name: "speedway", options: [2]string{"FORWARD inet", "FORWARD inet6"}, kind: capircaNetfilter},
	{name: "srx", options: [2]string{"GIVEN inet", "GIVEN inet6"}, kind: capircaStateful, asks: "from-zone ZONE to-zone ZONE"},
	{name: "windows_advfirewall", options: [2]string{"out inet", "out inet6"}, kind: capircaStateful},
}

// CapircaPlatform asks for a header of capirca, with what its options need.
type CapircaPlatform struct{ Name, Options string }

// ParseCapircaPlatform reads "cisco" or "srx=from-zone trust to-zone dmz".
func ParseCapircaPlatform(text string) (out CapircaPlatform, err error) {
	out.Name, out.Options, _ = strings.Cut(text, "=")
	i := slices.IndexFunc(capircaPlatforms, func(p capircaPlatform) bool { return p.name == out.Name })
	if i < 0 {
		var known []string
		for _, p := range capircaPlatforms {
			known = append(known, p.name)
		}
		return out, fmt.Errorf("%q is no platform of capirca that is known here: choose some of %s", out.Name, strings.Join(known, ", "))
	}
	p := &capircaPlatforms[i]
	for _, r := range out.Options {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /", r) {
			return out, fmt.Errorf("%s: options of a header have letters, digits, spaces, _, -, . and /, and not %q", out.Name, r)
		}
	}
	switch {
	case p.asks == "" && out.Options != "":
		return out, fmt.Errorf("%s takes no options here", out.Name)
	case p.asks != "" && strings.TrimSpace(out.Options) == "":
		return out, fmt.Errorf("%s needs options: write %s=%s", out.Name, out.Name, p.asks)
	}
	return out, nil
}

// capircaTypes are the words that capirca has for types of ICMP and ICMPv6.
var capircaTypes = [2]map[int]string{
	{0: "echo-reply", 3: "unreachable", 4: "source-quench", 5: "redirect", 6: "alternate-address", 8: "echo-request", 9: "router-advertisement",
		10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem", 13: "timestamp-request", 14: "timestamp-reply", 15: "information-request",
		16: "information-reply", 17: "mask-request", 18: "mask-reply", 31: "conversion-error", 32: "mobile-redirect"},
	{1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem", 128: "echo-request", 129: "echo-reply",
		130: "multicast-listener-query", 131: "multicast-listener-report", 132: "multicast-listener-done", 133: "router-solicit", 134: "router-advertisement",
		135: "neighbor-solicit", 136: "neighbor-advertisement", 137: "redirect-message", 138: "router-renumbering", 139: "icmp-node-information-query",
		140: "icmp-node-information-response", 141: "inverse-neighbor-discovery-solicitation", 142: "inverse-neighbor-discovery-advertisement",
		143: "version-2-multicast-listener-report", 144: "home-agent-address-discovery-request", 145: "home-agent-address-discovery-reply",
		146: "mobile-prefix-solicitation", 147: "mobile-prefix-advertisement", 148: "certification-path-solicitation", 149: "certification-path-advertisement",
		151: "multicast-router-advertisement", 152: "multicast-router-solicitation", 153: "multicast-router-termination"},
}

// capircaProtocols are the words that capirca has for protocols; it takes no numbers for them.
var capircaProtocols = map[uint8]string{0: "hopopt", 1: "icmp", 2: "igmp", 3: "ggp", 4: "ipip", 6: "tcp", 8: "egp", 9: "igp", 17: "udp", 27: "rdp", 41: "ipv6",
	43: "ipv6-route", 44: "fragment", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 59: "ipv6-nonxt", 60: "ipv6-opts", 89: "ospf", 103: "pim",
	112: "vrrp", 115: "l2tp", 132: "sctp", 136: "udplite"}

// maxCapircaRule is how much of the name of a rule is in that of a term, which may have 62 characters.
const maxCapircaRule = 38

// capirca writes the files of capirca.
type capirca struct {
	*writer
	networks *sets
	services map[string]string // name -> definition
	filters  *names
	ipv6     bool
	out      strings.Builder
}

// writeCapirca writes a policy file for each VRF, family and kind of platforms, and the definitions of their networks and
// services.
func writeCapirca(w *writer) error {
	words := alphabet{also: "_-", most: 200, letter: true}
	c := &capirca{writer: w, networks: newSets(newNames("capirca", words), [2]string{"", ""}, [2]string{"", "-v6"}), services: map[string]string{},
		filters: newNames("capirca", alphabet{also: "-_", most: 50, letter: true})}
	open := 0
	for i := range w.documents {
		d := &w.documents[i]
		packets, err := w.packetRules(d)
		if err != nil {
			return err
		}
		sessions, err := w.sessionRules(d)
		if err != nil {
			return err
		}
		open += openPorts(packets)
		for kind, rules := range [][]packetRule{packets, requests(sessions), requests(sessions)} {
			for _, c.ipv6 = range []bool{false, true} {
				if err := c.policy(d, rules, capircaKind(kind)); err != nil {
					return err
				}
			}
		}
	}
	var networks, services strings.Builder
	for _, s := range c.networks.list {
		fmt.Fprintf(&networks, "%s = %s\n", s.name, strings.Join(prefixTexts(s.addresses), "\n  "))
	}
	for _, name := range sortedKeys(c.services) {
		fmt.Fprintf(&services, "%s = %s\n", name, c.services[name])
	}
	w.file("def/cordon.net", networks.String())
	w.file("def/cordon.svc", services.String())
	w.noteOpen(open)
	w.note("give the folder to capirca: aclgen --base_directory FOLDER/policies --definitions_directory FOLDER/def --output_directory OUTPUT")
	return nil
}

// policy writes the policy file of a VRF and family for one kind of platforms, if any is asked for.
func (c *capirca) policy(d *Document, packets []packetRule, kind capircaKind) error {
	wish := d.Name
	if wish == "" {
		wish = "cordon-" + vrfName(d)
	}
	wish += kind.suffix() + map[bool]string{true: "-v6"}[c.ipv6]
	name, err := c.filters.take(wish, fmt.Sprintf("policy %q of %s", wish, familyName(c.ipv6)))
	if err != nil {
		return err
	}
	c.out.Reset()
	if !c.header(d, name, kind) {
		return nil
	}
	terms := newNames("capirca", alphabet{also: "-_", most: 62, letter: true})
	if kind == capircaNetfilter {
		name, err := terms.take("established", "what belongs to sessions")
		if err != nil {
			return err
		}
		fmt.Fprintf(&c.out, "term %s {\n  option:: established\n  action:: accept\n}\n\n", name)
	}
	for i := range packets {
		if packets[i].ipv6 != c.ipv6 {
			continue
		}
		if err := c.terms(terms, &packets[i]); err != nil {
			return err
		}
	}
	action := "deny"
	if d.Default.Of(c.ipv6) == policy.Allow {
		action = "accept"
	}
	end, err := terms.take("default-"+action, "the end of the policy")
	if err != nil {
		return err
	}
	fmt.Fprintf(&c.out, "term %s {\n  action:: %s\n}\n", end, action)
	c.file("policies/pol/"+name+".pol", c.out.String())
	return nil
}

// requests gives the rules about sessions as ones about what begins them.
func requests(sessions []rule) (out []packetRule) {
	for i := range sessions {
		r := &sessions[i]
		for _, ipv6 := range r.families() {
			out = append(out, packetRule{name: r.name, about: r.about, deny: r.deny, ipv6: ipv6, src: r.src, dst: r.dst, kinds: r.services.kinds(ipv6)})
		}
	}
	return out
}

// header begins the policy file for platforms of a kind, and reports whether there are any.
func (c *capirca) header(d *Document, name string, kind capircaKind) bool {
	var targets []string
	for i := range capircaPlatforms {
		p := &capircaPlatforms[i]
		given, asked := "", len(c.options.Capirca) == 0 && p.asks == ""
		for _, x := range c.options.Capirca {
			if x.Name == p.name {
				given, asked = strings.TrimSpace(x.Options), true
			}
		}
		if p.kind == kind && asked {
			targets = append(targets, p.name+" "+strings.NewReplacer("NAME", name, "GIVEN", given).Replace(p.options[family(c.ipv6)]))
		}
	}
	if len(targets) == 0 {
		return false
	}
	c.out.WriteString("header {\n")
	for _, r := range remarks(d) {
		fmt.Fprintf(&c.out, "  comment:: \"%s\"\n", printable(r, 200))
	}
	for _, t := range targets {
		fmt.Fprintf(&c.out, "  target:: %s\n", t)
	}
	c.out.WriteString("}\n\n")
	return true
}

// terms writes the terms of a rule, one for each protocol.
func (c *capirca) terms(terms *names, r *packetRule) error {
	for _, k := range r.kinds {
		lines, err := c.kind(r, k)
		if err != nil {
			return err
		}
		if lines == nil {
			continue
		}
		name, short, err := c.name(terms, r, k)
		if err != nil {
			return err
		}
		fmt.Fprintf(&c.out, "term %s {\n", name)
		about := r.about
		if short {
			about = append([]string{r.name}, about...)
		}
		for _, a := range about {
			fmt.Fprintf(&c.out, "  comment:: \"%s\"\n", printable(a, 200))
		}
		for _, side := range []struct {
			key string
			e   *end
		}{{"source-address", &r.src}, {"destination-address", &r.dst}} {
			if _, every := side.e.of(c.ipv6); !every {
				set, err := c.networks.name(side.e, c.ipv6)
				if err != nil {
					return err
				}
				fmt.Fprintf(&c.out, "  %s:: %s\n", side.key, set)
			}
		}
		for _, l := range lines {
			fmt.Fprintf(&c.out, "  %s\n", l)
		}
		fmt.Fprintf(&c.out, "  action:: %s\n}\n\n", map[bool]string{true: "deny", false: "accept"}[r.deny])
	}
	return nil
}

// name gives the name of a term, and whether the name of its rule is not whole in it.
func (c *capirca) name(terms *names, r *packetRule, k kind) (name string, short bool, err error) {
	base, reverse := strings.CutSuffix(r.name, "-reverse")
	word, err := terms.word(base)
	if len(base) > maxCapircaRule {
		word, short = printable(base, maxCapircaRule), true
	} else if err != nil {
		return "", false, err
	}
	if reverse {
		word += "-reverse"
	}
	if len(r.kinds) > 1 {
		word += "-" + iana.ProtocolName(k.proto)
	}
	name, err = terms.take(word, fmt.Sprintf("a term of rule %q", base))
	return name, short, err
}

// kind gives the lines for one kind of packets; nil where it is left out.
func (c *capirca) kind(r *packetRule, k kind) ([]string, error) {
	switch {
	case k.fragments != "":
		return nil, c.gapOfPackets(r, "fragments are not the same on all platforms of capirca")
	case k.flags == policy.Initial || k.flags == policy.Reset:
		return nil, c.gapOfPackets(r, "flags of TCP other than established are not the same on all platforms of capirca")
	case k.any:
		return []string{}, nil
	}
	word, known := capircaProtocols[k.proto]
	if !known {
		return nil, c.gapOfPackets(r, "capirca has no word for %s", iana.ProtocolName(k.proto))
	}
	out := []string{"protocol:: " + word}
	if iana.IsICMP(k.proto) {
		if k.ports == nil {
			return out, nil
		}
		words, err := c.types(r, k)
		if err != nil || len(words) == 0 {
			return nil, err
		}
		return append(out, "icmp-type:: "+strings.Join(words, " ")), nil
	}
	if (len(k.source) > 0 || len(k.ports) > 0) && k.proto != iana.TCP && k.proto != iana.UDP && k.proto != iana.SCTP {
		return nil, c.gapOfPackets(r, "capirca matches no ports of %s", iana.ProtocolName(k.proto))
	}
	for _, side := range []struct {
		key   string
		ports []policy.PortSpan
	}{{"source-port", k.source}, {"destination-port", k.ports}} {
		var list []string
		for _, s := range side.ports {
			name := word + "-" + s.String()
			c.services[name] = s.String() + "/" + word
			list = append(list, name)
		}
		if len(list) > 0 {
			out = append(out, side.key+":: "+strings.Join(list, " "))
		}
	}
	if k.flags == policy.Established {
		out = append(out, "option:: tcp-established")
	}
	return out, nil
}

// types gives the words for types of ICMP.
func (c *capirca) types(r *packetRule, k kind) (words []string, err error) {
	for _, s := range k.ports {
		for n := int(s.Lo); n <= int(s.Hi); n++ {
			word, known := capircaTypes[family(c.ipv6)][n]
			if !known {
				if err := c.gapOfPackets(r, "capirca has no word for %s/%d", iana.ProtocolName(k.proto), n); err != nil {
					return nil, err
				}
				continue
			}
			words = append(words, word)
		}
	}
	return words, nil
}
