package recommender

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"unicode"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// DefaultNameTemplate names rules like "web-to-app-4567" and "clients-to-dns".
const DefaultNameTemplate = `{{.Source}}-to-{{.Destination}}{{with .Service}}-{{.}}{{end}}`

// maxNameBytes bounds a rule's name.
const maxNameBytes = 200

// NameData is what a name template works with.
type NameData struct {
	// In short: a name, two joined by "-and-", or the first "-and-N-more".
	Source, Destination string
	// Service is the services in short: names from the groups file, or
	// well-known ones in lower case, or ports ("4567"); two joined by "-", or
	// "N-services". It is empty where the destination's name already says it.
	Service string

	Sources, Destinations []NameEndpoint
	Services              []NameService
}

// NameEndpoint is a literal of a rule in a name template.
type NameEndpoint struct {
	Name    string // "web", "10.0.0.1", "10.0.0.0/24", "any"
	Literal string // "group:web", "ip:10.0.0.1/32", ...
}

// NameService is a service of a rule in a name template.
type NameService struct {
	Name     string // "dns", "4567"
	Literal  string // "udp/53"
	Protocol string // "udp"
}

func parseNameTemplate(text string) (*template.Template, error) {
	if text == "" {
		text = DefaultNameTemplate
	}
	t, err := template.New("name").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, nameFields)
	}
	// A mistake that shows only when the template runs should show now.
	example := NameData{Source: "web", Destination: "app", Service: "4567",
		Sources: []NameEndpoint{{"web", "group:web"}}, Destinations: []NameEndpoint{{"app", "group:app"}}, Services: []NameService{{"4567", "tcp/4567", "tcp"}}}
	if _, err := execute(t, example); err != nil {
		return nil, fmt.Errorf("%w; %s", err, nameFields)
	}
	return t, nil
}

// nameFields is what to use instead, in errors.
const nameFields = "a template has .Source, .Destination, .Service, and the lists .Sources and .Destinations (each .Name, .Literal) and .Services (each .Name, .Literal, .Protocol)"

func execute(t *template.Template, data NameData) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	name := cleanName(b.String())
	if name == "" {
		return "", errors.New("the template gives an empty name")
	}
	return name, nil
}

// cleanName makes text fit for a name on any device: what is not a letter, digit, or one
// of ._-+ becomes a dash.
func cleanName(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '.' || r == '_' || r == '-' || r == '+' || unicode.IsLetter(r) || unicode.IsDigit(r):
		default:
			r = '-'
		}
		if b.Len() >= maxNameBytes {
			break
		}
		b.WriteRune(r)
	}
	return strings.Trim(b.String(), "-")
}

// namer names rules.
type namer struct {
	template *template.Template
	services *categories.ServiceNames
}

func newNamer(t *template.Template, f *categories.File) *namer {
	return &namer{t, categories.NewServiceNames(f.Services)}
}

// name sets the names of a proposal's rules. Rules that the template gives the
// same name are told apart by the first digits of their ids.
func (n *namer) name(rules []policy.Rule) error {
	count := map[string]int{}
	for i := range rules {
		name, err := execute(n.template, n.data(&rules[i]))
		if err != nil {
			return policy.WrongSetting("name-template", err)
		}
		rules[i].Name = name
		count[name]++
	}
	for i := range rules {
		if base := rules[i].Name; count[base] > 1 {
			for digits := 4; ; digits += 2 {
				rules[i].Name = base + "-" + rules[i].ID[:digits]
				if count[rules[i].Name] == 0 || digits == len(rules[i].ID) {
					break
				}
			}
			count[rules[i].Name]++
		}
	}
	return nil
}

func (n *namer) data(r *policy.Rule) NameData {
	d := NameData{Sources: nameEndpoints(r.Sources), Destinations: nameEndpoints(r.Destinations)}
	d.Source, d.Destination = brief(d.Sources), brief(d.Destinations)
	var distinct []string
	seen := map[string]bool{}
	for _, s := range r.Services {
		ns := NameService{Name: n.serviceName(s), Literal: s.String(), Protocol: iana.ProtocolName(s.Term.Proto)}
		d.Services = append(d.Services, ns)
		if !seen[ns.Name] {
			seen[ns.Name] = true
			distinct = append(distinct, ns.Name)
		}
	}
	switch {
	case len(distinct) > 2:
		d.Service = fmt.Sprintf("%d-services", len(r.Services))
	default:
		d.Service = strings.Join(distinct, "-")
	}
	if len(distinct) <= 2 && len(d.Destinations) == 1 && saysAll(d.Destination, distinct) {
		d.Service = ""
	}
	return d
}

// saysAll reports whether every service is a word of the destination's name, whatever the case.
func saysAll(destination string, services []string) bool {
	words := strings.FieldsFunc(strings.ToLower(destination), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, s := range services {
		found := false
		for _, w := range words {
			found = found || w == strings.ToLower(s)
		}
		if !found {
			return false
		}
	}
	return true
}

func (n *namer) serviceName(s policy.Service) string {
	if s.Any {
		return "any"
	}
	t := s.Term
	if t.Lo == t.Hi {
		one := categories.Service{Proto: t.Proto, Port: t.Lo}
		if name := n.services.Lookup(one); name != "" {
			return name
		}
		if name, ok := iana.ServiceName(one.Proto, one.Port); ok {
			return strings.ToLower(name)
		}
		if one.Kind() == categories.KindPort && t.Proto == iana.TCP {
			return fmt.Sprint(t.Lo)
		}
	}
	return strings.ReplaceAll(t.String(), "/", "-")
}

func nameEndpoints(set []policy.Endpoint) []NameEndpoint {
	out := make([]NameEndpoint, len(set))
	for i, e := range set {
		name := e.Group
		switch {
		case e.IsAny():
			name = "any"
		case !e.IsGroup() && e.Prefix.IsSingleIP():
			name = e.Prefix.Addr().String()
		case !e.IsGroup():
			name = e.Prefix.String()
		}
		out[i] = NameEndpoint{name, e.String()}
	}
	return out
}

func brief(set []NameEndpoint) string {
	switch len(set) {
	case 0:
		return ""
	case 1:
		return set[0].Name
	case 2:
		return set[0].Name + "-and-" + set[1].Name
	}
	return fmt.Sprintf("%s-and-%d-more", set[0].Name, len(set)-1)
}
