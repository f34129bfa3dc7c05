package recommender

import (
	"errors"
	"fmt"
	"net/netip"

	"cordon/categories"
	"cordon/recommender/policy"
)

// plan is what a run knows before it looks at sessions.
type plan struct {
	settings   Settings
	file       *categories.File
	given      *categories.File // nil for none
	addresses  *policy.Addresses
	resolver   *categories.Resolver
	labels     []policy.Endpoint // Labels of the groups, by their place.
	internet   policy.Endpoint
	merger     *policy.Merger
	names      *namer
	categories []string      // selected
	bounds     policy.Bounds // Bounds of Settings.Scope.

	classes    classes
	exclusions *matcher
	guardrails *matcher
	existing   *matcher

	levels     []*level                 // Set if Settings.Generalise asks for them.
	groupSpans map[uint32][]policy.Span // Spans of each group; see spansOf.

	listedRules *matcher // nil unless a listing is asked for
	hourly      bool     // the hours of sessions are asked for
}

func newPlan(s Settings, file *categories.File) (*plan, error) {
	s, nameTemplate, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	if file != nil {
		s.groupsAt = s.groupsAt.UTC()
	}
	if file.PerVRF() {
		if s.VRF == "" {
			return nil, policy.WrongSetting("vrf", fmt.Errorf("%s has groups of single VRFs: name one of the VRFs with sessions", file.Path))
		}
		file = file.InVRF(s.VRF)
	}
	whole := file // The whole file has the times of prefixes.
	file = file.AtIn(s.groupsAt, s.changesSince())
	scope, bounds, err := s.Scope.Bounds(file)
	if err != nil {
		return nil, scopeError(err)
	}
	s.Scope = scope
	given := file
	if file == nil {
		file = &categories.File{}
	}
	p := &plan{settings: s, file: file, given: given, bounds: bounds, categories: s.Categories}
	if len(p.categories) == 0 {
		p.categories = file.CategoryNames()
	}
	if p.addresses, err = policy.NewAddresses(file, s.Categories); err != nil {
		return nil, policy.WrongSetting("category", err)
	}
	p.resolver = p.addresses.Resolver()
	for _, g := range p.resolver.Groups() {
		p.labels = append(p.labels, policy.GroupEndpoint(p.resolver.Label(g)))
	}
	p.internet = policy.GroupEndpoint(p.resolver.Label(categories.Internet))
	if p.classes.history, err = newHistory(whole, s); err != nil {
		return nil, policy.WrongSetting("category", err)
	}
	p.merger = policy.NewMerger(p.addresses)
	p.names = newNamer(nameTemplate, file)

	exclusions := p.exclusionStatements()
	guardrails, err := p.policyStatements("guardrails", s.Guardrails, func(a policy.Action) policy.Reading { return policy.ReadingOf(a, true) })
	if err != nil {
		return nil, err
	}
	p.classes.guarded = p.classes.setCount
	existing, err := p.policyStatements("existing", s.Existing, func(a policy.Action) policy.Reading { return policy.ReadingOf(a, false) })
	if err != nil {
		return nil, err
	}
	listed, err := p.policyStatements("groups", s.listed, func(policy.Action) policy.Reading { return policy.Proposed })
	if err != nil {
		return nil, err
	}
	p.classes.build(p.resolver)
	if s.Generalise > 0 {
		if p.levels, err = newLevels(file, s.GeneraliseWithin); err != nil {
			return nil, err
		}
	}
	p.exclusions = newMatcher(exclusions, &p.classes)
	p.guardrails = newMatcher(guardrails, &p.classes)
	p.existing = newMatcher(existing, &p.classes)
	if s.listed != nil {
		p.listedRules = newMatcher(listed, &p.classes)
	}
	return p, nil
}

// scopeError makes a mistake in the scope one in the settings.
func scopeError(err error) error {
	if wrong, ok := errors.AsType[*policy.ScopeError](err); ok {
		return policy.WrongSetting(wrong.Field, wrong.Err)
	}
	return err
}

func (p *plan) exclusionStatements() []statement {
	var out []statement
	for i := range p.file.Exclude {
		x := &p.file.Exclude[i]
		st := statement{note: x.Reason}
		members := func(prefixes []netip.Prefix, all bool) []member {
			if all {
				return []member{{any: true, group: -1}}
			}
			return []member{{group: -1, set: p.classes.addSet(prefixes)}}
		}
		st.src, st.dst = members(x.SourcePrefixes()), members(x.DestinationPrefixes())
		for _, t := range x.Services {
			st.services = append(st.services, policy.Service{Term: t})
		}
		if len(x.Services) == 0 {
			st.services = []policy.Service{{Any: true}}
		}
		out = append(out, st)
	}
	return out
}

// policyStatements gives the rules of policies; reading says how one with an action names groups.
func (p *plan) policyStatements(setting string, policies []policy.Policy, reading func(policy.Action) policy.Reading) ([]statement, error) {
	var out []statement
	for _, doc := range policies {
		for i, r := range doc.Rules {
			st := statement{note: r.Label(i), vrf: doc.VRF, deny: r.Action != policy.Allow, services: r.Services}
			for _, side := range []struct {
				from []policy.Endpoint
				to   *[]member
			}{{r.Sources, &st.src}, {r.Destinations, &st.dst}} {
				for _, e := range side.from {
					m, err := p.classes.addEndpoint(p.addresses, e, reading(r.Action))
					if err != nil {
						return nil, policy.WrongSetting(setting, fmt.Errorf("%s: %w", st.note, err))
					}
					*side.to = append(*side.to, m)
				}
			}
			out = append(out, st)
		}
	}
	return out, nil
}

// needsHours reports whether the hours of sessions matter.
func (p *plan) needsHours() bool {
	return p.hourly || p.settings.MinHours > 1 || p.settings.Recurring > 1 || p.settings.PortRanges > 0
}

// needsClasses reports whether a session's fate can depend on more than its
// cell: then cells are counted by class as well.
func (p *plan) needsClasses() bool {
	return len(p.exclusions.statements)+len(p.guardrails.statements)+len(p.existing.statements) > 0 || p.listedRules != nil
}
