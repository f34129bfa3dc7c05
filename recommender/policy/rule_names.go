package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// RuleNames are the names that people gave to rules, by the id of the rule; see Rule.ContentID.
type RuleNames map[string]string

// maxRuleName bounds a name, in bytes.
const maxRuleName = 200

// CheckRuleName says what is wrong with a name.
func CheckRuleName(name string) error {
	switch {
	case strings.TrimSpace(name) != name || name == "":
		return fmt.Errorf("the name %q is empty, or begins or ends with a blank", name)
	case len(name) > maxRuleName:
		return fmt.Errorf("the name has %d bytes, and %d are the most", len(name), maxRuleName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the name %q has characters that cannot be printed", name)
	}
	return nil
}

// ReadRuleNames reads a file of names: a map of ids of rules to names, as YAML, such as "4f2c0a9be611: web to database".
// Errors about the content are a *ReadError.
func ReadRuleNames(path string) (RuleNames, error) {
	data, err := ReadLimited(path)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&n); errors.Is(err, io.EOF) {
		return RuleNames{}, nil
	} else if err != nil {
		return nil, located(path, err)
	}
	root := n.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, &ReadError{path, root.Line, errors.New("a map of ids of rules to names is expected")}
	}
	out := RuleNames{}
	by := map[string]string{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		id, name := root.Content[i], root.Content[i+1]
		_, twice := out[id.Value]
		switch err := CheckRuleName(name.Value); {
		case name.Kind != yaml.ScalarNode || err != nil:
			return nil, &ReadError{path, name.Line, fmt.Errorf("rule %s: %w", id.Value, cmpErr(err, errors.New("a name is text")))}
		case strings.Trim(id.Value, "0123456789abcdef") != "" || len(id.Value) != 12:
			return nil, &ReadError{path, id.Line, fmt.Errorf("%q is no id of a rule: these have 12 digits from 0 to f, as in a proposal's rules", id.Value)}
		case twice:
			return nil, &ReadError{path, id.Line, fmt.Errorf("rule %s is here a second time", id.Value)}
		case by[name.Value] != "":
			return nil, &ReadError{path, name.Line, fmt.Errorf("rules %s and %s have the same name %q", by[name.Value], id.Value, name.Value)}
		}
		out[id.Value], by[name.Value] = name.Value, id.Value
	}
	return out, nil
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Rename gives rules the names that people gave to them. A rule that nobody named, and that has the name of another
// now, gets digits of its id behind its own. It reports whether anything has changed.
func (n RuleNames) Rename(rules []Rule) (changed bool) {
	used := map[string]int{}
	for i := range rules {
		r := &rules[i]
		if name := n[r.ID]; name != "" {
			changed = changed || r.Name != name
			r.Name = name
		}
		used[r.Name]++
	}
	for i := range rules {
		r := &rules[i]
		if used[r.Name] < 2 || n[r.ID] != "" && n[r.ID] == r.Name && !n.twice(rules, r.Name) {
			continue
		}
		base := r.Name
		for digits := 4; digits <= len(r.ID); digits += 2 {
			if r.Name = base + "-" + r.ID[:digits]; used[r.Name] == 0 {
				break
			}
		}
		used[base]--
		used[r.Name]++
		changed = true
	}
	return changed
}

// RenameIn does the same for a proposal, also where it speaks of its rules by name.
func (n RuleNames) RenameIn(p *Proposal) (changed bool) {
	old := make([]string, len(p.Rules))
	for i := range p.Rules {
		old[i] = p.Rules[i].Name
	}
	if !n.Rename(p.Rules) {
		return false
	}
	now := map[string]string{}
	for i, name := range old {
		now[name] = p.Rules[i].Name
	}
	for i := range p.Existing {
		for j, name := range p.Existing[i].ByProposed {
			if to, ok := now[name]; ok {
				p.Existing[i].ByProposed[j] = to
			}
		}
	}
	return true
}

// twice reports whether people gave several of the rules the same name.
func (n RuleNames) twice(rules []Rule, name string) bool {
	times := 0
	for i := range rules {
		if n[rules[i].ID] == name {
			times++
		}
	}
	return times > 1
}

// RenameStatements does the same for the rules of a policy, as far as they have ids.
func (n RuleNames) RenameStatements(rules []StatementRule) {
	for i := range rules {
		if name := n[rules[i].ID]; name != "" && rules[i].ID != "" {
			rules[i].Name = name
		}
	}
}
