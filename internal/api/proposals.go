package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"cordon/internal/sessions"
	"cordon/internal/sqltext"
	"cordon/recommender"
	"cordon/recommender/policy"

	"github.com/danielgtaylor/huma/v2"
)

type proposalsOut struct {
	Body struct {
		Proposals []recommender.Stored `json:"proposals"`
	}
}

func (a *API) proposals(ctx context.Context, in *struct {
	VRF   string `query:"vrf" doc:"One VRF"`
	Limit int    `query:"limit" default:"20" minimum:"1" maximum:"1000"`
}) (*proposalsOut, error) {
	list, err := recommender.List(ctx, a.deps.Conn, in.VRF, in.Limit)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	out := &proposalsOut{}
	out.Body.Proposals = append([]recommender.Stored{}, list...)
	return out, nil
}

type ProposalIn struct {
	ID string `path:"id" doc:"The beginning of the id, with or without sha256:"`
}

// proposal gives the document byte by byte as it was made: its id is its hash.
func (a *API) proposal(ctx context.Context, in *ProposalIn) (*huma.StreamResponse, error) {
	p, err := recommender.Get(ctx, a.deps.Conn, in.ID)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", "application/json")
		h.BodyWriter().Write(p.JSON())
	}}, nil
}

type ruleIn struct {
	ProposalIn
	PageIn
	Rule string `path:"rule" doc:"Name or id of the rule"`
}

// ofRule finds the rule of a request and the judged sessions of its proposal. Release the view after use.
func (a *API) ofRule(ctx context.Context, in *ruleIn) (*policy.Proposal, int, *view, func(), error) {
	p, v, release, err := a.judged(ctx, in.ID, "")
	if err != nil {
		return nil, 0, nil, nil, a.problem(ctx, err)
	}
	place := recommender.RulePlace(p, in.Rule)
	if place < 0 {
		release()
		return nil, 0, nil, nil, huma.NewError(http.StatusNotFound, fmt.Sprintf("the proposal has no rule %q", in.Rule), &huma.ErrorDetail{Location: "path.rule", Message: "no such rule", Value: in.Rule})
	}
	return p, place, v, release, nil
}

func (a *API) evidence(ctx context.Context, in *ruleIn) (*huma.StreamResponse, error) {
	p, place, v, release, err := a.ofRule(ctx, in)
	if err != nil {
		return nil, err
	}
	t := sessions.Table{Own: []string{"rule"}, SQL: v.held.(judgement).Sessions([]int{place})}
	return a.list(ctx, v, release, sessions.Filter{}, &t, nil, &in.PageIn, p)
}

func (a *API) leftOut(ctx context.Context, in *struct {
	ProposalIn
	PageIn
	Reason []string `query:"reason,explode" doc:"Only these reasons; may be repeated"`
}) (*huma.StreamResponse, error) {
	p, v, release, err := a.judged(ctx, in.ID, "")
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	reasons, err := reasonsOf(in.Reason)
	if err != nil {
		release()
		return nil, err
	}
	t := sessions.Table{SQL: v.held.(judgement).LeftOut(reasons), Own: []string{"reason", "note"}}
	return a.list(ctx, v, release, sessions.Filter{}, &t, nil, &in.PageIn, p)
}

// Pair is a client and a server that a rule permits.
type Pair struct {
	Client string `json:"client"`
	Server string `json:"server"`
}

// PairPage is a part of the list of unobserved pairs.
type PairPage struct {
	Pairs []Pair    `json:"pairs"`
	Total uint64    `json:"total"`
	Next  string    `json:"next,omitempty"`
	Made  time.Time `json:"made"`
}

func (a *API) unobserved(ctx context.Context, in *ruleIn) (*huma.StreamResponse, error) {
	_, place, v, release, err := a.ofRule(ctx, in)
	if err != nil {
		return nil, err
	}
	held := v.held.(judgement)
	query := held.Unobserved([]int{place}, 0)
	if in.format() == "sql" {
		release()
		return nil, wrongParameter(fmt.Errorf("--format: pairs that nobody used are in no table"), "query")
	}
	if in.format() != "json" {
		return a.stream(ctx, release, in.format(), sessions.Query{SQL: query})
	}
	defer release()
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer leave()
	// Counting them would take as long as listing all.
	page := PairPage{Made: v.made.UTC(), Pairs: []Pair{}, Total: held.Excess[place].PermittedPairs - held.Excess[place].ObservedPairs}
	ctx = a.bounded(ctx, nil, nil)
	after := ""
	if in.After != "" {
		key, err := readCursor(in.After, "pair")
		if err != nil || len(key) != 2 {
			return nil, wrongParameter(fmt.Errorf("--after: this is nothing that a page before gave as next"), "query")
		}
		after = fmt.Sprintf(" WHERE (toIPv6(client), toIPv6(server)) > (toIPv6(%s), toIPv6(%s))", sqltext.Text(key[0]), sqltext.Text(key[1]))
	}
	rows, err := a.deps.Conn.Query(ctx, "SELECT client, server FROM ("+query+")"+after+" ORDER BY toIPv6(client), toIPv6(server) LIMIT "+strconv.Itoa(in.Limit+1))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var pair Pair
		if err := rows.Scan(&pair.Client, &pair.Server); err != nil {
			return nil, a.problem(ctx, err)
		}
		if len(page.Pairs) == in.Limit {
			last := page.Pairs[in.Limit-1]
			page.Next = writeCursor([]string{last.Client, last.Server}, "pair")
			break
		}
		page.Pairs = append(page.Pairs, pair)
	}
	if err := rows.Err(); err != nil {
		return nil, a.problem(ctx, err)
	}
	return answerJSON(page), nil
}

// answerJSON answers with a document.
func answerJSON(v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", "application/json")
		json.NewEncoder(h.BodyWriter()).Encode(v)
	}}
}
