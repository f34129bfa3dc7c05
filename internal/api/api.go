// Package api answers what programs and the pages ask, under /api/v1: the same questions as the commands, with the names
// of their flags as parameters. It describes itself at /openapi.json.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/access"
	"cordon/internal/sessions"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Deps are what the API answers from. The functions are those of the commands, so that both mean the same.
type Deps struct {
	Log     *slog.Logger
	Version string
	Conn    clickhouse.Conn
	// Query bounds what one request may ask of ClickHouse.
	Query clickhouse.Settings
	Views Limits
	// Groups gives the groups file that generate-rules used last, nil for none.
	Groups func(context.Context) (*categories.File, error)
	// Status gives the status document with its findings.
	Status func(context.Context) any
	// Filter reads the flags of `cordon sessions`.
	Filter func(asked url.Values, file *categories.File) (sessions.Filter, error)
	// Check reads the flags of `cordon generate-rules`, so that mistakes are told before anything is computed.
	Check func(Asked) error
	// Generate makes proposals, stores them and publishes them.
	Generate func(context.Context, Asked, func(recommender.Step), func(recommender.Progress)) ([]policy.Proposal, error)
	// Readiness reads the flags of `cordon readiness`, with proposal, and gives its documents.
	Readiness func(context.Context, url.Values) ([]*simulate.Readiness, error)
	// Simulate reads flags of `cordon simulate` and replays the sessions. Files that were given stand for flags with their names.
	// Close what it gives.
	Simulate func(context.Context, url.Values, map[string]*Upload) (*simulate.Replay, error)
	// Suggest reads flags of `cordon groups suggest` and compares orders of categories: of the groups file that was given, else of the
	// last one that generate-rules used.
	Suggest func(context.Context, url.Values, *Upload) (*recommender.Suggestions, error)
	// Diff gives the document of `cordon proposals diff` of two ids.
	Diff func(ctx context.Context, from, to string) (any, error)
	// Rename gives a rule of a stored proposal a name, and gives the proposal that has it.
	Rename func(ctx context.Context, id, rule, name string) (*policy.Proposal, error)
	// Export reads the flags of `cordon proposals export`. Formats are those that it has.
	Export  func(ctx context.Context, id string, asked url.Values) (*Export, error)
	Formats []Form
	// Leftovers is how old the tables of views must be to be those of a process that was killed.
	Leftovers time.Duration
}

// Asked are the flags of `cordon generate-rules` as a request gives them.
type Asked struct {
	Flags  url.Values
	Groups string // text of a groups file; empty for the one that was used last
}

// API is the handler. Make it with [New] and run it.
type API struct {
	deps  Deps
	views *views
	jobs  *jobs
	news  *news

	uploads *uploads
	turns   chan struct{} // few queries at a time, so that ingest never waits for pages
	mux     *http.ServeMux
}

// queriesAtATime is how many queries of pages run beside ingest.
const queriesAtATime = 2

// New makes the API.
func New(d Deps) *API {
	a := &API{deps: d, views: newViews(d.Conn, d.Views), uploads: newUploads(), turns: make(chan struct{}, queriesAtATime), mux: http.NewServeMux()}
	a.jobs, a.news = newJobs(a), newNews(a)
	a.jobs.tell()
	cfg := huma.DefaultConfig("Cordon", d.Version)
	cfg.Info.Description = "Collected sessions, proposals and what stands behind them. Parameters have the names of the flags of the commands."
	cfg.DocsPath, cfg.SchemasPath, cfg.CreateHooks = "", "", nil // the documentation page would load from elsewhere
	cfg.RejectUnknownQueryParameters = true
	h := humago.New(a.mux, cfg)
	a.register(h)
	return a
}

// ServeHTTP answers.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { tagged(a.mux).ServeHTTP(w, r) }

// Run keeps the views within their bounds until ctx ends, and removes them then.
func (a *API) Run(ctx context.Context) error {
	if err := recommender.DropViews(ctx, a.deps.Conn, a.deps.Leftovers); err != nil && ctx.Err() == nil {
		a.deps.Log.Warn("views of a process that was killed are left", "err", err)
	}
	for tick := time.NewTicker(15 * time.Second); ; {
		select {
		case <-tick.C:
			a.views.expire()
		case <-ctx.Done():
			tick.Stop()
			a.news.close()
			a.jobs.close()
			a.views.close()
			return nil
		}
	}
}

func (a *API) register(h huma.API) {
	get := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: "/api/v1" + path, Summary: summary, Errors: []int{400, 404, 409, 422, 503}}
	}
	huma.Register(h, get("status", "/status", "What `cordon status` shows"), a.status)
	stream := get("events", "/events", "A stream of events: status, proposals and jobs, each when it begins and when it changes")
	stream.Responses = eventStream()
	huma.Register(h, stream, a.events)
	huma.Register(h, get("exporters", "/exporters", "Exporters with their counters"), a.exporters)
	huma.Register(h, get("traffic", "/traffic", "Flows, bytes and sessions by hour"), a.traffic)
	huma.Register(h, get("groups", "/groups", "The groups file that was used last"), a.groups)
	huma.Register(h, get("sessions", "/sessions", "Collected sessions, as `cordon sessions` lists them"), a.sessions)
	huma.Register(h, get("matrix", "/matrix", "Client groups and server groups, and what passes between them"), a.matrix)
	huma.Register(h, get("views", "/views", "The tables of sessions that requests share, with the steps of making them"), a.viewsKept)
	huma.Register(h, get("proposals", "/proposals", "Stored proposals, the newest first"), a.proposals)
	huma.Register(h, get("proposal", "/proposals/{id}", "A proposal"), a.proposal)
	huma.Register(h, get("evidence", "/proposals/{id}/rules/{rule}/sessions", "The sessions under a rule, as `cordon proposals show --evidence` lists them"), a.evidence)
	huma.Register(h, get("unobserved", "/proposals/{id}/rules/{rule}/unobserved", "Pairs that a rule permits and that nobody was seen to use"), a.unobserved)
	huma.Register(h, get("left-out", "/proposals/{id}/left-out", "The sessions that are in no rule, each with its reason"), a.leftOut)
	a.registerAnswers(h, get)
	huma.Register(h, get("job", "/jobs/{job}", "How far a job has come"), a.job)
	events := get("job-events", "/jobs/{job}/events", "The same as a stream of events: job, then done")
	events.Responses = eventStream()
	huma.Register(h, events, a.jobEvents)
	huma.Register(h, huma.Operation{OperationID: "generate", Method: http.MethodPost, Path: "/api/v1/proposals", DefaultStatus: http.StatusAccepted,
		Summary: "Make proposals, as `cordon generate-rules` does: a job", Errors: []int{400, 403, 409, 422, 503}, MaxBodyBytes: 64 << 20}, a.generate)
	huma.Register(h, huma.Operation{OperationID: "cancel", Method: http.MethodDelete, Path: "/api/v1/jobs/{job}", DefaultStatus: http.StatusNoContent,
		Summary: "End a job", Errors: []int{403, 404}}, a.cancelJob)
}

func eventStream() map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "Server-sent events", Content: map[string]*huma.MediaType{"text/event-stream": {}}}}
}

// QueryIn keeps the query of a request as it came, for the functions that read flags.
type QueryIn struct{ values url.Values }

// Resolve implements huma.Resolver.
func (q *QueryIn) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	q.values = u.Query()
	return nil
}

// only gives the parameters with some names.
func (q *QueryIn) only(names ...string) url.Values {
	out := url.Values{}
	for _, n := range names {
		if v, ok := q.values[n]; ok {
			out[n] = v
		}
	}
	return out
}

// flagName finds the flag that an error is about.
var flagName = regexp.MustCompile(`--([a-z][a-z-]*)`)

// problem turns an error into an answer (RFC 9457) that names the parameter it is about.
func (a *API) problem(ctx context.Context, err error) error {
	var status huma.StatusError
	var limit *limitError
	var wrong *policy.SettingsError
	mistake, mistaken := asMistake(err)
	switch {
	case errors.As(err, &status):
		return err
	case mistaken:
		return wrongParameter(mistake, "query")
	case ctx.Err() != nil:
		return huma.NewError(499, "the request was cancelled")
	case errors.As(err, &limit):
		return huma.NewError(http.StatusServiceUnavailable, err.Error(), &huma.ErrorDetail{Location: limit.setting, Message: limit.text})
	case errors.Is(err, errClosing):
		return huma.NewError(http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, recommender.ErrNoProposal):
		return huma.NewError(http.StatusNotFound, err.Error(), &huma.ErrorDetail{Location: "path.id", Message: err.Error()})
	case errors.Is(err, recommender.ErrSeveralProposals):
		return huma.NewError(http.StatusConflict, err.Error(), &huma.ErrorDetail{Location: "path.id", Message: err.Error()})
	case errors.As(err, &wrong):
		return huma.NewError(http.StatusConflict, err.Error()+"; is it the groups file that the proposal was made with?", &huma.ErrorDetail{Location: wrong.Setting, Message: err.Error()})
	}
	a.deps.Log.Warn("a request failed", "err", err)
	return huma.NewError(http.StatusServiceUnavailable, err.Error())
}

// asMistake gives the mistake that an error is, if it is one.
func asMistake(err error) (*Mistake, bool) {
	var m *Mistake
	ok := errors.As(err, &m)
	return m, ok
}

// wrongParameter is the answer to a mistake in a parameter of the query.
func wrongParameter(err error, in string) error {
	text, location := err.Error(), in
	if m := flagName.FindStringSubmatch(text); m != nil {
		location += "." + m[1]
		text = strings.ReplaceAll(text, "--", "")
	}
	return huma.NewError(http.StatusUnprocessableEntity, text, &huma.ErrorDetail{Location: location, Message: text})
}

// editor refuses who may only look.
func editor(ctx context.Context) error {
	if who := access.From(ctx); who.Role != access.Editor {
		return huma.NewError(http.StatusForbidden, who.Name+" may look and change nothing: the role of an editor is needed")
	}
	return nil
}

// turn waits until a query may run.
func (a *API) turn(ctx context.Context) (leave func(), err error) {
	select {
	case a.turns <- struct{}{}:
		return func() { <-a.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bounded is the context of a query within the limits of one request, with its parameters.
func (a *API) bounded(ctx context.Context, parameters map[string]string, more clickhouse.Settings) context.Context {
	set := clickhouse.Settings{"max_query_size": 256 << 20}
	for k, v := range a.deps.Query {
		set[k] = v
	}
	for k, v := range more {
		set[k] = v
	}
	return clickhouse.Context(ctx, clickhouse.WithParameters(parameters), clickhouse.WithSettings(set))
}
