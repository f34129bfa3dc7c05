package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/target"
	"cordon/recommender/target/eos"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// removable is a rule of the running policy that can go.
type removable struct {
	policy.InForce
	VRF   string `json:"vrf,omitempty"`
	Lines int    `json:"linesSaved"`
}

// maxAudited is how many rules are compared with one another.
const maxAudited = 2000

// removables lists the rules of a running policy that others make needless, with the lines that they take.
func removables(documents []target.Document, prices []eos.Price, groups *categories.File) (out []removable) {
	if groups == nil {
		groups = &categories.File{}
	}
	addresses, err := policy.NewAddresses(groups, nil)
	if err != nil {
		return nil
	}
	for i := range documents {
		d := &documents[i]
		statements, _, err := d.Sessions(false)
		if err != nil || len(statements) != len(d.Rules) || len(statements) > maxAudited {
			continue // a rule in several parts, of which some may go, or too many rules
		}
		var rules []policy.AuditRule
		for j := range statements {
			rules = append(rules, policy.AuditRule{StatementRule: statements[j], Label: statements[j].Label(j)})
		}
		for _, found := range addresses.Audit(rules, nil, nil) {
			if found.Finding != policy.Redundant && found.Finding != policy.Shadowed {
				continue
			}
			out = append(out, newRemovable(found, &d.Policy, prices))
		}
	}
	return out
}

// newRemovable gives a finding with the lines that its rule takes.
func newRemovable(found policy.InForce, of *policy.Policy, prices []eos.Price) removable {
	r := removable{InForce: found, VRF: of.VRF}
	for _, p := range prices {
		if p.Rule == found.Rule && (p.Policy == of.Name || of.Name == "") {
			r.Lines += p.Lines
		}
	}
	return r
}

// audited are the findings that policy diff tells, in its order.
var audited = []policy.Audited{policy.Redundant, policy.Shadowed, policy.Unused, policy.WiderThanSeen}

// bySessions replaces what can go by what the sessions of a store say of each rule of the running policies: besides those
// that others make needless, rules under which nothing was seen, and rules that permit more than was seen. A policy of
// every VRF is judged by the sessions of all.
func (c *policyChange) bySessions(ctx context.Context, conn driver.Conn, settings recommender.Settings, groups *categories.File) error {
	running := settings.Existing
	proposals, err := recommender.Generate(ctx, conn, settings, groups)
	if err != nil {
		return err
	}
	out := []removable{}
	for i := range running {
		d := &running[i]
		actions := map[string]policy.Action{} // Keyed by the names of this policy's rules.
		for j := range d.Rules {
			actions[d.Rules[j].Label(j)] = d.Rules[j].Action
		}
		found := map[string]int{}
		judged := 0
		for j := range proposals {
			if d.VRF == "" || d.VRF == proposals[j].VRF {
				judged++
				for _, x := range proposals[j].Existing {
					found[x.Rule+" "+string(x.Finding)]++
				}
			}
		}
		for j := range proposals {
			if d.VRF != "" && d.VRF != proposals[j].VRF {
				continue
			}
			for _, x := range proposals[j].Existing {
				action, known := actions[x.Rule]
				if !known || !slices.Contains(audited, x.Finding) || found[x.Rule+" "+string(x.Finding)] != judged {
					continue
				}
				// A denial under which nothing was seen still keeps out what it is there for.
				if x.Finding != policy.Unused || action == policy.Allow {
					out = append(out, newRemovable(x, d, c.runningPrices))
				}
			}
			break
		}
	}
	slices.SortStableFunc(out, func(a, b removable) int { return slices.Index(audited, a.Finding) - slices.Index(audited, b.Finding) })
	c.Removable = withoutTwins(out)
	return nil
}

// withoutTwins leaves out the match for answers of a rule that is listed for the same reason: its lines are the rule's.
func withoutTwins(list []removable) []removable {
	return slices.DeleteFunc(list, func(twin removable) bool {
		rule, is := strings.CutSuffix(twin.Rule, "-reverse")
		return is && twin.Lines == 0 && slices.ContainsFunc(list, func(r removable) bool {
			return r.Rule == rule && r.VRF == twin.VRF && r.Finding == twin.Finding
		})
	})
}

// print writes a finding for people.
func (r *removable) print(w io.Writer) {
	switch by := slices.Concat(r.By, r.ByProposed); {
	case r.Finding == policy.WiderThanSeen && r.Beyond != nil:
		fmt.Fprintf(w, "could be narrower: %s permits %d pairs and %s, and %d pairs and %s were seen; %s\n", r.Rule, r.Beyond.PermittedPairs,
			text.Count(r.Beyond.PermittedPorts, "port"), r.Beyond.ObservedPairs, text.Count(r.Beyond.ObservedPorts, "port"), text.Count(r.Lines, "line"))
	case r.Finding == policy.Unused:
		fmt.Fprintf(w, "can go: %s decides no session that was seen; %s\n", r.Rule, text.Count(r.Lines, "line"))
	default:
		fmt.Fprintf(w, "can go: %s is %s by %s; %s\n", r.Rule, r.Finding, strings.Join(by, ", "), text.Count(r.Lines, "line"))
	}
}

// countSessions counts the sessions of files, or those collected, under what changes, and judges the rules of the running
// policies by them.
func (a *app) countSessions(ctx context.Context, c *policyChange, settings recommender.Settings, f *policyDiffFlags) error {
	groups, err := parseGroups(f.groups)
	if err != nil {
		return err
	}
	st, err := a.openSessions(ctx, f.from, time.Now(), false, new(stepClock).add)
	if err != nil {
		return err
	}
	defer st.close()
	if groups, err = a.withSources(ctx, st, groups, len(f.from) > 0); err != nil {
		return err
	}
	if err := c.bySessions(ctx, st.Conn, settings, groups); err != nil {
		return err
	}
	seen := schema.SessionsOf(settings.Since.Time, settings.Until.Time)
	rows, err := st.Conn.Query(ctx, "SELECT vrf, client_ip, server_ip, proto, port, icmp_type FROM "+seen+" WHERE complete > 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	all := []*[]policy.Shift{&c.Gained, &c.Lost}
	for _, list := range all {
		for i := range *list {
			(*list)[i].Sessions = new(uint64)
		}
	}
	for rows.Next() {
		var vrf string
		var client, server netip.Addr
		var proto, icmpType uint8
		var port uint16
		if err := rows.Scan(&vrf, &client, &server, &proto, &port, &icmpType); err != nil {
			return err
		}
		service := categories.NewService(proto, port, icmpType)
		for _, list := range all {
			for i := range *list {
				if s := &(*list)[i]; (s.VRF == "" || s.VRF == vrf) && s.Holds(client, server, service) {
					*s.Sessions++
				}
			}
		}
	}
	return rows.Err()
}
