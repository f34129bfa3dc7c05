package policy

import (
	"encoding/json"
	"io"

	"go.yaml.in/yaml/v3"
)

// writtenPolicy is a policy as it is written, without what it does not say.
type writtenPolicy struct {
	APIVersion string        `json:"apiVersion" yaml:"apiVersion"`
	Kind       string        `json:"kind" yaml:"kind"`
	Name       string        `json:"name,omitempty" yaml:"name,omitempty"`
	VRF        string        `json:"vrf,omitempty" yaml:"vrf,omitempty"`
	Default    *writtenEnd   `json:"default,omitempty" yaml:"default,omitempty,flow"`
	Rules      []writtenRule `json:"rules" yaml:"rules"`
}

type writtenEnd struct {
	IPv4 Action `json:"ipv4,omitempty" yaml:"ipv4,omitempty"`
	IPv6 Action `json:"ipv6,omitempty" yaml:"ipv6,omitempty"`
}

type writtenRule struct {
	ID           string         `json:"id,omitempty" yaml:"id,omitempty"`
	Name         string         `json:"name,omitempty" yaml:"name,omitempty"`
	Action       Action         `json:"action" yaml:"action"`
	Direction    string         `json:"direction,omitempty" yaml:"direction,omitempty"`
	Sources      []Endpoint     `json:"sources" yaml:"sources,flow"`
	Destinations []Endpoint     `json:"destinations" yaml:"destinations,flow"`
	Except       *writtenExcept `json:"except,omitempty" yaml:"except,omitempty"`
	Services     []Service      `json:"services" yaml:"services,flow"`
	SourcePorts  []PortSpan     `json:"sourcePorts,omitempty" yaml:"sourcePorts,omitempty,flow"`
	Flags        string         `json:"flags,omitempty" yaml:"flags,omitempty"`
	Fragments    string         `json:"fragments,omitempty" yaml:"fragments,omitempty"`
	Redirect     string         `json:"redirect,omitempty" yaml:"redirect,omitempty"`
	Opaque       []string       `json:"opaque,omitempty" yaml:"opaque,omitempty"`
	Also         []string       `json:"also,omitempty" yaml:"also,omitempty"`
	Remarks      []string       `json:"remarks,omitempty" yaml:"remarks,omitempty"`
}

type writtenExcept struct {
	Sources      []Endpoint `json:"sources,omitempty" yaml:"sources,omitempty,flow"`
	Destinations []Endpoint `json:"destinations,omitempty" yaml:"destinations,omitempty,flow"`
}

func (p *Policy) written() writtenPolicy {
	out := writtenPolicy{APIVersion: APIVersion, Kind: KindPolicy, Name: p.Name, VRF: p.VRF, Rules: []writtenRule{}}
	if p.Default != (Defaults{}) {
		out.Default = &writtenEnd{p.Default.IPv4, p.Default.IPv6}
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		w := writtenRule{ID: r.ID, Name: r.Name, Action: r.Action, Direction: r.Direction, Sources: r.Sources, Destinations: r.Destinations,
			Services: r.Services, SourcePorts: r.SourcePorts, Flags: r.Flags, Fragments: r.Fragments, Redirect: r.Redirect,
			Opaque: r.Opaque, Also: r.Also, Remarks: r.Remarks}
		if w.Direction == Bidirectional {
			w.Direction = "" // the direction is two-way where nothing is said
		}
		if len(r.Except.Sources)+len(r.Except.Destinations) > 0 {
			w.Except = &writtenExcept{r.Except.Sources, r.Except.Destinations}
		}
		out.Rules = append(out.Rules, w)
	}
	return out
}

// WriteYAML writes policies as documents of kind Policy that ParsePolicies reads, separated by ---.
func WriteYAML(w io.Writer, policies []Policy) error {
	for i := range policies {
		if i > 0 {
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
		}
		e := yaml.NewEncoder(w)
		e.SetIndent(2)
		if err := e.Encode(policies[i].written()); err != nil {
			return err
		}
		if err := e.Close(); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes the same documents as JSON, one after another.
func WriteJSON(w io.Writer, policies []Policy) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	for i := range policies {
		if err := e.Encode(policies[i].written()); err != nil {
			return err
		}
	}
	return nil
}
