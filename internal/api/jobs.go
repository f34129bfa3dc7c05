package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"cordon/internal/access"
	"cordon/recommender"
	"cordon/recommender/policy"

	"github.com/danielgtaylor/huma/v2"
)

// keptJobs is how many finished jobs can still be asked about.
const keptJobs = 50

// Job is how far a request that takes long has come.
type Job struct {
	Job       string    `json:"job"`
	State     string    `json:"state" enum:"running,done,failed,cancelled"`
	Who       string    `json:"who"`
	Began     time.Time `json:"began"`
	Ended     time.Time `json:"ended,omitzero"`
	Steps     []JobStep `json:"steps" doc:"What is done so far"`
	Progress  string    `json:"progress,omitempty" doc:"What the search for few rules has reached"`
	Error     string    `json:"error,omitempty"`
	Proposals []string  `json:"proposals,omitempty" doc:"Ids of what was made"`
}

// JobStep is a part of a job that is done.
type JobStep struct {
	Name   string  `json:"name"`
	Millis float64 `json:"millis"`
	Rows   uint64  `json:"rows,omitempty"`
}

type job struct {
	Job
	cancel  context.CancelFunc
	changed chan struct{} // closed at the next change
}

type jobs struct {
	api *API

	mu      sync.Mutex
	last    int
	known   map[string]*job
	order   []string
	running sync.WaitGroup
	closed  bool
	one     chan struct{} // one job computes at a time
}

func newJobs(a *API) *jobs {
	return &jobs{api: a, known: map[string]*job{}, one: make(chan struct{}, 1)}
}

// start runs f as a job.
func (j *jobs) start(who string, f func(context.Context, *job) ([]policy.Proposal, error)) (Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return Job{}, errClosing
	}
	ctx, cancel := context.WithCancel(context.Background())
	j.last++
	x := &job{Job: Job{Job: strconv.Itoa(j.last), State: "running", Who: who, Began: time.Now().UTC(), Steps: []JobStep{}}, cancel: cancel, changed: make(chan struct{})}
	j.known[x.Job.Job] = x
	j.order = append(j.order, x.Job.Job)
	for len(j.order) > keptJobs && j.known[j.order[0]].State != "running" {
		delete(j.known, j.order[0])
		j.order = j.order[1:]
	}
	j.running.Go(func() {
		defer cancel()
		select {
		case j.one <- struct{}{}:
			defer func() { <-j.one }()
		case <-ctx.Done():
		}
		var proposals []policy.Proposal
		err := ctx.Err()
		if err == nil {
			proposals, err = f(ctx, x)
		}
		j.change(x, func() {
			x.Ended = time.Now().UTC()
			switch {
			case ctx.Err() != nil && err != nil:
				x.State, x.Error = "cancelled", "the job was cancelled"
			case err != nil:
				x.State, x.Error = "failed", strings.ReplaceAll(err.Error(), "--", "")
			default:
				x.State = "done"
			}
			for i := range proposals {
				x.Proposals = append(x.Proposals, proposals[i].ID)
			}
		})
	})
	out := x.Job
	j.tellLocked()
	return out, nil
}

// tell has the streams of events know of the jobs.
func (j *jobs) tell() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tellLocked()
}

func (j *jobs) tellLocked() {
	list := []Job{}
	for i := len(j.order) - 1; i >= 0 && len(list) < 10; i-- {
		list = append(list, j.known[j.order[i]].Job)
	}
	j.api.news.tell("jobs", map[string]any{"jobs": list})
}

func (j *jobs) change(x *job, f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
	close(x.changed)
	x.changed = make(chan struct{})
	j.tellLocked()
}

// look gives a job as it is, and what is closed when it changes.
func (j *jobs) look(id string) (Job, <-chan struct{}, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x, ok := j.known[id]
	if !ok {
		return Job{}, nil, false
	}
	out := x.Job
	out.Steps = append([]JobStep{}, x.Steps...)
	return out, x.changed, true
}

func (j *jobs) cancel(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	x, ok := j.known[id]
	if ok {
		x.cancel()
	}
	return ok
}

func (j *jobs) close() {
	j.mu.Lock()
	j.closed = true
	for _, x := range j.known {
		x.cancel()
	}
	j.mu.Unlock()
	j.running.Wait()
}

type generateIn struct{ Body generateBody }

// generateBody are flags of `cordon generate-rules` by name, and the text of a groups file. Flags that name files on the server
// are not among them.
type generateBody map[string]any

// furtherFlags are those that are no option of a proposal.
var furtherFlags = []struct {
	name, doc string
	list      bool
}{
	{"groups", "Text of a groups file, or one that was given (POST /api/v1/uploads); without it the one that was used last", false},
	{"category", "Selected categories, in order of precedence", true},
	{"since", "", false}, {"until", "", false}, {"last", "", false}, {"tz", "", false}, {"vrf", "", false},
	{"client", "", true}, {"server", "", true}, {"host", "", true}, {"exporter", "", true},
	{"existing", "Ids of stored proposals in force", true},
	{"effort", "quick, default, thorough or exhaustive", false},
	{"name-template", "", false},
}

// Schema says which flags the body may have. Each is a text, as on the command line.
func (generateBody) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{}}
	for _, f := range furtherFlags {
		of := &huma.Schema{Type: huma.TypeString}
		if f.list {
			of = &huma.Schema{Type: huma.TypeArray, Items: of, Nullable: true}
		}
		of.Description = f.doc
		s.Properties[f.name] = of
	}
	for _, o := range policy.Options() {
		s.Properties[o.Flag] = &huma.Schema{Type: huma.TypeString, Description: o.Help}
	}
	return s
}

// flags gives what the body says under the names of flags, and the text of the groups file.
func (b generateBody) flags() (flags url.Values, groups string) {
	flags = url.Values{}
	for name, v := range b {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				flags.Add(name, fmt.Sprint(x))
			}
		case nil: // a null counts as not given
		default:
			flags.Set(name, fmt.Sprint(v))
		}
	}
	groups = flags.Get("groups")
	flags.Del("groups")
	return flags, groups
}

type generateOut struct {
	Location string `header:"Location"`
	Body     Job
}

func (a *API) generate(ctx context.Context, in *generateIn) (*generateOut, error) {
	if err := editor(ctx); err != nil {
		return nil, err
	}
	var asked Asked
	asked.Flags, asked.Groups = in.Body.flags()
	if strings.HasPrefix(asked.Groups, uploadPrefix) {
		file := a.uploads.get(asked.Groups)
		if file == nil {
			return nil, noUpload("body.groups", asked.Groups)
		}
		asked.Groups = string(file.Data)
	}
	if err := a.deps.Check(asked); err != nil {
		return nil, wrongParameter(err, "body")
	}
	made, err := a.jobs.start(access.From(ctx).Name, func(ctx context.Context, x *job) ([]policy.Proposal, error) {
		return a.deps.Generate(ctx, asked, func(s recommender.Step) {
			a.jobs.change(x, func() {
				x.Steps = append(x.Steps, JobStep{s.Name, float64(s.Took.Microseconds()) / 1000, s.Rows})
			})
		}, func(p recommender.Progress) {
			a.jobs.change(x, func() { x.Progress = fmt.Sprintf("VRF %s: %d cells", p.VRF, p.Cells) })
		})
	})
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &generateOut{"/api/v1/jobs/" + made.Job, made}, nil
}

type jobIn struct {
	Job string `path:"job"`
}

func noJob(id string) error {
	return huma.NewError(http.StatusNotFound, "there is no job "+id+"; the last ones are kept until the process stops", &huma.ErrorDetail{Location: "path.job", Message: "no such job", Value: id})
}

func (a *API) job(_ context.Context, in *jobIn) (*struct{ Body Job }, error) {
	x, _, ok := a.jobs.look(in.Job)
	if !ok {
		return nil, noJob(in.Job)
	}
	return &struct{ Body Job }{x}, nil
}

func (a *API) cancelJob(ctx context.Context, in *jobIn) (*struct{}, error) {
	if err := editor(ctx); err != nil {
		return nil, err
	}
	if !a.jobs.cancel(in.Job) {
		return nil, noJob(in.Job)
	}
	return nil, nil
}

// heartbeat is how often a stream of events says that it is there.
const heartbeat = 15 * time.Second

func (a *API) jobEvents(ctx context.Context, in *jobIn) (*huma.StreamResponse, error) {
	if _, _, ok := a.jobs.look(in.Job); !ok {
		return nil, noJob(in.Job)
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		h.SetHeader("Content-Type", "text/event-stream")
		w := h.BodyWriter()
		beat := time.NewTicker(heartbeat)
		defer beat.Stop()
		for {
			x, changed, ok := a.jobs.look(in.Job)
			if !ok {
				return
			}
			b, _ := json.Marshal(x)
			name := "job"
			if x.State != "running" {
				name = "done"
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, b)
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			if name == "done" {
				return
			}
			select {
			case <-changed:
			case <-beat.C:
				fmt.Fprint(w, ": still here\n\n")
			case <-ctx.Done():
				return
			}
		}
	}}, nil
}
