package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"

	"github.com/gaissmai/bart"
)

// Scope says which sessions a proposal is about, where it is not about all: those with a client, a server, either
// end, and an exporter that saw them, each in one literal of the list. An empty list does not select. A literal is a
// prefix or a group, and a group means every address that the groups file puts into it, whichever group the
// address resolves to.
type Scope struct {
	Client   []Endpoint `json:"client,omitempty" yaml:"client,omitempty,flow"`
	Server   []Endpoint `json:"server,omitempty" yaml:"server,omitempty,flow"`
	Host     []Endpoint `json:"host,omitempty" yaml:"host,omitempty,flow"`
	Exporter []Endpoint `json:"exporter,omitempty" yaml:"exporter,omitempty,flow"`
}

// ScopeFields are the names of the lists of a Scope, which are those of the flags too, in order.
var ScopeFields = []string{"client", "server", "host", "exporter"}

// Field gives the list with one of the names of ScopeFields.
func (s *Scope) Field(name string) *[]Endpoint {
	switch name {
	case "client":
		return &s.Client
	case "server":
		return &s.Server
	case "host":
		return &s.Host
	case "exporter":
		return &s.Exporter
	}
	panic("BUG: a scope has no list " + name)
}

// Empty reports whether the scope is everything. A nil Scope is.
func (s *Scope) Empty() bool {
	return s == nil || len(s.Client)+len(s.Server)+len(s.Host)+len(s.Exporter) == 0
}

// String gives the scope as flags of a command; "" for everything.
func (s *Scope) String() string {
	if s.Empty() {
		return ""
	}
	var words []string
	for _, name := range ScopeFields {
		for _, e := range *s.Field(name) {
			words = append(words, "--"+name+" "+scopeText(e))
		}
	}
	return strings.Join(words, " ")
}

// scopeText is a literal as ParseScopeEnd reads it and people write it.
func scopeText(e Endpoint) string {
	switch {
	case e.IsGroup():
		return e.String()
	case e.Prefix.IsSingleIP():
		return e.Prefix.Addr().String()
	}
	return e.Prefix.String()
}

// ParseScopeEnd reads an address, a prefix or group:NAME; "ip:" may stand before the former two.
func ParseScopeEnd(text string) (Endpoint, error) {
	if label, ok := strings.CutPrefix(text, categories.GroupPrefix); ok && label != "" {
		return GroupEndpoint(label), nil
	}
	p, _, err := categories.ParsePrefix(strings.TrimPrefix(text, prefixIP))
	if err != nil {
		return Endpoint{}, fmt.Errorf("%s: not an address, a prefix or group:NAME", text)
	}
	return Endpoint{Prefix: p}, nil
}

// ScopeError says which list of a scope cannot be used.
type ScopeError struct {
	Field string // one of ScopeFields
	Err   error
}

func (e *ScopeError) Error() string { return fmt.Sprintf("--%s %v", e.Field, e.Err) }
func (e *ScopeError) Unwrap() error { return e.Err }

// Bounds are the addresses of a scope. The zero value is everything.
type Bounds struct {
	sets [4]*addressSet // ordered as ScopeFields; nil does not select
}

// addressSet is a set of addresses.
type addressSet struct {
	prefixes []netip.Prefix // the fewest, in order
	table    *bart.Lite
}

func newAddressSet(prefixes []netip.Prefix) *addressSet {
	s := &addressSet{prefixes: categories.Aggregate(prefixes), table: new(bart.Lite)}
	for _, p := range s.prefixes {
		s.table.Insert(p)
	}
	return s
}

// Bounds looks the scope up in a groups file, nil for none. It gives the scope in its one form beside: literals in
// order, each once, and groups by the labels that proposals have. The error is a *ScopeError.
func (s *Scope) Bounds(f *categories.File) (*Scope, Bounds, error) {
	if s.Empty() {
		return nil, Bounds{}, nil
	}
	out, labels := &Scope{}, categories.NewLabels(f)
	var b Bounds
	for i, name := range ScopeFields {
		list := slices.Clone(*s.Field(name))
		if len(list) == 0 {
			continue
		}
		var prefixes []netip.Prefix
		for j, e := range list {
			if !e.IsGroup() {
				prefixes = append(prefixes, e.Prefix)
				continue
			}
			ref, members, err := f.Declared(e.Group)
			if err != nil {
				return nil, Bounds{}, &ScopeError{name, fmt.Errorf("%s: %w", e, err)}
			}
			list[j] = GroupEndpoint(labels.Label(ref))
			prefixes = append(prefixes, members...)
		}
		*out.Field(name) = sorted(list, Endpoint.Compare)
		b.sets[i] = newAddressSet(prefixes)
	}
	return out, b, nil
}

// All reports whether nothing is selected.
func (b *Bounds) All() bool { return b.sets == [4]*addressSet{} }

// Prefixes gives the fewest prefixes of one of ScopeFields, in order; nil where it does not select.
func (b *Bounds) Prefixes(field string) []netip.Prefix {
	s := b.sets[slices.Index(ScopeFields, field)]
	if s == nil {
		return nil
	}
	return append([]netip.Prefix{}, s.prefixes...)
}

// Holds reports whether a session is in the scope. Exporters are those that saw it.
func (b *Bounds) Holds(client, server netip.Addr, exporters []netip.Addr) bool {
	in := func(i int, addrs ...netip.Addr) bool {
		return b.sets[i] == nil || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return b.sets[i].table.Contains(a.Unmap()) })
	}
	return in(0, client) && in(1, server) && in(2, client, server) && in(3, exporters...)
}

// HoldsAll reports whether every session that a rule could match is in the scope, whatever exporter sees it. The
// ends of the rule are prefixes that hold its sources and destinations.
func (b *Bounds) HoldsAll(sources, destinations []netip.Prefix) bool {
	within := func(i int, prefixes []netip.Prefix) bool {
		return b.sets[i] == nil || !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return !b.sets[i].holds(p) })
	}
	return within(0, sources) && within(1, destinations) && (within(2, sources) || within(2, destinations)) && b.sets[3] == nil
}

// holds reports whether all addresses of a prefix are in the set: since its prefixes are the fewest, one of them
// then holds it.
func (s *addressSet) holds(p netip.Prefix) bool { return s.table.LookupPrefix(p) }
