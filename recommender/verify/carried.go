package verify

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// given replaces what the options leave open by what the document carries.
func (o *Options) given(p *policy.Proposal) error {
	existing, guardrails := p.MadeWith()
	if o.Existing == nil {
		o.Existing = existing
	}
	if o.Guardrails == nil {
		o.Guardrails = guardrails
	}
	var err error
	if o.Groups == nil && p.GroupsFile != "" {
		o.alone = true
		if o.Groups, err = p.CarriedFile(); err != nil {
			return fmt.Errorf("%w: %w", ErrCarried, err)
		}
	}
	o.owners, err = newOwners(p, o)
	return err
}

// carried compares the groups and policies that the document carries with those that it is held against. Where no
// groups file was given, it is the groups' own prefixes that their members are compared with.
func (v *verifier) carried() {
	v.carriedPolicies("inForce", v.p.InForce, v.o.Existing)
	v.carriedPolicies("guardrails", v.p.Guardrails, v.o.Guardrails)
	if v.p.GroupsFile == "" {
		return // an early document, or one that was made without groups
	}
	denied := v.namedWhole()
	in := map[string]bool{}
	for i := range v.p.Groups {
		g := &v.p.Groups[i]
		in[g.Name] = true
		v.carriedGroup(g, denied[g.Name])
	}
	v.lacking(in)
	file, err := v.p.CarriedFile()
	if err != nil {
		v.report.find(WrongCarried, "", "what the proposal carries cannot be read: %v", err)
		return
	}
	v.carriedHosts(in, file)
	v.carriedServices(file)
	v.carriedExclusions(file)
	if file := v.o.Groups; file != nil && file.Digest() != v.p.GroupsFile && !v.o.alone && !v.report.has(WrongCarried) {
		v.report.find(Hint, "", "the groups file is another than the one that the proposal was made with (%s), but says the same of everything that the proposal carries", v.p.GroupsFile)
	}
}

// carriedGroup compares the addresses of one group. Whole says that a statement means every address that the file puts into it.
func (v *verifier) carriedGroup(g *policy.CarriedGroup, whole bool) {
	e := policy.GroupEndpoint(g.Name)
	members, err := v.addresses.Set([]policy.Endpoint{e}, policy.Proposed)
	if err != nil {
		v.report.find(WrongCarried, "", "the proposal carries group %s of category %s: %v", g.Name, g.Category, err)
		return
	}
	ref := categories.Ref{Category: g.Category, Group: g.Group}
	if g.Group == "" {
		ref.Group = g.Name
	}
	if is, err := v.addresses.Resolver().Labels().Find(g.Name); err != nil || is != ref {
		v.report.find(WrongCarried, "", "the proposal carries group %s in category %s, where the groups file has none that is written so", g.Name, g.Category)
		return
	}
	v.compareSets(g, "members", policy.NewAddressSet(g.Members), members)
	v.atOtherTimes(g, ref)
	if g.Declared == nil && !whole {
		return
	}
	declared, err := v.addresses.Set([]policy.Endpoint{e}, policy.Denying)
	switch {
	case err != nil || ref == categories.Internet: // every file has the same
	case g.Declared == nil:
		v.compareSets(g, "members", policy.NewAddressSet(slices.Concat(g.Members, g.AtOtherTimes)), declared)
	default:
		v.compareSets(g, "declared", policy.NewAddressSet(slices.Concat(g.Declared, g.AtOtherTimes)), declared)
	}
}

// atOtherTimes compares the addresses that a group had at another time of the window, or will have.
func (v *verifier) atOtherTimes(g *policy.CarriedGroup, ref categories.Ref) {
	c := v.judge.file.Category(ref.Category)
	if c == nil {
		return
	}
	for i := range c.Groups {
		if is := &c.Groups[i]; is.Name == ref.Group {
			v.compareSets(g, "atOtherTimes", policy.NewAddressSet(slices.Concat(is.Prefixes, g.AtOtherTimes)), policy.NewAddressSet(is.Ever()))
		}
	}
}

// compareSets names what one set has and the other does not.
func (v *verifier) compareSets(g *policy.CarriedGroup, field string, said, are policy.AddressSet) {
	if said.Equal(are) {
		return
	}
	v.differ(fmt.Sprintf("the %s of group %s of category %s are not those of the groups file", field, g.Name, g.Category),
		prefixTexts(said.Minus(are).Prefixes()), prefixTexts(are.Minus(said).Prefixes()))
}

func prefixTexts(list []netip.Prefix) (out []string) {
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

// differ adds a finding with examples of what only the document has, and what only the file or the policy has.
func (v *verifier) differ(text string, said, are []string) {
	f := v.report.find(WrongCarried, "", "%s", text)
	var examples []string
	for _, s := range said {
		examples = append(examples, "only in the proposal: "+s)
	}
	for _, s := range are {
		examples = append(examples, "not in the proposal: "+s)
	}
	f.Count, f.Examples = uint64(len(examples)), v.examples(examples)
}

// namedWhole gives the labels of the groups of which some statement means every address that the file puts into them.
func (v *verifier) namedWhole() map[string]bool {
	out := map[string]bool{}
	add := func(set []policy.Endpoint) {
		for _, e := range set {
			if e.IsGroup() {
				out[e.Group] = true
			}
		}
	}
	for _, list := range [][]policy.CarriedPolicy{v.p.InForce, v.p.Guardrails} {
		for i := range list {
			for _, r := range list[i].Rules {
				if r.Action == policy.Deny {
					add(r.Sources)
					add(r.Destinations)
				}
			}
		}
	}
	for i := range v.p.Exclude {
		add(v.p.Exclude[i].Sources)
		add(v.p.Exclude[i].Destinations)
	}
	if v.p.Scope != nil {
		for _, name := range policy.ScopeFields {
			add(*v.p.Scope.Field(name))
		}
	}
	return out
}

// lacking finds groups that the rest of the document or the sessions need, and that it does not carry.
func (v *verifier) lacking(in map[string]bool) {
	var names []string
	need := func(set []policy.Endpoint) {
		for _, e := range set {
			if e.IsGroup() && !in[e.Group] && v.addresses.Check(e) == nil {
				names = append(names, e.Group)
			}
		}
	}
	for i := range v.p.Rules {
		need(v.p.Rules[i].Sources)
		need(v.p.Rules[i].Destinations)
	}
	for name := range v.namedWhole() {
		need([]policy.Endpoint{policy.GroupEndpoint(name)})
	}
	if v.o.Scope == nil && !v.o.alone {
		r := v.addresses.Resolver()
		for i := range v.c.Sessions {
			for _, a := range []netip.Addr{plain(v.c.Sessions[i].Client), plain(v.c.Sessions[i].Server)} {
				if g, ok := r.Lookup(a); ok {
					need([]policy.Endpoint{policy.GroupEndpoint(r.Label(g))})
				}
			}
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > 0 {
		f := v.report.find(WrongCarried, "", "the proposal does not carry every group that its rules and sessions need")
		f.Count, f.Examples = uint64(len(names)), v.examples(names)
	}
}

// carriedHosts compares the known hosts in the groups that are carried, and in none.
func (v *verifier) carriedHosts(in map[string]bool, file *categories.File) {
	said, are := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, a := range file.Hosts() {
		said[a] = true
	}
	var lacks, more []string
	r := v.addresses.Resolver()
	for _, a := range v.judge.file.Hosts() {
		are[a] = true
		if g, ok := r.Lookup(a); (!ok || in[r.Label(g)]) && !said[a] {
			lacks = append(lacks, netip.PrefixFrom(a, a.BitLen()).String())
		}
	}
	for _, a := range file.Hosts() {
		if !are[a] {
			more = append(more, netip.PrefixFrom(a, a.BitLen()).String())
		}
	}
	if len(lacks)+len(more) > 0 {
		v.differ("the single hosts of the proposal's groups and knownHosts are not those that the groups file names", more, lacks)
	}
}

// carriedServices compares the names of services.
func (v *verifier) carriedServices(file *categories.File) {
	list := func(f *categories.File) (out []string) {
		for _, s := range f.Services {
			out = append(out, fmt.Sprintf("%s %v", s.Name, s.Match))
		}
		return out
	}
	v.compareTexts("services of the proposal are not those of the groups file", list(file), list(v.judge.file))
}

// carriedExclusions compares what is excluded, whatever groups say it.
func (v *verifier) carriedExclusions(file *categories.File) {
	list := func(f *categories.File) (out []string) {
		for i := range f.Exclude {
			x := &f.Exclude[i]
			out = append(out, fmt.Sprintf("%s: %s to %s, services %v", x.Reason, selected(x.Sources), selected(x.Destinations), x.Services))
		}
		return out
	}
	v.compareTexts("exclusions of the proposal are not those of the groups file", list(file), list(v.judge.file))
}

// selected writes the addresses of one side of an exclusion.
func selected(set []categories.Selector) string {
	if set == nil {
		return "any"
	}
	var all []netip.Prefix
	for _, s := range set {
		all = append(all, s.Prefixes...)
	}
	return fmt.Sprint(policy.NewAddressSet(all).Prefixes())
}

// carriedPolicies compares the policies of one field with those that the document is held against.
func (v *verifier) carriedPolicies(field string, said []policy.CarriedPolicy, given []policy.Policy) {
	if v.p.GroupsFile == "" && len(said) == 0 {
		return // an early document carries none
	}
	list := func(policies []policy.CarriedPolicy) (out []string) {
		for i := range policies {
			for j, r := range policies[i].Rules {
				out = append(out, fmt.Sprintf("policy %d, rule %d (%s): %s %v to %v, %v", i+1, j+1, r.Name, r.Action, r.Sources, r.Destinations, r.Services))
			}
		}
		return out
	}
	v.compareTexts(field+" of the proposal is not what it is held against", list(said), list(policy.CarriedPolicies(given, v.p.VRF)))
}

// compareTexts finds lists that differ, and names what only one of them has.
func (v *verifier) compareTexts(text string, said, are []string) {
	if slices.Equal(said, are) {
		return
	}
	only := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
	}
	v.differ(text, only(said, are), only(are, said))
}
