package collector

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/internal/natsserver"
	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// natsServer is a NATS server that can be stopped and started again.
type natsServer struct {
	t      testing.TB
	dir    string
	listen string
	n      *natsserver.Server

	maxPayload int64
}

func startNATS(t testing.TB) *natsServer {
	t.Helper()
	s := &natsServer{t: t, dir: t.TempDir(), listen: "127.0.0.1:0"}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	n, err := natsserver.Start(natsserver.Config{Dir: s.dir, Listen: s.listen, MaxPayload: s.maxPayload, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.n = n
	s.listen = n.URL()[len("nats://"):]
}

func (s *natsServer) stop() {
	if s.n != nil {
		s.n.Close()
		s.n = nil
	}
}

func (s *natsServer) connect(change ...func(*bus.Config)) *bus.Bus {
	s.t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URL = "nats://" + s.listen
	for _, f := range change {
		f(&cfg)
	}
	b, err := bus.Connect(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(b.Close)
	if err := b.EnsureStreams(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// stored reads all that stream FLOWS has.
type stored struct {
	records []schema.Record // Ordered by domain and bytes; the test's exporter counts both up.
	stats   []schema.ExporterStats
	names   []schema.ExporterName
	batches int
}

func readStream(t testing.TB, b *bus.Bus) stored {
	t.Helper()
	ctx := context.Background()
	var out stored
	s, err := b.JS.Stream(ctx, bus.StreamFlows)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := bus.Batch(m.Header, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if sealed.Table == schema.TableExporterStats {
			raw, err := schema.Decompress(nil, sealed.Payload)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := schema.OpenExporterStats(raw)
			if err != nil {
				t.Fatal(err)
			}
			out.stats = append(out.stats, rows...)
			continue
		}
		if sealed.Table == schema.TableExporterNames {
			raw, err := schema.Decompress(nil, sealed.Payload)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := schema.OpenExporterNames(raw)
			if err != nil {
				t.Fatal(err)
			}
			out.names = append(out.names, rows...)
			continue
		}
		var rows schema.Batch
		if err := rows.Open(sealed.Payload); err != nil {
			t.Fatal(err)
		}
		if rows.Len() != sealed.Rows {
			t.Fatalf("batch %s has %d records, its header says %d", sealed.ID, rows.Len(), sealed.Rows)
		}
		out.batches++
		for i := range rows.Len() {
			out.records = append(out.records, rows.Record(i))
		}
	}
	slices.SortFunc(out.records, func(a, b schema.Record) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Bytes, b.Bytes))
	})
	return out
}

// sameRecords compares whole records, but for the time of arrival.
func sameRecords(t testing.TB, got, want []schema.Record) {
	t.Helper()
	if d := gocmp.Diff(want, got, cmpopts.IgnoreFields(schema.Record{}, "Received")); d != "" {
		if len(d) > 4000 {
			d = d[:4000] + "…"
		}
		t.Fatalf("%d records stored, want %d (-want +got):\n%s", len(got), len(want), d)
	}
	for i := range got {
		if age := time.Since(schema.Time(got[i].Received)); age < 0 || age > time.Minute {
			t.Fatalf("record %d was received %v ago", i, age)
		}
	}
}

// running is a collector in a test.
type running struct {
	*Collector
	t       testing.TB
	metrics *prometheus.Registry
	log     *logBuffer
	cancel  context.CancelFunc
	end     chan error
}

// testConfig listens on free ports of loopback.
func testConfig() Config {
	cfg := DefaultConfig()
	cfg.UDP.Listen = []string{"127.0.0.1:0"}
	cfg.TCP.Listen = []string{"127.0.0.1:0"}
	cfg.TLS.Listen = []string{"127.0.0.1:0"}
	cfg.Batch.MaxAge = 20 * time.Millisecond
	cfg.StatsInterval = time.Hour
	return cfg
}

// start runs a collector until the test ends, or stop.
func start(t testing.TB, cfg Config, deps Deps) *running {
	t.Helper()
	r := &running{t: t, metrics: prometheus.NewRegistry(), log: new(logBuffer), end: make(chan error, 1)}
	deps.Metrics = r.metrics
	deps.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	r.Collector = c
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.end <- c.Run(ctx) }()
	t.Cleanup(func() {
		if r.cancel != nil {
			r.stop()
		}
		if t.Failed() {
			t.Logf("log of the collector:\n%s", r.log)
		}
	})
	eventually(t, "the collector listens", func() bool {
		select {
		case err := <-r.end:
			t.Fatalf("the collector ended: %v", err)
		default:
		}
		return len(c.Status().Listeners) > 0 && c.Status().Ready != errNotStarted.Error()
	})
	return r
}

// stop ends the collector as a signal would.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	r.cancel = nil
	select {
	case err := <-r.end:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("the collector does not stop")
	}
}

// address of the first listener of a transport.
func (r *running) address(transport string) string {
	r.t.Helper()
	for _, l := range r.Status().Listeners {
		if l.Transport == transport {
			return l.Address
		}
	}
	r.t.Fatalf("no listener for %s", transport)
	return ""
}

func (r *running) udp() net.Conn {
	conn, err := net.Dial("udp", r.address("udp"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// published waits until n flow records are acknowledged.
func (r *running) published(n int) {
	r.t.Helper()
	eventually(r.t, fmt.Sprintf("%d records are published", n), func() bool { return r.Status().Publisher.Published.Records >= uint64(n) })
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(text))
}
