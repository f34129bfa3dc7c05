package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"cordon/categories"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
	"cordon/recommender/watch"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// digest is the hash of a text, as ids are written.
func digest(text string) string {
	h := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(h[:])
}

// watchedPolicy is a policy to watch in the making.
type watchedPolicy struct{ watch.Policy }

// since says sessions from a moment on, unless it is zero.
func (p *watchedPolicy) since(t time.Time) {
	if !t.IsZero() {
		p.Since, p.Judged = t, 0
	}
}

// watchedProposal makes a proposal one to watch. Its document has a place in the candidate; stored are the groups that
// generate-rules used last, nil for none.
func watchedProposal(p *policy.Proposal, c *simulate.Candidate, own int, stored *categories.File) (*watchedPolicy, error) {
	out := &watchedPolicy{watch.Policy{ID: p.ID, Name: shortID(p.ID), VRF: p.VRF, Scope: p.Scope, Own: own, Proposal: p, Categories: p.Categories, Candidate: c,
		Since: p.Window.To.Add(time.Microsecond), Judged: p.Summary.Sessions}}
	if p.Settings != nil && !p.Settings.Since.IsZero() {
		out.From = p.Settings.Since.Time
	}
	if p.GroupsFile == "" {
		return out, nil
	}
	carried, err := p.CarriedFile()
	if err != nil {
		return nil, usagef("proposal %s: %w", shortID(p.ID), err)
	}
	out.Groups = wholeGroups(carried, stored, p.Groups)
	out.Memberships = &watch.Memberships{Before: carried, Now: stored}
	return out, nil
}

// wholeGroups gives the stored groups with the services and exclusions that a proposal carries, where they have every group that it
// carries; else what it carries, which is only what it needs.
func wholeGroups(carried, stored *categories.File, needed []policy.CarriedGroup) *categories.File {
	if stored == nil {
		return carried
	}
	known := map[categories.Ref]bool{categories.Internet: true}
	for i := range stored.Categories {
		for j := range stored.Categories[i].Groups {
			known[categories.Ref{Category: stored.Categories[i].Name, Group: stored.Categories[i].Groups[j].Name}] = true
		}
	}
	for i := range needed {
		ref := categories.Ref{Category: needed[i].Category, Group: needed[i].Group}
		if ref.Group == "" {
			ref.Group = needed[i].Name
		}
		if !known[ref] {
			return carried
		}
	}
	out := *stored
	out.Services, out.Exclude = carried.Services, carried.Exclude
	return &out
}

// groupsPrint is another text whenever other groups are stored.
func groupsPrint(ctx context.Context, conn clickhouse.Conn) (string, error) {
	var n, sum uint64
	if err := conn.QueryRow(ctx, "SELECT count(), sum(cityHash64(category, `group`, prefix)) FROM groups").Scan(&n, &sum); err != nil {
		return "", fmt.Errorf("groups: %w", err)
	}
	return fmt.Sprint(n, " ", sum), nil
}

// proposalsInForce lists the proposals in force as policies to watch. What it read is kept for as long as it stays true.
type proposalsInForce struct {
	conn  clickhouse.Conn
	vrf   string    // empty for all
	since time.Time // zero for after the window of each

	mu   sync.Mutex
	key  string // tells what was read last from what stands now
	read []watch.Policy
}

func (in *proposalsInForce) list(ctx context.Context) ([]watch.Policy, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	states, err := recommender.States(ctx, in.conn)
	if err != nil {
		return nil, fmt.Errorf("proposals in force: %w", err)
	}
	key, err := groupsPrint(ctx, in.conn)
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(states)) {
		if states[id].State == recommender.InForce {
			key += " " + id + states[id].Changed.String()
		}
	}
	if key == in.key {
		return in.read, nil
	}
	proposals, err := recommender.InForceProposals(ctx, in.conn, in.vrf)
	if err != nil {
		return nil, fmt.Errorf("proposals in force: %w", err)
	}
	stored, err := storedGroups(ctx, in.conn)
	if err != nil {
		return nil, err
	}
	var out []watch.Policy
	for from := 0; from < len(proposals); {
		to := from
		for to < len(proposals) && proposals[to].VRF == proposals[from].VRF {
			to++
		}
		c, err := proposalsCandidate("in force", proposals[from:to], ownTimes, replayed{})
		if err != nil {
			return nil, err
		}
		for i := from; i < to; i++ {
			p, err := watchedProposal(&proposals[i], c, i-from, stored)
			if err != nil {
				return nil, err
			}
			p.since(in.since)
			p.InForce = states[proposals[i].ID].Changed
			out = append(out, p.Policy)
		}
		from = to
	}
	in.key, in.read = key, out
	return out, nil
}
