package categories

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
)

// File is a groups file: categories of groups, names for services, and
// sessions that are never proposed. The order of categories is their default
// precedence. A File made by a program instead of Parse has to keep to the same
// rules: names unique in their list, prefixes masked.
type File struct {
	Path       string // named in messages
	Categories []Category
	Services   []NamedService
	Exclude    []Exclusion
	Sources    []Source // Sources of further groups; see package categories/sources.

	notes  []Finding // Findings that Parse accepted and a person should look at.
	digest string    // digest of the bytes that Parse read
}

// Digest identifies the file: "sha256:" and the SHA-256 of its bytes in hexadecimal digits. One that was made by a program has that of its
// groups, services and exclusions.
func (f *File) Digest() string {
	if f.digest != "" {
		return f.digest
	}
	h := sha256.New()
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			g := &f.Categories[i].Groups[j]
			fmt.Fprintf(h, "group %q %q %s\n", f.Categories[i].Name, g.Name, g.Prefixes)
			for k, t := range g.times {
				fmt.Fprintf(h, "times %d %s\n", k, t)
			}
			for k, vrf := range g.vrfs {
				fmt.Fprintf(h, "vrf %d %q\n", k, vrf)
			}
		}
	}
	for i := range f.Services {
		fmt.Fprintf(h, "service %q %s\n", f.Services[i].Name, f.Services[i].Match)
	}
	for i := range f.Exclude {
		x := &f.Exclude[i]
		fmt.Fprintf(h, "exclude %q %v %v %s\n", x.Reason, x.Sources, x.Destinations, x.Services)
	}
	return digestText(h.Sum(nil))
}

func digestText(sum []byte) string { return "sha256:" + hex.EncodeToString(sum) }

// Category is one way of grouping the same hosts: by role, by site, ...
type Category struct {
	Name   string
	Groups []Group
	Line   int // line in the file, 0 if made otherwise
}

// Group is a named set of addresses. Its prefixes are masked and in the order
// of the file; they may overlap each other and those of other groups.
type Group struct {
	Name     string
	ID       string // a program that wrote the group knows it by this, whatever its name becomes; else empty
	Prefixes []netip.Prefix
	// Pods says which pods of Kubernetes the group is; nil where it is none.
	Pods *Pods
	Line int // line in the file, 0 if made otherwise

	lines []int32        // line of each prefix
	times []Times        // times of the first prefixes; the others belong to the group all the time
	vrfs  []string       // VRFs of the first prefixes; the others belong to the group in every one
	ever  []netip.Prefix // see Ever

	hidden []netip.Prefix // prefixes that the same ones of a VRF take from the group there, see InVRF; Ever has them
}

// Pods selects pods of Kubernetes: those of a namespace that have all of the labels.
// No labels select every pod of the namespace.
type Pods struct {
	Namespace string
	Labels    map[string]string
}

// lineOf returns the line of a group's i-th prefix, or the best there is.
func (g *Group) lineOf(i int) int {
	if i < len(g.lines) {
		return int(g.lines[i])
	}
	return g.Line
}

// Ref names one group among all of a file. The zero Ref is no group.
type Ref struct {
	Category, Group string
}

// Exclusion is a set of sessions that are never proposed: those whose client,
// server and service are each in the list, where an empty list holds
// everything.
type Exclusion struct {
	Reason       string
	Sources      []Selector // the client is one of these
	Destinations []Selector // the server is one of these
	Services     []ServiceTerm
	Line         int // line in the file, 0 if made otherwise
}

// Selector is a prefix or a group in an exclusion. A group stands for all its
// prefixes in the file, whichever categories are selected later.
type Selector struct {
	Text     string // text of the file
	Group    Ref    // zero for a prefix
	Prefixes []netip.Prefix
}

// Limits on what Parse accepts, so that a hostile file costs a bounded amount
// of memory.
const (
	MaxFileBytes = 64 << 20 // bound for either format
	MaxNameBytes = 255      // bound for the name of a category, group, service or reason

	maxYAMLValues = 1_000_000 // scalars, lists and maps, an alias counted each time it is used
	maxErrors     = 20        // shown; the rest is counted
)

// ReadFile reads and parses a groups file. An error about its content is a
// *ParseError; others come from the file system.
func ReadFile(path string) (*File, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("groups file: %w", err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("groups file %s: %w", path, err)
	}
	return Parse(path, data)
}
