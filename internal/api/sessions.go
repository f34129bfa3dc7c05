package api

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/sessions"
	"cordon/internal/sqltext"
	"cordon/recommender"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/danielgtaylor/huma/v2"
)

// filterNames are the flags of `cordon sessions` that are parameters of the same name.
var filterNames = []string{"client", "server", "host", "exporter", "service", "vrf", "state", "since", "until", "last", "tz", "new", "new-since"}

// FilterIn are those parameters.
type FilterIn struct {
	QueryIn

	Client   []string `query:"client,explode" doc:"Address, prefix or group:NAME of clients; may be repeated"`
	Server   []string `query:"server,explode" doc:"The same of servers"`
	Host     []string `query:"host,explode" doc:"The same of either end"`
	Exporter []string `query:"exporter,explode" doc:"Exporters that saw the session"`
	Service  []string `query:"service,explode" doc:"tcp/443, udp/8000-8080, icmp/8, gre, a port or a name; may be repeated"`
	VRF      string   `query:"vrf" doc:"One VRF"`
	State    []string `query:"state,explode" doc:"complete, half-open or denied; may be repeated"`
	Since    string   `query:"since" doc:"Seen at or after this time: RFC 3339, a date, yesterday, or so long ago such as 7d"`
	Until    string   `query:"until" doc:"Seen before this time"`
	Last     string   `query:"last" doc:"Seen in the last so long, such as 24h"`
	TZ       string   `query:"tz" doc:"Zone of times without one"`
	New      string   `query:"new" doc:"Seen for the first time in the last so long"`
	NewSince string   `query:"new-since" doc:"Seen for the first time at or after this time"`
}

// PageIn are the parameters of a list.
type PageIn struct {
	Sort   string `query:"sort" default:"-last_seen" doc:"Column, with - before it for descending"`
	Limit  int    `query:"limit" default:"200" minimum:"1" maximum:"1000" doc:"Rows of a page in JSON; csv and ndjson have all unless it is given"`
	After  string `query:"after" doc:"What the page before gave as next"`
	Format string `query:"format" enum:"json,csv,ndjson,sql" doc:"Otherwise what the header Accept asks for, else json; sql is the statement that gives the rows"`
	Accept string `header:"Accept"`
}

// format is what a list is written as.
func (p *PageIn) format() string {
	switch {
	case p.Format != "":
		return p.Format
	case strings.Contains(p.Accept, "text/csv"):
		return "csv"
	case strings.Contains(p.Accept, "ndjson"):
		return "ndjson"
	}
	return "json"
}

type sessionsIn struct {
	FilterIn
	PageIn
	Proposal    string   `query:"proposal" doc:"Judge the sessions by this stored proposal: the beginning of its id. Rows then have reason, note and rules"`
	Rule        string   `query:"rule" doc:"Only sessions under this rule of the proposal, by name or id"`
	Reason      []string `query:"reason,explode" doc:"Only sessions that the proposal leaves out for these reasons, or all; without proposal the newest of the VRF"`
	Source      string   `query:"source" doc:"A row of the matrix: group:NAME, ip:PREFIX, hosts or external"`
	Destination string   `query:"destination" doc:"A column of the matrix"`
}

// Session is one of a list.
type Session struct {
	VRF           string   `json:"vrf"`
	Client        string   `json:"client"`
	Server        string   `json:"server"`
	Service       string   `json:"service"`
	State         string   `json:"state" enum:"complete,half-open,denied"`
	Flows         uint64   `json:"flows"`
	Packets       uint64   `json:"packets"`
	Bytes         uint64   `json:"bytes"`
	ClientPackets uint64   `json:"client_packets"`
	ClientBytes   uint64   `json:"client_bytes"`
	ServerPackets uint64   `json:"server_packets"`
	ServerBytes   uint64   `json:"server_bytes"`
	Complete      uint64   `json:"complete"`
	HalfOpen      uint64   `json:"half_open"`
	Denied        uint64   `json:"denied"`
	FirstSeen     string   `json:"first_seen" format:"date-time"`
	LastSeen      string   `json:"last_seen" format:"date-time"`
	Basis         string   `json:"direction_basis" doc:"Why the client is the client"`
	Exporters     []string `json:"exporters"`

	Reason string    `json:"reason,omitempty" doc:"Why the session is in no rule"`
	Note   string    `json:"note,omitempty" doc:"What the reason rests on"`
	Rules  *[]uint32 `json:"rules,omitempty" doc:"Places of the rules that hold it, counted from 0"`

	Decision   string `json:"decision,omitempty" doc:"What a policy does with the session"`
	Rule       string `json:"rule,omitempty" doc:"The rule that says so, or that holds the session"`
	Before     string `json:"before,omitempty" doc:"What the policy compared with does"`
	RuleBefore string `json:"rule_before,omitempty"`

	Key []string `json:"key,omitempty" hidden:"true"`
}

// SessionPage is a part of a list.
type SessionPage struct {
	Sessions []Session `json:"sessions"`
	Total    uint64    `json:"total" doc:"Sessions in the whole list"`
	Flows    uint64    `json:"flows" doc:"Flows in the whole list"`
	Bytes    uint64    `json:"bytes" doc:"Bytes in the whole list"`
	Next     string    `json:"next,omitempty" doc:"The value of after for the next page; absent on the last"`
	Made     time.Time `json:"made" doc:"When the sessions were read"`
	Proposal string    `json:"proposal,omitempty"`
}

func (a *API) sessions(ctx context.Context, in *sessionsIn) (*huma.StreamResponse, error) {
	if in.Proposal == "" && (len(in.Reason) > 0 || in.Rule != "" || in.Source != "" || in.Destination != "") {
		newest, err := a.newest(ctx, in.VRF)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		if newest == "" && (len(in.Reason) > 0 || in.Rule != "") {
			return nil, wrongParameter(fmt.Errorf("--reason: no proposal is stored, and a reason is what a proposal gives; POST /api/v1/proposals makes one"), "query")
		}
		in.Proposal = newest
	}
	judged := in.Proposal != "" || in.Source != "" || in.Destination != ""
	file, err := a.deps.Groups(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	f, err := a.deps.Filter(in.only(filterNames...), file)
	if err != nil {
		return nil, wrongParameter(err, "query")
	}
	if !judged && in.format() == "sql" {
		order, err := sessions.ParseSort(in.Sort)
		if err != nil {
			return nil, wrongParameter(err, "query")
		}
		return a.statement(ctx, f, order, file, nil)
	}
	var p *policy.Proposal
	var v *view
	var release func()
	if judged {
		p, v, release, err = a.judged(ctx, in.Proposal, in.VRF)
	} else {
		v, release, f, err = a.windowOf(ctx, f)
	}
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	table := sessions.Table{SQL: v.main}
	if judged {
		where, err := judgedWhere(p, in)
		if err != nil {
			release()
			return nil, err
		}
		table = sessions.Table{SQL: "(SELECT * FROM " + v.main + " WHERE " + where + ")", Own: []string{"reason", "note", "rules"}}
	}
	return a.list(ctx, v, release, f, &table, file, &in.PageIn, p)
}

// judgedWhere is the condition of what a request asks of the judgement.
func judgedWhere(p *policy.Proposal, in *sessionsIn) (string, error) {
	where := []string{"1"}
	if in.Rule != "" {
		place := recommender.RulePlace(p, in.Rule)
		if place < 0 {
			return "", huma.NewError(http.StatusNotFound, fmt.Sprintf("the proposal has no rule %q", in.Rule), &huma.ErrorDetail{Location: "query.rule", Message: "no such rule", Value: in.Rule})
		}
		where = append(where, "has(rules, "+strconv.Itoa(place)+")", "reason = ''")
	}
	if len(in.Reason) > 0 {
		reasons, err := reasonsOf(in.Reason)
		if err != nil {
			return "", err
		}
		var texts []string
		for _, r := range reasons {
			texts = append(texts, sqltext.Text(string(r)))
		}
		if texts == nil {
			where = append(where, "reason != ''")
		} else {
			where = append(where, "reason IN ("+strings.Join(texts, ", ")+")")
		}
	}
	for _, side := range []struct{ asked, folded, full string }{{in.Source, rowOf("client"), "source"}, {in.Destination, rowOf("server"), "destination"}} {
		switch {
		case side.asked == "":
		case side.asked == foldedHosts || side.asked == foldedExternal:
			where = append(where, side.folded+" = "+sqltext.Text(side.asked))
		default:
			where = append(where, side.full+" = "+sqltext.Text(side.asked))
		}
	}
	return strings.Join(where, " AND "), nil
}

// reasonsOf reads reasons; none for all.
func reasonsOf(asked []string) (out []policy.Reason, err error) {
	for _, text := range asked {
		for _, r := range strings.Split(text, ",") {
			if r == "all" {
				return nil, nil
			}
			if !slices.Contains(recommender.ListedReasons(), policy.Reason(r)) {
				return nil, wrongParameter(fmt.Errorf("--reason %q is no reason: use %v or all", r, recommender.ListedReasons()), "query")
			}
			out = append(out, policy.Reason(r))
		}
	}
	return out, nil
}

// list answers with the rows of a table in the format asked for. It releases the view.
func (a *API) list(ctx context.Context, v *view, release func(), f sessions.Filter, t *sessions.Table, file *categories.File, in *PageIn, p *policy.Proposal) (_ *huma.StreamResponse, err error) {
	defer func() {
		if err != nil {
			release()
		}
	}()
	order, err := sessions.ParseSort(in.Sort)
	if err != nil {
		return nil, wrongParameter(err, "query")
	}
	f.Table = t
	if in.format() == "sql" {
		defer release()
		return a.statement(ctx, f, order, file, p)
	}
	if in.format() != "json" {
		return a.exportList(ctx, release, f, order, file, in)
	}
	page := SessionPage{Made: v.made.UTC(), Sessions: []Session{}}
	if p != nil {
		page.Proposal = p.ID
	}
	if err := a.total(ctx, f, file, &page); err != nil {
		return nil, a.problem(ctx, err)
	}
	f.Keyed = true
	if in.After != "" {
		if f.After, err = readCursor(in.After, in.Sort); err != nil {
			return nil, wrongParameter(err, "query")
		}
	}
	q, err := sessions.Build(f, order, in.Limit+1, file)
	if err != nil {
		return nil, wrongParameter(err, "query")
	}
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer leave()
	r, err := a.deps.Conn.QueryFormat(a.bounded(ctx, q.Parameters, clickhouse.Settings{"date_time_output_format": "iso", "output_format_json_quote_64bit_integers": 0}), "JSONEachRow", q.SQL)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	defer r.Close()
	for d := json.NewDecoder(bufio.NewReader(r)); ; {
		var s Session
		if err := d.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			return nil, a.problem(ctx, err)
		}
		if len(page.Sessions) == in.Limit {
			page.Next = writeCursor(page.Sessions[in.Limit-1].Key, in.Sort)
			break
		}
		page.Sessions = append(page.Sessions, s)
	}
	for i := range page.Sessions {
		page.Sessions[i].Key = nil
	}
	release()
	return &huma.StreamResponse{Body: func(h huma.Context) {
		if page.Next != "" {
			u := h.URL()
			next := u.Query()
			next.Set("after", page.Next)
			h.SetHeader("Link", "<"+u.Path+"?"+next.Encode()+`>; rel="next"`)
		}
		h.SetHeader("Content-Type", "application/json")
		json.NewEncoder(h.BodyWriter()).Encode(page)
	}}, nil
}

// total counts a list.
func (a *API) total(ctx context.Context, f sessions.Filter, file *categories.File, page *SessionPage) error {
	f.Keyed, f.After, f.Brief = false, nil, false
	q, err := sessions.Build(f, sessions.Sort{Column: "vrf"}, 0, file)
	if err != nil {
		return wrongParameter(err, "query")
	}
	leave, err := a.turn(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return a.deps.Conn.QueryRow(a.bounded(ctx, q.Parameters, nil), "SELECT count(), sum(flows), sum(bytes) FROM ("+q.SQL+")").Scan(&page.Total, &page.Flows, &page.Bytes)
}

// exportList streams a whole list as the command writes it.
func (a *API) exportList(ctx context.Context, release func(), f sessions.Filter, order sessions.Sort, file *categories.File, in *PageIn) (*huma.StreamResponse, error) {
	q, err := sessions.Build(f, order, 0, file)
	if err != nil {
		return nil, wrongParameter(err, "query")
	}
	a.exported(ctx, "sessions")
	return a.stream(ctx, release, in.format(), q)
}

// stream runs a query and passes what it gives on. It calls release at the end.
func (a *API) stream(ctx context.Context, release func(), format string, q sessions.Query) (*huma.StreamResponse, error) {
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	name, kind := "CSVWithNames", "text/csv; charset=utf-8"
	if format == "ndjson" {
		name, kind = "JSONEachRow", "application/x-ndjson"
	}
	r, err := a.deps.Conn.QueryFormat(a.bounded(ctx, q.Parameters, clickhouse.Settings{"output_format_json_quote_64bit_integers": 0}), name, q.SQL)
	if err != nil {
		leave()
		return nil, a.problem(ctx, err)
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer release()
		defer leave()
		defer r.Close()
		h.SetHeader("Content-Type", kind)
		if _, err := io.Copy(h.BodyWriter(), r); err != nil && ctx.Err() == nil {
			a.deps.Log.Warn("an export broke off", "err", err)
			panic(http.ErrAbortHandler) // the asker must not take it for the whole
		}
	}}, nil
}

// A cursor holds the order that it is a place in.
func writeCursor(key []string, sort string) string {
	b, _ := json.Marshal(append([]string{sort}, key...))
	return base64.RawURLEncoding.EncodeToString(b)
}

func readCursor(text, sort string) (key []string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &key)
	}
	if err != nil || len(key) < 2 {
		return nil, fmt.Errorf("--after: this is nothing that a page before gave as next")
	}
	if key[0] != sort {
		return nil, fmt.Errorf("--after: the page before was sorted by %s", key[0])
	}
	return key[1:], nil
}

// windowOf gives the sessions of the window of a filter, and the filter without what the window holds already.
func (a *API) windowOf(ctx context.Context, f sessions.Filter) (*view, func(), sessions.Filter, error) {
	since := f.Since
	if !f.NewSince.IsZero() { // Every session would be new within a window.
		since = time.Time{}
	} else {
		f.Since = time.Time{} // the table has the window alone
	}
	v, release, err := a.window(ctx, since, f.Until)
	f.Until = time.Time{}
	return v, release, f, err
}

// window gives the sessions of a window as they were collected, unjudged.
func (a *API) window(ctx context.Context, since, until time.Time) (*view, func(), error) {
	q, err := sessions.Build(sessions.Filter{Since: since, Until: until}, sessions.Sort{Column: "vrf"}, 1, nil)
	if err != nil {
		return nil, nil, err
	}
	_, from, _ := strings.Cut(q.SQL, "FROM ")
	from, _, _ = strings.Cut(from, "\n")
	return a.views.get(ctx, "window "+minute(since)+" "+minute(until), func(ctx context.Context) (tables, error) {
		return a.copyOf(ctx, "SELECT * FROM "+from)
	})
}

// minute is a moment as part of a key: windows that end now are the same for a minute.
func minute(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Truncate(time.Minute).Format(time.RFC3339)
}
