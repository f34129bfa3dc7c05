package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
)

// CarriedGroup is a group of the groups file as far as a proposal needs it.
type CarriedGroup struct {
	Name     string `json:"name" yaml:"name"` // the label: what stands behind "group:" in literals
	Category string `json:"category" yaml:"category"`
	Group    string `json:"group,omitempty" yaml:"group,omitempty"` // its name in the file, where that is not the label
	// Members are exactly the addresses that the group stands for in a rule of the proposal. A
	// known host has a /32 or /128 of its own, also inside a wider prefix.
	Members []netip.Prefix `json:"members" yaml:"members,flow"`
	// Declared are the prefixes of the groups file, where they hold more than Members and that
	// matters: a denial, an exclusion or a scope means them.
	Declared []netip.Prefix `json:"declared,omitempty" yaml:"declared,omitempty,flow"`
	// AtOtherTimes are further prefixes that the groups file puts into the group at another time of the window, or after it. A
	// denial, an exclusion and a scope mean them as well.
	AtOtherTimes []netip.Prefix `json:"atOtherTimes,omitempty" yaml:"atOtherTimes,omitempty,flow"`
}

// CarriedService is a name that the groups file gives to services.
type CarriedService struct {
	Name  string    `json:"name" yaml:"name"`
	Match []Service `json:"match" yaml:"match,flow"`
}

// CarriedExclusion is an exclusion of the groups file. A list that is absent holds everything.
type CarriedExclusion struct {
	Reason       string     `json:"reason" yaml:"reason"`
	Sources      []Endpoint `json:"sources,omitempty" yaml:"sources,omitempty,flow"`
	Destinations []Endpoint `json:"destinations,omitempty" yaml:"destinations,omitempty,flow"`
	Services     []Service  `json:"services,omitempty" yaml:"services,omitempty,flow"`
}

// CarriedPolicy is a policy that a proposal was made with, without what was seen under its rules.
type CarriedPolicy struct {
	VRF   string        `json:"vrf,omitempty" yaml:"vrf,omitempty"` // empty: in every VRF
	Rules []CarriedRule `json:"rules" yaml:"rules"`
}

// CarriedRule is a rule of a CarriedPolicy.
type CarriedRule struct {
	ID           string     `json:"id,omitempty" yaml:"id,omitempty"`
	Name         string     `json:"name,omitempty" yaml:"name,omitempty"`
	Action       Action     `json:"action" yaml:"action"`
	Sources      []Endpoint `json:"sources" yaml:"sources,flow"`
	Destinations []Endpoint `json:"destinations" yaml:"destinations,flow"`
	Services     []Service  `json:"services" yaml:"services,flow"`
}

// CarriedPolicies gives those of the policies that concern a VRF.
func CarriedPolicies(list []Policy, vrf string) (out []CarriedPolicy) {
	for _, p := range list {
		if p.VRF != "" && p.VRF != vrf {
			continue
		}
		c := CarriedPolicy{VRF: p.VRF, Rules: []CarriedRule{}}
		for i := range p.Rules {
			r := &p.Rules[i]
			c.Rules = append(c.Rules, CarriedRule{r.ID, r.Name, r.Action, r.Sources, r.Destinations, r.Services})
		}
		out = append(out, c)
	}
	return out
}

// policies is the inverse of CarriedPolicies.
func policies(list []CarriedPolicy) (out []Policy) {
	for _, c := range list {
		p := Policy{APIVersion: APIVersion, Kind: KindPolicy, VRF: c.VRF}
		for _, r := range c.Rules {
			p.Rules = append(p.Rules, StatementRule{ID: r.ID, Name: r.Name, Action: r.Action, Sources: r.Sources, Destinations: r.Destinations, Services: r.Services})
		}
		out = append(out, p)
	}
	return out
}

// MadeWith gives the policies in force and the guardrails that the proposal was made with.
func (p *Proposal) MadeWith() (existing, guardrails []Policy) {
	return policies(p.InForce), policies(p.Guardrails)
}

// Carries reports whether the proposal carries the groups that it was made with. Proposals of early versions do not.
func (p *Proposal) Carries() bool { return p.GroupsFile != "" || len(p.Categories) == 0 }

// apart is a category of CarriedFile that no proposal selects and no file has.
const apart = "\x00not carried"

// CarriedFile gives the groups that the proposal carries as a groups file. With it, everything that concerns the proposal
// comes out as with the file that the proposal was made with. A mistake in the document is the error.
func (p *Proposal) CarriedFile() (*categories.File, error) {
	f := &categories.File{Path: "proposal " + p.ID}
	b := carriedFile{file: f, groups: map[categories.Ref]bool{}, lacking: map[categories.Ref]string{}}
	for i := range p.Groups {
		if err := b.add(&p.Groups[i]); err != nil {
			return nil, fmt.Errorf("groups: group %q: %w", p.Groups[i].Name, err)
		}
	}
	for _, name := range p.Categories {
		b.category(name)
	}
	b.label()
	if err := b.known(p); err != nil {
		return nil, err
	}
	f.Services = p.NamedServices()
	for i := range p.Exclude {
		x := &p.Exclude[i]
		out := categories.Exclusion{Reason: x.Reason}
		var err error
		if out.Sources, err = selectors(f, x.Sources); err == nil {
			out.Destinations, err = selectors(f, x.Destinations)
		}
		if err != nil {
			return nil, fmt.Errorf("exclude: %q: %w", x.Reason, err)
		}
		for _, s := range x.Services {
			out.Services = append(out.Services, s.Term)
		}
		f.Exclude = append(f.Exclude, out)
	}
	return f, nil
}

// NamedServices gives the names of services that the proposal carries.
func (p *Proposal) NamedServices() (out []categories.NamedService) {
	for _, s := range p.Services {
		n := categories.NamedService{Name: s.Name}
		for _, m := range s.Match {
			n.Match = append(n.Match, m.Term)
		}
		out = append(out, n)
	}
	return out
}

// carriedFile is a groups file in the making.
type carriedFile struct {
	file    *categories.File
	groups  map[categories.Ref]bool
	lacking map[categories.Ref]string // labels of groups that are written with their category
}

func (b *carriedFile) category(name string) *categories.Category {
	i := slices.IndexFunc(b.file.Categories, func(c categories.Category) bool { return c.Name == name })
	if i < 0 {
		i = len(b.file.Categories)
		b.file.Categories = append(b.file.Categories, categories.Category{Name: name})
	}
	return &b.file.Categories[i]
}

func (b *carriedFile) add(g *CarriedGroup) error {
	if g.Name == "" || g.Category == "" {
		return fmt.Errorf("it needs a name and a category")
	}
	ref := categories.Ref{Category: g.Category, Group: g.Name}
	if g.Group != "" {
		ref.Group = g.Group
		if g.Name != g.Category+"/"+g.Group {
			return fmt.Errorf("it is %s or %s/%s", g.Group, g.Category, g.Group)
		}
		b.lacking[ref] = g.Name
	}
	if b.groups[ref] {
		return fmt.Errorf("it is here a second time")
	}
	b.groups[ref] = true
	prefixes := g.Declared
	if prefixes == nil {
		prefixes = g.Members
	}
	for _, list := range [][]netip.Prefix{g.Members, g.Declared, g.AtOtherTimes} {
		for _, p := range list {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
				return fmt.Errorf("%s is no prefix as it is written here: no bits behind its length, and IPv4 as IPv4", p)
			}
		}
	}
	if ref == categories.Internet {
		return nil // every file has it
	}
	c := b.category(g.Category)
	made := categories.Group{Name: ref.Group, Prefixes: slices.Clone(prefixes)}
	made.AddEver(g.AtOtherTimes)
	c.Groups = append(c.Groups, made)
	return nil
}

// label makes the labels those of the document: where the file had further groups of the same name, the document has
// the label with the category, and a group without addresses stands for them here.
func (b *carriedFile) label() {
	labels := categories.NewLabels(b.file)
	var names []string
	for ref, want := range b.lacking {
		if labels.Label(ref) != want {
			names = append(names, ref.Group)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c := b.category(apart)
		c.Groups = append(c.Groups, categories.Group{Name: name})
	}
}

// maxKnownHosts bounds how many hosts a document names by a few prefixes.
const maxKnownHosts = 1 << 22

// known makes the hosts that are known, and that no member says, single hosts of the groups that they are in.
func (b *carriedFile) known(p *Proposal) error {
	if len(p.KnownHosts) == 0 {
		return nil
	}
	r, err := categories.NewResolver(b.file, p.Categories)
	if err != nil {
		return err
	}
	more := map[categories.Ref][]netip.Prefix{}
	hosts := 0
	for _, prefix := range p.KnownHosts {
		if !prefix.IsValid() || prefix.Addr().BitLen()-prefix.Bits() > 22 {
			return fmt.Errorf("knownHosts: %s is no prefix of at most %d hosts", prefix, maxKnownHosts)
		}
		for a, last := prefix.Masked().Addr(), lastAddr(prefix.Masked()); ; a = a.Next() {
			if hosts++; hosts > maxKnownHosts {
				return fmt.Errorf("knownHosts: there are more than %d", maxKnownHosts)
			}
			g, ok := r.Lookup(a)
			if !ok || categories.KindOf(a) == categories.Local {
				g = categories.Ref{Category: apart, Group: a.String()}
			}
			more[g] = append(more[g], netip.PrefixFrom(a, a.BitLen()))
			if a == last {
				break
			}
		}
	}
	for i := range b.file.Categories {
		for j := range b.file.Categories[i].Groups {
			g := &b.file.Categories[i].Groups[j]
			ref := categories.Ref{Category: b.file.Categories[i].Name, Group: g.Name}
			g.Prefixes = append(g.Prefixes, more[ref]...)
			delete(more, ref)
		}
	}
	var rest []string
	for ref := range more {
		rest = append(rest, ref.Group)
	}
	slices.Sort(rest)
	for _, name := range rest {
		c := b.category(apart)
		c.Groups = append(c.Groups, categories.Group{Name: name, Prefixes: more[categories.Ref{Category: apart, Group: name}]})
	}
	return nil
}

// selectors gives one side of an exclusion.
func selectors(f *categories.File, set []Endpoint) (out []categories.Selector, err error) {
	for _, e := range set {
		s := categories.Selector{Text: scopeText(e)}
		switch {
		case e.IsAny():
			return nil, nil
		case e.IsGroup():
			if s.Group, s.Prefixes, err = f.Declared(e.Group); err != nil {
				return nil, err
			}
		default:
			s.Prefixes = []netip.Prefix{e.Prefix}
		}
		out = append(out, s)
	}
	return out, nil
}
