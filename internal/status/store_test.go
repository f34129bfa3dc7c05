package status

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"cordon/internal/chdb"
	"cordon/internal/clickhousehttp"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
)

// TestOneWayExporters: 10.9.9.1 shows requests only; 10.9.9.2 both directions,
// of one session, in different hours; 10.9.9.3 sends biflows; 10.9.9.4 sends
// only answers; an import says nothing of completeness.
func TestOneWayExporters(t *testing.T) {
	if _, err := chdb.FindLibrary(""); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the ClickHouse library is not there: make deps fetches it")
	}
	ctx := context.Background()
	ch, err := clickhousehttp.Open(ctx, clickhousehttp.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close(ctx)
	db := clickhouse.OpenDB(ch.Options())
	defer db.Close()
	if _, _, err := schema.Migrate(ctx, db, schema.MigrateConfig{Database: "cordon_status", Script: ch.Script}); err != nil {
		t.Fatal(err)
	}
	opts := ch.Options()
	opts.Auth.Database = "cordon_status"
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	ip := func(s string) [16]byte { return schema.Addr16(netip.MustParseAddr(s)) }
	hour := now.UnixMicro()
	record := func(exporter string, change func(*schema.Record)) schema.Record {
		r := schema.Record{
			Exporter: ip(exporter), Src: ip("10.0.0.1"), Dst: ip("10.0.0.2"), Proto: 17, SrcPort: 40000, DstPort: 53,
			Start: hour, End: hour, Received: hour, Packets: 1, Bytes: 60, Count: 1,
			Direction: schema.Forward, Basis: schema.BasisKnownPort, Completeness: schema.OneWay,
		}
		change(&r)
		return r
	}
	answer := func(r *schema.Record) {
		r.Src, r.Dst, r.SrcPort, r.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
		r.Direction = schema.Reverse
		r.Start, r.End = hour+3600e6, hour+3600e6
	}
	asIs := func(*schema.Record) {}
	var b schema.Batch
	for _, r := range []schema.Record{
		record("10.9.9.1", asIs),
		// A client's ACK says that it was answered, and shows one direction still.
		record("10.9.9.1", func(r *schema.Record) { r.Proto, r.DstPort, r.TCPFlags = 6, 443, 0x1b }),
		// A SYN alone says that it was not, and shows one direction too.
		record("10.9.9.1", func(r *schema.Record) { r.Proto, r.DstPort, r.TCPFlags = 6, 22, 0x02 }),
		record("10.9.9.2", asIs),
		record("10.9.9.2", answer),
		record("10.9.9.3", func(r *schema.Record) { r.RevPackets, r.RevBytes, r.Completeness = 1, 90, schema.BothWays }),
		record("10.9.9.3", func(r *schema.Record) { r.Dst = ip("10.0.0.3") }),
		record("10.9.9.4", answer),
		record("10.9.9.5", func(r *schema.Record) { r.Completeness = schema.Unknowable }),
	} {
		b.Append(&r)
	}
	payload, err := b.Seal(nil, schema.MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	sealed := schema.Sealed{ID: "status-1", Table: schema.TableFlows, Rows: b.Len(), Payload: payload}
	var in schema.Insert
	if err := in.Prepare(&sealed); err != nil {
		t.Fatal(err)
	}
	if err := in.Run(ctx, conn, schema.InsertOptions{Database: "cordon_status"}); err != nil {
		t.Fatal(err)
	}
	var d Document
	d.AddStore(ctx, conn)
	if d.Store.Error != "" {
		t.Fatal(d.Store.Error)
	}
	if diff := cmp.Diff([]string{"10.9.9.1", "10.9.9.4"}, d.Store.OneWay); diff != "" {
		t.Errorf("one-way exporters (-want +got):\n%s", diff)
	}
}
