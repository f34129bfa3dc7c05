package categories

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Source says where groups live, and how what is found there becomes groups: an item of sources in a groups file. Package
// categories/sources reads it.
type Source struct {
	Name     string   // name in messages; unique in the file
	Kind     string   // one of SourceKinds
	Address  string   // path of a file, or URL
	Command  []string // program and its arguments
	Field    string   // field with the addresses of an object; empty to look at the usual ones
	Headers  []SourceHeader
	Token    Secret // token of kinds netbox and kubernetes
	User     string // user of kind vcenter
	Password Secret // password of that user
	VRF      string // label with the VRF in which an object's addresses belong to its groups; empty where they do in every one
	CA       string // path of the certificates, in PEM, that the server's is checked with; empty for those of the system
	Interval time.Duration
	MaxLoss  float64 // share of its addresses that a snapshot may have lost, from 0 to 1; see package internal/memberships
	Groups   []SourceCategory
	Line     int
}

// Secret is where a secret stands, which a groups file never holds: in a file or in a variable of the environment. The zero Secret is none.
type Secret struct {
	File, Env string
}

// SourceHeader is a header of HTTP requests whose value may be a secret.
type SourceHeader struct {
	Name string
	Secret
	Prefix string // word before the value, such as Bearer
}

// SourceCategory makes groups of a category from a label of objects: the template, of package text/template, gives the name of the
// group from the label's value; an empty name makes no group.
type SourceCategory struct {
	Name, Label, Group string
}

// SourceKinds are the kinds of sources.
var SourceKinds = []string{"command", "eos", "file", "http", "kubernetes", "netbox", "vcenter"}

// DefaultSourceInterval is how often a source is asked where it does not say so.
const DefaultSourceInterval = 5 * time.Minute

// DefaultMaxLoss is the share of its addresses that a snapshot of a source may have lost where the source does not say so.
const DefaultMaxLoss = 0.5

// CheckName says what is wrong with the name of a group.
func CheckName(s string) error { return checkName(s) }

func (w *yamlWalker) source(n *yaml.Node, lines map[string]int) {
	s := Source{Interval: DefaultSourceInterval, MaxLoss: DefaultMaxLoss, Line: n.Line}
	found := w.count()
	texts := map[string]*textAt{}
	fields := map[string]func(*yaml.Node){
		"headers":    func(n *yaml.Node) { w.sequence(n, "headers", func(n *yaml.Node) { w.sourceHeader(n, &s) }) },
		"token":      func(n *yaml.Node) { w.secret(n, "token", &s.Token) },
		"password":   func(n *yaml.Node) { w.secret(n, "password", &s.Password) },
		"categories": func(n *yaml.Node) { w.sequence(n, "categories", func(n *yaml.Node) { w.sourceCategory(n, &s) }) },
		"command": func(n *yaml.Node) {
			var list []textAt
			w.texts(n, "command", &list)
			for _, at := range list {
				s.Command = append(s.Command, at.text)
			}
		},
	}
	for _, name := range []string{"name", "kind", "address", "field", "user", "ca", "vrf", "interval", "max_loss"} {
		at := &textAt{line: n.Line, column: n.Column}
		texts[name] = at
		fields[name] = func(n *yaml.Node) { *at, _ = w.text(n, name+" of a source") }
	}
	if !w.mapping(n, "source", fields) || w.count() > found {
		return
	}
	s.Name, s.Kind, s.Address, s.Field = texts["name"].text, texts["kind"].text, texts["address"].text, texts["field"].text
	s.User, s.CA, s.VRF = texts["user"].text, texts["ca"].text, texts["vrf"].text
	fail := func(at *textAt, field, format string, args ...any) { w.add(at.line, at.column, field, format, args...) }
	if err := checkName(s.Name); err != nil {
		fail(texts["name"], "name of a source", "%v", err)
	} else {
		w.unique(*texts["name"], "name of a source", "give them different names", lines)
	}
	if !slices.Contains(SourceKinds, s.Kind) {
		fail(texts["kind"], "kind of a source", "%s is not one of %s%s", quote(s.Kind), strings.Join(SourceKinds, ", "), suggest(s.Kind, SourceKinds))
	} else if wrong := s.wrongPlace(); wrong != "" {
		fail(texts["kind"], "source "+quote(s.Name), "a source of kind %s %s", s.Kind, wrong)
	}
	if text := texts["interval"].text; text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second {
			fail(texts["interval"], "interval of a source", "%s is not a time of at least a second, such as 5m or 1h", quote(text))
		}
		s.Interval = d
	}
	if text := texts["max_loss"].text; text != "" {
		n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if !strings.HasSuffix(text, "%") || err != nil || n < 0 || n > 100 {
			fail(texts["max_loss"], "max_loss of a source", "%s is not a share such as 50%%: how many of its addresses a source may lose at once", quote(text))
		}
		s.MaxLoss = n / 100
	}
	if len(s.Groups) == 0 {
		fail(texts["name"], "source "+quote(s.Name), "it makes no groups: list under categories which label makes groups of which category")
	}
	if w.count() == found {
		w.file.Sources = append(w.file.Sources, s)
	}
}

// wrongPlace says what is wrong with where a source reads and with which credentials, as the end of a sentence; empty for nothing.
func (s *Source) wrongPlace() string {
	takes := func(kinds ...string) bool { return slices.Contains(kinds, s.Kind) }
	switch {
	case s.Kind == "command" && len(s.Command) == 0:
		return "needs command: the program and its arguments, as a list"
	case s.Kind == "eos" && (s.Address == "") == (len(s.Command) == 0):
		return "needs either address, the path of a running-config, or command, which writes one"
	case takes("file", "http", "netbox", "vcenter") && s.Address == "":
		return "needs address"
	case len(s.Command) > 0 && !takes("command", "eos"):
		return "takes no command"
	case len(s.Headers) > 0 && !takes("http", "netbox"):
		return "takes no headers"
	case s.Token != Secret{} && !takes("netbox", "kubernetes"):
		return "takes no token"
	case s.Kind == "vcenter" && (s.User == "" || s.Password == Secret{}):
		return "needs user and password"
	case (s.User != "" || s.Password != Secret{}) && s.Kind != "vcenter":
		return "takes neither user nor password"
	case s.CA != "" && !takes("http", "netbox", "kubernetes", "vcenter"):
		return "takes no ca"
	case s.Field != "" && !takes("command", "file", "http"):
		return "takes no field: it knows where the addresses are"
	}
	return ""
}

// secret reads where a secret stands.
func (w *yamlWalker) secret(n *yaml.Node, what string, into *Secret) {
	if w.sourceMap(n, "the "+what, map[string]*string{"file": &into.File, "env": &into.Env}) && (into.File == "") == (into.Env == "") {
		w.add(n.Line, n.Column, what+" of a source", "it needs either file or env: where the %s stands, which a groups file never holds", what)
	}
}

// sourceMap reads a map of texts.
func (w *yamlWalker) sourceMap(n *yaml.Node, what string, into map[string]*string) bool {
	fields := map[string]func(*yaml.Node){}
	found := w.count()
	for name, to := range into {
		fields[name] = func(n *yaml.Node) {
			at, _ := w.text(n, name+" of "+what)
			*to = at.text
		}
	}
	return w.mapping(n, what, fields) && w.count() == found
}

func (w *yamlWalker) sourceHeader(n *yaml.Node, s *Source) {
	var h SourceHeader
	if !w.sourceMap(n, "a header", map[string]*string{"name": &h.Name, "file": &h.File, "env": &h.Env, "prefix": &h.Prefix}) {
		return
	}
	if h.Name == "" || (h.File == "") == (h.Env == "") {
		w.add(n.Line, n.Column, "headers of a source", "a header needs a name, and either file or env: where its value stands, which may be a secret")
		return
	}
	s.Headers = append(s.Headers, h)
}

func (w *yamlWalker) sourceCategory(n *yaml.Node, s *Source) {
	c := SourceCategory{Group: "{{.}}"}
	if !w.sourceMap(n, "a category of a source", map[string]*string{"name": &c.Name, "label": &c.Label, "group": &c.Group}) {
		return
	}
	if err := checkCategoryName(c.Name); err != nil {
		w.add(n.Line, n.Column, "name of a category of a source", "%v", err)
		return
	}
	if c.Label == "" {
		w.add(n.Line, n.Column, "label of category "+strconv.Quote(c.Name), "it is empty: name the label of the source's objects that makes the groups")
		return
	}
	s.Groups = append(s.Groups, c)
}

// With gives the file with the groups of sources added: prefixes of a group that it has join those. Its digest is that of its groups then.
func (f *File) With(categories []Category) *File {
	out := *f
	out.Categories, out.digest = slices.Clone(f.Categories), ""
	for _, c := range categories {
		i := slices.IndexFunc(out.Categories, func(o Category) bool { return o.Name == c.Name })
		if i < 0 {
			out.Categories = append(out.Categories, c)
			continue
		}
		to := &out.Categories[i]
		to.Groups = slices.Clone(to.Groups)
		place := map[string]int{}
		for j := range to.Groups {
			place[to.Groups[j].Name] = j
		}
		for _, g := range c.Groups {
			j, ok := place[g.Name]
			if !ok {
				to.Groups = append(to.Groups, g)
				continue
			}
			old := &to.Groups[j]
			joined := *old
			joined.Prefixes, joined.times, joined.vrfs = slices.Clone(old.Prefixes), slices.Clone(old.times), slices.Clone(old.vrfs)
			for k, p := range g.Prefixes {
				joined.AddPrefixIn(p, g.TimesOf(k), g.VRFOf(k))
			}
			to.Groups[j] = joined
		}
	}
	members := map[Ref][]netip.Prefix{}
	for i := range out.Categories {
		for j := range out.Categories[i].Groups {
			g := &out.Categories[i].Groups[j]
			members[Ref{out.Categories[i].Name, g.Name}] = g.Prefixes
		}
	}
	out.Exclude = excluding(f.Exclude, members)
	out.digest = out.Digest()
	return &out
}
