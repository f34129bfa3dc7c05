package api

import (
	"context"
	"fmt"
	"time"

	"cordon/internal/sessions"
)

// Refusal sums up what came of the sessions of one client, or of those to one server.
type Refusal struct {
	Host      string    `json:"host"`
	Sessions  uint64    `json:"sessions" doc:"Half-open and denied ones"`
	HalfOpen  uint64    `json:"halfOpen"`
	Denied    uint64    `json:"denied"`
	Answered  uint64    `json:"answered" doc:"Sessions that were answered"`
	Peers     uint64    `json:"peers" doc:"The other ends of refused sessions"`
	Services  uint64    `json:"services" doc:"Services of refused sessions"`
	Targets   uint64    `json:"targets" doc:"Servers and services that were tried, refused or not: the fan-out"`
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
}

// RefusedHour counts the sessions that were refused and were seen first in an hour.
type RefusedHour struct {
	Hour     time.Time `json:"hour"`
	HalfOpen uint64    `json:"halfOpen"`
	Denied   uint64    `json:"denied"`
}

// Split is a service of a server that answers some clients and refuses others.
type Split struct {
	Server   string `json:"server"`
	Service  string `json:"service"`
	Refused  uint64 `json:"refused" doc:"Clients that are refused"`
	Answered uint64 `json:"answered" doc:"Clients that are answered"`
}

// RefusedPage is what was refused.
type RefusedPage struct {
	HalfOpen uint64        `json:"halfOpen"`
	Denied   uint64        `json:"denied"`
	Clients  []Refusal     `json:"clients" doc:"At most limit, those with most refused sessions first"`
	Servers  []Refusal     `json:"servers"`
	Splits   []Split       `json:"splits" doc:"Refused to some, answered to others"`
	Hours    []RefusedHour `json:"hours"`
	Made     time.Time     `json:"made"`
}

// wasDenied and wasHalfOpen are the conditions of states as `cordon sessions` shows them.
const (
	wasDenied   = "complete = 0 AND denied > 0"
	wasHalfOpen = "complete = 0 AND denied = 0 AND half_open > 0"
)

// filtered gives the table of the sessions that the filter of a request selects, as SQL for a FROM
// clause, and a context that bounds the question and carries its parameters. It waits for a turn; release gives that and the view back.
func (a *API) filtered(ctx context.Context, in *FilterIn) (bounded context.Context, from string, v *view, release func(), err error) {
	file, err := a.deps.Groups(ctx)
	if err != nil {
		return nil, "", nil, nil, a.problem(ctx, err)
	}
	f, err := a.deps.Filter(in.only(filterNames...), file)
	if err != nil {
		return nil, "", nil, nil, wrongParameter(err, "query")
	}
	v, let, f, err := a.windowOf(ctx, f)
	if err != nil {
		return nil, "", nil, nil, a.problem(ctx, err)
	}
	where, params, err := sessions.Conditions(f, file)
	if err != nil {
		let()
		return nil, "", nil, nil, wrongParameter(err, "query")
	}
	leave, err := a.turn(ctx)
	if err != nil {
		let()
		return nil, "", nil, nil, a.problem(ctx, err)
	}
	from = "(SELECT * FROM (SELECT *, multiIf(complete > 0, 'complete', denied > 0, 'denied', half_open > 0, 'half-open', 'complete') AS state FROM " + v.main + ") WHERE " + where + ")"
	return a.bounded(ctx, params, nil), from, v, func() { leave(); let() }, nil
}

func (a *API) refused(ctx context.Context, in *struct {
	FilterIn
	Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"Rows of each list"`
}) (*struct{ Body RefusedPage }, error) {
	ctx, from, v, release, err := a.filtered(ctx, &in.FilterIn)
	if err != nil {
		return nil, err
	}
	defer release()
	out := RefusedPage{Made: v.made.UTC(), Splits: []Split{}, Hours: []RefusedHour{}}
	if err := a.deps.Conn.QueryRow(ctx, fmt.Sprintf("SELECT countIf(%s), countIf(%s) FROM %s", wasHalfOpen, wasDenied, from)).Scan(&out.HalfOpen, &out.Denied); err != nil {
		return nil, a.problem(ctx, err)
	}
	if out.Clients, err = a.refusals(ctx, from, "client", "server", in.Limit); err != nil {
		return nil, a.problem(ctx, err)
	}
	if out.Servers, err = a.refusals(ctx, from, "server", "client", in.Limit); err != nil {
		return nil, a.problem(ctx, err)
	}
	rows, err := a.deps.Conn.Query(ctx, fmt.Sprintf(`SELECT any(server), any(service), uniqExactIf(client, complete = 0 AND (half_open > 0 OR denied > 0)) AS refused, uniqExactIf(client, complete > 0) AS answered
		FROM %s GROUP BY vrf, server_ip, proto, port, icmp_type HAVING refused > 0 AND answered > 0 ORDER BY refused DESC, server_ip, proto, port LIMIT %d`, from, in.Limit))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var s Split
		if err := rows.Scan(&s.Server, &s.Service, &s.Refused, &s.Answered); err != nil {
			return nil, a.problem(ctx, err)
		}
		out.Splits = append(out.Splits, s)
	}
	if err := rows.Err(); err != nil {
		return nil, a.problem(ctx, err)
	}
	if out.Hours, err = a.refusedHours(ctx, from); err != nil {
		return nil, a.problem(ctx, err)
	}
	return &struct{ Body RefusedPage }{out}, nil
}

// refusals sums up by one end.
func (a *API) refusals(ctx context.Context, from, end, other string, limit int) ([]Refusal, error) {
	refused := "complete = 0 AND (denied > 0 OR half_open > 0)"
	rows, err := a.deps.Conn.Query(ctx, fmt.Sprintf(`SELECT any(%[1]s), countIf(%[3]s) AS n, countIf(%[4]s), countIf(%[5]s), countIf(complete > 0),
		uniqExactIf(%[2]s_ip, %[3]s), uniqExactIf((proto, port, icmp_type), %[3]s), uniqExact((server_ip, proto, port, icmp_type)), minIf(first_seen, %[3]s), maxIf(last_seen, %[3]s)
		FROM %[6]s GROUP BY vrf, %[1]s_ip HAVING n > 0 ORDER BY n DESC, %[1]s_ip LIMIT %[7]d`, end, other, refused, wasHalfOpen, wasDenied, from, limit))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Refusal{}
	for rows.Next() {
		var r Refusal
		if err := rows.Scan(&r.Host, &r.Sessions, &r.HalfOpen, &r.Denied, &r.Answered, &r.Peers, &r.Services, &r.Targets, &r.FirstSeen, &r.LastSeen); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func (a *API) refusedHours(ctx context.Context, from string) ([]RefusedHour, error) {
	rows, err := a.deps.Conn.Query(ctx, fmt.Sprintf(`SELECT toStartOfHour(toDateTime(first_seen, 'UTC')) AS h, countIf(%s), countIf(%s) FROM %s
		WHERE complete = 0 AND (half_open > 0 OR denied > 0) GROUP BY h ORDER BY h LIMIT 2000`, wasHalfOpen, wasDenied, from))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []RefusedHour{}
	for rows.Next() {
		var h RefusedHour
		if err := rows.Scan(&h.Hour, &h.HalfOpen, &h.Denied); err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, rows.Err()
}

// ActiveHour counts the sessions with records in an hour.
type ActiveHour struct {
	Hour     time.Time `json:"hour"`
	Sessions uint64    `json:"sessions"`
}

type hoursOut struct {
	Body struct {
		Hours []ActiveHour `json:"hours" doc:"At most two thousand, the oldest first; hours without a session are left out"`
		Made  time.Time    `json:"made"`
	}
}

func (a *API) hours(ctx context.Context, in *FilterIn) (*hoursOut, error) {
	ctx, from, v, release, err := a.filtered(ctx, in)
	if err != nil {
		return nil, err
	}
	defer release()
	rows, err := a.deps.Conn.Query(ctx, "SELECT toDateTime(arrayJoin(active_hours), 'UTC') AS h, count() FROM "+from+" GROUP BY h ORDER BY h DESC LIMIT 2000")
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer rows.Close()
	out := &hoursOut{}
	out.Body.Hours, out.Body.Made = []ActiveHour{}, v.made.UTC()
	for rows.Next() {
		var h ActiveHour
		if err := rows.Scan(&h.Hour, &h.Sessions); err != nil {
			return nil, a.problem(ctx, err)
		}
		out.Body.Hours = append([]ActiveHour{h}, out.Body.Hours...)
	}
	if err := rows.Err(); err != nil {
		return nil, a.problem(ctx, err)
	}
	return out, nil
}
