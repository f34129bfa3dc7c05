package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"cordon/categories"
	"cordon/categories/infer"

	"go.yaml.in/yaml/v3"
	"net/netip"
	"time"
)

// yamlGroups and what follows are a groups file as the YAML encoder takes it.
type yamlGroups struct {
	Categories []yamlCategory  `yaml:"categories,omitempty"`
	Services   []yamlService   `yaml:"services,omitempty"`
	Exclude    []yamlExclusion `yaml:"exclude,omitempty"`
}

type yamlCategory struct {
	Name   string      `yaml:"name"`
	Groups []yamlGroup `yaml:"groups"`
}

type yamlGroup struct {
	Name     string    `yaml:"name"`
	ID       string    `yaml:"id,omitempty"`
	Prefixes []any     `yaml:"prefixes"` // texts, and yamlMember where a prefix has times
	Selector *yamlPods `yaml:"selector,omitempty"`
}

type yamlMember struct {
	Prefix string `yaml:"prefix"`
	VRF    string `yaml:"vrf,omitempty"`
	From   string `yaml:"from,omitempty"`
	Until  string `yaml:"until,omitempty"`
}

// memberOf gives a prefix as the groups file writes it.
func memberOf(p netip.Prefix, t categories.Times, vrf string) any {
	if t.Always() && vrf == "" {
		return p.String()
	}
	m := yamlMember{Prefix: p.String(), VRF: vrf}
	for to, at := range map[*string]time.Time{&m.From: t.From, &m.Until: t.Until} {
		if !at.IsZero() {
			*to = at.Format(time.RFC3339Nano)
		}
	}
	return m
}

type yamlPods struct {
	Namespace string            `yaml:"namespace"`
	Labels    map[string]string `yaml:"labels,omitempty"`
}

type yamlService struct {
	Name  string   `yaml:"name"`
	Match []string `yaml:"match"`
}

type yamlExclusion struct {
	Reason       string   `yaml:"reason"`
	Sources      []string `yaml:"sources,omitempty"`
	Destinations []string `yaml:"destinations,omitempty"`
	Services     []string `yaml:"services,omitempty"`
}

// writeInferredYAML writes a groups file: the categories of a given one, without inferred groups of an earlier run, then the
// inferred ones with their reasons as comments, then services and exclusions.
func writeInferredYAML(w io.Writer, found *infer.Grouping, file *categories.File) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# Category %s was inferred from traffic. Edit names and members as you like.\n", infer.Category)
	fmt.Fprintf(out, "# %s\n", infer.Limits)
	fmt.Fprintf(out, "# A member's bits say how much better its group suits it than the next best; below %d its place is weak.\n", infer.WeakBits)
	fmt.Fprintf(out, "# Each percentage is the share of the group's members that do so. Keep the ids: they carry names from run to run.\n")
	var before, after yamlGroups
	if file != nil {
		before.Categories, after = yamlOf(file, infer.Category)
	}
	if len(before.Categories) == 0 {
		fmt.Fprintln(out, "categories:")
	} else if err := encodeYAML(out, before); err != nil {
		return err
	}
	fmt.Fprintf(out, "  - name: %s\n    groups:\n", infer.Category)
	for i := range found.Groups {
		g := &found.Groups[i]
		name, err := yaml.Marshal(g.Name)
		if err != nil {
			return err
		}
		id, err := yaml.Marshal(g.ID)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "      # %s\n      - name: %s        id: %s        prefixes:\n", reasonsText(g.Reasons), name, id)
		for j := range g.Members {
			fmt.Fprintf(out, "          - %s # %s\n", g.Members[j].Host, memberText(&g.Members[j]))
		}
	}
	if len(after.Services)+len(after.Exclude) > 0 {
		if err := encodeYAML(out, after); err != nil {
			return err
		}
	}
	return out.Flush()
}

func encodeYAML(w io.Writer, v any) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return err
	}
	return e.Close()
}

// memberText says what holds a member in its group.
func memberText(m *infer.Member) string {
	weak, next := "", "a group of its own"
	if m.RunnerUp != "" {
		next = m.RunnerUp
	}
	if m.Weak {
		weak = "weak; "
	}
	return fmt.Sprintf("%s%.1f bits before %s; %s", weak, m.Bits, oneLine(next), reasonsText(m.Reasons))
}

func reasonsText(reasons []infer.Reason) string {
	var words []string
	for _, r := range reasons {
		words = append(words, oneLine(r.String()))
	}
	return strings.Join(words, "; ")
}

// oneLine keeps a text inside a comment.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// yamlOf gives the categories of a groups file but one, and apart from them the rest of the file.
func yamlOf(file *categories.File, without string) (list []yamlCategory, rest yamlGroups) {
	for _, c := range file.Categories {
		if c.Name == without {
			continue
		}
		out := yamlCategory{Name: c.Name}
		for _, g := range c.Groups {
			group := yamlGroup{Name: g.Name, ID: g.ID, Prefixes: []any{}}
			if g.Pods != nil {
				group.Selector = &yamlPods{g.Pods.Namespace, g.Pods.Labels}
			}
			for i, p := range g.Prefixes {
				group.Prefixes = append(group.Prefixes, memberOf(p, g.TimesOf(i), g.VRFOf(i)))
			}
			out.Groups = append(out.Groups, group)
		}
		list = append(list, out)
	}
	terms := func(list []categories.ServiceTerm) (out []string) {
		for _, t := range list {
			out = append(out, t.String())
		}
		return out
	}
	selectors := func(list []categories.Selector) (out []string) {
		for _, s := range list {
			out = append(out, s.Text)
		}
		return out
	}
	for _, s := range file.Services {
		rest.Services = append(rest.Services, yamlService{s.Name, terms(s.Match)})
	}
	for _, x := range file.Exclude {
		rest.Exclude = append(rest.Exclude, yamlExclusion{x.Reason, selectors(x.Sources), selectors(x.Destinations), terms(x.Services)})
	}
	return list, rest
}
