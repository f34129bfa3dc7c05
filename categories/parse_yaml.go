package categories

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseYAML walks the document's nodes instead of decoding into structs, so
// that every message has the line and column of the value that it is about.
func (p *parser) parseYAML(data []byte) {
	if yamlTooManyValues(data) {
		p.add(0, 0, "", "the file has more than %d values: use CSV with the header category,group,prefix", maxYAMLValues)
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return // empty, or comments only: Lint says so
	case err != nil:
		p.yamlError(err)
		return
	}
	var second yaml.Node
	switch err := decoder.Decode(&second); {
	case err == nil:
		p.add(second.Line, second.Column, "", "a second YAML document begins here: keep everything in one, without ---")
		return
	case !errors.Is(err, io.EOF):
		p.yamlError(err)
		return
	}
	w := &yamlWalker{parser: p, left: maxYAMLValues}
	w.document(document.Content[0])
}

// yamlTooManyValues bounds the size of the node tree, about 170 bytes a value,
// before it is built. Every value but the first comes after one of these
// marks, so counting them can only say too many.
func yamlTooManyValues(data []byte) bool {
	marks := 0
	for i, c := range data {
		switch c {
		case ',', '[', '{', '\n', '\r', '?', '&', '!':
			marks++
		case '-', ':':
			// Inside a word these are part of an address or a name.
			if i+1 == len(data) || strings.IndexByte(" \t\r\n,[]{}\"'", data[i+1]) >= 0 ||
				i > 0 && strings.IndexByte("\"'", data[i-1]) >= 0 {
				marks++
			}
		}
	}
	return marks > 2*maxYAMLValues
}

var yamlErrorLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

func (p *parser) yamlError(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if m := yamlErrorLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	text = strings.Join(strings.Fields(text), " ")
	p.add(line, 0, "", "not valid YAML: %s; mind the indentation, and quote text with a colon in it", text)
}

// yamlWalker turns nodes into a File. It counts every value it looks at, so
// that aliases cannot multiply a small file into a large one.
type yamlWalker struct {
	*parser
	left int // values that may still be looked at
}

// resolve follows an alias, and reports false once the budget is used up.
func (w *yamlWalker) resolve(n *yaml.Node) (*yaml.Node, bool) {
	if w.left--; w.left <= 0 {
		if w.left == 0 {
			w.add(n.Line, n.Column, "", "the file has more than %d values with its aliases expanded: use CSV, or fewer aliases", maxYAMLValues)
		}
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n, true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// mapping calls a function per key. Unknown, repeated and complex keys, and
// anything that is not a map, are reported.
func (w *yamlWalker) mapping(n *yaml.Node, what string, fields map[string]func(value *yaml.Node)) bool {
	n, ok := w.resolve(n)
	if !ok {
		return false
	}
	if n.Kind != yaml.MappingNode {
		w.add(n.Line, n.Column, what, "expected a map with the keys %s, found %s", strings.Join(sortedKeys(fields), ", "), kindName(n))
		return false
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, ok := w.resolve(n.Content[i])
		if !ok {
			return false
		}
		read, known := fields[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !known:
			known := sortedKeys(fields)
			w.add(key.Line, key.Column, what, "unknown key %s: the keys here are %s%s", quote(key.Value), strings.Join(known, ", "), suggest(key.Value, known))
		case seen[key.Value]:
			w.add(key.Line, key.Column, what, "key %s is here a second time: put both values under one", quote(key.Value))
		default:
			seen[key.Value] = true
			read(n.Content[i+1])
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// list calls a function per item. No value at all is an empty list.
func (w *yamlWalker) sequence(n *yaml.Node, field string, item func(n *yaml.Node)) {
	n, ok := w.resolve(n)
	if !ok || isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		w.add(n.Line, n.Column, field, "expected a list, found %s", kindName(n))
		return
	}
	for _, child := range n.Content {
		if w.left <= 0 {
			return
		}
		item(child)
	}
}

// text returns a scalar as it is written: 10 and yes are names as good as any.
// It reports false where it has said what is wrong.
func (w *yamlWalker) text(n *yaml.Node, field string) (at textAt, ok bool) {
	at.line, at.column = n.Line, n.Column
	n, ok = w.resolve(n)
	switch {
	case !ok:
		return at, false
	case n.Kind != yaml.ScalarNode:
		w.add(at.line, at.column, field, "expected text, found %s", kindName(n))
		return at, false
	case !isNull(n):
		at.text = strings.TrimSpace(n.Value)
	}
	return at, true
}

func kindName(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	return quote(n.Value)
}

func (w *yamlWalker) document(n *yaml.Node) {
	if isNull(n) {
		return
	}
	var drafts []exclusionDraft
	categoryLines, serviceLines, sourceLines := map[string]int{}, map[string]int{}, map[string]int{}
	w.mapping(n, "", map[string]func(*yaml.Node){
		"categories": func(n *yaml.Node) {
			w.sequence(n, "categories", func(n *yaml.Node) { w.category(n, categoryLines) })
		},
		"services": func(n *yaml.Node) {
			w.sequence(n, "services", func(n *yaml.Node) { w.service(n, serviceLines) })
		},
		"sources": func(n *yaml.Node) {
			w.sequence(n, "sources", func(n *yaml.Node) { w.source(n, sourceLines) })
		},
		"exclude": func(n *yaml.Node) {
			w.sequence(n, "exclude", func(n *yaml.Node) {
				if d, ok := w.exclusion(n); ok {
					drafts = append(drafts, d)
				}
			})
		},
	})
	w.finishExclusions(drafts)
}

// unique reports a name that the list already has.
func (w *yamlWalker) unique(name textAt, what, remedy string, lines map[string]int) bool {
	if line, ok := lines[name.text]; ok {
		w.add(name.line, name.column, what, "%s is already in line %d: %s", quote(name.text), line, remedy)
		return false
	}
	lines[name.text] = name.line
	return true
}

func (w *yamlWalker) category(n *yaml.Node, lines map[string]int) {
	var name textAt
	named := true
	var groups *yaml.Node
	if !w.mapping(n, "category", map[string]func(*yaml.Node){
		"name":   func(n *yaml.Node) { name, named = w.text(n, "name of a category") },
		"groups": func(n *yaml.Node) { groups = n },
	}) {
		return
	}
	if name.line == 0 {
		name.line, name.column = n.Line, n.Column
	}
	ok := named
	if !named {
		// reported already
	} else if err := checkCategoryName(name.text); err != nil {
		w.add(name.line, name.column, "name of a category", "%v", err)
		ok = false
	} else {
		ok = w.unique(name, "name of a category", "put the groups of both in one category", lines)
	}
	c := Category{Name: name.text, Line: name.line}
	if groups != nil {
		groupLines := map[string]int{}
		w.sequence(groups, fmt.Sprintf("groups of category %s", quote(c.Name)), func(n *yaml.Node) { w.group(n, &c, groupLines) })
	}
	if ok {
		w.file.Categories = append(w.file.Categories, c)
	}
}

func (w *yamlWalker) group(n *yaml.Node, c *Category, lines map[string]int) {
	var name, id textAt
	named := true
	var prefixes, pods, vrf *yaml.Node
	fields := map[string]func(*yaml.Node){
		"id":       func(n *yaml.Node) { id, _ = w.text(n, "id of a group") },
		"name":     func(n *yaml.Node) { name, named = w.text(n, "name of a group") },
		"prefixes": func(n *yaml.Node) { prefixes = n },
		"selector": func(n *yaml.Node) { pods = n },
		"vrf":      func(n *yaml.Node) { vrf = n },
	}
	from, until := w.moments(fields, "a group")
	if !w.mapping(n, "group", fields) {
		return
	}
	if name.line == 0 {
		name.line, name.column = n.Line, n.Column
	}
	ok := named
	if !named {
		// reported already
	} else if err := checkName(name.text); err != nil {
		w.add(name.line, name.column, "name of a group", "%v", err)
		ok = false
	} else {
		ok = w.unique(name, "name of a group", "put the prefixes of both in one group", lines)
	}
	if len(id.text) > MaxNameBytes {
		w.add(id.line, id.column, "id of a group", "it has %d bytes, more than %d", len(id.text), MaxNameBytes)
		ok = false
	}
	always, timed := w.times("group "+quote(name.text), *from, *until)
	ok = ok && timed
	g := Group{Name: name.text, ID: id.text, Line: name.line}
	if pods != nil {
		g.Pods = w.pods(pods, "selector of group "+quote(g.Name))
	}
	in, vrfs := w.vrfs(vrf, &g)
	ok = ok && vrfs
	if prefixes != nil {
		w.sequence(prefixes, "prefixes of group "+quote(g.Name), func(n *yaml.Node) {
			w.member(n, c.Name, &g, always, in)
		})
	} else if vrf != nil && ok {
		for _, p := range privatePrefixes() {
			w.addMember(&g, p, vrf.Line, always, in)
		}
	}
	if ok {
		c.Groups = append(c.Groups, g)
	}
}

// moments reads the keys from and until of a map.
func (w *yamlWalker) moments(fields map[string]func(*yaml.Node), what string) (from, until *textAt) {
	from, until = new(textAt), new(textAt)
	for name, to := range map[string]*textAt{"from": from, "until": until} {
		fields[name] = func(n *yaml.Node) { *to, _ = w.text(n, name+" of "+what) }
	}
	return from, until
}

// vrfs reads the VRFs of a group: one, or a list. No node is no VRF of its own: the prefixes belong to the group in every one.
func (w *yamlWalker) vrfs(n *yaml.Node, g *Group) (out []string, ok bool) {
	if n == nil {
		return []string{""}, true
	}
	found, field := w.count(), "vrf of group "+quote(g.Name)
	add := func(n *yaml.Node) {
		at, ok := w.text(n, field)
		switch {
		case !ok:
		case at.text == "":
			w.add(at.line, at.column, field, "it is empty: name a VRF, or leave vrf out for every one")
		default:
			out = append(out, at.text)
		}
	}
	if at, ok := w.resolve(n); ok && at.Kind == yaml.SequenceNode {
		w.sequence(n, field, add)
	} else {
		w.left++ // text looks at it again
		add(n)
	}
	if w.count() == found && len(out) == 0 {
		w.add(n.Line, n.Column, field, "the list is empty: name a VRF, or leave vrf out for every one")
	}
	return out, w.count() == found
}

// addMember adds a prefix for a time in each of some VRFs.
func (w *yamlWalker) addMember(g *Group, p netip.Prefix, line int, t Times, vrfs []string) {
	if w.left -= len(vrfs) - 1; w.left <= 0 {
		return // A short file may not make many prefixes: it is reported as one with too many values.
	}
	for _, vrf := range vrfs {
		g.Prefixes, g.lines = append(g.Prefixes, p), append(g.lines, int32(min(line, math.MaxInt32)))
		g.setTimes(t)
		g.setVRF(vrf)
	}
}

// member reads a prefix, alone or as a map with the times and the VRF in which it belongs to the group; always and vrfs are those of the
// group.
func (w *yamlWalker) member(n *yaml.Node, category string, g *Group, always Times, vrfs []string) {
	if at, ok := w.resolve(n); !ok || at.Kind != yaml.MappingNode {
		w.left++ // text looks at it again
		if at, ok := w.text(n, prefixField(g)); ok {
			w.addText(category, g, at, always, vrfs)
		}
		return
	}
	prefix := textAt{line: n.Line, column: n.Column}
	readable := true
	fields := map[string]func(*yaml.Node){
		"prefix": func(n *yaml.Node) { prefix, readable = w.text(n, prefixField(g)) },
		"vrf":    func(n *yaml.Node) { vrfs, _ = w.vrfs(n, g) },
	}
	from, until := w.moments(fields, "a prefix of group "+quote(g.Name))
	found := w.count()
	if !w.mapping(n, prefixField(g), fields) || !readable || w.count() > found {
		return
	}
	times, ok := w.times("a prefix of group "+quote(g.Name), *from, *until)
	if !ok {
		return
	}
	if times = times.within(always); !times.Always() && !times.Until.IsZero() && !times.From.Before(times.Until) {
		w.add(prefix.line, prefix.column, prefixField(g), "%s is in the group at no time: its own times and those of the group have no moment in common", quote(prefix.text))
		return
	}
	w.addText(category, g, prefix, times, vrfs)
}

// addText adds a prefix as it is written.
func (w *yamlWalker) addText(category string, g *Group, at textAt, t Times, vrfs []string) {
	if !w.addPrefix(category, g, at.text, at.line, at.column) {
		return
	}
	n := len(g.Prefixes) - 1
	p := g.Prefixes[n]
	g.Prefixes, g.lines = g.Prefixes[:n], g.lines[:n]
	w.addMember(g, p, at.line, t, vrfs)
}

// pods reads a selector of pods. It returns nil where it has said what is wrong.
func (w *yamlWalker) pods(n *yaml.Node, what string) *Pods {
	p := &Pods{Labels: map[string]string{}}
	ok := true
	var namespace textAt
	if !w.mapping(n, what, map[string]func(*yaml.Node){
		"namespace": func(n *yaml.Node) { namespace, ok = w.text(n, what) },
		"labels":    func(n *yaml.Node) { ok = w.labels(n, what, p.Labels) && ok },
	}) || !ok {
		return nil
	}
	if p.Namespace = namespace.text; !namespaceText.MatchString(p.Namespace) {
		w.add(n.Line, n.Column, what, "namespace %s is not a name of Kubernetes: it has up to 63 lower-case letters, digits and -, and begins and ends with a letter or digit", quote(p.Namespace))
		return nil
	}
	return p
}

// What Kubernetes takes for namespaces, and for keys and values of labels.
var (
	namespaceText  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	labelKeyText   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	labelValueText = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)
)

// labels reads a map of labels. It reports false where it has said what is wrong.
func (w *yamlWalker) labels(n *yaml.Node, what string, into map[string]string) bool {
	n, ok := w.resolve(n)
	if !ok {
		return false
	}
	if n.Kind != yaml.MappingNode {
		w.add(n.Line, n.Column, what, "labels: expected a map of keys and values, found %s", kindName(n))
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, ok := w.text(n.Content[i], what)
		value, ok2 := w.text(n.Content[i+1], what)
		_, twice := into[key.text]
		switch {
		case !ok || !ok2:
			return false
		case twice:
			w.add(key.line, key.column, what, "label %s is here a second time", quote(key.text))
			return false
		case !labelKeyText.MatchString(key.text) || !labelValueText.MatchString(value.text):
			w.add(key.line, key.column, what, "%s: %s is not a label of Kubernetes: keys and values have up to 63 letters, digits, -, _ and ., and begin and end with a letter or digit", quote(key.text), quote(value.text))
			return false
		}
		into[key.text] = value.text
	}
	return true
}

func (w *yamlWalker) service(n *yaml.Node, lines map[string]int) {
	var name textAt
	named := true
	var match []textAt
	if !w.mapping(n, "service", map[string]func(*yaml.Node){
		"name":  func(n *yaml.Node) { name, named = w.text(n, "name of a service") },
		"match": func(n *yaml.Node) { w.texts(n, "match", &match) },
	}) {
		return
	}
	if name.line == 0 {
		name.line, name.column = n.Line, n.Column
	}
	if !named {
		return
	}
	if err := checkName(name.text); err != nil {
		w.add(name.line, name.column, "name of a service", "%v", err)
		return
	}
	if _, err := ParseServiceTerm(name.text); err == nil {
		w.add(name.line, name.column, "name of a service", "%s is itself a protocol or port: use another name", quote(name.text))
		return
	}
	s := NamedService{Name: name.text, Line: name.line}
	for _, at := range match {
		term, err := ParseServiceTerm(at.text)
		if err != nil {
			w.add(at.line, at.column, "match of service "+quote(s.Name), "%v", err)
			continue
		}
		s.Match = append(s.Match, term)
	}
	if len(match) == 0 {
		w.add(name.line, name.column, "service "+quote(s.Name), "match is empty: list terms such as tcp/443 or udp/5000-5100")
	}
	if len(s.Match) == 0 || len(s.Match) < len(match) {
		if w.broken == nil {
			w.broken = map[string]bool{}
		}
		w.broken[s.Name] = true
		return
	}
	if w.unique(name, "name of a service", "put the terms of both in one service", lines) {
		w.file.Services = append(w.file.Services, s)
	}
}

// texts reads a list of non-empty scalars.
func (w *yamlWalker) texts(n *yaml.Node, field string, out *[]textAt) {
	w.sequence(n, field, func(n *yaml.Node) {
		switch at, ok := w.text(n, field); {
		case ok && at.text == "":
			w.add(at.line, at.column, field, "the item is empty: remove it")
		case ok:
			*out = append(*out, at)
		}
	})
}

func (w *yamlWalker) exclusion(n *yaml.Node) (exclusionDraft, bool) {
	var d exclusionDraft
	var reason textAt
	named := true
	found := len(w.problems.list) + w.omitted
	if !w.mapping(n, "exclude", map[string]func(*yaml.Node){
		"reason":       func(n *yaml.Node) { reason, named = w.text(n, "reason") },
		"sources":      func(n *yaml.Node) { w.texts(n, "sources", &d.sources) },
		"destinations": func(n *yaml.Node) { w.texts(n, "destinations", &d.destinations) },
		"services":     func(n *yaml.Node) { w.texts(n, "services", &d.services) },
	}) {
		return d, false
	}
	if reason.line == 0 {
		reason.line, reason.column = n.Line, n.Column
	}
	if err := checkName(reason.text); named && err != nil {
		message := err.Error()
		if reason.text == "" {
			message = "the reason is empty: say why these sessions are never proposed"
		}
		w.add(reason.line, reason.column, "exclude", "%s", message)
	}
	if w.count() > found {
		return d, false
	}
	if len(d.sources)+len(d.destinations)+len(d.services) == 0 {
		w.add(reason.line, reason.column, "exclude", "this would exclude every session: give sources, destinations or services")
		return d, false
	}
	d.exclusion = Exclusion{Reason: reason.text, Line: reason.line}
	return d, true
}
