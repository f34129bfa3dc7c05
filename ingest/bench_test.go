package ingest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/schema"
)

// traffic is made-up traffic as a uniflow exporter shows it, two records a
// flow: clients and servers, a few of which have most of the flows, and ten
// services. How much there is to fold depends on how many they are:
//
//   - a data centre of 300 clients and 60 servers has 6,600 different sessions
//     in a batch of 28,000 records, like the 317 hosts of Madani et al. (IWSPA
//     2022), which have 6,100 in as many;
//   - a campus of 5,000 clients and 300 servers has 13,000, nearly as many as
//     there are flows, and about the worst there is.
type traffic struct {
	rng              *rand.Rand
	clients, servers *rand.Zipf
	now              int64
}

// site is a size of traffic.
type site struct {
	name             string
	clients, servers uint64
}

var sites = []site{{"datacentre", 300, 60}, {"campus", 5000, 300}}

func newTraffic(s site) *traffic {
	rng := rand.New(rand.NewPCG(1, 4739))
	return &traffic{
		rng:     rng,
		clients: rand.NewZipf(rng, 1.1, max(1, float64(s.clients)/100), s.clients-1),
		servers: rand.NewZipf(rng, 1.2, 4, s.servers-1),
		now:     time.Now().UnixMicro(),
	}
}

func v4(a uint32) (ip [16]byte) {
	ip[10], ip[11] = 0xff, 0xff
	binary.BigEndian.PutUint32(ip[12:], a)
	return ip
}

var ports = [...]uint16{443, 53, 80, 389, 445, 22, 5432, 3306, 8080, 123}

// batch seals n records as a collector does.
func (w *traffic) batch(t testing.TB, id string, n int) *schema.Sealed {
	var b schema.Batch
	b.Grow(n)
	for b.Len() < n {
		w.now += 2
		client, server := uint32(w.clients.Uint64()), uint32(w.servers.Uint64())
		service := (server + uint32(w.rng.IntN(2))) % uint32(len(ports))
		proto := uint8(6)
		if ports[service] == 53 || ports[service] == 123 {
			proto = 17
		}
		duration := int64(w.rng.ExpFloat64() * 5e6)
		r := schema.Record{
			Exporter: v4(0x0a090900 + client%4), Domain: 1, Received: w.now, Start: w.now - duration - 15e6, End: w.now - 15e6,
			Src: v4(0x0a000000 + client), Dst: v4(0x0a640000 + server),
			SrcPort: uint16(32768 + w.rng.IntN(28000)), DstPort: ports[service], Proto: proto,
			Packets: 1 + uint64(w.rng.ExpFloat64()*8), InIf: client%48 + 1, OutIf: server%8 + 49, EndReason: 1,
			Direction: schema.Forward, Basis: schema.BasisPortRange,
		}
		r.Bytes = r.Packets * (60 + uint64(w.rng.IntN(400)))
		if proto == 6 {
			r.TCPFlags, r.Basis = 0x1b, schema.BasisTCPFlags
		}
		b.Append(&r)
		r.Src, r.Dst, r.SrcPort, r.DstPort, r.InIf, r.OutIf = r.Dst, r.Src, r.DstPort, r.SrcPort, r.OutIf, r.InIf
		r.Direction, r.Bytes = schema.Reverse, r.Packets*uint64(60+w.rng.IntN(1400))
		b.Append(&r)
	}
	payload, err := b.Seal(nil, schema.MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	return &schema.Sealed{ID: id, Table: schema.TableFlows, Rows: b.Len(), Payload: payload}
}

// benchRows is what a batch holds when the limit of 1 MiB seals it.
const benchRows = 28_000

// BenchmarkIngest measures the whole way from messages in JetStream to rows
// that queries see, sessions included. One iteration is one batch.
func BenchmarkIngest(b *testing.B) {
	for _, site := range sites {
		for _, inserts := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s/inserts=%d", site.name, inserts), func(b *testing.B) {
				b.StopTimer()
				m := measureIngest(b, site, inserts, b.N, true)
				b.ReportMetric(m.rate(), "rows/s")
				b.ReportMetric(m.cpuPerRow(), "cpu-ns/row")
				b.ReportMetric(m.messageBytes, "message-B/row")
				b.ReportMetric(m.flowBytes, "flows-B/row")
				b.ReportMetric(m.sessionBytes, "sessions_hourly-B/row")
			})
		}
	}
}

// shareBatches is how many batches each turn of BenchmarkIngestShare has.
const shareBatches = 160

// BenchmarkIngestShare says what folding costs: the rate and the processor time
// of ingesting with sessions as a share of those without. Turns with and without
// alternate, so that other work on the machine meets both; one iteration is a
// turn of each. Shares are medians over the iterations.
func BenchmarkIngestShare(b *testing.B) {
	for _, site := range sites {
		b.Run(site.name, func(b *testing.B) {
			b.StopTimer()
			var rate, cpu []float64
			var with, without []float64
			for n := range b.N {
				var m [2]measured // The first runs without it, the second with it.
				for turn := range m {
					fold := (turn + n) % 2 // each goes first in every other iteration
					m[fold] = measureIngest(b, site, DefaultConfig().Inserts, shareBatches, fold == 1)
				}
				rate = append(rate, m[1].rate()/m[0].rate())
				cpu = append(cpu, m[0].cpuPerRow()/m[1].cpuPerRow())
				without, with = append(without, m[0].cpuPerRow()), append(with, m[1].cpuPerRow())
			}
			b.ReportMetric(median(rate), "share-of-rate-without")
			b.ReportMetric(median(cpu), "share-by-cpu")
			b.ReportMetric(median(without), "cpu-ns/row-without")
			b.ReportMetric(median(with), "cpu-ns/row-with")
		})
	}
}

// engineBatches is how many batches each turn of BenchmarkIngestBesideEngine has.
const engineBatches = 80

// BenchmarkIngestBesideEngine compares ingesting with what the engine alone takes to read the same rows, raw records and the
// sessions that they make, from files into the same tables. One iteration is a turn of each; figures are medians.
func BenchmarkIngestBesideEngine(b *testing.B) {
	for _, site := range sites {
		b.Run(site.name, func(b *testing.B) {
			b.StopTimer()
			var rates, shares, costs []float64
			for range b.N {
				var alone measured
				m := measureThen(b, site, DefaultConfig().Inserts, engineBatches, true, func(r *rig) { alone = r.engineAlone(b) })
				rates, shares, costs = append(rates, alone.rate()), append(shares, m.rate()/alone.rate()), append(costs, m.cpuPerRow()/alone.cpuPerRow())
			}
			b.ReportMetric(median(rates), "engine-rows/s")
			b.ReportMetric(median(shares), "share-of-engine-rate")
			b.ReportMetric(median(costs), "times-engine-cpu")
		})
	}
}

// engineAlone stores what the tables hold once more, from files. The time is until all rows are visible; the processor time is
// until the merges that they caused are over as well.
func (r *rig) engineAlone(b *testing.B) (m measured) {
	ctx, dir := context.Background(), b.TempDir()
	exec := func(query string) {
		b.Helper()
		if err := r.conn.Exec(ctx, query); err != nil {
			b.Fatalf("%v\nin %s", err, query)
		}
	}
	tables := []string{"flows", "sessions_hourly"}
	m.rows = float64(r.flows())
	for _, table := range tables {
		exec(fmt.Sprintf("INSERT INTO FUNCTION file('%s/%s.native') SELECT * FROM %s.%s", dir, table, r.database, table))
		exec("TRUNCATE TABLE " + r.database + "." + table)
	}
	before, start := cpuTime(), time.Now()
	for _, table := range tables {
		exec(fmt.Sprintf("INSERT INTO %[1]s.%[2]s SELECT * FROM file('%[3]s/%[2]s.native') SETTINGS max_insert_threads = %[4]d, optimize_on_insert = 0, materialize_skip_indexes_on_insert = 0", r.database, table, dir, runtime.GOMAXPROCS(0)))
	}
	m.elapsed = time.Since(start)
	r.eventually("no merge runs", func() bool {
		return r.count("SELECT count() FROM system.merges WHERE database = '"+r.database+"'") == 0
	})
	m.cpu = cpuTime() - before
	if got := float64(r.flows()); got != m.rows {
		b.Fatalf("%.0f rows of %.0f are stored again", got, m.rows)
	}
	return m
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// measured is what one run of an ingester took.
type measured struct {
	rows                                  float64
	elapsed, cpu                          time.Duration
	messageBytes, flowBytes, sessionBytes float64 // a row of flows
}

func (m measured) rate() float64      { return m.rows / m.elapsed.Seconds() }
func (m measured) cpuPerRow() float64 { return float64(m.cpu.Nanoseconds()) / m.rows }

// delivered is how many messages the ingesters were given.
func (r *rig) delivered() uint64 {
	c, err := r.bus.JS.Consumer(context.Background(), bus.StreamFlows, bus.ConsumerIngest)
	if err != nil {
		return 0
	}
	return c.CachedInfo().Delivered.Consumer
}

// measureIngest ingests batches that lie in JetStream. The time is until all
// are acknowledged; the processor time is until the merges that they caused are
// over as well.
func measureIngest(b *testing.B, site site, inserts, batches int, fold bool) (m measured) {
	return measureThen(b, site, inserts, batches, fold, func(*rig) {})
}

// measureThen does what measureIngest does, and something with the tables before they go.
func measureThen(b *testing.B, site site, inserts, batches int, fold bool, then func(*rig)) (m measured) {
	r := newRig(b)
	w := newTraffic(site)
	size := 0
	for n := range batches {
		s := w.batch(b, fmt.Sprintf("bench-%d", n), benchRows)
		size += len(s.Payload)
		r.publish(s)
	}
	cfg := DefaultConfig()
	cfg.Inserts = inserts
	i := r.ingester(cfg)
	i.flowsOnly = !fold
	runtime.GC()
	before, start := cpuTime(), time.Now()
	b.StartTimer()
	stop := r.run(i)
	r.eventually("no batch waits", func() bool { return r.delivered() >= uint64(batches) })
	r.eventually("all rows are visible", func() bool { return r.flows() == uint64(batches*benchRows) })
	stop() // finishes those under way, without the wait for more of a group
	b.StopTimer()
	m.elapsed = time.Since(start)
	r.drained()
	r.eventually("no merge runs", func() bool {
		return r.count("SELECT count() FROM system.merges WHERE database = '"+r.database+"'") == 0
	})
	m.cpu = cpuTime() - before
	m.rows = float64(batches * benchRows)
	onDisk := func(table string) float64 {
		return float64(r.count("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '"+r.database+"' AND table = '"+table+"'")) / m.rows
	}
	m.messageBytes, m.flowBytes, m.sessionBytes = float64(size)/m.rows, onDisk("flows"), onDisk("sessions_hourly")
	if fold {
		if got := r.count("SELECT toUInt64(sum(complete + half_open + unanswered + requests + replies + denied)) FROM " + r.database + ".sessions_hourly"); got != uint64(m.rows) {
			b.Fatalf("%d records in sessions, want %.0f", got, m.rows)
		}
	}
	then(r)
	// No merge of this turn shall count in the next.
	if err := r.conn.Exec(context.Background(), "DROP DATABASE "+r.database+" SYNC"); err != nil {
		b.Fatal(err)
	}
	return m
}
