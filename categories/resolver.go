package categories

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// Resolver finds the group of an address under selected categories, as the
// public contract defines it. It is read-only and safe for concurrent use.
type Resolver struct {
	table       bart.Table[int32]
	groups      []Ref
	assignments []Assignment
	endpoints   []Endpoint
	labels      *Labels
	local       *bart.Lite // see LocalPrefixes
}

// NewResolver prepares the selected categories; none selected means all in file
// order. It fails for a category that the file does not have.
func NewResolver(f *File, selected []string) (*Resolver, error) {
	s, err := selectGroups(f, selected)
	if err != nil {
		return nil, err
	}
	r := &Resolver{groups: s.groups, labels: NewLabels(f), local: s.namedLocal()}
	flat := s.flatten()
	r.assignments = make([]Assignment, len(flat))
	for i, e := range flat {
		r.table.Insert(e.prefix, e.group)
		r.assignments[i] = Assignment{e.prefix, s.groups[e.group]}
	}
	r.endpoints = r.knownEndpoints(s)
	return r, nil
}

// Lookup returns the group of an address, or false for an address in no
// selected group. IPv4-mapped IPv6 counts as IPv4, and zones are ignored. It
// allocates nothing.
func (r *Resolver) Lookup(addr netip.Addr) (Ref, bool) {
	i, ok := r.table.Lookup(addr.Unmap())
	if !ok {
		return Ref{}, false
	}
	return r.groups[i], true
}

// LookupIndex is Lookup with the group's place in Groups, or -1.
func (r *Resolver) LookupIndex(addr netip.Addr) int {
	if i, ok := r.table.Lookup(addr.Unmap()); ok {
		return int(i)
	}
	return -1
}

// Groups returns the groups of the selected categories: categories in the order
// selected, groups by name. It must not be changed.
func (r *Resolver) Groups() []Ref { return r.groups }

// Assignments returns what Flatten returns. It must not be changed.
func (r *Resolver) Assignments() []Assignment { return r.assignments }

// Label returns the unique label of a group of the file; see Labels.
func (r *Resolver) Label(g Ref) string { return r.labels.Label(g) }

// Labels returns the labels of the file's groups.
func (r *Resolver) Labels() *Labels { return r.labels }
