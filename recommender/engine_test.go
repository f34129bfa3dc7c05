package recommender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"cordon/categories"
	"cordon/collector/direction"
	"cordon/collector/flowfile"
	"cordon/internal/chdb"
	"cordon/internal/clickhousehttp"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// server is the engine that all tests share: a process can have one.
var server *clickhousehttp.Server

func TestMain(m *testing.M) {
	code := func() int {
		if _, err := chdb.FindLibrary(""); err != nil {
			if os.Getenv("CI") == "true" {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return m.Run() // tests that need the engine skip
		}
		ch, err := clickhousehttp.Open(context.Background(), clickhousehttp.Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		server = ch
		defer ch.Close(context.Background())
		return m.Run()
	}()
	os.Exit(code)
}

// database is migrated once, and emptied for each test.
const database = "cordon_recommender"

var migrate = sync.OnceValue(func() error {
	db := clickhouse.OpenDB(server.Options())
	defer db.Close()
	_, _, err := schema.Migrate(context.Background(), db, schema.MigrateConfig{Database: database, Script: server.Script})
	return err
})

// store gives Cordon's tables without a row in them.
func store(t testing.TB) driver.Conn {
	t.Helper()
	if server == nil {
		t.Skip("the ClickHouse library is not there: make deps fetches it")
	}
	if err := migrate(); err != nil {
		t.Fatal(err)
	}
	opts := server.Options()
	opts.Auth.Database = database
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	empty(t, conn)
	return conn
}

func empty(t testing.TB, conn driver.Conn) {
	t.Helper()
	for _, table := range []string{"flows", "sessions_hourly", "group_prefixes", "proposal_documents", "proposal_rule_rows"} {
		if err := conn.Exec(context.Background(), "TRUNCATE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
}

var base = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// flow is a record in short: from client to server unless the ports are given
// and the direction is to be inferred.
type flow struct {
	client, server string
	proto          uint8
	port           uint16
	sport          uint16 // The source port; if set, direction is inferred from the ports.
	vrf            string
	at             time.Duration // Time since base.
	packets, reply uint64
	completeness   schema.Completeness
	action         schema.Action
	icmpType       uint8
	icmpCode       uint8
	unknown        bool // direction cannot be told
	exporter       string
	sampling       uint32
}

func (f flow) record() schema.Record {
	at := schema.Micros(base.Add(f.at))
	r := schema.Record{
		Received: at, Start: at, End: at,
		Src: schema.Addr16(netip.MustParseAddr(f.client)), Dst: schema.Addr16(netip.MustParseAddr(f.server)),
		SrcPort: f.sport, DstPort: f.port, Proto: f.proto, ICMPType: f.icmpType, ICMPCode: f.icmpCode,
		Packets: max(f.packets, 1), Bytes: 100 * max(f.packets, 1), RevPackets: f.reply, RevBytes: 100 * f.reply,
		VRF: f.vrf, Completeness: f.completeness, Action: f.action,
		Direction: schema.Forward, Basis: schema.BasisStated, Count: 1,
	}
	if f.exporter != "" {
		r.Exporter = schema.Addr16(netip.MustParseAddr(f.exporter))
	}
	r.Sampling = f.sampling
	if f.unknown || f.sport != 0 {
		r.Direction, r.Basis = schema.DirectionUnknown, schema.BasisNone
	}
	if f.sport != 0 && !f.unknown {
		rules.Infer(&r)
	}
	return r
}

var rules = func() *direction.Rules {
	r, err := direction.New(direction.Config{})
	if err != nil {
		panic(err)
	}
	return r
}()

// insert stores records as an ingester would.
func insert(t testing.TB, conn driver.Conn, next func() (*schema.Record, error)) (n int) {
	t.Helper()
	var b schema.Batch
	for {
		r, err := next()
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err == nil {
			b.Append(r)
			n++
		}
		if b.Len() == schema.MaxRows || err != nil && b.Len() > 0 {
			payload, err := b.Seal(nil, math.MaxInt)
			if err != nil {
				t.Fatal(err)
			}
			batches++
			var in schema.Insert
			if err := in.Prepare(&schema.Sealed{ID: fmt.Sprintf("%s-%d", t.Name(), batches), Table: schema.TableFlows, Rows: b.Len(), Payload: payload}); err != nil {
				t.Fatal(err)
			}
			if err := in.Run(t.Context(), conn, schema.InsertOptions{Database: database}); err != nil {
				t.Fatal(err)
			}
			b.Reset()
		}
		if err != nil {
			return n
		}
	}
}

var batches int // makes ids of batches unique

func insertFlows(t testing.TB, conn driver.Conn, flows []flow) {
	t.Helper()
	i := 0
	insert(t, conn, func() (*schema.Record, error) {
		if i == len(flows) {
			return nil, io.EOF
		}
		r := flows[i].record()
		i++
		return &r, nil
	})
}

// insertFile stores the records of a flow CSV.
func insertFile(t testing.TB, conn driver.Conn, path string) int {
	t.Helper()
	f, err := flowfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rec schema.Record
	return insert(t, conn, func() (*schema.Record, error) {
		rec = schema.Record{}
		if err := f.Next(&rec); err != nil {
			return nil, err
		}
		if rec.Direction == schema.DirectionUnknown {
			rules.Infer(&rec)
		}
		return &rec, nil
	})
}

func parseGroups(t testing.TB, text string) *categories.File {
	t.Helper()
	f, err := categories.Parse("groups.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// shared finds the data that lies beside the repository.
func shared(t testing.TB, name string) string {
	t.Helper()
	path := "../../shared/" + name
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there", path)
	}
	return path
}
