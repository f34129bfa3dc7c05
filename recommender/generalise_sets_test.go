package recommender

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"
)

// places looks up what the constraints of true rules speak of.
type places struct{ role, site, env *categories.Resolver }

func newPlaces(t *testing.T, file *categories.File) places {
	t.Helper()
	of := func(category string) *categories.Resolver {
		r, err := categories.NewResolver(file, []string{category})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	return places{of("role"), of("site"), of("env")}
}

func groupIn(r *categories.Resolver, a netip.Addr) string {
	ref, ok := r.Lookup(a)
	if !ok {
		return "none"
	}
	return ref.Group
}

// permits reports whether the true policy permits a service between two hosts of the network.
func (tr *truth) permits(p places, src, dst netip.Addr, service categories.ServiceTerm) bool {
	for _, r := range tr.rules {
		same := func(x *categories.Resolver) bool {
			return groupIn(x, src) == groupIn(x, dst) && groupIn(x, src) != "none"
		}
		fits := r.constraint == "" || r.constraint == "site" && same(p.site) || r.constraint == "env" && same(p.env) ||
			r.constraint == "env=dev" && groupIn(p.env, dst) == "dev" || r.constraint == "env=prod" && groupIn(p.env, dst) == "prod"
		if fits && slices.Contains(r.sources, groupIn(p.role, src)) && slices.Contains(r.destinations, groupIn(p.role, dst)) &&
			slices.ContainsFunc(r.services, func(t categories.ServiceTerm) bool {
				return t.Proto == service.Proto && t.Lo <= service.Lo && service.Hi <= t.Hi
			}) {
			return true
		}
	}
	return false
}

// TestGeneraliseHeldOut learns on the first part of the window and looks at what
// that denies of the sessions that come after: docs/generalisation.md shows the table that
// it prints. For the synthetic network it also knows which unseen cells are right.
func TestGeneraliseHeldOut(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 600,000 sessions")
	}
	t.Log("| set | `--generalise` | rules | literals | unseen cells | right | later sessions denied |")
	for _, x := range []struct {
		set, category string
		cut           time.Time
	}{
		{"synth_small", "role_site", time.Date(2024, 3, 11, 0, 0, 0, 0, time.UTC)},
		{"cisco_g21", "tier", time.Date(2022, 2, 12, 0, 0, 0, 0, time.UTC)},
	} {
		file, err := categories.ReadFile(shared(t, "data/sets/"+x.set+"/groups.csv"))
		if err != nil {
			t.Fatal(err)
		}
		conn := store(t)
		insertFile(t, conn, shared(t, "data/sets/"+x.set+"/sessions.csv.zst"))
		a, err := policy.NewAddresses(file, []string{x.category})
		if err != nil {
			t.Fatal(err)
		}
		var tr *truth
		var at places
		var later []labelled
		if x.set == "synth_small" {
			tr, at = readTruth(t, "data/sets/"+x.set), newPlaces(t, file)
			later = slices.DeleteFunc(tr.sessions, func(l labelled) bool { return l.noise() || l.at.Before(x.cut) })
		} else {
			rows, err := conn.Query(t.Context(), "SELECT DISTINCT client_ip, server_ip, proto, port FROM sessions_window(since = '"+
				x.cut.Format(schema.TimeLayout)+"', until = '2200-01-01 00:00:00.000000')")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var l labelled
				if err := rows.Scan(&l.client, &l.server, &l.service.Proto, &l.service.Port); err != nil {
					t.Fatal(err)
				}
				l.client, l.server = l.client.Unmap(), l.server.Unmap()
				later = append(later, l)
			}
		}
		// What ends in no group is not generalised, and would only dilute the figures.
		later = slices.DeleteFunc(later, func(l labelled) bool {
			return a.Resolver().LookupIndex(l.client) < 0 || a.Resolver().LookupIndex(l.server) < 0
		})
		type counted struct {
			client, server netip.Addr
			service        categories.Service
		}
		distinct := map[counted]bool{}
		for _, l := range later {
			distinct[counted{l.client, l.server, l.service}] = true
		}
		rules, denied := map[float64]int{}, map[float64]int{}
		for _, level := range []float64{0, 0.25, 0.05, 1e-9} {
			got, err := Generate(t.Context(), conn, Settings{Categories: []string{x.category}, Settings: policy.Settings{Ungrouped: policy.UngroupedReport, Until: policy.NewTime(x.cut), Generalise: level}}, file)
			if err != nil {
				t.Fatal(err)
			}
			p := &got[0]
			if level == 0.05 {
				verifyProposal(t, t, conn, p, Settings{}, file)
			}
			literals, right := 0, map[policy.Cell]bool{}
			for i := range p.Rules {
				literals += p.Rules[i].Literals()
				for _, g := range p.Rules[i].Generalised {
					if tr != nil && tr.permits(at, addressOf(a, g.Source), addressOf(a, g.Destination), g.Service.Term) {
						right[g.Cell()] = true
					}
				}
			}
			for l := range distinct {
				if !a.Permits(p.Rules, l.client, l.server, l.service) {
					denied[level]++
				}
			}
			rules[level] = len(p.Rules)
			t.Logf("| %s, %s | %v | %d (bound %d) | %d | %d | %d | %d of %d |", x.set, x.category, level, len(p.Rules), p.Certificate.LowerBound, literals,
				p.Summary.GeneralisedCells, len(right), denied[level], len(distinct))
		}
		if rules[0.05] >= rules[0] || rules[0.25] > rules[0] || denied[0.05] > denied[0] {
			t.Errorf("%s: %v rules, %v denied", x.set, rules, denied)
		}
	}
}

// addressOf gives an address that resolves to a group.
func addressOf(a *policy.Addresses, group policy.Endpoint) netip.Addr {
	for _, as := range a.Resolver().Assignments() {
		if a.Contains(group, as.Prefix.Addr()) {
			return as.Prefix.Addr()
		}
	}
	panic("BUG: a group without an address: " + group.String())
}
