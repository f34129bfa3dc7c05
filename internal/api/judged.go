package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"cordon/categories"
	"cordon/recommender"
	"cordon/recommender/policy"
)

// judgement is what a view of a proposal's sessions holds beside the table.
type judgement struct {
	*recommender.View
	proposal *policy.Proposal
}

// judged gives the sessions of a stored proposal with what became of each; without an id, and none stored, those of
// everything stored under the groups file that was used last. Release the view after use.
func (a *API) judged(ctx context.Context, id, vrf string) (*policy.Proposal, *view, func(), error) {
	file, err := a.deps.Groups(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := a.find(ctx, id, vrf)
	if err != nil {
		return nil, nil, nil, err
	}
	if p == nil {
		if p, err = a.unproposed(ctx, vrf, file); err != nil {
			return nil, nil, nil, err
		}
	}
	made := recommender.ListOptions{Groups: file}
	made.Existing, made.Guardrails = p.MadeWith()
	if p.ID != "" && p.Carries() {
		if made.Groups, err = p.CarriedTimes(); err != nil {
			return nil, nil, nil, err
		}
	}
	key := "judged " + p.ID + " " + p.VRF + " " + digest(made.Groups)
	made.Observe = func(s recommender.Step) { a.views.did(key, s) }
	v, release, err := a.views.get(ctx, key, func(ctx context.Context) (tables, error) {
		w, err := recommender.OpenView(ctx, a.deps.Conn, p, made)
		if err != nil {
			return tables{}, err
		}
		return tables{w.Table, w.Close, judgement{w, p}}, nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return p, v, release, nil
}

// find gives the proposal with an id, or the newest of a VRF; nil where none is stored and none is asked for.
func (a *API) find(ctx context.Context, id, vrf string) (*policy.Proposal, error) {
	if id == "" {
		newest, err := a.newest(ctx, vrf)
		if newest == "" || err != nil {
			return nil, err
		}
		id = newest
	}
	return recommender.Get(ctx, a.deps.Conn, id)
}

// newest gives the id of the newest proposal, of a VRF if one is given; "" for none.
func (a *API) newest(ctx context.Context, vrf string) (string, error) {
	list, err := recommender.List(ctx, a.deps.Conn, vrf, 1)
	if len(list) == 0 || err != nil {
		return "", err
	}
	return list[0].ID, nil
}

// unproposed stands for a proposal where there is none: no rules, and the sessions of everything stored in one VRF.
func (a *API) unproposed(ctx context.Context, vrf string, file *categories.File) (*policy.Proposal, error) {
	if vrf == "" {
		if err := a.deps.Conn.QueryRow(ctx, "SELECT any(vrf) FROM (SELECT vrf FROM sessions_hourly GROUP BY vrf ORDER BY count() DESC, vrf LIMIT 1)").Scan(&vrf); err != nil {
			return nil, fmt.Errorf("ClickHouse: %w", err)
		}
	}
	p := &policy.Proposal{VRF: vrf, Window: policy.Window{From: policy.NewTime(time.Unix(0, 0)), To: policy.NewTime(time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC))}}
	if file != nil {
		p.Categories = file.CategoryNames()
	}
	return p, nil
}

// digest tells groups files apart.
func digest(f *categories.File) string {
	if f == nil {
		return "-"
	}
	h := sha256.New()
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			g := &f.Categories[i].Groups[j]
			fmt.Fprintf(h, "%q %q %v\n", f.Categories[i].Name, g.Name, g.Prefixes)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// copyOf keeps the rows of a query in a table.
func (a *API) copyOf(ctx context.Context, query string) (tables, error) {
	var b [8]byte
	rand.Read(b[:]) // does not fail
	name := recommender.ViewPrefix + hex.EncodeToString(b[:])
	drop := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return a.deps.Conn.Exec(ctx, "DROP TABLE IF EXISTS "+name+" SYNC")
	}
	if err := a.deps.Conn.Exec(ctx, "CREATE TABLE "+name+" ENGINE = MergeTree ORDER BY () AS "+query); err != nil {
		drop(ctx)
		return tables{}, fmt.Errorf("ClickHouse: %w", err)
	}
	return tables{name, drop, nil}, nil
}
