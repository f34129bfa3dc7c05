package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds a document that is read back.
const maxFileBytes = 512 << 20

// Policy is a list of rules in force, or of guardrails. VRF is empty for a
// policy that holds in every VRF. The first rule that matches decides.
type Policy struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Name       string `yaml:"name"` // name on the device; empty where there is none
	VRF        string `yaml:"vrf"`
	// Categories are those selected for a proposal; nil for other policies.
	Categories []string `yaml:"-"`
	// Default decides what no rule matches. Where it says nothing, that is left open.
	Default Defaults        `yaml:"default"`
	Rules   []StatementRule `yaml:"rules"`
}

// Statement is the rule as one of a policy, such as it is once accepted.
func (r *Rule) Statement() StatementRule {
	return StatementRule{ID: r.ID, Name: r.Name, Action: r.Action, Sources: r.Sources, Destinations: r.Destinations, Services: r.Services}
}

// Policy is the proposal as a policy in force, such as it is once accepted.
func (p *Proposal) Policy() Policy {
	out := Policy{APIVersion: p.APIVersion, Kind: p.Kind, VRF: p.VRF, Categories: p.Categories}
	for i := range p.Rules {
		out.Rules = append(out.Rules, p.Rules[i].Statement())
	}
	return out
}

// StatementRule is a rule that a person may have written, or a device has: a set
// that is left out means any, and the action defaults to allow. Fields of a
// proposal's rule that say nothing about traffic are read and not used.
type StatementRule struct {
	ID           string     `yaml:"id"`
	Name         string     `yaml:"name"`
	Action       Action     `yaml:"action"`
	Direction    string     `yaml:"direction"`
	Sources      []Endpoint `yaml:"sources"`
	Destinations []Endpoint `yaml:"destinations"`
	Services     []Service  `yaml:"services"`
	Evidence     yaml.Node  `yaml:"evidence"`
	Excess       yaml.Node  `yaml:"excess"`
	PortRanges   yaml.Node  `yaml:"portRanges"`
	Generalised  yaml.Node  `yaml:"generalised"`
	Packets      `yaml:",inline"`
}

// ReadError says what is wrong with a document, and where.
type ReadError struct {
	Path string
	Line int // 0 where the whole file is meant
	Err  error
}

func (e *ReadError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err)
}

func (e *ReadError) Unwrap() error { return e.Err }

// ReadProposalFile reads proposals from a file; see ParseProposals.
func ReadProposalFile(path string) ([]Proposal, error) {
	data, err := ReadLimited(path)
	if err != nil {
		return nil, err
	}
	return ParseProposals(path, data)
}

// ReadLimited reads a file, unless it is larger than any document can be.
func ReadLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the path
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, &ReadError{path, 0, fmt.Errorf("the file has more than %d bytes", maxFileBytes)}
	}
	return data, nil
}

// ParsePolicies reads documents of kind Policy, and those of kind
// PolicyProposal as the policy that they propose, as YAML (several separated
// by ---) or JSON (several one after another). Errors about the content are a
// *ReadError; the path is for those.
func ParsePolicies(path string, data []byte) ([]Policy, error) {
	var out []Policy
	err := documents(path, data, func(n *yaml.Node, kind string) error {
		var p Policy
		switch kind {
		case KindPolicy:
			if err := decode(n, &p); err != nil {
				return err
			}
		case KindProposal:
			var head struct { // the parts of a proposal that are not a policy's stay unread
				APIVersion string          `yaml:"apiVersion"`
				VRF        string          `yaml:"vrf"`
				Categories []string        `yaml:"categories"`
				Rules      []StatementRule `yaml:"rules"`
			}
			if err := n.Decode(&head); err != nil {
				return err
			}
			p = Policy{APIVersion: head.APIVersion, Kind: kind, VRF: head.VRF, Categories: head.Categories, Rules: head.Rules}
		default:
			return fmt.Errorf("line %d: kind is %q, not %s or %s", n.Line, kind, KindPolicy, KindProposal)
		}
		rules := field(n, "rules")
		for i := range p.Rules {
			if err := p.Rules[i].check(rules.Content[i]); err != nil {
				return err
			}
		}
		out = append(out, p)
		return nil
	})
	return out, err
}

// check fills in what a person may leave out.
func (r *StatementRule) check(n *yaml.Node) error {
	if r.Action == "" {
		r.Action = Allow
	}
	if r.Action != Allow && r.Action != Deny && r.Action != Redirect {
		return fmt.Errorf("line %d: action is %q, not %s, %s or %s", n.Line, r.Action, Allow, Deny, Redirect)
	}
	if r.Direction != "" && r.Direction != Bidirectional && r.Direction != OneWay {
		return fmt.Errorf("line %d: direction is %q, not %s or %s", n.Line, r.Direction, Bidirectional, OneWay)
	}
	if len(r.Sources) == 0 {
		r.Sources = []Endpoint{Any}
	}
	if len(r.Destinations) == 0 {
		r.Destinations = []Endpoint{Any}
	}
	if len(r.Services) == 0 {
		r.Services = []Service{{Any: true}}
	}
	if err := r.checkPackets(); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// ParseProposals reads documents of kind PolicyProposal, as ParsePolicies does.
// A document that was edited by hand is read like any other; see Proposal.Edited.
func ParseProposals(path string, data []byte) ([]Proposal, error) {
	var out []Proposal
	err := documents(path, data, func(n *yaml.Node, kind string) error {
		if kind != KindProposal {
			return fmt.Errorf("line %d: kind is %q, not %s", n.Line, kind, KindProposal)
		}
		var p Proposal
		if err := decode(n, &p); err != nil {
			return err
		}
		rules := field(n, "rules")
		for i := range p.Rules {
			r := &p.Rules[i]
			if len(r.Sources) == 0 || len(r.Destinations) == 0 || len(r.Services) == 0 {
				return fmt.Errorf("line %d: rule %q needs sources, destinations and services", rules.Content[i].Line, r.Name)
			}
		}
		out = append(out, p)
		return nil
	})
	return out, err
}

// documents calls read for each document of a YAML or JSON stream.
func documents(path string, data []byte, read func(n *yaml.Node, kind string) error) error {
	texts := [][]byte{data}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		var at int64
		var err error
		if texts, at, err = splitJSON(data); err != nil {
			return &ReadError{path, 1 + bytes.Count(data[:at], []byte{'\n'}), err}
		}
	}
	found := false
	for _, text := range texts {
		d := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var doc yaml.Node
			err := d.Decode(&doc)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = document(&doc, read)
			}
			if err != nil {
				return located(path, err)
			}
			found = true
		}
	}
	if !found {
		return &ReadError{path, 0, fmt.Errorf("the file is empty: a document of kind %s or %s is expected", KindPolicy, KindProposal)}
	}
	return nil
}

// splitJSON gives each of the JSON documents that follow one another as YAML
// with the same line numbers: JSON is YAML but for tabs between tokens. After
// an error, at is where it happened.
func splitJSON(data []byte) (texts [][]byte, at int64, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	lines := 0
	for {
		var raw json.RawMessage
		start := d.InputOffset()
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return texts, 0, nil
		} else if err != nil {
			at := d.InputOffset()
			if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
				at = syntax.Offset
			}
			return nil, min(at, int64(len(data))), err
		}
		end := d.InputOffset()
		text := append(bytes.Repeat([]byte{'\n'}, lines), bytes.ReplaceAll(data[start:end], []byte{'\t'}, []byte{' '})...)
		texts = append(texts, text)
		lines += bytes.Count(data[start:end], []byte{'\n'})
	}
}

func document(doc *yaml.Node, read func(n *yaml.Node, kind string) error) error {
	n := doc.Content[0]
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a map with apiVersion and kind is expected", max(n.Line, 1))
	}
	if v := field(n, "apiVersion"); v == nil || v.Value != APIVersion {
		return fmt.Errorf("line %d: apiVersion must be %s", n.Line, APIVersion)
	}
	kind := field(n, "kind")
	if kind == nil {
		return fmt.Errorf("line %d: the document has no kind: %s or %s", n.Line, KindPolicy, KindProposal)
	}
	if rules := field(n, "rules"); rules != nil && rules.Kind == yaml.SequenceNode {
		for _, r := range rules.Content {
			if r.Kind != yaml.MappingNode {
				return fmt.Errorf("line %d: a rule must be a map", r.Line)
			}
		}
	}
	err := read(n, kind.Value)
	if err != nil && !errorLine.MatchString(err.Error()) {
		// The YAML library does not say where a type of ours refused a text.
		into := reflect.TypeFor[Proposal]()
		if kind.Value == KindPolicy {
			into = reflect.TypeFor[Policy]()
		}
		for _, find := range []func() error{func() error { return badLiteral(n) }, func() error { return badValue(n, into, "") }} {
			if found := find(); found != nil {
				return found
			}
		}
	}
	return err
}

// badLiteral finds the first endpoint or service of a rule that cannot be read.
func badLiteral(document *yaml.Node) error {
	rules := field(document, "rules")
	if rules == nil {
		return nil
	}
	for i, r := range rules.Content {
		rule := fmt.Sprintf("rule %d", i+1)
		if name := field(r, "name"); name != nil && name.Value != "" {
			rule = fmt.Sprintf("rule %q", name.Value)
		}
		for _, key := range []string{"sources", "destinations", "services"} {
			list := field(r, key)
			if list == nil {
				continue
			}
			for _, v := range list.Content {
				if v.Kind == yaml.AliasNode {
					v = v.Alias
				}
				var err error
				if key == "services" {
					_, err = ParseService(v.Value)
				} else {
					_, err = ParseEndpoint(v.Value)
				}
				if err != nil {
					return fmt.Errorf("line %d: %s of %s: %w", v.Line, key, rule, err)
				}
			}
		}
	}
	return nil
}

// field finds the value of a key of a map, nil if there is none.
func field(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			v := n.Content[i+1]
			if v.Kind == yaml.AliasNode {
				v = v.Alias
			}
			return v
		}
	}
	return nil
}

// decode reads a node strictly: a key that the type does not have is an error,
// since a misspelt "destination" would otherwise mean any.
func decode(n *yaml.Node, into any) error {
	// Node.Decode cannot refuse unknown keys; a decoder over the text can, but
	// counts lines from the start of that text. So the keys are checked here.
	if err := knownKeys(n, into); err != nil {
		return err
	}
	return n.Decode(into)
}

var errorLine = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): `)

// located turns an error of the YAML library, or one that begins with "line N: ",
// into a ReadError.
func located(path string, err error) error {
	text := err.Error()
	line := 0
	if m := errorLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		err = errors.New(strings.Join(strings.Fields(text[len(m[0]):]), " "))
	}
	return &ReadError{path, line, err}
}
