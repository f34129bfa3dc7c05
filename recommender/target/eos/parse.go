package eos

import (
	"bytes"
	"fmt"
	"strings"
)

// SyntaxError says what is wrong with a configuration, and in which line, from 1.
type SyntaxError struct {
	Path string
	Line int // 0 for the file as a whole
	Err  error
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err)
}

func (e *SyntaxError) Unwrap() error { return e.Err }

// Config is the section of traffic policies of a running-config.
type Config struct {
	path     string
	lines    []line // Lines as read, so that they can be written again.
	vrfs     []*vrf
	ports    map[string]*portSet
	prefixes [2]map[string]*prefixSet // IPv4's first, then IPv6's.
	services map[string]*serviceField
	policies []*trafficPolicy
}

// line is one line of the section: how deep it is, and its words.
type line struct {
	number int
	level  int
	text   string
}

// vrf is what is bound in a VRF.
type vrf struct {
	name     string
	policies []string
	line     int
}

type trafficPolicy struct {
	name     string
	line     int
	remarks  []string
	matches  []*matchBlock
	byName   map[string]*matchBlock
	defaults [2]*matchBlock
}

// context is a block that lines belong to.
type context struct {
	level int // Indentation of its lines.
	// read takes a line if it is one of the block. It may open a block inside.
	read func(p *parser, words []string) (bool, error)
}

// parser reads a section line by line. A line belongs to the innermost block that knows it: files
// that were not printed by a device have any indentation or none.
type parser struct {
	*Config
	number int
	text   string // The line less its indentation.
	blocks []context
}

// IsConfig tells a running-config with traffic policies from other files.
func IsConfig(data []byte) bool {
	for l := range bytes.Lines(data) {
		if isSection(string(bytes.TrimRight(l, "\r\n"))) {
			return true
		}
	}
	return false
}

func isSection(text string) bool {
	return strings.EqualFold(strings.TrimRight(text, " \t"), "traffic-policies")
}

// Parse reads the section of traffic policies of a running-config, and passes over all
// others. The path is for errors, which are of type *SyntaxError.
func Parse(path string, data []byte) (*Config, error) {
	c := &Config{path: path, ports: map[string]*portSet{}, services: map[string]*serviceField{}}
	c.prefixes = [2]map[string]*prefixSet{{}, {}}
	p := &parser{Config: c}
	inside, found, indented, first := false, false, false, true
	for l := range bytes.Lines(data) {
		p.number++
		text := strings.TrimRight(string(l), "\r\n \t")
		switch {
		case isSection(text):
			if found {
				return nil, p.fail("there is a second section of traffic-policies: give files with one")
			}
			inside, found, first = true, true, true
			p.blocks = []context{{0, section}}
			p.lines = append(p.lines, line{p.number, 0, "traffic-policies"})
			continue
		case !inside || text == "":
			continue
		}
		body := strings.TrimLeft(text, " \t")
		if indent := len(text) - len(body); body == "!" {
			if indent > 0 || !indented {
				p.lines = append(p.lines, line{p.number, depth(text[:indent]), "!"})
			}
			continue
		} else if indent == 0 && indented {
			inside = false
			continue
		} else if first {
			indented, first = indent > 0, false
		}
		if !bytes.HasSuffix(l, []byte("\n")) {
			return nil, p.fail("the file ends in the middle of a line: it may be cut; if it is whole, end the line")
		}
		if err := p.take(body); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, &SyntaxError{path, 0, fmt.Errorf("there is no section of traffic-policies")}
	}
	for n := len(p.lines); p.lines[n-1].text == "!" && p.lines[n-1].level == 0; n = len(p.lines) {
		p.lines = p.lines[:n-1] // the end of the section
	}
	c.countLines()
	return c, c.check()
}

// countLines counts the lines of each match.
func (c *Config) countLines() {
	byLine := map[int]*matchBlock{}
	for _, t := range c.policies {
		for _, m := range t.byName {
			byLine[m.line] = m
		}
	}
	var in *matchBlock
	for _, l := range c.lines {
		if l.level <= 2 {
			in = byLine[l.number]
		}
		if in != nil && l.text != "!" && !strings.HasPrefix(l.text, "!!") {
			in.lines++
		}
	}
}

// depth is the level of an indentation; a device prints three spaces for each.
func depth(indent string) (n int) {
	for _, c := range indent {
		if c == '\t' {
			n += 3
		} else {
			n++
		}
	}
	return min((n+1)/3, 4)
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{p.path, p.number, fmt.Errorf(format, args...)}
}

// maxText bounds what of a line an error quotes.
const maxText = 80

// take reads one line.
func (p *parser) take(text string) error {
	p.text = text
	words := strings.Fields(text)
	for i := len(p.blocks) - 1; i >= 0; i-- {
		depth := len(p.blocks)
		ok, err := p.blocks[i].read(p, words)
		if err != nil {
			return err
		}
		if ok {
			p.lines = append(p.lines, line{p.number, p.blocks[i].level + 1, text})
			// A block that the line opened follows directly behind the one that it belongs to.
			p.blocks = append(p.blocks[:i+1], p.blocks[depth:]...)
			return nil
		}
	}
	shown := text
	if len(shown) > maxText {
		shown = shown[:maxText] + "..."
	}
	return p.fail("%q is not known here, and nothing is passed over inside traffic-policies", shown)
}

// open begins a block inside one with the given level.
func (p *parser) open(level int, read func(*parser, []string) (bool, error)) {
	p.blocks = append(p.blocks, context{level, read})
}

// is reports whether words are those of a pattern; "*" stands for any one word.
func is(words []string, pattern string) bool {
	want := strings.Fields(pattern)
	if len(words) != len(want) {
		return false
	}
	for i := range words {
		if want[i] != "*" && want[i] != words[i] {
			return false
		}
	}
	return true
}

// begins reports whether words begin with those of a pattern and go on.
func begins(words []string, pattern string) bool {
	n := len(strings.Fields(pattern))
	return len(words) > n && is(words[:n], pattern)
}

// section reads the lines of the section itself.
func section(p *parser, words []string) (bool, error) {
	switch {
	case is(words, "vrf *"):
		v := &vrf{name: words[1], line: p.number}
		p.vrfs = append(p.vrfs, v)
		p.open(1, v.read)
	case is(words, "cpu traffic-policy * vrf all"):
		p.open(1, enforcement)
	case is(words, "cpu traffic-policy fragment implicit-permit disabled"), is(words, "cpu traffic-policy enforcement ip ttl expired"):
	case is(words, "transforms interface prefix common source-destination"), is(words, "update interface hitless strict"),
		is(words, "counter interface per-interface ingress"):
	case is(words, "counter interface poll interval * seconds"):
		if _, ok := number(words[4], 60); !ok {
			return false, p.fail("%q is not a number of seconds", words[4])
		}
	case begins(words, "field-set"):
		return true, p.fieldSet(words[1:])
	case is(words, "traffic-policy *"):
		return true, p.newPolicy(words[1])
	case is(words, "no traffic-policy *"), is(words, "default traffic-policy *"):
		p.deletePolicy(words[2])
	default:
		return false, nil
	}
	return true, nil
}

// enforcement reads what is inside a policy for the control plane, which nothing here judges.
func enforcement(_ *parser, words []string) (bool, error) {
	return is(words, "enforcement management"), nil
}

func (v *vrf) read(p *parser, words []string) (bool, error) {
	switch {
	case is(words, "cpu traffic-policy * fallback traffic-policy none"):
		p.open(2, enforcement)
	case is(words, "traffic-policy input * physical"):
		v.policies = append(v.policies, words[2])
	default:
		return false, nil
	}
	return true, nil
}

func (p *parser) newPolicy(name string) error {
	for _, t := range p.policies {
		if t.name == name {
			return p.fail("traffic-policy %s is here a second time; the first is in line %d", name, t.line)
		}
	}
	t := &trafficPolicy{name: name, line: p.number, byName: map[string]*matchBlock{}}
	p.policies = append(p.policies, t)
	p.open(1, t.read)
	return nil
}

func (p *parser) deletePolicy(name string) {
	for i, t := range p.policies {
		if t.name == name {
			p.policies = append(p.policies[:i], p.policies[i+1:]...)
			return
		}
	}
}

// read takes the lines of a policy.
func (t *trafficPolicy) read(p *parser, words []string) (bool, error) {
	switch {
	case words[0] == "!!":
		t.remarks = append(t.remarks, strings.Join(words[1:], " "))
	case begins(words, "description"), begins(words, "counter") && words[1] != "interface":
	case is(words, "match * ipv4"), is(words, "match * ipv6"):
		return true, t.newMatch(p, words[1], words[2] == "ipv6")
	default:
		return false, nil
	}
	return true, nil
}

func (t *trafficPolicy) newMatch(p *parser, name string, ipv6 bool) error {
	m := &matchBlock{name: name, ipv6: ipv6, line: p.number}
	family := 0
	if ipv6 {
		family = 1
	}
	switch other := t.byName[name]; {
	case other != nil:
		return p.fail("match %s is here a second time; the first is in line %d", name, other.line)
	case name == defaultName(ipv6):
		t.defaults[family] = m
	case name == defaultName(!ipv6):
		return p.fail("match %s is of the other family", name)
	case t.defaults[family] != nil:
		return p.fail("match %s is behind %s, and is never reached", name, t.defaults[family].name)
	default:
		t.matches = append(t.matches, m)
	}
	t.byName[name] = m
	p.open(2, m.read)
	return nil
}

// Write writes the section as it was read, with the indentation of a device.
func (c *Config) Write() []byte {
	var out bytes.Buffer
	for _, l := range c.lines {
		fmt.Fprintf(&out, "%s%s\n", strings.Repeat("   ", l.level), l.text)
	}
	return out.Bytes()
}
