package eos

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/recommender/policy"
)

// Options say how policies are written.
type Options struct {
	// DefaultDeny are endpoints that get a pair of matches at the end, which drop all
	// that comes from them and all that goes to them.
	DefaultDeny []policy.Endpoint
	// DenyDestinations does the same for the destinations of all rules.
	DenyDestinations bool
	// TCPEstablished lets answers of TCP through only where ACK or RST is set.
	TCPEstablished bool
	// PortNumbers writes no port by its name.
	PortNumbers bool
	// Except says that the device has `except` in prefix field-sets, as EOS 4.30.2F and
	// later. Otherwise what a rule leaves out is split off.
	Except bool
	// Mirror is the name of a mirror session that every match of rules gets. Its
	// line in a configuration is not in Arista's public documentation.
	Mirror string
	// Gaps leaves out what EOS cannot say, and lists it, instead of failing.
	Gaps bool
	// Services names services, as in the groups file.
	Services []categories.NamedService
}

// Changes reports whether the options ask for more than to write what is there.
func (o *Options) Changes() bool {
	return len(o.DefaultDeny) > 0 || o.DenyDestinations || o.TCPEstablished || o.PortNumbers || o.Mirror != ""
}

// Document is a policy with what is written beside it.
type Document struct {
	policy.Policy
	// Set gives the addresses of literals; policy.IPSet where no group is named.
	Set policy.SetOf
	// Proposed says that the rules are those of a proposal, which read groups in a way of their own.
	Proposed bool
	Remarks  []string   // about the policy
	About    [][]string // remarks about each rule; may be nil
}

// MeansMore reports whether a denial means more addresses by a group than an allow does, so that its set has another name.
func (d *Document) MeansMore(e policy.Endpoint, reading policy.Reading) (bool, error) {
	if reading != policy.Denying {
		return false, nil
	}
	all, err := d.Set([]policy.Endpoint{e}, policy.Denying)
	if err != nil {
		return false, err
	}
	allowed := policy.Allowing
	if d.Proposed {
		allowed = policy.Proposed
	}
	some, err := d.Set([]policy.Endpoint{e}, allowed)
	return !all.Equal(some), err
}

// Written says what was written.
type Written struct {
	Matches int
	// Lines are those of matches, without separators and remarks, as CloudVision
	// counts a change.
	Lines int
	// Open are (protocol, port) entries of matches for answers: from such a port, servers may
	// also open sessions of their own to any port of the clients.
	Open int
	Gaps []string // Parts left out; see Options.Gaps.
}

// maxRemark is how long a line of a comment may be, in bytes.
const maxRemark = 240

// Write writes policies as one section.
func Write(w io.Writer, documents []Document, o Options) (Written, error) {
	p := &printer{options: o, several: len(documents) > 1, sets: map[setKind]map[string]string{}, names: map[setKind]map[string]string{}}
	var bindings, policies bytes.Buffer
	names := map[string]bool{}
	for i := range documents {
		d := &documents[i]
		name, err := p.policyName(d)
		if err != nil {
			return p.written, err
		}
		if names[name] {
			return p.written, fmt.Errorf("two policies would be called %s on EOS: give one of them another name", name)
		}
		names[name] = true
		if bindings.Len() > 0 {
			bindings.WriteString("   !\n")
		}
		fmt.Fprintf(&bindings, "   vrf %s\n      traffic-policy input %s physical\n", vrfName(d.VRF), name)
		if policies.Len() > 0 {
			policies.WriteString("   !\n")
		}
		if err := p.policy(&policies, d, name); err != nil {
			return p.written, err
		}
	}
	out := bytes.NewBufferString("traffic-policies\n")
	out.Write(bindings.Bytes())
	p.writeSets(out)
	if p.common {
		out.WriteString("   transforms interface prefix common source-destination\n")
	}
	out.WriteString("   !\n")
	out.Write(policies.Bytes())
	_, err := out.WriteTo(w)
	return p.written, err
}

// allVRFs is what MSS calls a policy of every VRF.
const allVRFs = "ALL"

func vrfName(vrf string) string {
	if vrf == "" {
		return allVRFs
	}
	return vrf
}

// printer is a section in the making.
type printer struct {
	options Options
	several bool                          // policies
	sets    map[setKind]map[string]string // name -> body
	names   map[setKind]map[string]string // body -> name
	common  bool                          // a match has sets at both sides
	written Written
}

type setKind int

const (
	ipv4Prefix setKind = iota
	ipv6Prefix
	serviceSet
)

func (k setKind) String() string { return [...]string{"ipv4 prefix", "ipv6 prefix", "service"}[k] }

// set gives the name of a field-set with a body, which other rules with the same have too. The name that is wished for may
// be taken by another one.
func (p *printer) set(kind setKind, wish, body string) (string, error) {
	if name, ok := p.names[kind][body]; ok {
		return name, nil
	}
	if p.names[kind] == nil {
		p.names[kind], p.sets[kind] = map[string]string{}, map[string]string{}
	}
	name, err := word(wish)
	if err != nil {
		return "", err
	}
	if kind == serviceSet && (p.sets[ipv4Prefix][name] != "" || p.sets[ipv6Prefix][name] != "") {
		name += "-services" // a group and a service have one name
	}
	for _, k := range []setKind{ipv4Prefix, ipv6Prefix, serviceSet} {
		if _, taken := p.sets[k][name]; taken {
			return "", fmt.Errorf("two field-sets would be called %s on EOS: rename the group, service or rule behind one of them", name)
		}
	}
	p.names[kind][body], p.sets[kind][name] = name, body
	return name, nil
}

func (p *printer) writeSets(out *bytes.Buffer) {
	for _, kind := range []setKind{ipv4Prefix, ipv6Prefix, serviceSet} {
		for _, name := range sortedKeys(p.sets[kind]) {
			fmt.Fprintf(out, "   !\n   field-set %s %s\n%s", kind, name, p.sets[kind][name])
		}
	}
}

func sortedKeys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// match is one match of a policy.
type match struct {
	name, family string
	remarks      []string
	conditions   []string
	actions      []string
}

// policy writes one policy.
func (p *printer) policy(out *bytes.Buffer, d *Document, name string) error {
	var body bytes.Buffer
	used := map[string]string{} // name of a match -> rule
	add := func(rule string, matches []match) error {
		for i := range matches {
			m := &matches[i]
			if other, twice := used[m.name]; twice {
				return fmt.Errorf("a match of rule %q would be called %s on EOS, like one of rule %q: give one of them another name", rule, m.name, other)
			}
			used[m.name] = rule
			p.write(&body, m)
		}
		return nil
	}
	for i := range d.Rules {
		r := &d.Rules[i]
		matches, err := p.rule(d, r, i)
		if err != nil {
			return fmt.Errorf("rule %q: %w", r.Label(i), err)
		}
		if i < len(d.About) && len(matches) > 0 {
			matches[0].remarks = append(matches[0].remarks, d.About[i]...)
		}
		if err := add(r.Label(i), matches); err != nil {
			return err
		}
	}
	matches, err := p.dropAllElse(d)
	if err != nil {
		return fmt.Errorf("default deny: %w", err)
	}
	if err := add("default deny", matches); err != nil {
		return err
	}
	fmt.Fprintf(out, "   traffic-policy %s\n", name)
	for _, r := range d.Remarks {
		writeRemark(out, "      ", r)
	}
	if names := counters(d.Rules); len(names) > 0 {
		fmt.Fprintf(out, "      counter %s\n", strings.Join(names, " "))
	}
	out.Write(body.Bytes())
	for _, ipv6 := range []bool{false, true} {
		if action := d.Default.Of(ipv6); action != "" {
			fmt.Fprintf(out, "      !\n      match %s %s\n         actions\n            count\n", defaultName(ipv6), familyName(ipv6))
			if action == policy.Deny {
				out.WriteString("            drop\n")
			}
		}
	}
	return nil
}

func defaultName(ipv6 bool) string { return familyName(ipv6) + "-all-default" }

func familyName(ipv6 bool) string {
	if ipv6 {
		return "ipv6"
	}
	return "ipv4"
}

func (p *printer) write(out *bytes.Buffer, m *match) {
	fmt.Fprintf(out, "      !\n      match %s %s\n", m.name, m.family)
	for _, r := range m.remarks {
		writeRemark(out, "         ", r)
	}
	for _, c := range m.conditions {
		fmt.Fprintf(out, "         %s\n", c)
	}
	out.WriteString("         !\n         actions\n")
	for _, a := range m.actions {
		fmt.Fprintf(out, "            %s\n", a)
	}
	p.written.Matches++
	p.written.Lines += 2 + len(m.conditions) + len(m.actions)
}

// writeRemark writes a comment, on several lines where it is long.
func writeRemark(out *bytes.Buffer, indent, text string) {
	for _, paragraph := range strings.Split(text, "\n") {
		line := ""
		for _, w := range strings.Fields(printable(paragraph)) {
			for len(w) > maxRemark {
				if line != "" {
					fmt.Fprintf(out, "%s!! %s\n", indent, line)
					line = ""
				}
				fmt.Fprintf(out, "%s!! %s\n", indent, w[:maxRemark])
				w = w[maxRemark:]
			}
			switch {
			case line == "":
				line = w
			case len(line)+1+len(w) > maxRemark:
				fmt.Fprintf(out, "%s!! %s\n", indent, line)
				line = w
			default:
				line += " " + w
			}
		}
		if line != "" {
			fmt.Fprintf(out, "%s!! %s\n", indent, line)
		}
	}
}

// printable replaces what is not ASCII, which a device may not take.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r > '~' || r < ' ' {
			return '?'
		}
		return r
	}, s)
}

// side is the addresses of one end of a rule in one family, and the set that stands for them.
type side struct {
	addresses policy.AddressSet
	any       bool
	names     []string // Names of field-sets.
}

// ends gives both sides of a rule in a family; none where a side has no address.
func (p *printer) ends(d *Document, r *policy.StatementRule, label string, ipv6 bool) (src, dst side, ok bool, err error) {
	reading := policy.ReadingOf(r.Action, false)
	if d.Proposed && r.Action == policy.Allow {
		reading = policy.Proposed
	}
	resolve := func(literals, except []policy.Endpoint) (s side, err error) {
		out, err := d.Set(except, reading)
		if err != nil {
			return s, err
		}
		all, err := d.Set(literals, reading)
		if err != nil {
			return s, err
		}
		s.addresses = all.Minus(out).Of(ipv6)
		s.any = s.addresses.Equal(policy.NewAddressSet([]netip.Prefix{policy.FamilyOf(ipv6)[0].Prefix}))
		return s, nil
	}
	if src, err = resolve(r.Sources, r.Except.Sources); err != nil {
		return
	}
	if dst, err = resolve(r.Destinations, r.Except.Destinations); err != nil {
		return
	}
	if len(src.addresses) == 0 || len(dst.addresses) == 0 {
		return src, dst, false, nil
	}
	for _, x := range []struct {
		s                *side
		literals, except []policy.Endpoint
		which            string
	}{{&src, r.Sources, r.Except.Sources, "sources"}, {&dst, r.Destinations, r.Except.Destinations, "destinations"}} {
		if x.s.any {
			continue
		}
		if x.s.names, err = p.sideSets(d, x.literals, x.except, x.s.addresses, reading, label+"-"+x.which, ipv6); err != nil {
			return
		}
	}
	p.common = p.common || !src.any && !dst.any
	return src, dst, true, nil
}

// sideSets gives the field-sets of one side: one for each group, and one for all other literals.
func (p *printer) sideSets(d *Document, literals, except []policy.Endpoint, all policy.AddressSet, reading policy.Reading, wish string, ipv6 bool) (names []string, err error) {
	kind, suffix := ipv4Prefix, ""
	if ipv6 {
		kind, suffix = ipv6Prefix, v6Suffix
	}
	if len(except) > 0 {
		if p.options.Except {
			in, err := d.Set(literals, reading)
			if err != nil {
				return nil, err
			}
			out, err := d.Set(except, reading)
			if err != nil {
				return nil, err
			}
			body := prefixLine(in.Of(ipv6)) + "      except " + strings.TrimLeft(prefixLine(out.Of(ipv6)), " ")
			if len(out.Of(ipv6)) == 0 {
				body = prefixLine(in.Of(ipv6))
			}
			name, err := p.set(kind, wish+suffix, body)
			return []string{name}, err
		}
		name, err := p.set(kind, wish+suffix, prefixLine(all))
		return []string{name}, err
	}
	var others []policy.Endpoint
	for _, e := range literals {
		if !e.IsGroup() {
			others = append(others, e)
			continue
		}
		of, err := d.Set([]policy.Endpoint{e}, reading)
		if err != nil {
			return nil, err
		}
		if of = of.Of(ipv6); len(of) == 0 {
			continue
		}
		wish := e.Group
		more, err := d.MeansMore(e, reading)
		if err != nil {
			return nil, err
		}
		if more {
			wish += "-all"
		}
		name, err := p.set(kind, wish+suffix, prefixLine(of))
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	of, err := d.Set(others, reading)
	if err != nil {
		return nil, err
	}
	if of = of.Of(ipv6); len(of) > 0 {
		if prefixes := of.Prefixes(); len(prefixes) == 1 {
			wish = prefixSetName(prefixes[0])
		} else {
			wish += suffix
		}
		name, err := p.set(kind, wish, prefixLine(of))
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// prefixSetName is what the field-set of one prefix is called.
func prefixSetName(x netip.Prefix) string {
	address := strings.ReplaceAll(x.Addr().String(), ":", "-")
	if x.IsSingleIP() {
		return "host-" + address
	}
	return fmt.Sprintf("net-%s_%d", address, x.Bits())
}

func prefixLine(set policy.AddressSet) string {
	texts := []string{}
	for _, x := range set.Prefixes() {
		texts = append(texts, x.String())
	}
	return "      " + strings.Join(texts, " ") + "\n"
}
