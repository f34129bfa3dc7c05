package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"cordon/categories"
	"cordon/internal/sessions"
	"cordon/internal/sqltext"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/danielgtaylor/huma/v2"
)

// mostNamed is how many sessions a statement names one by one: a reader of ClickHouse takes no longer one by default.
const mostNamed = 1500

// placeOf finds the places of parameters in a query; all are texts.
var placeOf = regexp.MustCompile(`\{(p[0-9]+):String\}`)

// inline writes a query with its parameters in place. A value that looks like a place stays a value.
func inline(q sessions.Query) string {
	return placeOf.ReplaceAllStringFunc(q.SQL, func(place string) string {
		return sqltext.Text(q.Parameters[placeOf.FindStringSubmatch(place)[1]])
	})
}

// statement answers with the SQL that gives the rows of a list, for whoever may read the tables. A list that is not judged is a
// question about the view of sessions; one that is judged names its sessions, since a judgement is no column of that view.
func (a *API) statement(ctx context.Context, f sessions.Filter, order sessions.Sort, file *categories.File, p *policy.Proposal) (*huma.StreamResponse, error) {
	named := ""
	if f.Table != nil {
		var err error
		if f, named, err = a.name(ctx, f, file, p); err != nil {
			return nil, err
		}
	}
	q, err := sessions.Build(f, order, 0, file)
	if err != nil {
		return nil, wrongParameter(err, "query")
	}
	text := inline(q)
	if named != "" {
		text = "SELECT * FROM\n(\n" + text + "\n)\nWHERE (vrf, client, server, service) IN (\n" + named + ")"
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(h.BodyWriter(), text)
	}}, nil
}

// name gives the sessions of a table one by one, and a filter of the view that has them all.
func (a *API) name(ctx context.Context, f sessions.Filter, file *categories.File, p *policy.Proposal) (wide sessions.Filter, named string, err error) {
	f.Brief = false
	q, err := sessions.Build(f, sessions.Sort{Column: "client"}, mostNamed+1, file)
	if err != nil {
		return wide, "", wrongParameter(err, "query")
	}
	leave, err := a.turn(ctx)
	if err != nil {
		return wide, "", a.problem(ctx, err)
	}
	defer leave()
	rows, err := a.deps.Conn.Query(a.bounded(ctx, q.Parameters, nil), "SELECT vrf, client, server, service FROM ("+q.SQL+")")
	if err != nil {
		return wide, "", a.problem(ctx, err)
	}
	defer rows.Close()
	var list []string
	clients, servers := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	wide.Ends = schema.Ends{Client: []netip.Prefix{}, Server: []netip.Prefix{}}
	add := func(known map[netip.Addr]bool, to *[]netip.Prefix, text string) {
		if at, err := netip.ParseAddr(text); err == nil && !known[at] {
			known[at] = true
			*to = append(*to, netip.PrefixFrom(at, at.BitLen()))
		}
	}
	for rows.Next() {
		var x [4]string
		if err := rows.Scan(&x[0], &x[1], &x[2], &x[3]); err != nil {
			return wide, "", a.problem(ctx, err)
		}
		add(clients, &wide.Ends.Client, x[1])
		add(servers, &wide.Ends.Server, x[2])
		list = append(list, fmt.Sprintf("(%s, %s, %s, %s)", sqltext.Text(x[0]), sqltext.Text(x[1]), sqltext.Text(x[2]), sqltext.Text(x[3])))
	}
	if err := rows.Err(); err != nil {
		return wide, "", a.problem(ctx, err)
	}
	if len(list) > mostNamed {
		text := fmt.Sprintf("what a proposal says of sessions is no column of their view, so a statement names each of them, %d at most: ask for a rule, a cell or a reason with fewer, or take the CSV", mostNamed)
		return wide, "", huma.NewError(http.StatusUnprocessableEntity, text, &huma.ErrorDetail{Location: "query.format", Message: text})
	}
	if len(list) == 0 {
		list = []string{"('', '', '', '')"}
	}
	if p != nil && p.Settings != nil {
		wide.Since, wide.Until = p.Settings.Since.Time, p.Settings.Until.Time
	}
	return wide, strings.Join(list, ",\n"), nil
}
