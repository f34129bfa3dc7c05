package policy

import "cordon/internal/iana"

// Families says which address families a rule needs: one match each.
type Families struct{ IPv4, IPv6 bool }

// EOSLines is the number of lines that a rule about sessions takes in the traffic
// policy of Arista EOS, counted as CloudVision shows them in a change: those of its
// matches as package eos writes them, one after another for each family,
//
//	match NAME ipv4
//	   source prefix field-set ...
//	   destination prefix field-set ...
//	   protocol service field-set ...
//	   actions
//	      count
//
// and once more for its "-reverse" twin that permits the answers. Services without ports
// are in a match of their own, with a line for types of ICMP and one for other protocols, and
// types of ICMP have a twin only where something answers them. The separators ("!"), remarks
// and field-sets, which rules share, are not counted; an endpoint "any" has no line.
func (r *Rule) EOSLines(f Families) (lines int) {
	ends := 3 // match, actions, count
	for _, set := range [][]Endpoint{r.Sources, r.Destinations} {
		if len(set) > 0 && !set[0].IsAny() {
			ends++
		}
	}
	if f.IPv4 || !f.IPv6 { // Nothing can be written of a rule without addresses.
		lines += r.eosFamily(ends, iana.ICMP)
	}
	if f.IPv6 {
		lines += r.eosFamily(ends, iana.ICMPv6)
	}
	return lines
}

// eosFamily counts the lines of one family, which has an ICMP of its own.
func (r *Rule) eosFamily(ends int, icmp uint8) (lines int) {
	var ports, types, answers, protocols int
	for _, s := range r.Services {
		switch t := s.Term; {
		case s.Any:
			return 2 * ends
		case t.Proto == icmp:
			types = 1
			for request := range ICMPAnswers(icmp) {
				if t.Lo <= request && request <= t.Hi {
					answers = 1
				}
			}
		case iana.IsICMP(t.Proto):
		case t.Proto != iana.TCP && t.Proto != iana.UDP && (t.Any() || !iana.HasPorts(t.Proto)):
			protocols = 1
		default:
			ports = 1
		}
	}
	if ports > 0 {
		lines += 2 * (ends + 1)
	}
	if types+protocols > 0 {
		lines += ends + types + protocols
	}
	if answers+protocols > 0 {
		lines += ends + answers + protocols
	}
	return lines
}
