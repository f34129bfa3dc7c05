package categories

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// LintFile parses and checks a groups file for `cordon groups lint`. What is
// wrong with its content is among the findings, as errors; err is for a file
// that cannot be read.
func LintFile(path string) ([]Finding, error) {
	f, err := ReadFile(path)
	var parse *ParseError
	switch {
	case err == nil:
		return Lint(f), nil
	case !errors.As(err, &parse):
		return nil, err
	}
	return lintParseError(f, parse), nil
}

func lintParseError(f *File, parse *ParseError) []Finding {
	var out []Finding
	for _, p := range parse.Problems {
		message := p.Message
		if p.Field != "" {
			message = p.Field + ": " + message
		}
		out = append(out, newFinding(p.Path, Error, p.Line, "", "", "%s", message))
	}
	if parse.Omitted > 0 {
		out = append(out, newFinding(f.Path, Error, 0, "", "", "%d more errors", parse.Omitted))
	}
	// The rest would mostly follow from the errors.
	out = append(out, f.notes...)
	slices.SortStableFunc(out, compareFindings)
	return out
}

// Lint looks for what is allowed in a groups file but may not be meant: bits
// behind a prefix's length, prefixes given twice or in two groups, groups that
// get no address, empty ones, special-purpose and public ranges, services that
// overlap. Of a file with times it looks at the groups as they are now, and at owners of one prefix that follow each other. The last finding counts what the file covers. The order is by line.
// Of a file with groups of single VRFs it looks at each of these, and says what it finds in all of them once.
func Lint(f *File) []Finding {
	now, vrfs := time.Now(), f.VRFs()
	if len(vrfs) == 0 {
		return lintAt(f, now, nil)
	}
	elsewhere := map[Ref]bool{}
	for i := range f.Categories {
		for _, g := range f.Categories[i].Groups {
			elsewhere[Ref{f.Categories[i].Name, g.Name}] = len(g.Prefixes) > 0
		}
	}
	var out []Finding
	said := map[string]bool{}
	for _, vrf := range vrfs {
		for _, finding := range lintAt(f.InVRF(vrf), now, elsewhere) {
			if finding.Line == 0 {
				finding.Message = "VRF " + quote(vrf) + ": " + finding.Message
			}
			if key := fmt.Sprint(finding); !said[key] {
				said[key] = true
				out = append(out, finding)
			}
		}
	}
	slices.SortStableFunc(out, compareFindings)
	return out
}

// lintAt looks at the groups of one moment and VRF; elsewhere are the groups that have prefixes in some VRF.
func lintAt(f *File, now time.Time, elsewhere map[Ref]bool) []Finding {
	l := &linter{file: f.At(now), out: slices.Clone(f.notes), otherVRFs: elsewhere}
	l.times(f, now)
	f = l.file
	for i := range f.Categories {
		l.category(&f.Categories[i])
	}
	l.precedence()
	l.builtinNames()
	l.services()
	slices.SortStableFunc(l.out, compareFindings)
	l.coverage()
	return l.out
}

type linter struct {
	file *File
	out  []Finding

	otherTimes map[Ref]bool // groups that have no prefix now, and had some or will have
	otherVRFs  map[Ref]bool // groups that have prefixes in this VRF or another
}

func (l *linter) add(s Severity, line int, category, group, format string, args ...any) {
	l.out = append(l.out, newFinding(l.file.Path, s, line, category, group, format, args...))
}

func (l *linter) category(c *Category) {
	if len(c.Groups) == 0 {
		l.add(Warning, c.Line, c.Name, "", "has no groups: add some or remove it")
	}
	for i := range c.Groups {
		g := &c.Groups[i]
		if l.otherTimes[Ref{c.Name, g.Name}] {
			continue
		}
		if len(g.Prefixes) == 0 {
			if l.otherVRFs[Ref{c.Name, g.Name}] {
				continue
			}
			l.add(Warning, g.Line, c.Name, g.Name, "has no prefixes: no address is in it")
			continue
		}
		l.prefixes(c, g)
	}
	l.overlaps(c)
}

// prefixes looks at the prefixes of one group by themselves.
func (l *linter) prefixes(c *Category, g *Group) {
	first := map[netip.Prefix]int{}
	type ranged struct {
		line int
		text []string
	}
	public, inRange := ranged{}, map[SpecialRange]*ranged{}
	for i, p := range g.Prefixes {
		line := g.lineOf(i)
		if j, ok := first[p]; ok {
			l.add(Warning, line, c.Name, g.Name, "%s is already in line %d: remove one", p, g.lineOf(j))
			continue
		}
		first[p] = i
		if p.Bits() == 0 {
			l.add(Warning, line, c.Name, g.Name, "%s is every %s address: none is ungrouped or external, and categories after %s get none", p, familyName(p), quote(c.Name))
			continue
		}
		r, special := specialAround(p)
		switch {
		case !special:
			if len(public.text) == 0 {
				public.line = line
			}
			public.text = append(public.text, p.String())
		case !wellKnownPrivate(r):
			if inRange[r] == nil {
				inRange[r] = &ranged{line: line}
			}
			inRange[r].text = append(inRange[r].text, p.String())
		}
	}
	if len(public.text) > 0 {
		l.add(Info, public.line, c.Name, g.Name, "%s: members, and not external", counted(public.text, "public prefix", "public prefixes"))
	}
	for r, in := range inRange {
		prefixes := counted(in.text, "prefix", "prefixes")
		if r.Kind == Local {
			l.add(Info, in.line, c.Name, g.Name, "%s in %s (%s): sessions with these addresses are proposed where category %s is selected, and not reported as local", prefixes, r.Prefix, r.Name, quote(c.Name))
		} else {
			l.add(Info, in.line, c.Name, g.Name, "%s in the special-purpose range %s (%s)", prefixes, r.Prefix, r.Name)
		}
	}
}

// specialAround returns the most specific special-purpose range that holds the
// whole prefix.
func specialAround(p netip.Prefix) (r SpecialRange, ok bool) {
	if _, i, found := specialTable.LookupPrefixLPM(p); found {
		return specialRanges[i], true
	}
	return SpecialRange{}, false
}

func wellKnownPrivate(r SpecialRange) bool {
	return r.Name == "Private-Use" || r.Name == "Unique-Local" || r.Name == "Shared Address Space"
}

func familyName(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// counted is "1 public prefix (8.8.8.8/32)" or "3 public prefixes (8.8.8.8/32, ...)".
func counted(items []string, one, many string) string {
	if len(items) == 1 {
		return fmt.Sprintf("1 %s (%s)", one, items[0])
	}
	return fmt.Sprintf("%d %s (%s, ...)", len(items), many, items[0])
}

// member is one prefix of one group of a category.
type member struct {
	prefix netip.Prefix
	group  *Group
	line   int
}

// overlaps looks at the groups of one category against each other.
func (l *linter) overlaps(c *Category) {
	var members []member
	for i := range c.Groups {
		g := &c.Groups[i]
		for j, p := range g.Prefixes {
			members = append(members, member{p, g, g.lineOf(j)})
		}
	}
	slices.SortStableFunc(members, func(a, b member) int {
		return cmp.Or(a.prefix.Compare(b.prefix), cmp.Compare(a.group.Name, b.group.Name))
	})

	type pair struct{ loser, winner *Group }
	nested, equal := map[pair][]member{}, map[pair][]member{}
	var around []*area
	owner := map[*Group]bool{} // groups that win some address
	closeTo := func(p netip.Prefix) {
		for n := len(around); n > 0 && (!p.IsValid() || !covers(around[n-1].prefix, p)); n = len(around) {
			if !around[n-1].full() {
				owner[around[n-1].group] = true
			}
			around = around[:n-1]
		}
	}
	for i, m := range members {
		if i > 0 && members[i-1].prefix == m.prefix {
			winner := around[len(around)-1].member
			if winner.group != m.group {
				key := pair{m.group, winner.group}
				equal[key] = append(equal[key], m)
			}
			continue
		}
		closeTo(m.prefix)
		if n := len(around); n > 0 {
			outer := around[n-1]
			outer.inside = append(outer.inside, m.prefix)
			if outer.group != m.group {
				key := pair{outer.group, m.group}
				nested[key] = append(nested[key], m)
			}
		}
		around = append(around, &area{member: m})
	}
	closeTo(netip.Prefix{})

	report := func(s Severity, pairs map[pair][]member, at func(pair, member) (*Group, string)) {
		for key, ms := range pairs {
			texts := make([]string, len(ms))
			for i, m := range ms {
				texts[i] = m.prefix.String()
			}
			g, text := at(key, ms[0])
			l.add(s, ms[0].line, c.Name, g.Name, "%s %s", counted(texts, "prefix", "prefixes"), text)
		}
	}
	report(Warning, equal, func(p pair, m member) (*Group, string) {
		return p.loser, fmt.Sprintf("also in group %s, which wins by the order of names", quote(p.winner.Name))
	})
	report(Info, nested, func(p pair, m member) (*Group, string) {
		return p.winner, fmt.Sprintf("inside a prefix of group %s: the longer prefix wins, these addresses are in %s", quote(p.loser.Name), quote(p.winner.Name))
	})
	for i := range c.Groups {
		if g := &c.Groups[i]; len(g.Prefixes) > 0 && !owner[g] {
			l.add(Warning, g.Line, c.Name, g.Name, "gets no address: other groups of the category hold every one with a longer prefix or an earlier name")
		}
	}
}

// area is a prefix and the prefixes directly inside it, in order.
type area struct {
	member
	inside []netip.Prefix
}

// full reports whether nothing of the prefix is left beside those inside it.
func (a *area) full() bool {
	whole := aggregate(a.inside)
	return len(whole) == 1 && whole[0] == a.prefix
}

// precedence says what the default selection, all categories in file order,
// leaves to the later ones.
func (l *linter) precedence() {
	f := l.file
	if len(f.Categories) < 2 {
		return
	}
	flat, err := Flatten(f, nil)
	if err != nil {
		return // two categories of one name, which Parse never makes
	}
	owners := map[Ref]bool{}
	for _, a := range flat {
		owners[a.Group] = true
	}
	for i := range f.Categories {
		c := &f.Categories[i]
		var without []string
		for j := range c.Groups {
			if g := &c.Groups[j]; len(g.Prefixes) > 0 && !owners[Ref{c.Name, g.Name}] {
				without = append(without, g.Name)
			}
		}
		if i > 0 && len(without) > 0 {
			l.add(Info, c.Line, c.Name, "", "with all categories selected in file order, %s of %d get no address: categories before it hold them; select with --category", counted(without, "group", "groups"), len(c.Groups))
		}
	}
}

// builtinNames points out groups whose label needs the category.
func (l *linter) builtinNames() {
	labels := NewLabels(l.file)
	for i := range l.file.Categories {
		c := &l.file.Categories[i]
		for j := range c.Groups {
			g := &c.Groups[j]
			if g.Name == InternetGroup {
				l.add(Warning, g.Line, c.Name, g.Name, "has the name of the built-in group: it is written %s%s in results", GroupPrefix, labels.Label(Ref{c.Name, g.Name}))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(labels.byName)) {
		refs := labels.byName[name]
		if len(refs) < 2 || name == InternetGroup {
			continue
		}
		categories := make([]string, len(refs))
		for i, r := range refs {
			categories[i] = r.Category
		}
		l.add(Info, 0, "", "", "group %s is in the categories %s: results say %s%s and so on", quote(name), strings.Join(categories, ", "), GroupPrefix, labels.Label(refs[0]))
	}
}

func (l *linter) services() {
	type named struct {
		ServiceTerm
		service *NamedService
	}
	var terms []named
	for i := range l.file.Services {
		s := &l.file.Services[i]
		for _, t := range s.Match {
			terms = append(terms, named{t, s})
		}
	}
	slices.SortStableFunc(terms, func(a, b named) int { return a.Compare(b.ServiceTerm) })
	// Each term against the one so far that reaches furthest: it meets every
	// overlap at least once without comparing all pairs.
	names := NewServiceNames(l.file.Services)
	for i, reach := 1, 0; i < len(terms); i++ {
		a, b := terms[reach], terms[i]
		if a.Overlaps(b.ServiceTerm) {
			later := b.service
			if a.service.Line > b.service.Line {
				later = a.service
			}
			if a.service == b.service {
				l.add(Warning, later.Line, "", "", "service %s: %s and %s overlap: remove one", quote(later.Name), a.ServiceTerm, b.ServiceTerm)
			} else {
				both := Service{b.Proto, b.Lo}
				l.add(Warning, later.Line, "", "", "services %s (%s) and %s (%s) overlap: %s is called %s", quote(a.service.Name), a.ServiceTerm, quote(b.service.Name), b.ServiceTerm, both, quote(names.Lookup(both)))
			}
		}
		if a.Proto != b.Proto || b.Hi > a.Hi {
			reach = i
		}
	}
}

// coverage adds one line of counts, and a warning where there is nothing.
func (l *linter) coverage() {
	f := l.file
	groups, prefixes := 0, 0
	var all []netip.Prefix
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			groups++
			prefixes += len(f.Categories[i].Groups[j].Prefixes)
			all = append(all, f.Categories[i].Groups[j].Prefixes...)
		}
	}
	if prefixes == 0 && len(f.Sources) == 0 {
		l.add(Warning, 0, "", "", "no group has a prefix: every host stands for itself")
		return
	}
	v4, v6 := new(big.Int), new(big.Int)
	for _, p := range aggregate(all) {
		size := new(big.Int).Lsh(big.NewInt(1), uint(p.Addr().BitLen()-p.Bits()))
		if p.Addr().Is4() {
			v4.Add(v4, size)
		} else {
			v6.Add(v6, size)
		}
	}
	l.add(Info, 0, "", "", "categories: %d, groups: %d, prefixes: %d, services: %d, exclusions: %d; addresses covered: %s IPv4, %s IPv6",
		len(f.Categories), groups, prefixes, len(f.Services), len(f.Exclude), amount(v4), amount(v6))
}

// amount writes exact counts while a person can read them.
func amount(n *big.Int) string {
	if n.BitLen() <= 40 {
		return n.String()
	}
	return fmt.Sprintf("about 2^%d", n.BitLen()-1)
}
