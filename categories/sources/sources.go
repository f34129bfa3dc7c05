package sources

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/template"

	"cordon/categories"
)

// Object is what a source knows of one host, net or service: its addresses and its labels, of which each may have several values.
type Object struct {
	Ref      string // the source's own name for it
	Prefixes []netip.Prefix
	Labels   map[string][]string
}

// Snapshot is what a source holds now.
type Snapshot struct {
	Source   string
	Objects  []Object
	Problems []string // objects that could not be used, and why
}

// Source reads one place.
type Source interface {
	// Snapshot reads everything. An error says that nothing is known: what was known before still holds.
	Snapshot(ctx context.Context) (*Snapshot, error)
}

// Reader reads sources. The zero Reader reads all kinds but eos.
type Reader struct {
	// FieldSets gives the prefixes of each field-set of a running-config of Arista EOS by name, those of both families together.
	// This package does not know how to read such a file: whoever can gives the function.
	FieldSets func(path string, config []byte) (map[string][]netip.Prefix, error)
}

// New prepares a source of a groups file.
func (r Reader) New(s *categories.Source) (Source, error) {
	switch s.Kind {
	case "file":
		return &fileSource{s}, nil
	case "http":
		return newHTTPSource(s)
	case "command":
		return &commandSource{s}, nil
	case "netbox":
		return newNetboxSource(s)
	case "kubernetes":
		return newKubernetesSource(s)
	case "vcenter":
		return newVCenterSource(s)
	case "eos":
		if r.FieldSets != nil {
			return &eosSource{s, r.FieldSets}, nil
		}
	}
	return nil, fmt.Errorf("source %q: kind %q is not one of %s", s.Name, s.Kind, strings.Join(categories.SourceKinds, ", "))
}

// Membership is a prefix of a group, as a source gives it.
type Membership struct {
	Category string       `json:"category"`
	Group    string       `json:"group"`
	Prefix   netip.Prefix `json:"prefix"`
	VRF      string       `json:"vrf,omitempty"` // empty: in every VRF
	Source   string       `json:"source"`
	Ref      string       `json:"ref,omitempty"`
}

// functions are those of templates of group names.
var functions = template.FuncMap{
	"lower": strings.ToLower, "upper": strings.ToUpper, "trim": strings.TrimSpace,
	"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
	"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
	"replace":    func(old, new, s string) string { return strings.ReplaceAll(s, old, new) },
	"before":     func(sep, s string) string { out, _, _ := strings.Cut(s, sep); return out },
}

// CheckTemplates says which template of a source's categories cannot be read.
func CheckTemplates(s *categories.Source) error {
	for _, c := range s.Groups {
		if _, err := template.New(c.Name).Funcs(functions).Parse(c.Group); err != nil {
			return fmt.Errorf("source %q: category %q: group: %w", s.Name, c.Name, err)
		}
	}
	return nil
}

// Memberships makes groups of the labels of objects, in order and each once. What makes no group goes with the problems of the snapshot.
func (s *Snapshot) Memberships(of *categories.Source) ([]Membership, error) {
	if err := CheckTemplates(of); err != nil {
		return nil, err
	}
	var out []Membership
	for _, c := range of.Groups {
		t := template.Must(template.New(c.Name).Funcs(functions).Parse(c.Group))
		names := map[string]string{} // Keyed by value.
		found := false
		for i := range s.Objects {
			o := &s.Objects[i]
			for _, value := range o.Labels[c.Label] {
				found = true
				name, ok := names[value]
				if !ok {
					var problem string
					if name, problem = groupName(t, value); problem != "" {
						s.Problems = append(s.Problems, fmt.Sprintf("%s: label %s: %s", o.Ref, c.Label, problem))
					}
					names[value] = name
				}
				if name == "" {
					continue
				}
				for _, vrf := range o.vrfs(of) {
					for _, p := range o.Prefixes {
						out = append(out, Membership{c.Name, name, p, vrf, of.Name, o.Ref})
					}
				}
			}
		}
		if !found && len(s.Objects) > 0 {
			s.Problems = append(s.Problems, fmt.Sprintf("no object has label %s of category %s; labels here are %s", c.Label, c.Name, strings.Join(s.labels(), ", ")))
		}
	}
	slices.SortFunc(out, compare)
	return slices.CompactFunc(out, func(a, b Membership) bool {
		return a.Category == b.Category && a.Group == b.Group && a.Prefix == b.Prefix && a.VRF == b.VRF
	}), nil
}

// vrfs gives the VRFs in which the addresses of an object belong to its groups: those of the label that the source names, else every one.
func (o *Object) vrfs(of *categories.Source) []string {
	if of.VRF != "" && len(o.Labels[of.VRF]) > 0 {
		return o.Labels[of.VRF]
	}
	return []string{""}
}

func compare(a, b Membership) int {
	return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Group, b.Group), a.Prefix.Compare(b.Prefix), cmp.Compare(a.VRF, b.VRF), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Ref, b.Ref))
}

// labels lists those of the objects, at most twenty.
func (s *Snapshot) labels() []string {
	all := map[string]bool{}
	for i := range s.Objects {
		for l := range s.Objects[i].Labels {
			all[l] = true
		}
	}
	list := slices.Sorted(maps.Keys(all))
	return list[:min(20, len(list))]
}

// groupName gives the name that a value makes, empty for none, and what is wrong with it.
func groupName(t *template.Template, value string) (name, problem string) {
	var b strings.Builder
	if err := t.Execute(&b, value); err != nil {
		return "", err.Error()
	}
	if name = strings.TrimSpace(b.String()); name == "" {
		return "", ""
	}
	if err := categories.CheckName(name); err != nil {
		return "", err.Error()
	}
	return name, ""
}

// Categories makes categories of memberships, which are in order, with the times that each holds by its place in the list.
func Categories(list []Membership, times func(place int) categories.Times) []categories.Category {
	var out []categories.Category
	for i, m := range list {
		if n := len(out); n == 0 || out[n-1].Name != m.Category {
			out = append(out, categories.Category{Name: m.Category})
		}
		c := &out[len(out)-1]
		if n := len(c.Groups); n == 0 || c.Groups[n-1].Name != m.Group {
			c.Groups = append(c.Groups, categories.Group{Name: m.Group})
		}
		// Another source may have said the same.
		g, t := &c.Groups[len(c.Groups)-1], times(i)
		if n := len(g.Prefixes); n == 0 || g.Prefixes[n-1] != m.Prefix || g.TimesOf(n-1) != t || g.VRFOf(n-1) != m.VRF {
			g.AddPrefixIn(m.Prefix, t, m.VRF)
		}
	}
	return out
}

// Read reads all sources of a file, and gives the file with their groups. An error names the source: without it the groups would not
// be those that the file means. An empty source is an error as well, since nothing is what a source gives that has lost its data.
func (r Reader) Read(ctx context.Context, f *categories.File) (_ *categories.File, problems []string, err error) {
	if f == nil || len(f.Sources) == 0 {
		return f, nil, nil
	}
	var all []Membership
	for i := range f.Sources {
		snapshot, list, err := r.ReadOne(ctx, &f.Sources[i])
		if err != nil {
			return nil, nil, err
		}
		for _, p := range snapshot.Problems {
			problems = append(problems, fmt.Sprintf("source %s: %s", f.Sources[i].Name, p))
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, compare)
	always := func(int) categories.Times { return categories.Times{} }
	return f.With(Categories(all, always)), problems, nil
}

// ReadOne reads one source.
func (r Reader) ReadOne(ctx context.Context, of *categories.Source) (*Snapshot, []Membership, error) {
	s, err := r.New(of)
	if err != nil {
		return nil, nil, err
	}
	snapshot, err := s.Snapshot(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("source %q: %w", of.Name, err)
	}
	if len(snapshot.Objects) == 0 {
		return nil, nil, fmt.Errorf("source %q: it holds no object with an address", of.Name)
	}
	list, err := snapshot.Memberships(of)
	return snapshot, list, err
}
