package ingest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

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
func BenchmarkIngest(b *testing.B) { benchmarkIngest(b, true) }

// BenchmarkIngestWithoutSessions is the same without folding: what folding
// costs.
func BenchmarkIngestWithoutSessions(b *testing.B) { benchmarkIngest(b, false) }

func benchmarkIngest(b *testing.B, fold bool) {
	for _, site := range sites {
		for _, inserts := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s/inserts=%d", site.name, inserts), func(b *testing.B) {
				r := newRig(b)
				w := newTraffic(site)
				var bytes int
				for n := range b.N {
					s := w.batch(b, fmt.Sprintf("bench-%d", n), benchRows)
					bytes += len(s.Payload)
					r.publish(s)
				}
				cfg := DefaultConfig()
				cfg.Inserts = inserts
				i := r.ingester(cfg)
				i.into.FlowsOnly = !fold
				runtime.GC()
				before := cpuTime()
				b.ResetTimer()
				stop := r.run(i)
				r.drained()
				b.StopTimer()
				after := cpuTime()
				stop()
				rows := float64(b.N * benchRows)
				if got := r.flows(); got != uint64(rows) {
					b.Fatalf("%d rows, want %.0f", got, rows)
				}
				b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64((after-before).Nanoseconds())/rows, "cpu-ns/row")
				b.ReportMetric(float64(bytes)/rows, "message-B/row")
				for _, table := range []string{"flows", "sessions_hourly"} {
					size := r.count("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '" + r.database + "' AND table = '" + table + "'")
					b.ReportMetric(float64(size)/rows, table+"-B/row")
				}
			})
		}
	}
}
