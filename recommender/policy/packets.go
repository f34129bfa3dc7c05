package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"cordon/internal/iana"

	"go.yaml.in/yaml/v3"
)

// Packets is what a rule of a device may say beside ends and services. The zero
// value says nothing.
type Packets struct {
	// SourcePorts are those at the side of the sources; empty for all. They go with
	// services of protocols with ports.
	SourcePorts []PortSpan `yaml:"sourcePorts"`
	// Flags is "established" (ACK or RST is set), "initial" (SYN without ACK) or
	// "rst"; it goes with services of TCP.
	Flags string `yaml:"flags"`
	// Fragments is "all" for fragments other than first ones, or a list of offsets.
	Fragments string `yaml:"fragments"`
	// Except are endpoints that are not meant.
	Except Except `yaml:"except"`
	// Redirect says where to, as the device writes it; it goes with the action of this name.
	Redirect string `yaml:"redirect"`
	// Opaque are conditions and actions that the model cannot say, word for word. A rule
	// that has some matches a part of what it says otherwise, and nobody can tell which.
	Opaque []string `yaml:"opaque"`
	// Also are actions, word for word, that change nothing about what is permitted.
	Also    []string `yaml:"also"`
	Remarks []string `yaml:"remarks"` // comments
}

// Except are endpoints that a rule's sources and destinations leave out.
type Except struct {
	Sources      []Endpoint `yaml:"sources"`
	Destinations []Endpoint `yaml:"destinations"`
}

// The values of Packets.Flags.
const (
	Established = "established"
	Initial     = "initial"
	Reset       = "rst"
)

// Defaults are what a policy does with what no rule matches, by family; empty where it does not say.
type Defaults struct {
	IPv4 Action `yaml:"ipv4"`
	IPv6 Action `yaml:"ipv6"`
}

// UnmarshalYAML reads an action for both families, or one for each.
func (d *Defaults) UnmarshalYAML(n *yaml.Node) error {
	type each Defaults
	if n.Kind == yaml.ScalarNode {
		d.IPv4, d.IPv6 = Action(n.Value), Action(n.Value)
	} else if err := n.Decode((*each)(d)); err != nil {
		return err
	}
	for _, a := range []Action{d.IPv4, d.IPv6} {
		if a != "" && a != Allow && a != Deny {
			return fmt.Errorf("line %d: default is %q, not %s or %s", n.Line, a, Allow, Deny)
		}
	}
	return nil
}

// Of is the default of a family.
func (d Defaults) Of(ipv6 bool) Action {
	if ipv6 {
		return d.IPv6
	}
	return d.IPv4
}

// PortSpan is a range of ports, both ends included.
type PortSpan struct{ Lo, Hi uint16 }

func (s PortSpan) String() string {
	if s.Lo == s.Hi {
		return strconv.Itoa(int(s.Lo))
	}
	return fmt.Sprintf("%d-%d", s.Lo, s.Hi)
}

// MarshalText implements encoding.TextMarshaler.
func (s PortSpan) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "22" or "1024-65535".
func (s *PortSpan) UnmarshalText(text []byte) error {
	lo, hi, isRange := strings.Cut(string(text), "-")
	if !isRange {
		hi = lo
	}
	l, err := strconv.ParseUint(lo, 10, 16)
	h, err2 := strconv.ParseUint(hi, 10, 16)
	if err != nil || err2 != nil || l > h {
		return fmt.Errorf("%q is neither a port nor a range of ports", text)
	}
	s.Lo, s.Hi = uint16(l), uint16(h)
	return nil
}

// JoinPorts sorts ranges of ports and merges those that overlap or touch.
func JoinPorts(spans []PortSpan) []PortSpan {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b PortSpan) int { return int(a.Lo) - int(b.Lo) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && int(s.Lo) <= int(out[n-1].Hi)+1 {
			out[n-1].Hi = max(out[n-1].Hi, s.Hi)
			continue
		}
		out = append(out, s)
	}
	return out
}

// plain reports whether a rule is about sessions, and says nothing that a person's own rule does not.
func (r *StatementRule) plain() bool {
	p := &r.Packets
	return r.Direction != OneWay && r.Action != Redirect && len(p.SourcePorts)+len(p.Except.Sources)+len(p.Except.Destinations)+len(p.Opaque) == 0 &&
		p.Flags == "" && p.Fragments == ""
}

// checkPackets refuses what makes no sense together.
func (r *StatementRule) checkPackets() error {
	p := &r.Packets
	for _, s := range r.Services {
		if len(p.SourcePorts) > 0 && (s.Any || !iana.HasPorts(s.Term.Proto)) {
			return fmt.Errorf("sourcePorts go with services that have ports, and %s has none", s)
		}
		if p.Flags != "" && (s.Any || s.Term.Proto != iana.TCP) {
			return fmt.Errorf("flags go with services of TCP, and not with %s", s)
		}
	}
	switch {
	case r.Direction != OneWay && (len(p.SourcePorts) > 0 || p.Flags != "" || p.Fragments != ""):
		return fmt.Errorf("sourcePorts, flags and fragments go with direction: %s", OneWay)
	case !slices.Contains([]string{"", Established, Initial, Reset}, p.Flags):
		return fmt.Errorf("flags is %q, not %s, %s or %s", p.Flags, Established, Initial, Reset)
	case (p.Redirect != "") != (r.Action == Redirect):
		return fmt.Errorf("redirect says where to, and goes with action: %s", Redirect)
	case !r.plain():
		for _, e := range slices.Concat(r.Sources, r.Destinations, p.Except.Sources, p.Except.Destinations) {
			if e.IsGroup() {
				return errors.New("a rule with except, or of a device, names addresses as ip:PREFIX, not groups")
			}
		}
	}
	return nil
}

// FamilyOf gives the literals of every address of a family.
func FamilyOf(ipv6 bool) []Endpoint {
	if ipv6 {
		return []Endpoint{{Prefix: everyAddress[1]}}
	}
	return []Endpoint{{Prefix: everyAddress[0]}}
}

// IPSet is the set that literals mean without a groups file. It fails for a group.
func IPSet(set []Endpoint, _ Reading) (AddressSet, error) {
	var prefixes []netip.Prefix
	for _, e := range set {
		switch {
		case e.IsGroup():
			return nil, fmt.Errorf("what %s is has to be known: it is in no file at hand", e)
		case e.IsAny():
			prefixes = append(prefixes, everyAddress...)
		default:
			prefixes = append(prefixes, e.Prefix)
		}
	}
	return NewAddressSet(prefixes), nil
}
