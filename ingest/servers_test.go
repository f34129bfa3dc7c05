package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/internal/chdb"
	"cordon/internal/clickhousehttp"
	"cordon/internal/natsserver"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// engine is the one ClickHouse that a process can run; each test has a
// database of its own in it.
var engine *clickhousehttp.Server

func TestMain(m *testing.M) {
	if _, err := chdb.FindLibrary(""); err == nil {
		if engine, err = clickhousehttp.Open(context.Background(), clickhousehttp.Config{Dir: os.Getenv("CORDON_TEST_CLICKHOUSE_DIR"), Log: slog.New(slog.DiscardHandler)}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if engine != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := engine.Close(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// rig is a NATS server and a migrated database of its own.
type rig struct {
	t        testing.TB
	bus      *bus.Bus
	conn     clickhouse.Conn
	database string
}

var databases int

func newRig(t testing.TB) *rig {
	t.Helper()
	if engine == nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no ClickHouse library")
		}
		t.Skip("needs the ClickHouse library: make deps")
	}
	databases++
	r := &rig{t: t, database: fmt.Sprintf("cordon_ingest_%d", databases)}

	db := clickhouse.OpenDB(engine.Options())
	defer db.Close()
	if _, _, err := schema.Migrate(t.Context(), db, schema.MigrateConfig{Database: r.database, Script: engine.Script}); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.conn, err = clickhouse.Open(engine.Options()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+r.database); err != nil {
			t.Error(err)
		}
		r.conn.Close()
	})
	r.bus = startNATS(t)
	return r
}

func (r *rig) ingester(cfg Config) *Ingester {
	r.t.Helper()
	i, err := New(cfg, Deps{Bus: r.bus, Conn: r.conn, Database: r.database, Server: "embedded", Log: slog.New(slog.NewTextHandler(r.t.Output(), nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

// run runs an ingester until the returned function is called.
func (r *rig) run(i *Ingester) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) publish(s *schema.Sealed) {
	r.t.Helper()
	if _, err := r.bus.JS.PublishMsg(r.t.Context(), bus.Message("test", s)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) publishRaw(m *nats.Msg) {
	r.t.Helper()
	if _, err := r.bus.JS.PublishMsg(r.t.Context(), m); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) count(query string) uint64 {
	r.t.Helper()
	var n uint64
	if err := r.conn.QueryRow(context.Background(), query).Scan(&n); err != nil {
		r.t.Fatalf("%v in %s", err, query)
	}
	return n
}

func (r *rig) flows() uint64 { return r.count("SELECT count() FROM " + r.database + ".flows") }

// drained waits until stream FLOWS is empty: every batch was acknowledged or
// buried.
func (r *rig) drained() {
	r.t.Helper()
	r.eventually("stream FLOWS is empty", func() bool { return r.messages(bus.StreamFlows) == 0 })
}

func (r *rig) messages(stream string) uint64 {
	r.t.Helper()
	s, err := r.bus.JS.Stream(context.Background(), stream)
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := s.Info(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return info.State.Msgs
}

// dead gives the messages of the dead-letter stream.
func (r *rig) dead() (list []jetstream.Msg) {
	r.t.Helper()
	n := r.messages(bus.StreamDead)
	if n == 0 {
		return nil
	}
	c, err := r.bus.JS.OrderedConsumer(context.Background(), bus.StreamDead, jetstream.OrderedConsumerConfig{})
	if err != nil {
		r.t.Fatal(err)
	}
	batch, err := c.Fetch(int(n), jetstream.FetchMaxWait(10*time.Second))
	if err != nil {
		r.t.Fatal(err)
	}
	for m := range batch.Messages() {
		list = append(list, m)
	}
	return list
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sealed makes batch number n with this many flow records.
func sealed(t testing.TB, id string, n, rows int) *schema.Sealed {
	t.Helper()
	var b schema.Batch
	now := time.Now().UnixMicro()
	for i := range rows {
		k := n*rows + i
		r := schema.Record{
			Exporter: [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: 9, 14: 9, 15: 9}, Received: now, Start: now - 1e6, End: now,
			Src:     [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: byte(k >> 16), 14: byte(k >> 8), 15: byte(k)},
			Dst:     [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: 200, 14: 0, 15: byte(k)},
			SrcPort: uint16(40000 + k%20000), DstPort: 443, Proto: 6, Bytes: 1000, Packets: 10,
			Direction: schema.Forward, Basis: schema.BasisPortRange,
		}
		b.Append(&r)
	}
	payload, err := b.Seal(nil, schema.MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	return &schema.Sealed{ID: id, Table: schema.TableFlows, Rows: rows, Payload: payload}
}

// startNATS starts a server of the test's own, with Cordon's streams.
func startNATS(t testing.TB) *bus.Bus {
	t.Helper()
	n, err := natsserver.Start(natsserver.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := bus.DefaultConfig()
	cfg.Options = []nats.Option{n.InProcess()}
	b, err := bus.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}
