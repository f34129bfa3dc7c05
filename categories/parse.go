package categories

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// Parse reads a groups file of either format. The path's extension chooses it
// (.csv, or .yaml, .yml, .json); otherwise a first line that names the columns
// category, group and prefix makes it CSV.
//
// Every mistake is reported, not just the first: the error is a *ParseError,
// and the File holds the rest.
func Parse(path string, data []byte) (*File, error) {
	sum := sha256.Sum256(data)
	p := &parser{file: &File{Path: path, digest: digestText(sum[:])}, problems: problems{path: path}}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	switch {
	case len(data) > MaxFileBytes:
		p.add(0, 0, "", "the file is larger than %d MiB: split it", MaxFileBytes>>20)
	case isCSV(path, data):
		p.parseCSV(data)
	default:
		p.parseYAML(data)
	}
	return p.file, p.err()
}

// parser holds a file in the making.
type parser struct {
	problems
	file   *File
	broken map[string]bool // services that are in the file but could not be read
}

func isCSV(path string, data []byte) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return true
	case ".yaml", ".yml", ".json":
		return false
	}
	for line := range bytes.Lines(data) {
		if text := strings.TrimSpace(string(line[:min(len(line), 4096)])); text != "" && text[0] != '#' {
			header, err := csv.NewReader(strings.NewReader(text)).Read()
			return err == nil && headerColumns(header).complete()
		}
	}
	return false
}

// addPrefix appends one address or prefix of the file to a group. It reports false where it has said what is wrong.
func (p *parser) addPrefix(category string, g *Group, text string, line, column int) bool {
	field := prefixField(g)
	text = strings.TrimSpace(text)
	if text == "" {
		p.add(line, column, field, "%v", errNoAddress)
		return false
	}
	prefix, hostBits, err := ParsePrefix(text)
	if err != nil {
		p.add(line, column, field, "%v", err)
		return false
	}
	if hostBits {
		p.note(Warning, line, category, g.Name, "%s has bits set behind its length: read as %s, write that or a bare address", quote(text), prefix)
	}
	g.Prefixes = append(g.Prefixes, prefix)
	g.lines = append(g.lines, int32(min(line, math.MaxInt32)))
	return true
}

func prefixField(g *Group) string {
	if g.Name == "" {
		return "prefix"
	}
	return "prefix of group " + quote(g.Name)
}

func (p *parser) note(s Severity, line int, category, group, format string, args ...any) {
	p.file.notes = append(p.file.notes, newFinding(p.path, s, line, category, group, format, args...))
}

// exclusionDraft is an exclusion whose selectors and services still need the
// rest of the file, which may come later, to be looked up.
type exclusionDraft struct {
	exclusion                       Exclusion
	sources, destinations, services []textAt
}

type textAt struct {
	text         string
	line, column int
}

func (p *parser) finishExclusions(drafts []exclusionDraft) {
	if len(drafts) == 0 {
		return
	}
	labels := NewLabels(p.file)
	groups := map[Ref]*Group{}
	for i := range p.file.Categories {
		c := &p.file.Categories[i]
		for j := range c.Groups {
			groups[Ref{c.Name, c.Groups[j].Name}] = &c.Groups[j]
		}
	}
	services := map[string][]ServiceTerm{}
	var names []string
	for _, s := range p.file.Services {
		services[s.Name] = s.Match
		names = append(names, s.Name)
	}
	selectors := func(field string, texts []textAt) (out []Selector) {
		for _, t := range texts {
			s := Selector{Text: t.text}
			if label, ok := strings.CutPrefix(t.text, GroupPrefix); ok {
				ref, err := labels.Find(label)
				switch {
				case err != nil:
					p.add(t.line, t.column, field, "%v", err)
					continue
				case ref == Internet:
					s.Prefixes = InternetPrefixes()
				default:
					s.Prefixes = groups[ref].Prefixes
				}
				s.Group = ref
			} else {
				prefix, hostBits, err := ParsePrefix(t.text)
				if err != nil {
					p.add(t.line, t.column, field, "%v; a group is written %sNAME", err, GroupPrefix)
					continue
				}
				if hostBits {
					p.note(Warning, t.line, "", "", "%s: %s has bits set behind its length: read as %s", field, quote(t.text), prefix)
				}
				s.Prefixes = []netip.Prefix{prefix}
			}
			out = append(out, s)
		}
		return out
	}
	for _, d := range drafts {
		x := d.exclusion
		found, whole := p.count(), true
		x.Sources = selectors("sources", d.sources)
		x.Destinations = selectors("destinations", d.destinations)
		for _, t := range d.services {
			if terms, ok := services[t.text]; ok {
				x.Services = append(x.Services, terms...)
			} else if term, err := ParseServiceTerm(t.text); err == nil {
				x.Services = append(x.Services, term)
			} else if p.broken[t.text] {
				whole = false
			} else {
				p.add(t.line, t.column, "services", "%s is neither a service of this file nor a term such as tcp/443%s", quote(t.text), suggest(t.text, names))
			}
		}
		// What could not be read must not widen the exclusion.
		if p.count() > found || !whole {
			continue
		}
		slices.SortFunc(x.Services, ServiceTerm.Compare)
		x.Services = slices.Compact(x.Services)
		p.file.Exclude = append(p.file.Exclude, x)
	}
}
