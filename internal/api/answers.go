package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cordon/internal/access"
	"cordon/internal/sessions"
	"cordon/internal/sqltext"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/danielgtaylor/huma/v2"
)

// Mistake is an error in what was asked. Its text names the flag of the command that the parameter is of.
type Mistake struct{ Err error }

func (e *Mistake) Error() string { return e.Err.Error() }
func (e *Mistake) Unwrap() error { return e.Err }

// Form is a format of a proposal.
type Form struct {
	Name    string `json:"name"`
	File    string `json:"file" doc:"What the name of a file ends with"`
	About   string `json:"about,omitempty"`
	Several bool   `json:"several,omitempty" doc:"It is several files, which come as one archive"`
}

// Export is a proposal in a format.
type Export struct {
	Name  string // name of the file to save
	Data  []byte
	Notes []string // worth knowing, what was left out among it
}

// document keeps something that takes long to compute as a view does: made once, shared, and made anew after its age.
func (a *API) document(ctx context.Context, key string, build func(context.Context) (any, error)) (any, time.Time, error) {
	v, release, err := a.views.get(ctx, key, func(ctx context.Context) (tables, error) {
		held, err := build(ctx)
		return tables{close: func(context.Context) error { return nil }, held: held}, err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	defer release()
	return v.held, v.made, nil
}

// SelectIn are flags of every command that looks at sessions.
type SelectIn struct {
	Category []string `query:"category,explode" doc:"Selected categories, in order of precedence; may be repeated"`
	Since    string   `query:"since"`
	Until    string   `query:"until"`
	Last     string   `query:"last"`
	TZ       string   `query:"tz"`
	VRF      string   `query:"vrf"`
	Client   []string `query:"client,explode"`
	Server   []string `query:"server,explode"`
	Host     []string `query:"host,explode"`
	Exporter []string `query:"exporter,explode"`
}

var selectNames = []string{"category", "since", "until", "last", "tz", "vrf", "client", "server", "host", "exporter"}

// SupportIn are the parameters that say which sessions count, and what a cell needs.
type SupportIn struct {
	SelectIn
	External        string `query:"external"`
	Ungrouped       string `query:"ungrouped"`
	HalfOpen        string `query:"half-open"`
	MinSessions     string `query:"min-sessions"`
	MinHosts        string `query:"min-hosts"`
	MinHours        string `query:"min-hours"`
	Recurring       string `query:"recurring"`
	ExcludeScanners string `query:"exclude-scanners"`
	PortRanges      string `query:"port-ranges"`
}

var supportNames = append([]string{"external", "ungrouped", "half-open", "min-sessions", "min-hosts", "min-hours", "recurring", "exclude-scanners", "port-ranges"}, selectNames...)

type readinessIn struct {
	QueryIn
	SupportIn
	Proposal string `query:"proposal" doc:"Groups and categories are those of this proposal: the beginning of its id; without it of the newest"`
	AtMost   string `query:"at-most" doc:"Share of the sessions to come that may be denied, such as 1%"`
	MaxExtra string `query:"max-extra"`
}

var readinessNames = append([]string{"proposal", "at-most", "max-extra"}, supportNames...)

// Loss is what an exporter lost in an hour.
type Loss struct {
	Exporter string    `json:"exporter"`
	Hour     time.Time `json:"hour"`
	Lost     uint64    `json:"lostRecords"`
	Records  uint64    `json:"records"`
}

// Readings is what readiness is known of each VRF.
type Readings struct {
	Readiness []*simulate.Readiness `json:"readiness" doc:"A document for each VRF, as the command writes it"`
	Loss      []Loss                `json:"loss" doc:"Hours in which exporters lost records, at most a thousand of them"`
	Made      time.Time             `json:"made"`
}

func (a *API) readiness(ctx context.Context, in *readinessIn) (*struct{ Body Readings }, error) {
	asked := in.only(readinessNames...)
	held, made, err := a.document(ctx, "readiness "+asked.Encode(), func(ctx context.Context) (any, error) { return a.deps.Readiness(ctx, asked) })
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	out := Readings{Readiness: held.([]*simulate.Readiness), Made: made.UTC()}
	if out.Loss, err = a.loss(ctx); err != nil {
		return nil, a.problem(ctx, err)
	}
	return &struct{ Body Readings }{out}, nil
}

// loss lists the hours with lost records.
func (a *API) loss(ctx context.Context) ([]Loss, error) {
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	rows, err := a.deps.Conn.Query(a.bounded(ctx, nil, nil), `SELECT toString(exporter), toDateTime(hour, 'UTC') AS h, toUInt64(sum(lost_records)) AS lost, toUInt64(sum(records))
		FROM exporters GROUP BY exporter, h HAVING lost > 0 ORDER BY h DESC, exporter LIMIT 1000`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []Loss{}
	for rows.Next() {
		var l Loss
		if err := rows.Scan(&l.Exporter, &l.Hour, &l.Lost, &l.Records); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

var suggestNames = append([]string{"effort", "learn", "max-orders"}, supportNames...)

func (a *API) suggest(ctx context.Context, in *struct {
	QueryIn
	SupportIn
	Groups    string `query:"groups" doc:"A groups file that was given (POST /api/v1/uploads); without it the one that was used last"`
	Effort    string `query:"effort" doc:"quick unless given"`
	Learn     string `query:"learn" doc:"Share of the window, from its beginning, to learn on before looking at the rest: 70% unless given"`
	MaxOrders string `query:"max-orders"`
}) (*struct {
	Body *recommender.Suggestions
}, error) {
	asked := in.only(suggestNames...)
	held, _, err := a.document(ctx, "suggest "+in.Groups+" "+asked.Encode(), func(ctx context.Context) (any, error) {
		files, err := a.given(in.only("groups"), "groups")
		if err != nil {
			return nil, err
		}
		select { // it takes as long as a job
		case a.jobs.one <- struct{}{}:
			defer func() { <-a.jobs.one }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return a.deps.Suggest(ctx, asked, files["groups"])
	})
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &struct{ Body *recommender.Suggestions }{held.(*recommender.Suggestions)}, nil
}

// SimulateIn are flags of `cordon simulate`.
type SimulateIn struct {
	QueryIn
	SelectIn
	Policy  string   `query:"policy" doc:"The proposal to try: the beginning of its id, or a file that was given (POST /api/v1/uploads); without it those in force"`
	Against string   `query:"against" doc:"The same of what to compare with; without it those in force, if there are any"`
	Default string   `query:"default" doc:"What is done with what no rule matches, where the policy does not say: deny or allow"`
	Without []string `query:"without,explode" doc:"Take this rule out, by name or id, and compare with the whole policy; may be repeated"`
	Each    bool     `query:"each" doc:"Say for every rule what changes if it goes"`
}

var simulateNames = append([]string{"policy", "against", "default", "without", "each"}, selectNames...)

func (a *API) simulate(ctx context.Context, in *struct {
	SimulateIn
	Format string `query:"format" enum:"json,csv" default:"json"`
}) (*huma.StreamResponse, error) {
	return a.simulation(ctx, in.only(simulateNames...), in.Format)
}

// replay replays the sessions against stored proposals or files that were given.
func (a *API) replay(ctx context.Context, asked url.Values) (*simulate.Replay, error) {
	files, err := a.given(asked, "policy", "against")
	if err != nil {
		return nil, err
	}
	return a.deps.Simulate(ctx, asked, files)
}

// simulation answers with what the command writes.
func (a *API) simulation(ctx context.Context, asked url.Values, format string) (*huma.StreamResponse, error) {
	held, _, err := a.document(ctx, "simulation "+asked.Encode(), func(ctx context.Context) (any, error) {
		r, err := a.replay(ctx, asked)
		if err != nil {
			return nil, err
		}
		return &r.Result, r.Close(ctx)
	})
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	var buf bytes.Buffer
	result, kind := held.(*simulate.Result), "application/json"
	if format == "csv" {
		a.exported(ctx, "simulation")
		kind, err = "text/csv; charset=utf-8", result.WriteCSV(&buf)
	} else {
		err = result.WriteJSON(&buf)
	}
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", kind)
		h.BodyWriter().Write(buf.Bytes())
	}}, nil
}

// kindOf is the SQL of what a decision comes to: answers that are denied are a denial.
func kindOf(column string) string {
	return "if(" + column + " = '" + string(policy.AnswersRefused) + "', '" + string(policy.Refused) + "', " + column + ")"
}

func (a *API) simulatedSessions(ctx context.Context, in *struct {
	SimulateIn
	PageIn
	Decision []string `query:"decision,explode" doc:"Only sessions with this decision: permit, deny, answers-denied or uncertain; may be repeated"`
	Changed  bool     `query:"changed" doc:"Only sessions that are decided otherwise than by the policy compared with"`
}) (*huma.StreamResponse, error) {
	where := []string{"1"}
	var decisions []string
	for _, d := range splitAll(in.Decision) {
		if !slices.Contains([]policy.Decision{policy.Permitted, policy.Refused, policy.AnswersRefused, policy.UncertainDecision}, policy.Decision(d)) {
			return nil, wrongParameter(fmt.Errorf("--decision %q: use permit, deny, answers-denied or uncertain", d), "query")
		}
		decisions = append(decisions, sqltext.Text(d))
	}
	if len(decisions) > 0 {
		where = append(where, "decision IN ("+strings.Join(decisions, ", ")+")")
	}
	if in.Changed {
		where = append(where, "before != ''", kindOf("before")+" != "+kindOf("decision"))
	}
	asked := in.only(simulateNames...)
	v, release, err := a.views.get(ctx, "simulated "+asked.Encode(), func(ctx context.Context) (tables, error) {
		r, err := a.replay(ctx, asked)
		if err != nil {
			return tables{}, err
		}
		defer r.Close(ctx)
		query, err := r.Sessions(ctx, nil, false)
		if err != nil {
			return tables{}, err
		}
		t, err := a.copyOf(ctx, "SELECT * FROM "+query)
		t.held = r.Result.Against
		return t, err
	})
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	if in.Changed && v.held.(string) == "" {
		release()
		return nil, wrongParameter(fmt.Errorf("--changed goes with against or without"), "query")
	}
	t := sessions.Table{SQL: "(SELECT * FROM " + v.main + " WHERE " + strings.Join(where, " AND ") + ")", Own: []string{"decision", "rule"}}
	if v.held.(string) != "" {
		t.Own = append(t.Own, "before", "rule_before")
	}
	if in.format() == "csv" || in.format() == "ndjson" {
		t.Order = "ordinal" // The command lists them in this order.
	}
	return a.list(ctx, v, release, sessions.Filter{}, &t, nil, &in.PageIn, nil)
}

func (a *API) drift(ctx context.Context, in *struct {
	ProposalIn
	Since string `query:"since" doc:"Seen at or after this time; without it the end of the proposal's window"`
	Until string `query:"until"`
	TZ    string `query:"tz"`
}) (*huma.StreamResponse, error) {
	p, err := recommender.Get(ctx, a.deps.Conn, in.ID)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	asked := url.Values{"policy": {in.ID}, "vrf": {p.VRF}}
	for name, v := range map[string]string{"since": in.Since, "until": in.Until, "tz": in.TZ} {
		if v != "" {
			asked.Set(name, v)
		}
	}
	if in.Since == "" {
		asked.Set("since", p.Window.To.Format(time.RFC3339Nano))
	}
	return a.simulation(ctx, asked, "json")
}

func (a *API) diff(ctx context.Context, in *struct {
	ProposalIn
	Other string `path:"other" doc:"The beginning of the id of the proposal to compare with"`
}) (*huma.StreamResponse, error) {
	d, err := a.deps.Diff(ctx, in.ID, in.Other)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return answerJSON(d), nil
}

type renameOut struct {
	Location string `header:"Location"`
	Body     struct {
		ID string `json:"id" doc:"Of the proposal that has the name"`
	}
}

func (a *API) rename(ctx context.Context, in *struct {
	ProposalIn
	Body struct {
		Rule string `json:"rule" doc:"The rule, by name or id"`
		Name string `json:"name" doc:"What it is called from now on, in every proposal"`
	}
}) (*renameOut, error) {
	if err := editor(ctx); err != nil {
		return nil, err
	}
	p, err := a.deps.Rename(ctx, in.ID, in.Body.Rule, in.Body.Name)
	if mistake, ok := asMistake(err); ok {
		return nil, wrongParameter(mistake, "body")
	}
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	out := &renameOut{Location: "/api/v1/proposals/" + p.ID}
	out.Body.ID = p.ID
	return out, nil
}

func (a *API) export(ctx context.Context, in *struct {
	QueryIn
	ProposalIn
	Format      string   `query:"format" default:"yaml" doc:"One of /api/v1/formats"`
	DefaultDeny []string `query:"default-deny,explode" doc:"With format eos: drop all else from and to these; destinations for those of the rules"`
	Established bool     `query:"tcp-established"`
	Ports       string   `query:"ports" doc:"names or numbers"`
	EOS         string   `query:"eos" doc:"Version of the device, such as 4.30.2F"`
	Mirror      string   `query:"mirror"`
	Staged      bool     `query:"staged"`
	Gaps        string   `query:"gaps" doc:"What a target cannot say: error, or report to leave it out and list it"`
}) (*huma.StreamResponse, error) {
	out, err := a.deps.Export(ctx, in.ID, in.only("format", "default-deny", "tcp-established", "ports", "eos", "mirror", "staged", "gaps"))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	a.exported(ctx, "proposal "+in.ID+" as "+in.Format)
	kind := "text/plain; charset=utf-8"
	switch {
	case strings.HasSuffix(out.Name, ".zip"):
		kind = "application/zip"
	case strings.HasSuffix(out.Name, ".csv"):
		kind = "text/csv; charset=utf-8"
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", kind)
		h.SetHeader("Content-Disposition", `attachment; filename="`+out.Name+`"`)
		for _, n := range out.Notes {
			h.AppendHeader("Cordon-Note", url.PathEscape(n))
		}
		h.BodyWriter().Write(out.Data)
	}}, nil
}

// exported leaves a line in the log about what somebody took away.
func (a *API) exported(ctx context.Context, what string) {
	who := access.From(ctx)
	a.deps.Log.Info("exported", "what", what, "who", who.Name, "role", who.Role)
}

type formatsOut struct {
	Body struct {
		Formats []Form `json:"formats"`
	}
}

func (a *API) formats(context.Context, *struct{}) (*formatsOut, error) {
	out := &formatsOut{}
	out.Body.Formats = a.deps.Formats
	return out, nil
}

// registerAnswers registers what commands beside sessions and generate-rules answer.
func (a *API) registerAnswers(h huma.API, get func(id, path, summary string) huma.Operation) {
	huma.Register(h, get("readiness", "/readiness", "How far the sessions are known, as `cordon readiness` says, with lost records"), a.readiness)
	huma.Register(h, get("simulate", "/simulate", "What a proposal would have done to the sessions, as `cordon simulate` says"), a.simulate)
	huma.Register(h, huma.Operation{OperationID: "upload", Method: http.MethodPost, Path: "/api/v1/uploads", DefaultStatus: http.StatusCreated,
		Summary: "Give a file to try: a policy, a running-config of Arista EOS, or a groups file. It is kept in memory", Errors: []int{403, 413, 422}, MaxBodyBytes: mostUploadBytes, BodyReadTimeout: time.Minute}, a.upload)
	huma.Register(h, get("uploaded", "/uploads/{upload}", "The name of a file that was given"), a.uploaded)
	huma.Register(h, get("suggest", "/groups/suggest", "What each order of categories would give, as `cordon groups suggest` says"), a.suggest)
	huma.Register(h, get("simulated-sessions", "/simulate/sessions", "The sessions with their decisions, as `cordon simulate --sessions` lists them"), a.simulatedSessions)
	huma.Register(h, get("drift", "/proposals/{id}/drift", "What a proposal does with the sessions since: `cordon simulate --since`"), a.drift)
	huma.Register(h, get("diff", "/proposals/{id}/diff/{other}", "How two proposals differ by what they permit, as `cordon proposals diff` says"), a.diff)
	huma.Register(h, get("export", "/proposals/{id}/export", "A proposal in a format, as `cordon proposals export` writes it"), a.export)
	huma.Register(h, get("formats", "/formats", "The formats of proposals"), a.formats)
	huma.Register(h, huma.Operation{OperationID: "rename", Method: http.MethodPost, Path: "/api/v1/proposals/{id}/names", DefaultStatus: http.StatusCreated,
		Summary: "Give a rule a name that stays, as `cordon proposals rename` does", Errors: []int{403, 404, 409, 422, 503}}, a.rename)
	huma.Register(h, get("refused", "/refused", "Half-open and denied sessions by client, by server and by hour"), a.refused)
	huma.Register(h, get("hours", "/hours", "In which hours sessions were seen"), a.hours)
}
