package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cordon/internal/sessions"
	"cordon/recommender/policy"
)

// Rows and columns that stand for hosts in no group, until they are unfolded.
const (
	foldedHosts    = "hosts"
	foldedExternal = "external"
)

// rowOf is the SQL of the row or column of an end in the table of a view, hosts in no group folded.
func rowOf(end string) string {
	return fmt.Sprintf("multiIf(%[1]s_group != '', concat('group:', %[1]s_group), %[1]s_public, '%[2]s', '%[3]s')", end, foldedExternal, foldedHosts)
}

type matrixIn struct {
	QueryIn
	Proposal string   `query:"proposal" doc:"The beginning of a proposal's id; without it the newest, of the VRF if one is given"`
	VRF      string   `query:"vrf"`
	Service  []string `query:"service,explode" doc:"Only sessions of these services"`
	Order    string   `query:"order" enum:"cover,name,traffic" default:"cover" doc:"Order of rows and columns"`
	Unfold   bool     `query:"unfold" doc:"Hosts in no group by themselves"`
	Limit    int      `query:"limit" default:"4000" minimum:"10" maximum:"10000" doc:"Rows, and columns; those with least sessions are left out"`
}

// Matrix is who talks to whom.
type Matrix struct {
	Proposal   string        `json:"proposal,omitempty"`
	VRF        string        `json:"vrf"`
	Window     policy.Window `json:"window"`
	Categories []string      `json:"categories"`
	Made       time.Time     `json:"made"`
	Sessions   uint64        `json:"sessions"`
	Included   uint64        `json:"included"`
	Services   []ServiceSum  `json:"services" doc:"All services, whatever is asked for"`
	Rows       []string      `json:"rows" doc:"Client ends: group:NAME, ip:PREFIX, hosts or external"`
	Columns    []string      `json:"columns" doc:"Server ends"`
	Cells      []MatrixCell  `json:"cells"`
	Rules      []MatrixRule  `json:"rules"`
	LeftAway   int           `json:"leftAway,omitempty" doc:"Rows and columns beyond the limit"`
}

// ServiceSum counts the sessions of a service.
type ServiceSum struct {
	Service  string `json:"service"`
	Sessions uint64 `json:"sessions"`
	Included uint64 `json:"included"`
}

// MatrixCell is what passes between a row and a column.
type MatrixCell struct {
	Row       int               `json:"row"`
	Column    int               `json:"column"`
	Sessions  uint64            `json:"sessions"`
	Included  uint64            `json:"included" doc:"Sessions in a rule, or that a rule could hold"`
	Services  uint64            `json:"services"`
	Flows     uint64            `json:"flows"`
	Bytes     uint64            `json:"bytes"`
	FirstSeen time.Time         `json:"firstSeen"`
	LastSeen  time.Time         `json:"lastSeen"`
	Rules     []uint32          `json:"rules"`
	Reasons   map[string]uint64 `json:"reasons,omitempty"`
}

// MatrixRule is a rule with the rows and columns of its box.
type MatrixRule struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Sessions uint64   `json:"sessions"`
	Services []string `json:"services"`
	Rows     []int    `json:"rows"`
	Columns  []int    `json:"columns"`
}

func (a *API) matrix(ctx context.Context, in *matrixIn) (*struct{ Body Matrix }, error) {
	p, v, release, err := a.judged(ctx, in.Proposal, in.VRF)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer release()
	file, err := a.deps.Groups(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	where, params, err := sessions.Conditions(sessions.Filter{Services: splitAll(in.Service)}, file)
	if err != nil {
		return nil, wrongParameter(err, "query")
	}
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer leave()
	m := &Matrix{Proposal: p.ID, VRF: p.VRF, Window: p.Window, Categories: append([]string{}, p.Categories...), Made: v.made.UTC(), Cells: []MatrixCell{}, Services: []ServiceSum{}, Rules: []MatrixRule{}}
	if err := a.readServices(ctx, v, m); err != nil {
		return nil, a.problem(ctx, err)
	}
	row, column := rowOf("client"), rowOf("server")
	if in.Unfold {
		row, column = "source", "destination"
	}
	b := matrixBuilder{m: m, rows: map[string]int{}, columns: map[string]int{}}
	rows, err := a.deps.Conn.Query(a.bounded(ctx, params, nil), fmt.Sprintf(`SELECT %s AS r, %s AS c, count(), countIf(reason = ''), uniqExact(service), sum(flows), sum(client_bytes + server_bytes),
		min(first_seen), max(last_seen), arraySort(groupUniqArrayArray(rules)), sumMapIf(map(toString(reason), toUInt64(1)), reason != '')
		FROM %s WHERE %s GROUP BY r, c ORDER BY r, c`, row, column, v.main, where))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var r, c string
		var x MatrixCell
		if err := rows.Scan(&r, &c, &x.Sessions, &x.Included, &x.Services, &x.Flows, &x.Bytes, &x.FirstSeen, &x.LastSeen, &x.Rules, &x.Reasons); err != nil {
			return nil, a.problem(ctx, err)
		}
		b.add(r, c, x)
	}
	if err := rows.Err(); err != nil {
		return nil, a.problem(ctx, err)
	}
	b.addRules(p)
	b.arrange(in.Order, in.Limit)
	return &struct{ Body Matrix }{*m}, nil
}

// splitAll takes lists with commas apart, as flags do.
func splitAll(texts []string) (out []string) {
	for _, t := range texts {
		for _, s := range strings.Split(t, ",") {
			if s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}

func (a *API) readServices(ctx context.Context, v *view, m *Matrix) error {
	rows, err := a.deps.Conn.Query(a.bounded(ctx, nil, nil), "SELECT service, count() AS n, countIf(reason = '') FROM "+v.main+" GROUP BY service ORDER BY n DESC, service LIMIT 1000")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s ServiceSum
		if err := rows.Scan(&s.Service, &s.Sessions, &s.Included); err != nil {
			return err
		}
		m.Services = append(m.Services, s)
	}
	return rows.Err()
}

// matrixBuilder gathers rows and columns.
type matrixBuilder struct {
	m             *Matrix
	rows, columns map[string]int
}

func (b *matrixBuilder) row(label string) int { return place(b.rows, &b.m.Rows, label) }

func (b *matrixBuilder) column(label string) int { return place(b.columns, &b.m.Columns, label) }

func place(known map[string]int, list *[]string, label string) int {
	i, ok := known[label]
	if !ok {
		i = len(*list)
		known[label] = i
		*list = append(*list, label)
	}
	return i
}

func (b *matrixBuilder) add(row, column string, c MatrixCell) {
	c.Row, c.Column = b.row(row), b.column(column)
	b.m.Sessions, b.m.Included = b.m.Sessions+c.Sessions, b.m.Included+c.Included
	b.m.Cells = append(b.m.Cells, c)
}

// addRules gives each rule its box: the rows and columns of sessions under it, and those that its literals name.
func (b *matrixBuilder) addRules(p *policy.Proposal) {
	for i := range p.Rules {
		r := &p.Rules[i]
		x := MatrixRule{ID: r.ID, Name: r.Name, Sessions: r.Evidence.Sessions, Rows: []int{}, Columns: []int{}}
		for _, s := range r.Services {
			x.Services = append(x.Services, s.String())
		}
		for _, c := range b.m.Cells {
			if slices.Contains(c.Rules, uint32(i)) {
				x.Rows, x.Columns = append(x.Rows, c.Row), append(x.Columns, c.Column)
			}
		}
		if len(x.Rows) > 0 { // a rule without rows has nothing to do with the service asked for
			for _, side := range []struct {
				ends  []policy.Endpoint
				known map[string]int
				list  *[]int
			}{{r.Sources, b.rows, &x.Rows}, {r.Destinations, b.columns, &x.Columns}} {
				for _, e := range side.ends {
					if at, ok := side.known[e.String()]; ok {
						*side.list = append(*side.list, at)
					}
				}
			}
		}
		x.Rows, x.Columns = unique(x.Rows), unique(x.Columns)
		b.m.Rules = append(b.m.Rules, x)
	}
}

func unique(list []int) []int {
	slices.Sort(list)
	return slices.Compact(list)
}
