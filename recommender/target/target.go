package target

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/target/eos"
)

// Document is a policy with what is written beside it; all targets take the same.
type Document = eos.Document

// Options say how policies are written.
type Options struct {
	EOS eos.Options
	// Gaps leaves out what a target cannot say, and lists it, instead of failing.
	Gaps bool
	// Groups is the file behind the groups of the rules, for selectors and names of services; nil for none.
	Groups *categories.File
	// Established lets answers of TCP through only where ACK or RST is set, on targets without state.
	Established bool
	// Staged writes Calico's policies as staged ones, which decide nothing.
	Staged bool
	// Capirca are the platforms of which headers are written; empty for all that need no options.
	Capirca []CapircaPlatform
}

// File is something that was written. The name is relative, and empty for a target of one file.
type File struct {
	Name string
	Data []byte
}

// Output is what was written, and what is worth knowing about it.
type Output struct {
	Files []File
	Notes []string
	Gaps  []string // Parts left out; see Options.Gaps.
}

// Error says that a target cannot have what a policy says.
type Error struct {
	Target string
	Err    error
}

func (e *Error) Error() string { return e.Target + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Refused reports whether an error is an *Error.
func Refused(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// Target is a form of configuration.
type Target struct {
	Name  string
	About string // ends a sentence that begins with "writes"
	// Several says that the target is several files, so that it needs a folder.
	Several bool
	// single says that the target has no VRFs, so that it takes one policy.
	single bool
	write  func(*writer) error
}

// targets is the table, in the order in which they are listed.
var targets = []Target{
	{Name: "eos", About: "a traffic policy of Arista EOS for each VRF", write: writeEOS},
	{Name: "nftables", About: "a table for nft -f", single: true, write: writeNFTables},
	{Name: "iptables", About: "the table filter for iptables-restore and ip6tables-restore", single: true, write: writeIPTables},
	{Name: "kubernetes", About: "a NetworkPolicy for each group with a selector", single: true, write: writeKubernetes},
	{Name: "cilium", About: "a CiliumNetworkPolicy for each group with a selector", single: true, write: writeCilium},
	{Name: "calico", About: "a GlobalNetworkPolicy of Calico for each group with a selector", single: true, write: writeCalico},
	{Name: "ios", About: "access lists with object groups of Cisco IOS and IOS XE for each VRF", write: writeIOS},
	{Name: "nxos", About: "access lists with object groups of Cisco NX-OS for each VRF", write: writeNXOS},
	{Name: "capirca", About: "policies and definitions of capirca, a folder, from which it writes for many platforms", Several: true, write: writeCapirca},
	{Name: "openconfig", About: "ACL sets and prefix sets of OpenConfig as JSON for each VRF", write: writeOpenConfig},
	{Name: "openflow", About: "flows of Open vSwitch for ovs-ofctl add-flows", single: true, write: writeOpenFlow},
	{Name: "aws", About: "a security group of Amazon for each group, as JSON of Terraform", single: true, write: writeAWS},
	{Name: "csv", About: "a table of the rules for people who approve changes", write: writeCSV},
}

// All lists the targets.
func All() []Target { return slices.Clone(targets) }

// Names lists the names of the targets.
func Names() (out []string) {
	for _, t := range targets {
		out = append(out, t.Name)
	}
	return out
}

// Find gives a target by its name.
func Find(name string) (Target, bool) {
	for _, t := range targets {
		if t.Name == name {
			return t, true
		}
	}
	return Target{}, false
}

// Write writes policies for a target. What the target refuses is an *Error.
func (t Target) Write(documents []Document, o Options) (Output, error) {
	w := &writer{target: t, documents: slices.Clone(documents), options: o}
	if o.Groups != nil {
		w.services = o.Groups.Services
	}
	err := w.check()
	if err == nil {
		err = t.write(w)
	}
	if err != nil {
		return Output{}, &Error{t.Name, err}
	}
	w.out.Gaps = unique(w.out.Gaps)
	return w.out, nil
}

// writer is what a target's function works with.
type writer struct {
	target    Target
	documents []Document
	options   Options
	services  []categories.NamedService
	out       Output
}

// check refuses what no target can have, and prepares the documents.
func (w *writer) check() error {
	if w.target.single && len(w.documents) > 1 {
		return fmt.Errorf("there are policies of %d VRFs, and this target has none: give one of them, such as by --vrf", len(w.documents))
	}
	for i := range w.documents {
		d := &w.documents[i]
		if d.Set == nil {
			d.Set = policy.IPSet
		}
		d.Set = remembered(d.Set)
		for j := range d.Rules {
			r := &d.Rules[j]
			for _, e := range slices.Concat(r.Sources, r.Destinations) {
				set, err := d.Set([]policy.Endpoint{e}, w.reading(d, r.Action))
				if err != nil {
					return fmt.Errorf("rule %q: %w", r.Label(j), err)
				}
				if len(set) == 0 {
					return fmt.Errorf("rule %q: %s has no address", r.Label(j), e)
				}
			}
		}
	}
	return nil
}

// remembered looks up every literal once, since many rules name the same groups.
func remembered(of policy.SetOf) policy.SetOf {
	type key struct {
		e  policy.Endpoint
		as policy.Reading
	}
	known := map[key]policy.AddressSet{}
	return func(literals []policy.Endpoint, as policy.Reading) (policy.AddressSet, error) {
		var all []policy.AddressSet
		for _, e := range literals {
			k := key{e, as}
			set, ok := known[k]
			if !ok {
				var err error
				if set, err = of([]policy.Endpoint{e}, as); err != nil {
					return nil, err
				}
				known[k] = set
			}
			all = append(all, set)
		}
		if len(all) == 1 {
			return all[0], nil
		}
		return policy.Union(all...), nil
	}
}

// reading says what literals of a rule mean.
func (w *writer) reading(d *Document, a policy.Action) policy.Reading {
	if d.Proposed && a == policy.Allow {
		return policy.Proposed
	}
	return policy.ReadingOf(a, false)
}

// gap refuses what the target cannot say of a rule, or lists it as left out.
func (w *writer) gap(rule, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if !w.options.Gaps {
		return fmt.Errorf("rule %q: %s; --gaps report leaves it out and lists it", rule, what)
	}
	w.out.Gaps = append(w.out.Gaps, fmt.Sprintf("rule %q: %s, and is left out", rule, what))
	return nil
}

// gapOf does the same for a part of a rule. Of a rule that denies nothing is left out, since that would permit something.
func (w *writer) gapOf(r *rule, format string, args ...any) error {
	if r.deny {
		return fmt.Errorf("rule %q: "+format+", and a denial is not left out", append([]any{r.name}, args...)...)
	}
	return w.gap(r.name, format, args...)
}

// gapOfPackets does the same for a rule about packets.
func (w *writer) gapOfPackets(r *packetRule, format string, args ...any) error {
	return w.gapOf(&rule{name: strings.TrimSuffix(r.name, "-reverse"), deny: r.deny}, format, args...)
}

func (w *writer) note(format string, args ...any) {
	w.out.Notes = append(w.out.Notes, fmt.Sprintf(format, args...))
}

// file adds a file.
func (w *writer) file(name, text string) {
	w.out.Files = append(w.out.Files, File{name, []byte(text)})
}

// vrfName names a policy's VRF; the policy of every VRF is "all".
func vrfName(d *Document) string {
	if d.VRF == "" {
		return "all"
	}
	return d.VRF
}

// remarks gives what is written at the head of a policy.
func remarks(d *Document) []string {
	if len(d.Remarks) > 0 {
		return d.Remarks
	}
	return []string{"Cordon policy " + strings.TrimSpace(d.Name+" of VRF "+vrfName(d))}
}

// unique removes from a list what is in it already.
func unique(list []string) (out []string) {
	seen := map[string]bool{}
	for _, x := range list {
		if !seen[x] {
			seen[x] = true
			out = append(out, x)
		}
	}
	return out
}
