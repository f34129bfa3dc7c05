package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ownerText writes an owner of an address with its time.
func ownerText(o *policy.Owner) string {
	group := "in no group"
	if o.Group != "" {
		group = "in group " + o.Group
	}
	var times categories.Times
	if o.From != nil {
		times.From = o.From.Time
	}
	if o.Until != nil {
		times.Until = o.Until.Time
	}
	return group + " " + times.String()
}

// explainedTime is the sessions while both ends had one owner each, or while nobody knows the owner.
type explainedTime struct {
	Client    string             `json:"client"` // label of the group; empty for none
	Server    string             `json:"server"`
	Unknown   bool               `json:"unknown,omitempty"` // an owner changed within the hour of the flows
	Flows     uint64             `json:"flows"`
	FirstSeen policy.Time        `json:"first_seen"`
	LastSeen  policy.Time        `json:"last_seen"`
	Verdicts  []simulate.Verdict `json:"verdicts"`
	Reason    string             `json:"reason,omitempty"` // The reason is empty where the sessions are not those of the proposal's window.
	Note      string             `json:"note,omitempty"`
}

// owners gives the groups that an address was in about the window; none where it was in one.
func (x *explainer) owners(addr netip.Addr, selected []string) ([]policy.Owner, error) {
	if !x.file.Timed() {
		return nil, nil
	}
	line, err := categories.NewTimeline(x.file, selected)
	if err != nil {
		return nil, err
	}
	labels := categories.NewLabels(x.file)
	since := x.q.since
	if !since.IsZero() {
		since = since.Add(-policy.AroundWindow)
	}
	var out []policy.Owner
	for _, t := range line.Tenures(addr) {
		if !t.Overlaps(since, x.q.until) {
			continue
		}
		o := policy.Owner{From: policy.TimeOrNone(t.From), Until: policy.TimeOrNone(t.Until)}
		if t.Group >= 0 {
			o.Group = labels.Label(line.Groups()[t.Group])
		}
		out = append(out, o)
	}
	if len(out) < 2 {
		return nil, nil
	}
	return out, nil
}

// times divides the sessions by the owners of both ends, hour by hour, where one of these changed.
func (x *explainer) times(ctx context.Context, selected []string) error {
	if len(x.out.Client.Owners)+len(x.out.Server.Owners) == 0 {
		return nil
	}
	in, err := policy.NewInTime(x.file, selected, x.q.since, x.q.until, x.moment())
	if err != nil {
		return usageError(err)
	}
	one := func(column string, addr netip.Addr) string {
		return fmt.Sprintf("%s = toIPv6('%s')", column, addr)
	}
	between := func(client, server string) string {
		return "(" + one(client, x.q.client) + " AND " + one(server, x.q.server) + " OR " + one(server, x.q.client) + " AND " + one(client, x.q.server) + ")"
	}
	conditions := append(x.asked(), "vrf = {vrf:String}")
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"vrf": x.out.VRF}))
	rows, err := x.st.Conn.Query(ctx, `SELECT hour, min(h.first_seen), max(h.last_seen), sum(h.complete + h.half_open + h.unanswered + h.requests + h.replies + h.denied)::UInt64
		FROM (`+schema.HoursOf(x.q.since, x.q.until, between)+") AS h WHERE "+strings.Join(conditions, " AND ")+" GROUP BY hour ORDER BY hour")
	if err != nil {
		return fmt.Errorf("sessions by the hour: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var hour, first, last time.Time
		var flows uint64
		if err := rows.Scan(&hour, &first, &last, &flows); err != nil {
			return fmt.Errorf("sessions by the hour: %w", err)
		}
		if err := x.addHour(in, hour, first, last, flows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// addHour counts the flows of an hour for the owners of both ends.
func (x *explainer) addHour(in *policy.InTime, hour, first, last time.Time, flows uint64) error {
	end := last // A flow belongs to the hour in which it began.
	if next := hour.Add(time.Hour - time.Microsecond); next.Before(end) {
		end = next
	}
	if end.Before(first) {
		end = first
	}
	t := explainedTime{Flows: flows, FirstSeen: policy.NewTime(first), LastSeen: policy.NewTime(last)}
	for _, side := range []struct {
		addr netip.Addr
		to   *string
	}{{x.q.client, &t.Client}, {x.q.server, &t.Server}} {
		was, changes := in.At(side.addr, first, end)
		*side.to = in.LabelAt(side.addr, first)
		if changes && was.Unknown {
			*side.to, t.Unknown = "", true
		}
	}
	i := slices.IndexFunc(x.out.Times, func(o explainedTime) bool {
		return o.Client == t.Client && o.Server == t.Server && o.Unknown == t.Unknown
	})
	if i < 0 {
		var err error
		if t.Verdicts, err = x.verdicts(first, end, false); err != nil {
			return err
		}
		x.out.Times = append(x.out.Times, t)
		return nil
	}
	o := &x.out.Times[i]
	o.Flows += t.Flows
	if t.LastSeen.After(o.LastSeen.Time) {
		o.LastSeen = t.LastSeen
	}
	return nil
}

// explainTime says why the sessions of two groups are proposed, or are not.
func (x *explainer) explainTime(client, server, reason, note string) {
	for i := range x.out.Times {
		if t := &x.out.Times[i]; t.Client == client && t.Server == server && (t.Reason == "" || t.Unknown == (reason == string(policy.Ungrouped) || reason == string(policy.External))) {
			t.Reason, t.Note = reason, note
		}
	}
}

// writeTimes writes what is true of the sessions of each time.
func (x *explainer) writeTimes() {
	if len(x.out.Times) == 0 {
		return
	}
	w := x.a.stdout
	fmt.Fprintln(w, "\nBy the time at which the sessions were seen")
	group := func(label string) string {
		if label == "" {
			return "no group"
		}
		return label
	}
	for i := range x.out.Times {
		t := &x.out.Times[i]
		between := group(t.Client) + " -> " + group(t.Server)
		if t.Unknown {
			between += " (an owner changed within the hour: nobody knows whose the flows were)"
		}
		flows := "flows"
		if t.Flows == 1 {
			flows = "flow"
		}
		fmt.Fprintf(w, "  %s to %s: %s, %d %s\n", t.FirstSeen.Format(time.RFC3339), t.LastSeen.Format(time.RFC3339), between, t.Flows, flows)
		for _, v := range t.Verdicts {
			fmt.Fprintf(w, "    %s: %s by %s\n", v.Policy, v.Decision, v.Rule)
		}
		if t.Reason != "" {
			fmt.Fprintf(w, "    proposed: %s. %s\n", t.Reason, reasonText(t.Reason, t.Note, x.proposal != nil))
		}
	}
}
