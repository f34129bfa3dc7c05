package policy

import (
	"errors"
	"math/big"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
)

// Side is a policy to compare: its rules, of which the first that matches decides, with the meaning of their literals.
type Side struct {
	Rules     []StatementRule
	Addresses *Addresses
	Proposed  bool // the rules are those of a proposal; see Reading
}

// Side gives the proposal to compare, with the groups that it carries.
func (p *Proposal) Side() (Side, error) {
	f, err := p.CarriedFile()
	if err != nil {
		return Side{}, err
	}
	a, err := NewAddresses(f, p.Categories)
	if err != nil {
		return Side{}, err
	}
	return Side{Rules: p.Policy().Rules, Addresses: a, Proposed: true}, nil
}

func (s *Side) reading(a Action) Reading {
	if s.Proposed {
		return Proposed
	}
	return ReadingOf(a, false)
}

// Permission is what one policy permits and another does not: every source to every destination with every service.
// A set has literals of the rule as far as they lie in it as a whole, and prefixes and ranges of services for the rest.
type Permission struct {
	Rule         string     `json:"rule"`         // the rule that permits it
	By           string     `json:"by,omitempty"` // the rule of the other policy that denies it; empty where none matches
	Sources      []Endpoint `json:"sources"`
	Destinations []Endpoint `json:"destinations"`
	Services     []Service  `json:"services"`
	// Family is "ipv4" or "ipv6" where only that part of the literals is meant, and empty where both are.
	Family string `json:"family,omitempty"`
	// SourceAddresses and DestinationAddresses count the addresses of both families.
	SourceAddresses      *big.Int `json:"sourceAddresses"`
	DestinationAddresses *big.Int `json:"destinationAddresses"`
	Example              Example  `json:"example"` // one session of it
}

// Change is how two policies differ in what they permit. What is in one list is in it once for each rule that permits it first.
type Change struct {
	Lost   []Permission `json:"lost"`   // Sessions that the first permits and the second does not, by rules of the first.
	Gained []Permission `json:"gained"` // the other way round, by the rules of the second
}

// ErrTooManyPieces says that two policies are cut into more pieces than can be compared.
var ErrTooManyPieces = errors.New("the policies differ in too many pieces to tell them all")

// MeaningDiff compares what two policies permit, whatever their rules are called, however they are cut, and whatever
// groups they name: it is exact for addresses and services. The error is ErrTooManyPieces.
func MeaningDiff(a, b Side) (*Change, error) {
	d := newDivided(a, b)
	var out Change
	var err error
	if out.Lost, err = d.beyond(0); err != nil {
		return nil, err
	}
	out.Gained, err = d.beyond(1)
	return &out, err
}

// divided is the space of two policies, with what is in its classes.
type divided struct {
	*space
	sides    [2]Side
	first    [2]int                   // place of each policy's first rule
	begins   []netip.Addr             // first address of each range
	classes  [2][]int                 // Classes of the ranges of each side.
	services []categories.ServiceTerm // ranges of services, in order
	kinds    []int                    // their classes
	held     [2]map[literal][]int     // places of the ranges that a literal of each policy holds, as far as it was asked for
	steps    int
}

func newDivided(a, b Side) *divided {
	n := len(a.Rules)
	d := &divided{space: &space{boxes: make([]ruleBox, n+len(b.Rules))}, sides: [2]Side{a, b}, first: [2]int{0, n}, held: [2]map[literal][]int{{}, {}}}
	var ends [2][2][][]literal // indexed by policy and side
	var services [][]Service
	for i, side := range d.sides {
		for j := range side.Rules {
			r := &side.Rules[j]
			d.boxes[d.first[i]+j].deny = r.Action == Deny
			ends[i][0] = append(ends[i][0], literals(r.Sources, side.reading(r.Action)))
			ends[i][1] = append(ends[i][1], literals(r.Destinations, side.reading(r.Action)))
			services = append(services, r.Services)
		}
		d.begins = append(d.begins, side.Addresses.begins(append(slices.Clone(ends[i][0]), ends[i][1]...))...)
	}
	slices.SortFunc(d.begins, netip.Addr.Compare)
	d.begins = slices.Compact(d.begins)
	for side := range 2 {
		of := [2]func(netip.Addr, bits){a.Addresses.holding(ends[0][side], 0), b.Addresses.holding(ends[1][side], n)}
		d.addresses(side, func(addr netip.Addr, held bits) {
			of[0](addr, held)
			of[1](addr, held)
		}, d.begins, func(_ netip.Addr, class int) { d.classes[side] = append(d.classes[side], class) })
	}
	d.space.services(services, func(t categories.ServiceTerm, class int) {
		d.services, d.kinds = append(d.services, t), append(d.kinds, class)
	})
	return d
}

// pieceBy is a box of classes, and the rule that decides it, or -1.
type pieceBy struct {
	box [3]bits
	by  int
}

// carve cuts a box into pieces by the first rule of order that holds them. It fails if there are too many.
func (d *divided) carve(box [3]bits, order []int, out []pieceBy) ([]pieceBy, error) {
	for k, j := range order {
		if d.steps++; d.steps > maxAuditSteps {
			return nil, ErrTooManyPieces
		}
		var both, rest [3]bits
		meets := true
		for m := range box {
			both[m], rest[m] = box[m].and(d.boxes[j].sets[m])
			meets = meets && !both[m].empty()
		}
		if !meets {
			continue
		}
		out = append(out, pieceBy{both, j})
		left := [3][3]bits{{rest[0], box[1], box[2]}, {both[0], rest[1], box[2]}, {both[0], both[1], rest[2]}}
		var err error
		for m := range left {
			if !rest[m].empty() {
				if out, err = d.carve(left[m], order[k+1:], out); err != nil {
					return nil, err
				}
			}
		}
		return out, nil
	}
	return append(out, pieceBy{box, -1}), nil
}

// beyond gives what one of the policies permits and the other does not.
func (d *divided) beyond(one int) (out []Permission, err error) {
	places := func(side, n int) (list []int) {
		for i := range n {
			list = append(list, d.first[side]+i)
		}
		return list
	}
	other := places(1-one, len(d.sides[1-one].Rules))
	for i := range d.sides[one].Rules {
		at := d.first[one] + i
		d.steps = 0
		if d.boxes[at].deny {
			continue
		}
		for _, whole := range d.whole(&d.boxes[at]) {
			own, err := d.carve(whole, places(one, i), nil)
			if err != nil {
				return nil, err
			}
			for _, piece := range own {
				if piece.by >= 0 {
					continue // an earlier rule decides it
				}
				pieces, err := d.carve(piece.box, other, nil)
				if err != nil {
					return nil, err
				}
				for _, p := range pieces {
					if p.by < 0 || d.boxes[p.by].deny {
						out = add(out, d.permitted(one, i, p))
					}
				}
			}
		}
	}
	for i := range out {
		if p := &out[i]; !d.otherFamily(one, p, p.Sources) || !d.otherFamily(one, p, p.Destinations) {
			p.Family = "" // the literals say it themselves
		}
	}
	return out, nil
}

// otherFamily reports whether literals have addresses of the family that is not meant.
func (d *divided) otherFamily(one int, p *Permission, set []Endpoint) bool {
	return slices.ContainsFunc(set, func(e Endpoint) bool {
		return slices.ContainsFunc(d.rangesOf(one, literal{e, d.sides[one].reading(Allow)}), func(at int) bool { return d.begins[at].Is4() != (p.Family == "ipv4") })
	})
}

// add appends what is permitted. Where it is the other family of something that is there, the two become one.
func add(list []Permission, p Permission) []Permission {
	for i := range list {
		o := &list[i]
		if o.Rule == p.Rule && o.By == p.By && o.Family != "" && o.Family != p.Family &&
			slices.Equal(o.Sources, p.Sources) && slices.Equal(o.Destinations, p.Destinations) && slices.Equal(o.Services, p.Services) {
			o.Family = ""
			o.SourceAddresses.Add(o.SourceAddresses, p.SourceAddresses)
			o.DestinationAddresses.Add(o.DestinationAddresses, p.DestinationAddresses)
			return list
		}
	}
	return append(list, p)
}

// permitted writes a piece out.
func (d *divided) permitted(one, rule int, piece pieceBy) Permission {
	side := &d.sides[one]
	r := &side.Rules[rule]
	out := Permission{Rule: r.Label(rule)}
	if piece.by >= 0 {
		other := piece.by - d.first[1-one]
		out.By = d.sides[1-one].Rules[other].Label(other)
	}
	reading := side.reading(r.Action)
	var example [2]netip.Addr
	out.Sources, out.SourceAddresses, example[0] = d.endpoints(one, 0, literals(r.Sources, reading), piece.box[0])
	out.Destinations, out.DestinationAddresses, example[1] = d.endpoints(one, 1, literals(r.Destinations, reading), piece.box[1])
	out.Services = d.terms(r.Services, piece.box[2])
	if out.Family = "ipv6"; example[0].Is4() {
		out.Family = "ipv4"
	}
	service := out.Services[0].Term
	if out.Services[0].Any {
		service = categories.ServiceTerm{Proto: iana.TCP}
	}
	out.Example = Example{Source: example[0].String(), Destination: example[1].String(), Service: categories.Service{Proto: service.Proto, Port: service.Lo}.String()}
	return out
}

func (b bits) has(i int) bool { return i/64 < len(b) && b[i/64]>>(i%64)&1 == 1 }

// rangesOf gives the places of the ranges of addresses that a literal of one of the policies holds.
func (d *divided) rangesOf(one int, e literal) []int {
	if list, ok := d.held[one][e]; ok {
		return list
	}
	var list []int
	for at, addr := range d.begins {
		if d.sides[one].Addresses.Holds(e.Endpoint, e.as, addr) {
			list = append(list, at)
		}
	}
	d.held[one][e] = list
	return list
}

// endpoints writes a set of classes of one side: with the literals that lie in it as a whole, and prefixes for the rest.
// It counts the addresses beside, and gives the first.
func (d *divided) endpoints(one, side int, set []literal, classes bits) (out []Endpoint, n *big.Int, example netip.Addr) {
	said := map[int]bool{}
	first := slices.IndexFunc(d.classes[side], classes.has)
	for _, e := range set {
		places := slices.DeleteFunc(slices.Clone(d.rangesOf(one, e)), func(at int) bool { return d.begins[at].Is4() != d.begins[first].Is4() })
		if len(places) == 0 || slices.ContainsFunc(places, func(at int) bool { return !classes.has(d.classes[side][at]) }) {
			continue
		}
		out = append(out, e.Endpoint)
		for _, at := range places {
			said[at] = true
		}
	}
	n, example = new(big.Int), d.begins[first]
	var rest []netip.Prefix
	for at, class := range d.classes[side] {
		if !classes.has(class) {
			continue
		}
		span := d.span(at)
		n.Add(n, span.size())
		if !said[at] {
			rest = append(rest, span.Prefixes()...)
		}
	}
	for _, p := range categories.Aggregate(rest) {
		out = append(out, Endpoint{Prefix: p})
	}
	return sorted(out, Endpoint.Compare), n, example
}

// span is the range of addresses from a place of begins to the next.
func (d *divided) span(at int) Span {
	s := Span{Lo: d.begins[at]}
	if at+1 < len(d.begins) && d.begins[at+1].BitLen() == s.Lo.BitLen() {
		s.Hi = d.begins[at+1].Prev()
	} else {
		s.Hi = lastAddr(netip.PrefixFrom(s.Lo, 0))
	}
	return s
}

// size counts the addresses of a range.
func (s Span) size() *big.Int {
	lo, hi := new(big.Int).SetBytes(s.Lo.AsSlice()), new(big.Int).SetBytes(s.Hi.AsSlice())
	return hi.Add(hi.Sub(hi, lo), big.NewInt(1))
}

// terms writes a set of classes of services likewise.
func (d *divided) terms(set []Service, classes bits) (out []Service) {
	said := map[int]bool{}
	for _, e := range set {
		var places []int
		inside := true
		for at, t := range d.services {
			if e.Matches(categories.Service{Proto: t.Proto, Port: t.Lo}) {
				places = append(places, at)
				inside = inside && classes.has(d.kinds[at])
			}
		}
		if !inside {
			continue
		}
		out = append(out, e)
		for _, at := range places {
			said[at] = true
		}
	}
	var last *categories.ServiceTerm // grows while ranges touch
	for at, t := range d.services {
		switch {
		case said[at] || !classes.has(d.kinds[at]):
			last = nil
		case last != nil && last.Proto == t.Proto && int(last.Hi)+1 == int(t.Lo):
			last.Hi = t.Hi
		default:
			out = append(out, Service{Term: t})
			last = &out[len(out)-1].Term
		}
	}
	return sorted(out, Service.Compare)
}
