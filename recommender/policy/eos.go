package policy

import "cordon/internal/iana"

// Families says which address families a rule needs: one match each.
type Families struct{ IPv4, IPv6 bool }

// EOSLines is the number of lines that a rule takes in the traffic policy of
// Arista EOS, counted as CloudVision shows them in a change: for each family that
// the rule needs, and once more for its "-reverse" twin that permits the answers,
//
//	match NAME ipv4
//	   source prefix field-set ...
//	   destination prefix field-set ...
//	   protocol service field-set ...
//	   actions
//	      count
//
// The separators ("!") are not counted, nor are field-sets, which rules share.
// Services without ports cannot be in a service field-set and have a protocol
// line each; an endpoint "any" has no line.
func (r *Rule) EOSLines(f Families) int {
	lines := 3 // match, actions, count
	for _, set := range [][]Endpoint{r.Sources, r.Destinations} {
		if len(set) > 0 && !set[0].IsAny() {
			lines++
		}
	}
	fieldSet := 0
	for _, s := range r.Services {
		switch {
		case s.Any:
		case iana.HasPorts(s.Term.Proto):
			fieldSet = 1
		default:
			lines++
		}
	}
	lines = 2 * (lines + fieldSet)
	if f.IPv4 && f.IPv6 {
		lines *= 2
	}
	return lines
}
