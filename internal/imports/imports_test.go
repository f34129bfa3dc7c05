package imports

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cordon/internal/chdb"
	"cordon/internal/clickhousehttp"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
)

// engine is the one ClickHouse that a process can run; each test has a database
// of its own in it.
var engine *clickhousehttp.Server

func TestMain(m *testing.M) {
	if _, err := chdb.FindLibrary(""); err == nil {
		if engine, err = clickhousehttp.Open(context.Background(), clickhousehttp.Config{Log: slog.New(slog.DiscardHandler)}); err != nil {
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

// rig is a migrated database of its own.
type rig struct {
	*Store
	t       *testing.T
	batches int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if engine == nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no ClickHouse library")
		}
		t.Skip("needs the ClickHouse library: make deps")
	}
	name := fmt.Sprintf("cordon_imports_%s_%d", strings.ToLower(strings.ReplaceAll(t.Name(), "/", "_")), rand.Uint32())
	db := clickhouse.OpenDB(engine.Options())
	defer db.Close()
	if _, _, err := schema.Migrate(t.Context(), db, schema.MigrateConfig{Database: name, Script: engine.Script}); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(engine.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Exec(context.Background(), "DROP DATABASE "+name)
		conn.Close()
	})
	return &rig{Store: &Store{Conn: conn, Database: name}, t: t}
}

// insert stores records as one batch.
func (r *rig) insert(records ...schema.Record) {
	r.t.Helper()
	var b schema.Batch
	for i := range records {
		b.Append(&records[i])
	}
	payload, err := b.Seal(nil, schema.MaxPayload)
	if err != nil {
		r.t.Fatal(err)
	}
	r.batches++
	var in schema.Insert
	if err := in.Prepare(&schema.Sealed{ID: fmt.Sprintf("%s-%d", r.Database, r.batches), Table: schema.TableFlows, Rows: b.Len(), Payload: payload}); err != nil {
		r.t.Fatal(err)
	}
	if err := in.Run(r.t.Context(), r.Conn, schema.InsertOptions{Database: r.Database}); err != nil {
		r.t.Fatal(err)
	}
}

// rows runs a query and gives its lines in order.
func (r *rig) rows(query string) []string {
	r.t.Helper()
	out, err := r.Conn.QueryFormat(r.t.Context(), "TSVRaw", strings.ReplaceAll(query, "{db}", r.Database))
	if err != nil {
		r.t.Fatalf("%v\nin %s", err, query)
	}
	defer out.Close()
	text, err := io.ReadAll(out)
	if err != nil {
		r.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// stored is everything that proposals are made from.
func (r *rig) stored() []string {
	return slices.Concat(r.rows("SELECT * EXCEPT (import) FROM {db}.flows"), r.rows("SELECT * FROM {db}.sessions"),
		r.rows("SELECT * EXCEPT (import) FROM {db}.sessions_hourly FINAL"))
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// someRecords makes records of few hosts, exporters and hours, so that those of
// different imports make the same sessions. Some have clocks that cannot be.
func someRecords(rng *rand.Rand, n int, imported uint32) []schema.Record {
	list := make([]schema.Record, n)
	for i := range list {
		at := noon.Add(time.Duration(rng.IntN(4*3600)-2*3600) * time.Second).UnixMicro()
		list[i] = schema.Record{
			Exporter: schema.Addr16(netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(3))})), Import: imported,
			Received: noon.Add(3 * time.Hour).UnixMicro(), Start: at, End: at + rng.Int64N(3600e6),
			Src: schema.Addr16(netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(3))})), Dst: schema.Addr16(netip.AddrFrom4([4]byte{10, 0, 1, byte(rng.IntN(3))})),
			SrcPort: 40000, DstPort: uint16(rng.IntN(2) + 80), Proto: 6, TCPFlags: 0x1b, Bytes: 100, Packets: uint64(rng.IntN(9)), Count: uint32(1 + rng.IntN(2)),
			Direction: schema.Direction(rng.IntN(3)), Completeness: schema.Completeness(rng.IntN(3)),
		}
		switch rng.IntN(10) {
		case 0:
			list[i].Start = 0
		case 1:
			list[i].End = noon.AddDate(1, 0, 0).UnixMicro()
		case 2:
			list[i].Start, list[i].End = 0, 0
		}
		if rng.IntN(5) == 0 {
			list[i].Exporter = [16]byte{}
		}
	}
	return list
}

// An import that is taken back leaves what was stored as if it had never been,
// also where an earlier try was interrupted after any of its steps.
func TestUndo(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	with, without := newRig(t), newRig(t)
	kept := someRecords(rng, 300, 0)
	without.insert(kept...)
	with.insert(kept...)
	want := without.stored()
	for steps := range 4 {
		i, err := with.Begin(t.Context(), "flows.csv", "abc", fmt.Sprint("instance", steps))
		if err != nil {
			t.Fatal(err)
		}
		if i.ID != uint32(steps+1) {
			t.Errorf("import %d, want %d", i.ID, steps+1)
		}
		with.insert(someRecords(rng, 300, i.ID)...)
		if cmp.Equal(want, with.stored()) {
			t.Fatal("the import stored nothing")
		}
		if err := with.write(t.Context(), i, Undoing); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"sessions_hourly", "exporter_stats", "flows"}[:steps] {
			where := fmt.Sprintf("import = %d", i.ID)
			if table == "exporter_stats" {
				where = "collector = 'x'"
			}
			if err := with.delete(t.Context(), deletion{table, where}); err != nil {
				t.Fatal(err)
			}
		}
		again, err := with.Get(t.Context(), i.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !with.Interrupted(again) {
			t.Fatal("an import of this process that was not ended counts as running")
		}
		if err := with.Undo(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, with.stored()); d != "" {
			t.Errorf("after %d steps (-want +got):\n%.2000s", steps, d)
		}
		if got, err := with.Get(t.Context(), i.ID); err != nil || got.State != Undone {
			t.Errorf("state %+v, %v", got, err)
		}
	}
	if same, err := with.Same(t.Context(), "abc"); err != nil || len(same) != 0 {
		t.Errorf("imports of the same contents: %v, %v; all were taken back", same, err)
	}
}

// What an exporter sent in some hours is forgotten as if it had never come.
func TestForget(t *testing.T) {
	for seed, scope := range []Scope{
		{Exporters: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, Since: noon, Until: noon.Add(time.Hour)},
		{Exporters: []netip.Prefix{netip.MustParsePrefix("::/128"), netip.MustParsePrefix("192.0.2.0/31")}, Until: noon},
	} {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		with, without := newRig(t), newRig(t)
		i, err := with.Begin(t.Context(), "flows.csv", "abc", "instance")
		if err != nil {
			t.Fatal(err)
		}
		if err := with.Finish(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		records := someRecords(rng, 600, i.ID)
		with.insert(records...)
		kept := slices.DeleteFunc(slices.Clone(records), func(r schema.Record) bool { return inScope(&scope, &r) })
		if len(kept) == 0 || len(kept) == len(records) {
			t.Fatalf("%d of %d records are kept", len(kept), len(records))
		}
		without.insert(kept...)
		found, err := with.Count(t.Context(), &scope)
		if err != nil {
			t.Fatal(err)
		}
		if found.Flows != uint64(len(records)-len(kept)) || found.Records != found.FlowRecords {
			t.Errorf("scope %d: found %+v, want %d flows and as many records in sessions as in flows", seed, found, len(records)-len(kept))
		}
		for range 2 { // the second time nothing is there, and that is no error
			if err := with.Forget(t.Context(), &scope); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(without.stored(), with.stored()); d != "" {
				t.Errorf("scope %d (-want +got):\n%.2000s", seed, d)
			}
		}
		if got, err := with.Get(t.Context(), i.ID); err != nil || got.State != Forgotten {
			t.Errorf("the import is %v, %v; want %s", got, err, Forgotten)
		}
		all := Scope{Exporters: []netip.Prefix{netip.MustParsePrefix("::/0")}}
		if err := with.Forget(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		if got, err := with.Get(t.Context(), i.ID); err != nil || got.State != Undone {
			t.Errorf("the import of which nothing is left is %v, %v", got, err)
		}
	}
}

// inScope says by the definition whether a record is in a scope.
func inScope(f *Scope, r *schema.Record) bool {
	from := schema.Addr(r.Exporter)
	if !slices.ContainsFunc(f.Exporters, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return false
	}
	start, end := r.Start, r.End
	startOK, endOK := schema.SaneTime(start, r.Received), schema.SaneTime(end, r.Received)
	switch {
	case startOK && !endOK:
		end = start
	case endOK && !startOK:
		start = end
	case !startOK:
		start, end = r.Received, r.Received
	}
	first := schema.Time(min(start, end))
	return (f.Since.IsZero() || !first.Before(f.Since)) && (f.Until.IsZero() || first.Before(f.Until))
}

func TestScopeIsWholeHours(t *testing.T) {
	one := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	for _, c := range []struct {
		scope Scope
		want  string
	}{
		{Scope{Exporters: one, Since: noon.Add(time.Minute)}, "--since 2026-11-20T12:01:00Z: sessions are kept by the hour, so only whole hours can be forgotten: use 2026-11-20T12:00:00Z or 2026-11-20T13:00:00Z"},
		{Scope{Exporters: one, Since: noon, Until: noon.Add(time.Second)}, "--until 2026-11-20T12:00:01Z"},
		{Scope{Exporters: one, Since: noon, Until: noon}, "is not after"},
		{Scope{}, "no exporter"},
		{Scope{Exporters: one, Since: noon, Until: noon.Add(time.Hour)}, ""},
	} {
		err := c.scope.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v, want %q", c.scope, err, c.want)
		}
	}
}

// Imports that begin at the same time have different numbers.
func TestBeginAtOnce(t *testing.T) {
	r := newRig(t)
	const imports = 4
	ids := make([]uint32, imports)
	var wg sync.WaitGroup
	for n := range imports {
		wg.Go(func() {
			i, err := r.Begin(t.Context(), fmt.Sprint(n), "abc", fmt.Sprint("instance", n))
			if err != nil {
				t.Error(err)
				return
			}
			ids[n] = i.ID
		})
	}
	wg.Wait()
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != imports {
		t.Errorf("numbers %v", ids)
	}
}

func TestInterrupted(t *testing.T) {
	host, _, _ := strings.Cut(thisProcess(), ":")
	running := fmt.Sprintf("%s:%d", host, os.Getppid())
	for _, c := range []struct {
		name  string
		in    Import
		alone bool
		want  bool
	}{
		{"done", Import{State: Done, Process: running}, false, false},
		{"runs here", Import{State: Started, Process: running}, false, false},
		{"ran here", Import{State: Started, Process: host + ":2147483646"}, false, true},
		{"its taking back ran here", Import{State: Undoing, Process: host + ":2147483646"}, false, true},
		{"nobody else has the store", Import{State: Started, Process: running}, true, true},
		{"wrote lately elsewhere", Import{State: Started, Process: "elsewhere:1", Changed: time.Now()}, false, false},
		{"silent elsewhere", Import{State: Started, Process: "elsewhere:1", Changed: time.Now().Add(-time.Hour)}, false, true},
	} {
		s := Store{Alone: c.alone}
		if got := s.Interrupted(&c.in); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
