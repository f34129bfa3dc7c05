package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cordon/categories"
	"cordon/internal/bus"
	"cordon/internal/natsserver"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// The environment variables that make the test binary a watcher that is killed.
const (
	victimNATS  = "CORDON_TEST_WATCH_NATS"
	victimHook  = "CORDON_TEST_WATCH_WEBHOOK"
	victimRound = "CORDON_TEST_WATCH_ROUND"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(victimNATS); url != "" {
		if err := victim(url); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// found is a looker that always finds the same.
type found struct {
	outside []simulate.Outside
	seen    Seen
	print   string
}

func (f *found) fingerprint(context.Context) (string, error) { return f.print, nil }

func (f *found) look(_ context.Context, _ *Policy, say func(*simulate.Outside) error) (*Seen, error) {
	for i := range f.outside {
		if err := say(&f.outside[i]); err != nil {
			return nil, err
		}
	}
	return &f.seen, nil
}

// session is the n-th one that is outside.
func session(n int) simulate.Outside {
	return simulate.Outside{
		VRF: "default", Client: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), Server: netip.MustParseAddr("10.1.0.1"), Source: "web", Destination: "db",
		Service: categories.Service{Proto: 6, Port: 22}, Decision: policy.Refused, Rule: policy.DefaultRule, Flows: 1, First: time.Unix(int64(n), 0), Last: time.Unix(int64(n), 0),
	}
}

func sessions(n int) (out []simulate.Outside) {
	for i := range n {
		out = append(out, session(i))
	}
	return out
}

// watched is a proposal in force with one rule.
func watched() Policy {
	p := &policy.Proposal{ID: "sha256:aaaa", VRF: "default", Rules: []policy.Rule{{ID: "old", Name: "old"}}}
	return Policy{ID: p.ID, Name: "aaaa", VRF: "default", Proposal: p, Own: -1}
}

func newWatcher(t testing.TB, b *bus.Bus, cfg Config, f *found) *Watcher {
	t.Helper()
	w, err := New(cfg, Deps{Bus: b, Policies: func(context.Context) ([]Policy, error) { return []Policy{watched()}, nil },
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	w.looker = f
	return w
}

// newBus starts a NATS server with the streams.
func newBus(t *testing.T) (*bus.Bus, string) {
	t.Helper()
	n, err := natsserver.Start(natsserver.Config{Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	b, err := connect(t.Context(), n.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, n.URL()
}

func connect(ctx context.Context, url string) (*bus.Bus, error) {
	cfg := bus.DefaultConfig()
	cfg.URL = url
	b, err := bus.Connect(cfg)
	if err != nil {
		return nil, err
	}
	return b, b.EnsureStreams(ctx)
}

// said lists the events of the stream.
func said(t *testing.T, b *bus.Bus) (out []Event) {
	t.Helper()
	if _, err := Events(t.Context(), b, 0, func(e *Event) error { out = append(out, *e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func look(t *testing.T, w *Watcher) {
	t.Helper()
	if err := w.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// hook is a receiver of events.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	ids  []string        // those of the events that it took, in order
	down func(n int) int // the status of the n-th request, nil for 200
	n    int
}

func newHook(t *testing.T) *hook {
	h := new(hook)
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.n++
		if h.down != nil {
			if status := h.down(h.n); status != http.StatusOK {
				w.WriteHeader(status)
				return
			}
		}
		var e Event
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &e); err != nil || e.ID != r.Header.Get("Idempotency-Key") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h.ids = append(h.ids, e.ID)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) taken() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ids)
}

func ids(events []Event) (out []string) {
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func quick(url string) Config {
	cfg := DefaultConfig()
	cfg.Webhook = Webhook{URL: url, Timeout: 500 * time.Millisecond, RetryMax: 100 * time.Millisecond}
	return cfg
}

// victim looks once and delivers, and kills itself at the step whose number is that of the round. Each round has something new to say.
func victim(url string) error {
	round, err := strconv.Atoi(os.Getenv(victimRound))
	if err != nil {
		return err
	}
	ctx := context.Background()
	b, err := connect(ctx, url)
	if err != nil {
		return err
	}
	w, err := New(quick(os.Getenv(victimHook)), Deps{
		Bus: b, Log: slog.New(slog.DiscardHandler),
		Policies: func(context.Context) ([]Policy, error) { return []Policy{watched()}, nil },
		Amend: func(context.Context, *Policy) (*policy.Proposal, error) {
			return &policy.Proposal{ID: fmt.Sprintf("sha256:amended-%d", round), VRF: "default", Rules: []policy.Rule{{ID: fmt.Sprint("new", round), Name: "new"}}}, nil
		},
		Keep: func(ctx context.Context, p *policy.Proposal) error {
			return b.PublishProposal(ctx, p.VRF, p.ID, []byte(p.ID))
		},
	})
	if err != nil {
		return err
	}
	f := &found{print: "x", outside: sessions(2 * round)}
	f.seen.VRFs = []SeenVRF{{VRF: "default", Newest: time.Unix(0, 0).Add(1000 * day), Uses: []simulate.Use{{ID: fmt.Sprint("rule", round), Name: "quiet", Last: time.Unix(1, 0)}}}}
	w.looker = f
	n := 0
	step = func(string) {
		if n++; n == round {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if err := w.Look(ctx); err != nil {
		return err
	}
	return w.Deliver(ctx)
}

// A watcher is killed at each of its steps in turn. Every event is in the stream once, under its id, and the webhook has all of them in the
// order of the stream; what it had taken when the watcher was killed before it could say so may come once more.
func TestKilledAtEachStep(t *testing.T) {
	b, url := newBus(t)
	h := newHook(t)
	rounds := 0
	for killed := true; killed; {
		if rounds++; rounds > 60 {
			t.Fatal("every round was killed")
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victimNATS+"="+url, victimHook+"="+h.URL, victimRound+"="+strconv.Itoa(rounds))
		out, err := cmd.CombinedOutput()
		if killed = strings.Contains(fmt.Sprint(err), "killed"); err != nil && !killed {
			t.Fatalf("round %d: %v\n%s", rounds, err, out)
		}
	}
	events := said(t, b)
	p := watched()
	var want []string
	for _, o := range sessions(2 * rounds) {
		want = append(want, outside(&p, &o).ID)
	}
	got := ids(events)
	for _, id := range want {
		if !slices.Contains(got, id) {
			t.Errorf("event %s of a session was not said", id)
		}
	}
	unique := slices.Compact(slices.Sorted(slices.Values(got)))
	if len(unique) != len(got) {
		t.Errorf("%d events with %d ids", len(got), len(unique))
	}
	taken := h.taken()
	if again := len(taken) - len(slices.Compact(slices.Clone(taken))); again > rounds {
		t.Errorf("the webhook was given %d events again in %d rounds", again, rounds)
	}
	if taken = slices.Compact(taken); !slices.Equal(taken, got) {
		t.Errorf("the webhook took %d events, not the %d of the stream in their order", len(taken), len(got))
	}
	types := map[Type]int{}
	for i := range events {
		types[events[i].Type]++
	}
	if types[SessionOutside] != 2*rounds || types[RuleUnused] == 0 || types[PolicyAmended] == 0 || rounds < 12 {
		t.Errorf("%d rounds: %v", rounds, types)
	}
}

// The webhook is away while events come, also over a restart, and takes all of them in order once it is back.
func TestWebhookAway(t *testing.T) {
	b, _ := newBus(t)
	h := newHook(t)
	back := make(chan struct{})
	h.down = func(n int) int {
		select {
		case <-back:
			return http.StatusOK
		default:
			return []int{http.StatusServiceUnavailable, http.StatusNotFound, http.StatusFound, http.StatusUnauthorized}[n%4]
		}
	}
	for restart := range 3 {
		w := newWatcher(t, b, quick(h.URL), &found{print: "x", outside: sessions(10 * (restart + 1))})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		eventually(t, "the events of the round, and a try to deliver", func() bool {
			return len(said(t, b)) == 10*(restart+1) && testutil.ToFloat64(w.metrics.tries) > 0
		})
		if restart == 2 {
			close(back)
			eventually(t, "the webhook to take all events", func() bool { return len(h.taken()) >= 30 })
			eventually(t, "nothing to wait", func() bool { return testutil.ToFloat64(w.metrics.waiting) == 0 })
		}
		stop()
		<-done
	}
	if got := slices.Compact(h.taken()); !slices.Equal(got, ids(said(t, b))) {
		t.Errorf("the webhook took %d events in another order than the stream's %d", len(got), len(said(t, b)))
	}
}

// skipping is a clock whose pauses take no time.
type skipping struct {
	mu sync.Mutex
	at time.Time
}

func (c *skipping) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *skipping) pause(ctx context.Context, d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	return ctx.Err() == nil
}

// A webhook is away for an hour, with the settings as they come. It is tried again after pauses that double up to a minute, and has
// every event in order, each once, within a minute of coming back.
func TestWebhookAwayForAnHour(t *testing.T) {
	b, _ := newBus(t)
	h := newHook(t)
	began := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	c := &skipping{at: began}
	var tries []time.Duration // the time that it had been away at each
	h.down = func(int) int {
		away := c.now().Sub(began)
		tries = append(tries, away)
		if away < time.Hour {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
	cfg := DefaultConfig()
	cfg.Webhook.URL = h.URL
	w := newWatcher(t, b, cfg, &found{print: "x", outside: sessions(25)})
	w.hook.clock = c
	look(t, w)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.hook.run(ctx) }()
	eventually(t, "the webhook to take all events", func() bool { return len(h.taken()) >= 25 })
	stop()
	<-done
	if got := h.taken(); !slices.Equal(got, ids(said(t, b))) {
		t.Errorf("the webhook took %d events, not the %d of the stream in their order", len(got), len(said(t, b)))
	}
	if back := c.now().Sub(began); back > time.Hour+time.Minute {
		t.Errorf("all was delivered %v after the webhook went away", back)
	}
	for i := 1; tries[i] < time.Hour; i++ {
		want := min(firstPause<<min(i-1, 20), cfg.Webhook.RetryMax)
		if got := tries[i] - tries[i-1]; got != want {
			t.Errorf("the pause before try %d was %v, not %v", i+1, got, want)
		}
	}
}

// An event that the receiver calls wrong in itself is left out after some tries; those behind it come.
func TestWebhookRefuses(t *testing.T) {
	b, _ := newBus(t)
	h := newHook(t)
	h.down = func(n int) int {
		if n <= patience {
			return http.StatusUnprocessableEntity
		}
		return http.StatusOK
	}
	cfg := quick(h.URL)
	cfg.Webhook.RetryMax = 100 * time.Millisecond
	w := newWatcher(t, b, cfg, &found{print: "x", outside: sessions(2)})
	look(t, w)
	c, err := w.hook.consumer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m, err := next(t.Context(), c, 10*time.Second)
		if err != nil || m == nil {
			t.Fatal("no event: ", err)
		}
		if err := w.hook.deliver(t.Context(), m, -1); err != nil {
			t.Fatal(err)
		}
	}
	if got, all := h.taken(), ids(said(t, b)); len(got) != 1 || got[0] != all[1] {
		t.Errorf("the webhook took %v of %v", got, all)
	}
	if n := testutil.ToFloat64(w.metrics.refused); n != 1 {
		t.Errorf("%v events refused", n)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited a minute for ", what)
		}
	}
}

// Several watchers that look at once, and others that come later than JetStream remembers ids, say each thing once.
func TestSaidOnce(t *testing.T) {
	b, _ := newBus(t)
	stream, err := b.JS.Stream(t.Context(), bus.StreamDrift)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := b.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var wg sync.WaitGroup
		for range 3 {
			w := newWatcher(t, b, DefaultConfig(), &found{print: "x", outside: sessions(40)})
			wg.Go(func() {
				if err := w.Look(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(2 * cfg.Duplicates) // JetStream remembers ids for that long; the ledger must know them by itself
	}
	got := ids(said(t, b))
	if unique := slices.Compact(slices.Sorted(slices.Values(got))); len(got) != 40 || len(unique) != 40 {
		t.Errorf("%d events with %d ids, 40 expected", len(got), len(unique))
	}
}

// More sessions of one cell, or of one client, than the limits are one event, also over restarts.
func TestLimits(t *testing.T) {
	b, _ := newBus(t)
	cfg := DefaultConfig()
	cfg.SessionsPerCell, cfg.SessionsPerClient = 5, 7
	f := &found{print: "x", outside: sessions(9)}
	for port := range 20 { // a port scan of one client: each port is a cell
		o := session(500)
		o.Service.Port, o.Attempt = uint16(1000+port), true
		f.outside = append(f.outside, o)
	}
	for restart := range 3 {
		f.outside = append(f.outside, session(100+restart))
		look(t, newWatcher(t, b, cfg, f))
	}
	types := map[Type]int{}
	var texts []string
	for _, e := range said(t, b) {
		types[e.Type]++
		if e.Type == ManyOutside {
			texts = append(texts, e.Text)
		}
	}
	want := []string{"more than 5 sessions from web to db tcp/22 are outside policy aaaa; no more are said one by one",
		"more than 7 attempts of client 10.0.1.244 (web) are outside policy aaaa; no more are said one by one"}
	if types[SessionOutside] != 5 || types[AttemptOutside] != 7 || !slices.Equal(texts, want) {
		t.Errorf("%v, %q", types, texts)
	}
	cfg.Attempts = false
	b2, _ := newBus(t)
	look(t, newWatcher(t, b2, cfg, f))
	if slices.ContainsFunc(said(t, b2), func(e Event) bool { return e.Type == AttemptOutside }) {
		t.Error("attempts are said although they are switched off")
	}
}

// A rule is unused by the newest record of its VRF, is said once for each time that its traffic ends, and with how many days had data.
func TestUnused(t *testing.T) {
	b, _ := newBus(t)
	start := time.Unix(0, 0).UTC()
	var days []time.Time
	for d := range 50 {
		if d < 10 || d > 25 { // the exporter was away
			days = append(days, start.Add(time.Duration(d)*day))
		}
	}
	f := &found{seen: Seen{VRFs: []SeenVRF{{VRF: "default", Newest: start.Add(49*day + time.Hour), Days: days, Uses: []simulate.Use{
		{ID: "a", Name: "busy", Last: start.Add(48 * day)}, {ID: "b", Name: "quiet", Last: start.Add(12 * time.Hour)}, {ID: "c", Name: "never"},
	}}}}}
	for n := range 3 {
		f.print = fmt.Sprint(n)
		if n == 2 { // it had traffic again, and is quiet again
			f.seen.VRFs[0].Uses[1].Last = start.Add(15 * day)
		}
		look(t, newWatcher(t, b, DefaultConfig(), f))
	}
	var got []string
	for _, e := range said(t, b) {
		got = append(got, fmt.Sprintf("%s %d %d %v", e.Rule, e.Days, e.DaysWithData, e.LastSeen != nil))
	}
	want := []string{"quiet 48 33 true", "never 49 33 false", "quiet 34 24 true"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

// An amended proposal is published where its rules differ, once for the same rules.
func TestAmended(t *testing.T) {
	b, _ := newBus(t)
	rules := []policy.Rule{{ID: "old", Name: "old"}}
	var kept []string
	n := 0
	once := func() {
		t.Helper()
		n++
		w := newWatcher(t, b, DefaultConfig(), &found{print: "x"})
		w.deps.Amend = func(context.Context, *Policy) (*policy.Proposal, error) {
			return &policy.Proposal{ID: fmt.Sprint("sha256:", n), VRF: "default", Rules: rules}, nil
		}
		w.deps.Keep = func(_ context.Context, p *policy.Proposal) error { kept = append(kept, p.ID); return nil }
		look(t, w)
		if err := w.Amend(t.Context()); err != nil { // a look did
			t.Fatal(err)
		}
	}
	once()
	rules = append(rules, policy.Rule{ID: "new", Name: "web to db"})
	once()
	once()
	rules = rules[1:]
	once()
	var got []string
	for _, e := range said(t, b) {
		got = append(got, fmt.Sprintf("%s %s %v %v", e.Type, e.Proposal, e.Added, e.Removed))
	}
	want := []string{"policy-amended sha256:2 [web to db] []", "policy-amended sha256:4 [web to db] [old]"}
	if !slices.Equal(got, want) || !slices.Equal(kept, []string{"sha256:2", "sha256:4"}) {
		t.Errorf("%q kept %q", got, kept)
	}
}

// Ids follow from what is said alone, and texts do not run into each other.
func TestIDs(t *testing.T) {
	p := watched()
	a, c := session(1), session(1)
	c.First, c.Flows, c.Rule = time.Now(), 99, "other"
	if outside(&p, &a).ID != outside(&p, &c).ID {
		t.Error("the id of a session depends on what may change")
	}
	c.Attempt = true
	other := watched()
	other.ID = "sha256:bbbb"
	if x := outside(&p, &a).ID; x == outside(&p, &c).ID || x == outside(&other, &a).ID {
		t.Error("ids of other things are the same")
	}
	if id("ab", "c") == id("a", "bc") {
		t.Error("texts run into each other")
	}
}

// What the stream's header says of an event is what the ledger knows after a restart.
func TestStreamDeleted(t *testing.T) {
	b, _ := newBus(t)
	w := newWatcher(t, b, DefaultConfig(), &found{print: "x", outside: sessions(3)})
	look(t, w)
	if err := b.JS.DeleteStream(t.Context(), bus.StreamDrift); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.seen = ""
	look(t, w)
	if n := len(said(t, b)); n != 3 {
		t.Errorf("%d events after the stream was made anew", n)
	}
	stream, err := b.JS.Stream(t.Context(), bus.StreamDrift)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeKeep(0)); err != nil {
		t.Fatal(err)
	}
	w2 := newWatcher(t, b, DefaultConfig(), &found{print: "x", outside: sessions(3)})
	if err := w2.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}
