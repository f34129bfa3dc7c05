package simulate

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"
)

// Outside is a session, or an attempt, that the policy does not permit.
type Outside struct {
	VRF                 string
	Client, Server      netip.Addr
	Source, Destination string // groups, as in Cell
	Service             categories.Service
	Decision            policy.Decision
	Rule                string // the one that decided, or policy.DefaultRule
	Attempt             bool
	Flows, Bytes        uint64
	First, Last         time.Time
}

// Outside calls f with every session and attempt that is not permitted and has a record at or after a moment, in the order of VRF,
// first record, client, server and service. An error of f ends it and is given back.
func (r *Replay) Outside(ctx context.Context, since time.Time, f func(*Outside) error) error {
	if err := r.sendVerdicts(ctx, func(j *judged) bool { return j.now.Decision != policy.Permitted }, withoutRuleBefore); err != nil {
		return fmt.Errorf("ClickHouse: send decisions: %w", err)
	}
	since, _ = schema.OpenWindow(since, time.Time{})
	// In the order of the names of VRFs, which their numbers have.
	rows, err := r.t.conn.Query(ctx, fmt.Sprintf(`SELECT s.vrf, s.client, s.server, s.client_class, s.server_class, s.proto, s.port, s.attempt, s.flows, s.bytes,
			s.first_seen, s.last_seen, v.verdict
		FROM %s AS s INNER JOIN %s AS v `+verdictJoin+`
		WHERE s.last_seen >= '%s'
		ORDER BY s.vrf, s.first_seen, s.client, s.server, s.proto, s.port`, r.t.table("sessions"), r.t.table("verdicts"), since.UTC().Format(schema.TimeLayout)))
	if err != nil {
		return fmt.Errorf("ClickHouse: sessions outside the policy: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var o Outside
		var client, server, number uint32
		var vrf uint16
		if err := rows.Scan(&vrf, &o.Client, &o.Server, &client, &server, &o.Service.Proto, &o.Service.Port, &o.Attempt, &o.Flows, &o.Bytes,
			&o.First, &o.Last, &number); err != nil {
			return fmt.Errorf("ClickHouse: sessions outside the policy: %w", err)
		}
		v := &r.verdicts[number]
		o.VRF, o.Client, o.Server, o.Decision = r.t.list[vrf-1], o.Client.Unmap(), o.Server.Unmap(), v.decision
		o.Rule, _ = r.names(v)
		o.Source, o.Destination = r.named[client], r.named[server]
		if err := f(&o); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ClickHouse: sessions outside the policy: %w", err)
	}
	return nil
}

// Use is when a rule last had traffic.
type Use struct {
	Document int // the place of the rule's document among those of the candidate
	ID, Name string
	Last     time.Time // the time of the last record; zero where the window has none
}

// Uses says when each rule of the policy last had a session or an attempt that it matches, also where an earlier rule
// decides: a rule that shares its sessions with others is used. Rules are in order, without the policy's end.
func (r *Replay) Uses() []Use {
	names := r.candidate.rules
	out := make([]Use, names.end())
	for i := range out {
		out[i].ID, out[i].Name = names.names[i].id, names.names[i].name
	}
	for d, of := range names.of {
		for _, rule := range of {
			out[rule].Document = d
		}
	}
	for i := range r.parts {
		p := &r.parts[i]
		if !r.decided[i].holds {
			continue
		}
		r.candidate.ready[p.vrf].requests.every(p.client, p.server, p.service, func(rule int) {
			if p.last.After(out[rule].Last) {
				out[rule].Last = p.last
			}
		})
	}
	return out
}

// Newest gives the moment of the last record of a VRF within the window; zero where there is none.
func (r *Replay) Newest(vrf string) (at time.Time) {
	for i := range r.parts {
		if p := &r.parts[i]; p.vrf == vrf && p.last.After(at) {
			at = p.last
		}
	}
	return at
}

// VRFs lists the VRFs with a session or an attempt that the policy is for, in order.
func (r *Replay) VRFs() (out []string) {
	for i := range r.parts {
		if r.decided[i].holds {
			out = append(out, r.parts[i].vrf)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Ended counts the sessions and attempts of a VRF whose last record is before a moment.
func (r *Replay) Ended(ctx context.Context, vrf string, before time.Time) (n uint64, err error) {
	err = r.t.conn.QueryRow(ctx, "SELECT count() FROM "+r.t.table("sessions")+" WHERE vrf = "+strconv.Itoa(1+slices.Index(r.t.list, vrf))+
		" AND last_seen < '"+before.UTC().Format(schema.TimeLayout)+"'").Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("ClickHouse: count sessions: %w", err)
	}
	return n, nil
}
