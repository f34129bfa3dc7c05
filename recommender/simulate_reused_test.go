package recommender

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"
)

// inTime is a proposal as a policy to replay against, with groups that have times.
func inTime(t rapid.TB, p *policy.Proposal, file *categories.File, s Settings) *simulate.Candidate {
	x, err := policy.NewInTime(file, p.Categories, s.Since.Time, s.Until.Time, p.GroupsAt.Time)
	if err != nil {
		t.Fatal(err)
	}
	doc := p.Policy()
	doc.Default = policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}
	sets := func(literals []policy.Endpoint, _ policy.Reading) (policy.AddressSet, error) {
		return x.Set(literals, policy.Proposed)
	}
	return &simulate.Candidate{Name: "proposal", Documents: []simulate.Document{{Policy: doc, Sets: sets, InTime: x}}}
}

// replayInTime replays a proposal on its own window, and without each rule if that is asked for.
func replayInTime(t *testing.T, rt rapid.TB, conn driver.Conn, p *policy.Proposal, file *categories.File, s Settings, each bool) *simulate.Replay {
	set := simulate.Settings{Since: s.Since.Time, Until: s.Until.Time, VRF: p.VRF, Scope: p.Scope, Groups: file, Categories: p.Categories, Each: each, WithoutHosts: each}
	r, err := simulate.New(t.Context(), conn, set, inTime(rt, p, file, s), nil)
	if err != nil {
		rt.Fatal(err)
	}
	return r
}

// TestSimulateReused replays proposals for re-used addresses on their own windows: what is denied is what they leave out.
func TestSimulateReused(t *testing.T) {
	conn := store(t)
	insertFlows(t, conn, reusedFlows())
	for name, c := range map[string]struct {
		groups   string
		settings policy.Settings
		want     string // cells by decision, and the sessions of each
	}{
		"both owners": {reusedGroups, policy.Settings{},
			"permit job > api tcp/7001 1, permit job > api tcp/9090 1, permit job > db tcp/5432 1, permit web > api tcp/7002 1, permit web > api tcp/8080 2, permit web > api tcp/9090 1, deny ungrouped > api tcp/7000 1"},
		"nobody since, and hosts that stand for themselves": {strings.Replace(reusedGroups, ", {prefix: 10.0.0.7, from: \"2026-11-20T12:30:00Z\"}", "", 1), policy.Settings{Ungrouped: policy.UngroupedHost},
			"permit job > api tcp/7001 1, permit job > api tcp/9090 1, permit job > db tcp/5432 1, permit ungrouped > api tcp/7002 1, permit ungrouped > api tcp/8080 1, permit ungrouped > api tcp/9090 1, permit web > api tcp/8080 1, deny ungrouped > api tcp/7000 1"},
	} {
		s, file := Settings{Settings: c.settings}, parseGroups(t, c.groups)
		proposals, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			t.Fatal(err)
		}
		p := &proposals[0]
		r := replayInTime(t, t, conn, p, file, s, false)
		if got := cellsText(t, conn, r); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
		if sum := &r.Result.Summary; sum.Permitted != p.Summary.Included || sum.Sessions != p.Summary.Sessions {
			t.Errorf("%s: %+v, and the proposal includes %d of %d", name, *sum, p.Summary.Included, p.Summary.Sessions)
		}
		if name == "both owners" {
			checkCarriedTimes(t, conn, p, s, c.want)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// checkCarriedTimes replays a proposal by its document alone, and lists its sessions: that says as much of re-used addresses as the groups file.
func checkCarriedTimes(t *testing.T, conn driver.Conn, p *policy.Proposal, s Settings, want string) {
	t.Helper()
	carried, err := p.CarriedTimes()
	if err != nil {
		t.Fatal(err)
	}
	r := replayInTime(t, t, conn, p, carried, s, false)
	defer r.Close(t.Context())
	if got := cellsText(t, conn, r); got != want {
		t.Errorf("by the document alone:\n%s\nwant\n%s", got, want)
	}
	l, err := OpenView(t.Context(), conn, p, ListOptions{Groups: carried})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	var left uint64
	for _, u := range l.Unproposed {
		left += u.Sessions
	}
	if left != r.Result.Summary.Denied {
		t.Errorf("a listing by the document leaves out %d sessions (%v), the replay denies %d", left, l.Unproposed, r.Result.Summary.Denied)
	}
}

// cellsText lists the sessions that are listed, by decision and groups.
func cellsText(t *testing.T, conn driver.Conn, r *simulate.Replay) string {
	t.Helper()
	sql, err := r.Sessions(t.Context(), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var listed, flows, counted uint64
	if err := conn.QueryRow(t.Context(), "SELECT count(), sum(flows) FROM "+sql).Scan(&listed, &flows); err != nil {
		t.Fatal(err)
	}
	for _, rule := range r.Result.Rules {
		counted += rule.Flows
	}
	if s := &r.Result.Summary; listed != s.Sessions || flows != counted {
		t.Errorf("%d sessions of %d flows are listed, %d of %d were counted", listed, flows, s.Sessions, counted)
	}
	var out []string
	var csv strings.Builder
	if err := r.Result.WriteCSV(&csv); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(csv.String()), "\n")
	at := map[string]int{}
	for i, name := range strings.Split(lines[0], ",") {
		at[name] = i
	}
	for _, line := range lines[1:] {
		f := strings.Split(line, ",")
		out = append(out, fmt.Sprintf("%s %s > %s %s %s", f[at["decision"]], f[at["source"]], f[at["destination"]], f[at["service"]], f[at["sessions"]]))
	}
	slices.SortFunc(out, func(a, b string) int {
		if x, y := strings.HasPrefix(a, "deny"), strings.HasPrefix(b, "deny"); x != y {
			if x {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	return strings.Join(out, ", ")
}

// drawTimes makes some of the prefixes of a groups file belong to their groups for a time only, and to the next group afterwards.
func drawTimes(t *rapid.T, f *categories.File) *categories.File {
	out := &categories.File{Path: f.Path}
	for _, c := range f.Categories {
		made := categories.Category{Name: c.Name}
		for _, g := range c.Groups {
			made.Groups = append(made.Groups, categories.Group{Name: g.Name})
		}
		for i, g := range c.Groups {
			for _, p := range g.Prefixes {
				to := categories.Times{}
				if rapid.IntRange(0, 2).Draw(t, "changes") > 0 {
					// A change is in an hour of sessions, or at its end.
					to.Until = base.Add(time.Duration(rapid.IntRange(-1, 4).Draw(t, "half hours")) * 30 * time.Minute)
					next := &made.Groups[(i+1)%len(made.Groups)]
					if rapid.Bool().Draw(t, "goes to the next group") {
						next.AddPrefix(p, categories.Times{From: to.Until})
					}
				}
				made.Groups[i].AddPrefix(p, to)
			}
		}
		out.Categories = append(out.Categories, made)
	}
	return out
}

// TestSimulateReusedAgainstReference replays drawn sessions, whose addresses change their groups, against the proposals that were made of them. It
// compares with what the groups were in each hour, one hour at a time, and with what the proposals leave out.
func TestSimulateReusedAgainstReference(t *testing.T) {
	conn := store(t)
	_, restore := fewChecks("1", "3")
	defer restore()
	rapid.Check(t, func(rt *rapid.T) {
		file := drawTimes(rt, drawGroups(rt, 27))
		s := Settings{Categories: drawSelection(rt, file), WithoutReadiness: true, Settings: policy.Settings{
			Ungrouped: rapid.SampledFrom([]policy.UngroupedMode{policy.UngroupedHost, policy.UngroupedReport}).Draw(rt, "ungrouped"),
			External:  rapid.SampledFrom([]policy.ExternalMode{policy.ExternalReport, policy.ExternalHost}).Draw(rt, "external")}}
		flows := rapid.SliceOfN(rapid.Custom(drawFlow), 1, 60).Draw(rt, "flows")
		for i := range flows {
			// Nothing but groups leaves a session out.
			flows[i].completeness, flows[i].action, flows[i].unknown, flows[i].at = schema.Unknowable, 0, false, flows[i].at%(3*time.Hour)
		}
		empty(t, conn)
		insertFlows(t, conn, flows)
		proposals, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range proposals {
			checkReusedReplay(t, rt, conn, &proposals[i], file, s)
		}
	})
}

func checkReusedReplay(t *testing.T, rt *rapid.T, conn driver.Conn, p *policy.Proposal, file *categories.File, s Settings) {
	if p.GroupsAt == nil {
		at := p.Window.To
		p.GroupsAt = &at
	}
	r := replayInTime(t, rt, conn, p, file, s, true)
	defer r.Close(t.Context())
	var permitted, denied, left uint64 // flows, flows and sessions
	for _, rule := range r.Result.Rules {
		if rule.Name == policy.DefaultRule {
			denied += rule.Flows
		} else {
			permitted += rule.Flows
		}
	}
	for _, u := range p.Unproposed {
		left += u.Sessions
	}
	sum := &r.Result.Summary
	if stopped := sum.Denied + sum.AttemptsDenied; stopped != left || sum.Permitted+sum.AttemptsPermitted != p.Summary.Included {
		rt.Fatalf("%+v, the proposal includes %d and leaves out %+v; re-used are %s", *sum, p.Summary.Included, p.Unproposed, reusedText(p))
	}
	hours := readHours(t, rt, conn, p.VRF)
	if want, wantNot := permittedFlows(hours, p, file); permitted != want || denied != wantNot {
		rt.Fatalf("%d flows are permitted and %d denied, want %d and %d", permitted, denied, want, wantNot)
	}
	for i := range r.Result.Each {
		without := *p
		without.Rules = slices.Delete(slices.Clone(p.Rules), i, i+1)
		if want, _ := permittedFlows(hours, &without, file); permitted-r.Result.Each[i].Denied.Flows != want {
			rt.Fatalf("without rule %s: %d flows break of %d, want %d to stay", p.Rules[i].Name, r.Result.Each[i].Denied.Flows, permitted, want)
		}
	}
}

// hourOf is an hour of a session.
type hourOf struct {
	client, server netip.Addr
	service        categories.Service
	first, last    time.Time // the last one as far as the hour goes
	flows          uint64
}

func readHours(t *testing.T, rt *rapid.T, conn driver.Conn, vrf string) (out []hourOf) {
	rows, err := conn.Query(t.Context(), "SELECT client_ip, server_ip, proto, port, icmp_type::UInt8, hour, first_seen, last_seen, (complete + half_open + unanswered + requests + replies + denied)::UInt64 FROM ("+
		schema.HoursOf(time.Time{}, time.Time{}, func(string, string) string { return "true" })+") WHERE vrf = ?", vrf)
	if err != nil {
		rt.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var h hourOf
		var proto, icmp uint8
		var port uint16
		var hour time.Time
		if err := rows.Scan(&h.client, &h.server, &proto, &port, &icmp, &hour, &h.first, &h.last, &h.flows); err != nil {
			rt.Fatal(err)
		}
		if end := hour.Add(time.Hour - time.Microsecond); end.Before(h.last) {
			h.last = end
		}
		h.client, h.server, h.service = h.client.Unmap(), h.server.Unmap(), categories.NewService(proto, port, icmp)
		out = append(out, h)
	}
	if err := rows.Err(); err != nil {
		rt.Fatal(err)
	}
	return out
}

// permittedFlows counts the flows that a proposal permits and those that it does not, hour by hour, by the groups of the moment in which the first of the hour
// began. Where an address changed its groups within the flows of the hour it is in none.
func permittedFlows(hours []hourOf, p *policy.Proposal, file *categories.File) (permitted, denied uint64) {
	for i := range hours {
		h := &hours[i]
		then, err := policy.NewAddresses(file.At(h.first), p.Categories)
		if err != nil {
			panic(err)
		}
		if permitsThen(p, file, then, h.client, h.server, h.service, h.first, h.last) {
			permitted += h.flows
		} else {
			denied += h.flows
		}
	}
	return permitted, denied
}

func permitsThen(p *policy.Proposal, file *categories.File, then *policy.Addresses, client, server netip.Addr, service categories.Service, first, last time.Time) bool {
	holds := func(list []policy.Endpoint, a netip.Addr) bool {
		for _, at := range momentsOf(file, a) {
			if at.After(first) && !at.After(last) && ownerAt(p, file, a, at) != ownerAt(p, file, a, first) {
				return slices.ContainsFunc(list, policy.Endpoint.IsAny)
			}
		}
		return slices.ContainsFunc(list, func(e policy.Endpoint) bool {
			return then.Contains(e, a) && (e.IsGroup() || sameTenure(file, a, first, p.GroupsAt.Time))
		})
	}
	return slices.ContainsFunc(p.Rules, func(r policy.Rule) bool {
		return holds(r.Sources, client) && holds(r.Destinations, server) && slices.ContainsFunc(r.Services, func(x policy.Service) bool { return x.Matches(service) })
	})
}

// ownerAt tells owners of an address apart: the group, and for none whether it is the tenure of the moment that the proposal means.
func ownerAt(p *policy.Proposal, file *categories.File, a netip.Addr, at time.Time) string {
	r, err := categories.NewResolver(file.At(at), p.Categories)
	if err != nil {
		panic(err)
	}
	if ref, ok := r.Lookup(a); ok {
		return ref.Category + "/" + ref.Group
	}
	return fmt.Sprint(sameTenure(file, a, at, p.GroupsAt.Time))
}

// sameTenure reports whether nothing about an address changes from one moment to another.
func sameTenure(file *categories.File, a netip.Addr, x, y time.Time) bool {
	return !slices.ContainsFunc(momentsOf(file, a), func(at time.Time) bool { return at.After(x) != at.After(y) })
}

// momentsOf gives the moments at which prefixes around an address begin or cease to be in a group.
func momentsOf(file *categories.File, a netip.Addr) (out []time.Time) {
	for i := range file.Categories {
		for j := range file.Categories[i].Groups {
			g := &file.Categories[i].Groups[j]
			for k, x := range g.Prefixes {
				if of := g.TimesOf(k); x.Contains(a) {
					out = append(out, of.From, of.Until)
				}
			}
		}
	}
	return slices.DeleteFunc(out, time.Time.IsZero)
}
