package recommender

import (
	"context"
	"maps"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Amend makes the proposal that would follow one, with its settings, of everything seen since its window began; nil where there is
// nothing to propose. Rules that are the same keep their names; names, which people gave, come before those.
func Amend(ctx context.Context, conn driver.Conn, p *policy.Proposal, file *categories.File, names policy.RuleNames) (*policy.Proposal, error) {
	list, err := Generate(ctx, conn, amendSettings(p, names), file)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].VRF == p.VRF {
			return &list[i], nil
		}
	}
	return nil, nil
}

func amendSettings(p *policy.Proposal, names policy.RuleNames) Settings {
	s := settingsOf(p)
	s.Settings = policy.Settings{}
	if p.Settings != nil {
		s.Settings = *p.Settings
	}
	s.Until = policy.Time{}
	s.Existing, s.Guardrails = p.MadeWith()
	s.RuleNames = policy.RuleNames{}
	for i := range p.Rules {
		s.RuleNames[p.Rules[i].ID] = p.Rules[i].Name
	}
	maps.Copy(s.RuleNames, names)
	return s
}
