package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cordon/categories"
	"cordon/collector"
	"cordon/collector/replay"
	"cordon/collector/replay/lab"
	"cordon/internal/httpapi"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/render"
	"cordon/recommender/simulate"
	"cordon/recommender/watch"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "The whole story on an emulated lab, in under a minute",
		Long: `Starts everything in a temporary folder, has two emulated monitor nodes export a
small lab network as IPFIX over UDP on loopback, and shows what was collected, the
rules that are proposed, what was left out and why, what they stop once they are in
force, and how to go on. On a terminal it ends with a link to the proposal's page, and
keeps serving the pages until a key is pressed. Nothing is left behind.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context()) },
	}
}

// demoSeed makes every demo tell the same story.
const demoSeed = 1

func (a *app) demo(ctx context.Context) (err error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "cordon-demo-")
	if err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	d := &demo{app: a, out: a.stdout, watched: isTerminal(a.stdin) && isTerminal(a.stdout)}
	if err := d.start(ctx, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()

	if err := d.collect(ctx); err != nil {
		return err
	}
	if err := d.showSessions(ctx); err != nil {
		return err
	}
	if err := d.propose(ctx); err != nil {
		return err
	}
	if err := d.ask(ctx); err != nil {
		return err
	}
	if err := d.enforce(ctx); err != nil {
		return err
	}
	d.goOn()
	took := time.Since(began)
	if d.watched {
		if err := d.look(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "\nThe demo took %.0f s and leaves nothing behind.\n", took.Seconds())
	return nil
}

// demo is one run of the story.
type demo struct {
	app     *app
	out     io.Writer
	watched bool // a person sits at the terminal, so that pages are served at the end
	node    *node
	done    chan error
	cancel  context.CancelFunc
	chap    int

	sent     uint64    // records, so far
	enforced time.Time // The proposal comes in force then, in the story.
	file     *categories.File
	proposal *policy.Proposal
}

// chapter begins a part of the story.
func (d *demo) chapter(format string, args ...any) {
	d.chap++
	title := fmt.Sprintf("%d. %s", d.chap, fmt.Sprintf(format, args...))
	fmt.Fprintf(d.out, "\n%s\n%s\n\n", title, strings.Repeat("-", len(title)))
}

// start brings everything up in dir, on ports that nobody else has.
func (d *demo) start(ctx context.Context, dir string) error {
	a := d.app
	a.settings.DataDir = dir
	a.settings.NATS.URL, a.settings.ClickHouse.DSN = "", ""
	a.settings.NATS.Listen, a.settings.ClickHouse.Listen, a.settings.HTTP = "", "", httpapi.Config{}
	if d.watched {
		a.settings.HTTP.Listen = "127.0.0.1:0"
	}
	a.settings.Watch = watch.DefaultConfig()
	a.settings.Collector = collector.DefaultConfig()
	a.settings.Collector.UDP.Listen = []string{"127.0.0.1:0"}
	a.settings.Collector.TCP.Listen = nil
	log, err := newLogger(a.stderr, "warn", a.settings.Log.Format)
	if err != nil {
		return err
	}
	a.log = log

	d.chapter("Start: collector, NATS JetStream, ingester and ClickHouse, in one process")
	began := time.Now()
	d.node = &node{app: a, reg: prometheus.NewRegistry(), started: began}
	if err := d.node.open(ctx, roles{collect: true, ingest: true}); err != nil {
		d.node.close()
		return err
	}
	ctx, d.cancel = context.WithCancel(ctx)
	d.done = make(chan error, 1)
	go func() { d.done <- d.node.run(ctx) }()
	if err := d.wait(ctx, 30*time.Second, "the collector to listen", func() (bool, error) { return d.node.collector.Ready() == nil, nil }); err != nil {
		return errors.Join(err, d.stop())
	}
	fmt.Fprintf(d.out, "Up in %.1f s. IPFIX is awaited at udp %s.\n", time.Since(began).Seconds(), d.address())
	return nil
}

func (d *demo) stop() error {
	d.cancel()
	err := <-d.done
	d.node.close()
	return err
}

// address is where the collector listens.
func (d *demo) address() string { return d.node.collector.Status().Listeners[0].Address }

// collect has the monitor nodes export, and waits until everything is stored.
func (d *demo) collect(ctx context.Context) error {
	d.chapter("Collect: two emulated monitor nodes export two hours of a lab, as IPFIX over UDP")
	began := time.Now()
	d.enforced = began.Add(-lab.Duration - 5*time.Minute).Truncate(time.Minute)
	if err := d.export(ctx, lab.Nodes(demoSeed, d.enforced.Add(-lab.Duration))); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "All %d records are stored, %.1f s after the first was sent.\n", d.sent, time.Since(began).Seconds())
	return nil
}

// export has monitor nodes export, and waits until everything that was sent is stored.
func (d *demo) export(ctx context.Context, nodes []lab.Node) error {
	for _, n := range nodes {
		e, err := replay.Dial(ctx, replay.Config{To: d.address(), From: n.Addr, Domain: n.Domain, Biflow: n.Biflow, Rate: 20_000})
		if err != nil {
			return err
		}
		for i := range n.Records {
			if err := e.Export(ctx, &n.Records[i]); err != nil {
				return errors.Join(err, e.Close())
			}
		}
		if err := e.Close(); err != nil {
			return err
		}
		kind := "a record for each direction"
		if n.Biflow {
			kind = "biflow records"
		}
		s := e.Stats()
		d.sent += s.Records
		fmt.Fprintf(d.out, "  %-10s from %-12s %6d records in %4d messages (%s)\n", n.Name, n.Addr, s.Records, s.Messages, kind)
	}
	var stored uint64
	err := d.wait(ctx, 30*time.Second, "the records to be stored", func() (bool, error) {
		if err := d.node.conn.QueryRow(ctx, "SELECT count() FROM flows").Scan(&stored); err != nil || stored < d.sent {
			return false, err
		}
		// An insert shows in flows before it is folded into sessions.
		pending, err := d.node.bus.Pending(ctx)
		return pending == 0, err
	})
	if err != nil {
		return fmt.Errorf("%w (%d of %d records stored)", err, stored, d.sent)
	}
	return nil
}

// showSessions shows what the records became.
func (d *demo) showSessions(ctx context.Context) error {
	var sessions, clients uint64
	if err := d.node.conn.QueryRow(ctx, "SELECT count(), uniqExact(client) FROM sessions").Scan(&sessions, &clients); err != nil {
		return err
	}
	d.chapter("Look: the records are %d sessions of %d clients. By service:", sessions, clients)
	return d.query(ctx, `SELECT service, uniqExact(client) AS clients, uniqExact(server) AS servers, count() AS sessions,
	countIf(half_open > 0 AND complete = 0) AS unanswered, formatReadableSize(sum(client_bytes + server_bytes)) AS traffic
FROM sessions GROUP BY service ORDER BY sessions DESC, service LIMIT 12`)
}

// propose shows the proposal for the lab's groups.
func (d *demo) propose(ctx context.Context) error {
	file, err := categories.Parse("lab", []byte(lab.Groups))
	if err != nil {
		return err
	}
	d.chapter("Recommend: the fewest rules, in terms of the lab's own groups")
	groups := filepath.Join("collector", "replay", "lab", "groups.yaml")
	fmt.Fprintf(d.out, "$ cordon generate-rules --groups %s\n\n", groups)
	began := time.Now()
	proposals, err := recommender.Generate(ctx, d.node.conn, recommender.Settings{}, file)
	if err != nil {
		return err
	}
	took := time.Since(began)
	d.file, d.proposal = file, &proposals[0]
	if err := d.render(proposals, file); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nComputed in %.2f s.\n", took.Seconds())
	return nil
}

func (d *demo) render(proposals []policy.Proposal, file *categories.File) error {
	o := render.Options{Groups: file}
	if isTerminal(d.app.stdout) {
		o.Color, o.Width = true, terminalWidth(d.app.stdout)
	}
	return render.Write(d.out, "table", proposals, o)
}

// ask shows that SQL reaches everything.
func (d *demo) ask(ctx context.Context) error {
	d.chapter("Ask: SQL over everything that was collected")
	return d.query(ctx, `SELECT client, service, flows, client_packets AS packets, first_seen, direction_basis AS why
FROM sessions WHERE server = '10.100.99.50' AND half_open > 0 AND complete = 0
ORDER BY flows DESC, client LIMIT 5`)
}

// enforce accepts the proposal, has the monitor on its drop rule export, and shows what was stopped.
func (d *demo) enforce(ctx context.Context) error {
	d.chapter("Enforce: the proposal is in force, and a monitor reports what the drop rule behind it stops")
	conn, p := d.node.conn, d.proposal
	if err := recommender.Store(ctx, conn, []policy.Proposal{*p}, d.file); err != nil {
		return err
	}
	if _, err := recommender.SetState(ctx, conn, p, recommender.InForce, "demo", ""); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "$ cordon proposals accept %s\n\n", shortID(p.ID))
	if err := d.export(ctx, []lab.Node{lab.DropRule(demoSeed, d.enforced)}); err != nil {
		return err
	}
	c, err := proposalsCandidate("in force", []policy.Proposal{*p}, ownTimes, replayed{since: d.enforced})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n$ cordon simulate --since %s --limit 8\n\n", d.enforced.UTC().Format(time.RFC3339))
	r, err := simulate.New(ctx, conn, simulate.Settings{Since: d.enforced, Groups: d.file, Categories: p.Categories}, c, nil)
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	o := simulate.TableOptions{Most: 8}
	if isTerminal(d.app.stdout) {
		o.Width = terminalWidth(d.app.stdout)
	}
	if err := r.Result.WriteTable(d.out, o); err != nil {
		return err
	}
	return d.drift(ctx)
}

// drift shows what the watcher of the process said.
func (d *demo) drift(ctx context.Context) error {
	if err := d.node.watcher.Look(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n$ cordon watch --all\n\n")
	n, most := 0, 4
	_, err := watch.Events(ctx, d.node.bus, 0, func(e *watch.Event) error {
		if n++; n <= most {
			fmt.Fprintf(d.out, "%s\n", e.Text)
		}
		return nil
	})
	fmt.Fprintf(d.out, "… and %d more, on NATS subject drift.default too\n", n-most)
	return err
}

// query shows a query and its answer.
func (d *demo) query(ctx context.Context, q string) error {
	fmt.Fprintf(d.out, "$ cordon sql \"%s\"\n\n", q)
	r, err := d.node.conn.QueryFormat(ctx, "PrettyCompactNoEscapesMonoBlock", q)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(d.out, r)
	return err
}

// goOn says what to do with a network of one's own.
func (d *demo) goOn() {
	d.chapter("Go on: with your own network")
	fmt.Fprintf(d.out, `  cordon up                                 collect; point an exporter at UDP or TCP port 4739 of this machine
                                            (Arista EOS and MSS, Cisco, Juniper, Open vSwitch, softflowd: docs/exporters.md)
  cordon status                             what comes in, and why nothing does
  cordon sessions --last 1h                 who talks to whom
  cordon generate-rules --groups FILE       the rules for it
  cordon watch                              what departs from accepted rules
  cordon import FILE                        or bring flow records from files (flow CSV, IPFIX files, captures of IPFIX)
`)
}

// look serves the pages until somebody presses a key, or the process is asked to end.
func (d *demo) look(ctx context.Context) error {
	base := "http://" + d.node.http.Addr().String()
	d.chapter("See it: the pages of this lab, in a browser")
	fmt.Fprintf(d.out, "  %-46s  who talks to whom\n  %-46s  the proposal, its rules and what stands behind each\n\nThey are served until you press a key.\n",
		base+"/matrix", base+"/proposals/"+shortID(d.proposal.ID))
	pressed, restore, err := keyPressed(d.app.stdin)
	if err != nil {
		return err
	}
	defer restore()
	select {
	case <-pressed:
	case <-ctx.Done():
	case err := <-d.done:
		d.done <- err
		return errors.Join(errors.New("stopped early"), err)
	}
	return nil
}

// keyPressed tells when a key is pressed at a terminal, which gives single keys until restore.
func keyPressed(terminal io.Reader) (pressed <-chan struct{}, restore func(), err error) {
	fd := int(terminal.(*os.File).Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, nil, fmt.Errorf("terminal: %w", err)
	}
	key := make(chan struct{})
	go func() { // ends with the process
		terminal.Read(make([]byte, 1))
		close(key)
	}()
	return key, func() { term.Restore(fd, before) }, nil
}

// wait waits until check says so.
func (d *demo) wait(ctx context.Context, limit time.Duration, what string, check func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		ok, err := check()
		if err != nil || ok {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s", limit, what)
		}
		select {
		case err := <-d.done:
			d.done <- err
			return errors.Join(errors.New("stopped early"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
