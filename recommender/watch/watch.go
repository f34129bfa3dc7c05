package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"cordon/categories"
	"cordon/internal/bus"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
)

// Policy is a policy that is watched.
type Policy struct {
	ID, Name   string
	VRF        string           // empty for all
	Scope      *policy.Scope    // nil for all sessions
	Own        int              // the place of its document in Candidate; -1 where all of them are its own
	Proposal   *policy.Proposal // nil for a policy that is no proposal
	InForce    time.Time        // the moment it came in force; zero where that is not known
	Groups     *categories.File // the groups that events name; nil for none
	Categories []string         // selected categories
	// Memberships are nil where the policy was made without groups.
	Memberships *Memberships
	// Candidate is everything that is in force where the policy is: what any of it permits is not outside.
	Candidate *simulate.Candidate
	// From is where what was looked at for the policy begins; zero for everything stored. Sessions with a record at or after Since
	// are said. Judged is how many sessions, in all, ended before that when the policy was made; zero where that is not known.
	From, Since time.Time
	Judged      uint64
}

// Deps are what a watcher works with.
type Deps struct {
	Bus  *bus.Bus
	Conn driver.Conn
	// Policies gives the policies to watch.
	Policies func(context.Context) ([]Policy, error)
	// Amend makes the proposal that would follow the policy, of everything seen since; nil where there is nothing to propose.
	Amend func(context.Context, *Policy) (*policy.Proposal, error)
	// Keep stores and publishes a proposal.
	Keep    func(context.Context, *policy.Proposal) error
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil for none
}

// Watcher watches policies.
type Watcher struct {
	cfg     Config
	deps    Deps
	looker  looker
	ledger  *ledger
	metrics *metrics
	hook    *webhook // nil for none

	mu      sync.Mutex
	seen    string               // fingerprint of the last look
	checked map[string]time.Time // the moment an amended proposal was last made, by policy
}

// New makes a watcher. The error says what is wrong with the configuration.
func New(cfg Config, deps Deps) (*Watcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	w := &Watcher{cfg: cfg, deps: deps, looker: store{deps.Conn}, ledger: newLedger(deps.Bus), metrics: m, checked: map[string]time.Time{}}
	if cfg.Webhook.URL != "" {
		w.hook = newWebhook(&cfg.Webhook, deps.Bus, deps.Log, m)
	}
	return w, nil
}

// Run watches until ctx ends. What fails is logged, counted, and tried again.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if w.hook != nil {
		wg.Go(func() { w.hook.run(ctx) })
	}
	for {
		began := time.Now()
		if err := w.Look(ctx); err != nil && ctx.Err() == nil {
			w.metrics.failures.Inc()
			w.deps.Log.Warn("policies in force were not watched; trying again", "err", err)
		}
		pause := max(w.cfg.Interval, 10*time.Since(began))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Look looks once, and says what was not said before.
func (w *Watcher) Look(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	began := time.Now()
	policies, err := w.deps.Policies(ctx)
	if err != nil {
		return err
	}
	w.metrics.policies.Set(float64(len(policies)))
	if len(policies) == 0 {
		w.metrics.forget()
		w.seen = ""
		return nil
	}
	if err := w.ledger.sync(ctx); err != nil {
		return err
	}
	seen, err := w.looker.fingerprint(ctx)
	if err != nil {
		return err
	}
	for i := range policies {
		seen += " " + policies[i].ID
	}
	var errs []error
	if seen != w.seen {
		w.metrics.forget()
		for i := range policies {
			if err := w.lookAt(ctx, &policies[i]); err != nil {
				errs = append(errs, fmt.Errorf("policy %s: %w", policies[i].Name, err))
			}
		}
		if len(errs) == 0 {
			w.seen = seen
			w.metrics.looked(began)
		}
	}
	for i := range policies {
		if err := w.sayMemberships(ctx, &policies[i]); err != nil {
			errs = append(errs, fmt.Errorf("groups of policy %s: %w", policies[i].Name, err))
		}
		if err := w.amend(ctx, &policies[i], false); err != nil {
			errs = append(errs, fmt.Errorf("amend policy %s: %w", policies[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// lookAt says what is outside one policy, and which of its rules have no traffic.
func (w *Watcher) lookAt(ctx context.Context, p *Policy) error {
	seen, err := w.looker.look(ctx, p, func(o *simulate.Outside) error {
		if o.Attempt && !w.cfg.Attempts {
			return nil
		}
		return w.sayOutside(ctx, p, outside(p, o))
	})
	if err != nil {
		return err
	}
	w.metrics.outside(p.Name, seen)
	unusedRules := 0
	for i := range seen.VRFs {
		v := &seen.VRFs[i]
		if v.Late {
			w.deps.Log.Info("sessions came for the time that a policy was made of: those that it denies are said, also where it was known when the policy was made",
				"policy", p.Name, "vrf", v.VRF)
		}
		n, err := w.sayUnused(ctx, p, v)
		if err != nil {
			return err
		}
		unusedRules += n
	}
	w.metrics.unused.WithLabelValues(p.Name).Set(float64(unusedRules))
	return nil
}

// sayOutside says a session or an attempt, or that there are more than are said one by one.
func (w *Watcher) sayOutside(ctx context.Context, p *Policy, e *Event) error {
	if w.ledger.has(e.ID) {
		return nil
	}
	switch {
	case w.ledger.count(e.cell) >= w.cfg.SessionsPerCell:
		e = many(p, e, false, w.cfg.SessionsPerCell)
	case w.ledger.count(e.client) >= w.cfg.SessionsPerClient:
		e = many(p, e, true, w.cfg.SessionsPerClient)
	}
	return w.say(ctx, e)
}

func (w *Watcher) say(ctx context.Context, e *Event) error {
	said, err := w.ledger.say(ctx, e)
	if said {
		w.metrics.events.WithLabelValues(e.VRF, string(e.Type)).Inc()
		w.deps.Log.Debug("drift", "type", e.Type, "vrf", e.VRF, "text", e.Text)
	}
	return err
}

// sayUnused says which rules have had no traffic for too long, by the newest record of the VRF, and counts them.
func (w *Watcher) sayUnused(ctx context.Context, p *Policy, v *SeenVRF) (n int, err error) {
	if w.cfg.UnusedAfter == 0 || v.Newest.IsZero() {
		return 0, nil
	}
	for i := range v.Uses {
		u := &v.Uses[i]
		since := u.Last
		if since.IsZero() {
			since = p.From
		}
		if since.IsZero() && len(v.Days) > 0 {
			since = v.Days[0]
		}
		if v.Newest.Sub(since) < w.cfg.UnusedAfter {
			continue
		}
		n++
		after := sort.Search(len(v.Days), func(i int) bool { return v.Days[i].After(since) })
		if err := w.say(ctx, unused(p, v.VRF, u, since, v.Newest, len(v.Days)-after)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Amend makes an amended proposal of every policy that is a proposal, unless a look did so before.
func (w *Watcher) Amend(ctx context.Context) error {
	policies, err := w.deps.Policies(ctx)
	if err != nil {
		return err
	}
	if err := w.ledger.sync(ctx); err != nil {
		return err
	}
	for i := range policies {
		if err := w.amend(ctx, &policies[i], true); err != nil {
			return fmt.Errorf("amend policy %s: %w", policies[i].Name, err)
		}
	}
	return nil
}

// amend makes an amended proposal where it is time for one, and publishes it where its rules differ from those of the policy and from
// any that was published for it.
func (w *Watcher) amend(ctx context.Context, p *Policy, now bool) error {
	_, done := w.checked[p.ID]
	switch {
	case p.Proposal == nil || w.deps.Amend == nil, now && done:
		return nil
	case !now && (w.cfg.AmendEvery == 0 || time.Since(w.lastAmended(p)) < w.cfg.AmendEvery):
		return nil
	}
	w.checked[p.ID] = time.Now()
	to, err := w.deps.Amend(ctx, p)
	if err != nil || to == nil {
		return err
	}
	e := amended(p, to)
	if len(e.Added)+len(e.Removed) == 0 || w.ledger.has(e.ID) {
		return nil
	}
	step("keep")
	if err := w.deps.Keep(ctx, to); err != nil {
		return err
	}
	step("kept")
	return w.say(ctx, e)
}

// lastAmended is when an amended proposal was last made; before the first one, when the policy came in force.
func (w *Watcher) lastAmended(p *Policy) time.Time {
	if at, ok := w.checked[p.ID]; ok {
		return at
	}
	return p.InForce
}

// Deliver posts the events that wait for the webhook, without one nothing, until there are none or one cannot be delivered.
func (w *Watcher) Deliver(ctx context.Context) error {
	if w.hook == nil {
		return nil
	}
	return w.hook.deliverAll(ctx)
}
