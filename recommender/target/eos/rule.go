package eos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// rule gives the matches of a rule: those of IPv4 first, each with the one for its answers behind it.
func (p *printer) rule(d *Document, r *policy.StatementRule, place int) (out []match, err error) {
	label, err := word(r.Label(place))
	if err != nil {
		return nil, err
	}
	setLabel := label
	if p.several {
		setLabel = vrfName(d.VRF) + "-" + label
	}
	type family struct {
		ipv6     bool
		src, dst side
	}
	var families []family
	for _, ipv6 := range []bool{false, true} {
		src, dst, ok, err := p.ends(d, r, setLabel, ipv6)
		if err != nil {
			return nil, err
		}
		if ok {
			families = append(families, family{ipv6, src, dst})
		}
	}
	if len(families) == 0 {
		return nil, fmt.Errorf("no address is in its sources and destinations, in the same family")
	}
	for _, f := range families {
		suffix := ""
		if f.ipv6 && len(families) > 1 {
			suffix = v6Suffix
		}
		w := &ruleWriter{printer: p, r: r, label: label, setLabel: setLabel, suffix: suffix, ipv6: f.ipv6, src: f.src, dst: f.dst}
		matches, err := w.matches()
		if err != nil {
			return nil, err
		}
		out = append(out, matches...)
	}
	return out, nil
}

// ruleWriter writes one rule in one family.
type ruleWriter struct {
	*printer
	r               *policy.StatementRule
	label, setLabel string
	suffix          string
	ipv6            bool
	src, dst        side
}

// divided is the services of a rule in one family.
type divided struct {
	any       bool
	ports     map[uint8][]policy.PortSpan // Ports of TCP and UDP.
	types     []policy.PortSpan           // Types of the family's ICMP.
	protocols []uint8                     // Protocols that have no ports, or are permitted with all of them.
}

func (w *ruleWriter) divide() (s divided, err error) {
	s.ports = map[uint8][]policy.PortSpan{}
	icmp := uint8(iana.ICMP)
	if w.ipv6 {
		icmp = iana.ICMPv6
	}
	for _, x := range w.r.Services {
		t := x.Term
		switch {
		case x.Any:
			return divided{any: true}, nil
		case t.Proto == iana.TCP || t.Proto == iana.UDP:
			s.ports[t.Proto] = append(s.ports[t.Proto], policy.PortSpan{Lo: t.Lo, Hi: t.Hi})
		case t.Proto == icmp:
			s.types = append(s.types, policy.PortSpan{Lo: t.Lo, Hi: t.Hi})
		case iana.IsICMP(t.Proto): // No packet of this family carries the other family's ICMP.
		case t.Any() && len(w.r.SourcePorts) == 0:
			s.protocols = append(s.protocols, t.Proto)
		case w.r.Action == policy.Deny:
			return s, fmt.Errorf("%s: EOS matches ports of TCP and UDP only, and a denial is not left out", x)
		case !w.options.Gaps:
			return s, fmt.Errorf("%s: EOS matches ports of TCP and UDP only; --gaps report leaves it out", x)
		default:
			w.written.Gaps = append(w.written.Gaps, fmt.Sprintf("rule %q: %s is left out, since EOS matches ports of TCP and UDP only", w.label, x))
		}
	}
	s.types = policy.JoinPorts(s.types)
	for proto, ports := range s.ports {
		s.ports[proto] = policy.JoinPorts(ports)
	}
	slices.Sort(s.protocols)
	s.protocols = slices.Compact(s.protocols)
	return s, nil
}

// matches gives the matches of the rule in its family.
func (w *ruleWriter) matches() (out []match, err error) {
	s, err := w.divide()
	if err != nil {
		return nil, err
	}
	if w.r.Direction == policy.OneWay {
		return w.oneWay(s), nil
	}
	if s.any {
		out = w.pair("", nil, nil, true)
	}
	if len(s.ports) > 0 {
		forward, back, err := w.portLines(s.ports)
		if err != nil {
			return nil, err
		}
		out = append(out, w.pair("", forward, back, true)...)
	}
	if len(s.types)+len(s.protocols) > 0 {
		suffix := icmpSuffix
		if strings.HasSuffix(strings.TrimSuffix(w.label, v6Suffix), icmpSuffix) {
			suffix = ""
		}
		forward, back := protocolLines(s.types, s.protocols, w.ipv6), protocolLines(answers(s.types, w.ipv6), s.protocols, w.ipv6)
		out = append(out, w.pair(suffix, forward, back, len(back) > 0)...)
	}
	return out, nil
}

// pair makes a match and, where there are answers, the one for them.
func (w *ruleWriter) pair(part string, forward, back []string, answered bool) []match {
	name := w.label + part + w.suffix
	out := []match{w.match(name, w.src, w.dst, forward)}
	if answered {
		out = append(out, w.match(name+reverseSuffix, w.dst, w.src, back))
	}
	return out
}

func (w *ruleWriter) match(name string, src, dst side, protocols []string) match {
	m := match{name: name, family: familyName(w.ipv6), remarks: w.r.Remarks}
	if !src.any {
		m.conditions = append(m.conditions, "source prefix field-set "+strings.Join(src.names, " "))
	}
	if !dst.any {
		m.conditions = append(m.conditions, "destination prefix field-set "+strings.Join(dst.names, " "))
	}
	m.conditions = append(m.conditions, protocols...)
	counted := false
	for _, also := range w.r.Also {
		counted = counted || isCount(also)
	}
	if !counted {
		m.actions = append(m.actions, "count")
	}
	for _, line := range w.r.Opaque {
		if isAction(line) {
			m.actions = append(m.actions, strings.Split(line, "\n")...)
		} else {
			m.conditions = append(m.conditions, strings.Split(line, "\n")...)
		}
	}
	for _, line := range w.r.Also {
		if isCount(line) {
			m.actions = append(m.actions, line)
		}
	}
	if w.r.Action == policy.Deny {
		m.actions = append(m.actions, "drop")
	}
	for _, line := range w.r.Also {
		if !isCount(line) {
			m.actions = append(m.actions, line)
		}
	}
	if w.r.Redirect != "" {
		m.actions = append(m.actions, "redirect "+w.r.Redirect)
	}
	if w.options.Mirror != "" && w.r.Action != policy.Deny {
		m.remarks = append(slices.Clone(m.remarks), "mirror session "+w.options.Mirror+": unverified, this line is in no public documentation of EOS")
		m.actions = append(m.actions, "mirror session "+w.options.Mirror)
	}
	return m
}

func isCount(line string) bool { return line == "count" || strings.HasPrefix(line, "count ") }

// isAction tells the opaque lines that are actions from those that are conditions.
func isAction(line string) bool { return strings.HasPrefix(line, "police ") }

// portLines gives the lines for services with ports, and for their answers.
func (w *ruleWriter) portLines(ports map[uint8][]policy.PortSpan) (forward, back []string, err error) {
	var body, mirrored strings.Builder
	for _, proto := range []uint8{iana.TCP, iana.UDP} {
		of, ok := ports[proto]
		if !ok {
			continue
		}
		name, list := iana.ProtocolName(proto), w.ports(of)
		fmt.Fprintf(&body, "      protocol %s source port all destination port %s\n", name, list)
		line := fmt.Sprintf("protocol %s source port %s destination port all", name, list)
		fmt.Fprintf(&mirrored, "      %s\n", line)
		if w.options.TCPEstablished && proto == iana.TCP {
			back = append(back, "protocol tcp flags "+policy.Established)
		}
		back = append(back, line)
		for _, s := range of {
			if w.r.Action == policy.Deny {
				break
			}
			w.written.Open += int(s.Hi) - int(s.Lo) + 1
		}
	}
	name, err := w.set(serviceSet, w.serviceName(), body.String())
	if err != nil {
		return nil, nil, err
	}
	forward = []string{"protocol service field-set " + name}
	if _, tcp := ports[iana.TCP]; w.options.TCPEstablished && tcp {
		return forward, back, nil // a service field-set has no flags
	}
	reverse, err := w.set(serviceSet, name+reverseSuffix, mirrored.String())
	if err != nil {
		return nil, nil, err
	}
	return forward, []string{"protocol service field-set " + reverse}, nil
}

// serviceName is what the service field-set of a rule is called: the name that the groups file has for
// exactly these services, the service where it is one, or the rule's name.
func (w *ruleWriter) serviceName() string {
	var terms []categories.ServiceTerm
	for _, s := range w.r.Services {
		if s.Term.Proto == iana.TCP || s.Term.Proto == iana.UDP {
			terms = append(terms, s.Term)
		}
	}
	for _, named := range w.options.Services {
		match := slices.Clone(named.Match)
		slices.SortFunc(match, categories.ServiceTerm.Compare)
		if slices.Equal(slices.Compact(match), terms) {
			return named.Name
		}
	}
	if len(terms) == 1 {
		return strings.ReplaceAll(terms[0].String(), "/", "-")
	}
	return w.setLabel + "-services"
}

// answers gives the types that answer types.
func answers(types []policy.PortSpan, ipv6 bool) (out []policy.PortSpan) {
	proto := uint8(iana.ICMP)
	if ipv6 {
		proto = iana.ICMPv6
	}
	for request, answer := range policy.ICMPAnswers(proto) {
		for _, s := range types {
			if s.Lo <= request && request <= s.Hi {
				out = append(out, policy.PortSpan{Lo: answer, Hi: answer})
			}
		}
	}
	return policy.JoinPorts(out)
}

// protocolNames are the names of protocols that EOS has, for IPv4 only or for both families.
var protocolNames = map[uint8]struct {
	name string
	ipv6 bool
}{2: {"igmp", false}, 46: {"rsvp", true}, 51: {"ahp", false}, 89: {"ospf", true}, 103: {"pim", true}, 112: {"vrrp", true}}

func protocolLines(types []policy.PortSpan, protocols []uint8, ipv6 bool) (out []string) {
	if len(types) > 0 {
		name := "icmp"
		if ipv6 {
			name = "icmpv6"
		}
		line := "protocol " + name
		if types[0] != (policy.PortSpan{Lo: 0, Hi: 255}) {
			line += " type " + spans(types, ", ") + " code all"
		}
		out = append(out, line)
	}
	if len(protocols) == 0 {
		return out
	}
	if n := protocolNames[protocols[0]]; len(protocols) == 1 && n.name != "" && (n.ipv6 || !ipv6) {
		return append(out, "protocol "+n.name)
	}
	var list []policy.PortSpan
	for _, proto := range protocols {
		list = append(list, policy.PortSpan{Lo: uint16(proto), Hi: uint16(proto)})
	}
	return append(out, "protocol "+spans(policy.JoinPorts(list), ","))
}

func spans(list []policy.PortSpan, separator string) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = s.String()
	}
	return strings.Join(texts, separator)
}

// printedPorts are the names that devices were seen to print.
var printedPorts = map[uint16]string{
	22: "ssh", 53: "domain", 67: "bootps", 80: "www", 123: "ntp", 161: "snmp", 443: "https",
	3784: "bfd", 4784: "multihop-bfd", 7784: "sbfd", 7785: "sbfd-initiator",
}

// ports writes ports: by names, where each has one, or as numbers and ranges. Names and numbers do not mix.
func (p *printer) ports(list []policy.PortSpan) string {
	if len(list) == 0 || list[0] == (policy.PortSpan{Lo: 0, Hi: 65535}) {
		return "all"
	}
	var names []string
	for _, s := range list {
		name, ok := printedPorts[s.Lo]
		if !ok || s.Lo != s.Hi || p.options.PortNumbers {
			return spans(list, ", ")
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// oneWay gives the match of a rule about packets.
func (w *ruleWriter) oneWay(s divided) []match {
	var lines []string
	for _, proto := range []uint8{iana.TCP, iana.UDP} {
		of, ok := s.ports[proto]
		if !ok {
			continue
		}
		name := iana.ProtocolName(proto)
		if w.r.Flags != "" && proto == iana.TCP {
			lines = append(lines, "protocol tcp flags "+w.r.Flags)
		}
		from, to := w.ports(w.r.SourcePorts), w.ports(of)
		switch {
		case from != "all" || to != "all":
			lines = append(lines, fmt.Sprintf("protocol %s source port %s destination port %s", name, from, to))
		case w.r.Flags == "" || proto != iana.TCP:
			lines = append(lines, "protocol "+name)
		}
	}
	lines = append(lines, protocolLines(s.types, s.protocols, w.ipv6)...)
	switch w.r.Fragments {
	case "":
	case allFragments:
		lines = append(lines, "fragment")
	default:
		lines = append(lines, "fragment offset "+w.r.Fragments)
	}
	return []match{w.match(w.label+w.suffix, w.src, w.dst, lines)}
}

// allFragments is Packets.Fragments of fragments other than the first.
const allFragments = "all"

// dropAllElse gives the matches of Options.DefaultDeny.
func (p *printer) dropAllElse(d *Document) ([]match, error) {
	of := slices.Clone(p.options.DefaultDeny)
	if p.options.DenyDestinations {
		for i := range d.Rules {
			of = append(of, d.Rules[i].Destinations...)
		}
	}
	of = slices.DeleteFunc(of, policy.Endpoint.IsAny)
	if len(of) == 0 {
		return nil, nil
	}
	slices.SortFunc(of, policy.Endpoint.Compare)
	r := &policy.StatementRule{Name: "drop_all_else", Action: policy.Deny, Direction: policy.Bidirectional,
		Sources: slices.Compact(of), Destinations: []policy.Endpoint{policy.Any}, Services: []policy.Service{{Any: true}}}
	return p.rule(d, r, 0)
}

// counters gives the names of counters that rules of a policy have.
func counters(rules []policy.StatementRule) (out []string) {
	for i := range rules {
		for _, line := range rules[i].Also {
			if name, ok := strings.CutPrefix(line, "count "); ok && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func number(text string, limit int) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= limit && text[0] != '+' && text[0] != '-'
}
