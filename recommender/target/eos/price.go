package eos

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// Price is what a rule takes of a device.
type Price struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"` // the name of its first match
	// Matches and Lines are those of the rule, of both families, requests and answers; separators and remarks do not count.
	Matches int `json:"matches"`
	Lines   int `json:"lines"`
	// SetEntries are the prefixes and services of its field-sets, each set counted once for the rule.
	SetEntries int `json:"setEntries"`
	// Expanded is how many entries the hardware needs at most: sources times destinations times services, where a range of
	// ports is as many masks as make it up. With labels for prefixes and ports in the key, devices need less.
	Expanded int64 `json:"expandedEntries"`
}

// Prices gives the price of each rule, in order. Matches that are called like another one with -reverse, -v6 or -icmp
// behind it are of its rule.
func (c *Config) Prices() (out []Price) {
	for _, t := range c.policies {
		at := map[string]int{}
		sets := map[string]map[string]bool{}
		for _, m := range t.matches {
			rule := m.name
			for _, suffix := range []string{reverseSuffix, v6Suffix, icmpSuffix, v6Suffix} {
				if short := strings.TrimSuffix(rule, suffix); short != rule && (t.byName[short] != nil || t.byName[short+v6Suffix] != nil || t.byName[short+icmpSuffix] != nil) {
					rule = short
				}
			}
			i, ok := at[rule]
			if !ok {
				i = len(out)
				at[rule] = i
				out = append(out, Price{Policy: t.name, Rule: m.name})
				sets[rule] = map[string]bool{}
			}
			c.add(&out[i], m, sets[rule])
		}
	}
	return out
}

// add adds a match to the price of its rule.
func (c *Config) add(p *Price, m *matchBlock, sets map[string]bool) {
	p.Matches++
	entries := int64(1)
	for which, end := range m.ends {
		for _, name := range end.sets {
			if key := familyName(m.ipv6) + name; !sets[key] {
				sets[key] = true
				s := c.prefixes[family(m.ipv6)][name]
				p.SetEntries += len(s.in) + len(s.out)
			}
		}
		if end.line > 0 {
			entries *= int64(len(c.endSet(m, which).Prefixes()))
		}
	}
	for _, name := range m.services {
		if key := "service" + name; !sets[key] {
			sets[key] = true
			p.SetEntries += len(c.services[name].lines)
		}
	}
	var services int64
	for _, a := range c.alternatives(m) {
		ports := []policy.PortSpan{{Lo: a.service.Term.Lo, Hi: a.service.Term.Hi}}
		if a.any || !iana.HasPorts(a.service.Term.Proto) && !iana.IsICMP(a.service.Term.Proto) {
			ports = nil
		}
		services += max(1, masks(a.source)) * max(1, masks(ports))
	}
	p.Expanded += entries * services
	p.Lines += m.lines
}

// masks counts the masks that ranges of ports are made of; none stand for every port.
func masks(ports []policy.PortSpan) (n int64) {
	for _, s := range ports {
		for lo, hi := int(s.Lo), int(s.Hi); lo <= hi; n++ {
			size := 1
			for lo%(2*size) == 0 && lo+2*size-1 <= hi {
				size *= 2
			}
			lo += size
		}
	}
	return n
}

// Finding is something about a configuration that a person should look at.
type Finding struct {
	Line    int    `json:"line"` // The section's first line; 0 stands for all of it.
	Kind    string `json:"kind"` // transforms, icmp-type-code, except, default-permit, stateless or name
	Message string `json:"message"`
}

// LintOptions say what the device has.
type LintOptions struct {
	// Except says that the version has except; nil where it is not known.
	Except *bool
	// Features are those of the profile of the TCAM; nil where they are not known.
	Features []string
}

// Lint lists what may not work on a device, or permit more than a person thinks.
func (c *Config) Lint(o LintOptions) (out []Finding) {
	add := func(line int, kind, format string, args ...any) {
		out = append(out, Finding{line, kind, fmt.Sprintf(format, args...)})
	}
	transforms := slices.ContainsFunc(c.lines, func(l line) bool { return strings.HasPrefix(l.text, "transforms interface prefix common") })
	for family := range c.prefixes {
		for _, name := range slices.Sorted(maps.Keys(c.prefixes[family])) {
			if s := c.prefixes[family][name]; len(s.out) > 0 && o.Except != nil && !*o.Except {
				add(s.line, "except", "field-set %s has except, which EOS before 4.30.2F does not have", name)
			}
		}
	}
	for _, t := range c.policies {
		both, types := 0, 0
		for _, m := range t.matches {
			if len(m.ends[0].sets) > 0 && len(m.ends[1].sets) > 0 && both == 0 {
				both = m.line
			}
			for _, p := range m.protocols {
				if len(p.types) > 0 && types == 0 {
					types = m.line
				}
			}
			if err := badName(m.name); err != nil {
				add(m.line, "name", "match %s: %v", m.name, err)
			}
		}
		if both > 0 && !transforms {
			add(both, "transforms", "policy %s has matches with field-sets at both sides, and there is no line `transforms interface prefix common source-destination`: some platforms need it", t.name)
		}
		switch {
		case types == 0 || slices.Contains(o.Features, "icmp-type-code"):
		case o.Features == nil:
			add(types, "icmp-type-code", "policy %s matches types of ICMP: the profile of the TCAM needs icmp-type-code for that", t.name)
		default:
			add(types, "icmp-type-code", "policy %s matches types of ICMP, and the features of the limits file have no icmp-type-code", t.name)
		}
		for i, m := range t.defaults {
			if m == nil || !m.drop {
				add(t.line, "default-permit", "policy %s permits what no match decides of %s", t.name, familyName(i == 1))
			}
		}
		if n, line := c.open(t); n > 0 {
			add(line, "stateless", "policy %s permits what comes from a server's port to any port of a client, whoever began, for %d ports in all matches together", t.name, n)
		}
	}
	return out
}

// badName says what is wrong with a name.
func badName(name string) error {
	if clean, err := word(name); err != nil {
		return err
	} else if clean != name {
		return errors.New(`the name has signs other than letters, digits, "_", "-" and "."`)
	}
	if name == "ipv4-default-all" || name == "ipv6-default-all" {
		return fmt.Errorf("this is a match like any other and not the end of the policy, which is called %s-all-default", name[:4])
	}
	return nil
}

// open counts the ports of matches for answers that let anything through from there, and gives the line of the first.
func (c *Config) open(t *trafficPolicy) (n, line int) {
	for _, m := range t.matches {
		if m.drop || len(m.opaque) > 0 {
			continue
		}
		for _, a := range c.alternatives(m) {
			if len(a.source) == 0 || a.flags != "" || !a.service.Term.Any() {
				continue
			}
			if line == 0 {
				line = m.line
			}
			for _, s := range a.source {
				n += int(s.Hi) - int(s.Lo) + 1
			}
		}
	}
	return n, line
}
