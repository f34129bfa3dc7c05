package clickhousehttp

import (
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// BenchmarkInsert sends blocks of flow-like rows through clickhouse-go's
// columnar batches: 25 columns, 32 Ki rows a block, each under its token.
func BenchmarkInsert(b *testing.B) {
	for _, way := range []string{"in process", "TCP", "TCP lz4"} {
		b.Run(way, func(b *testing.B) { benchmarkInsert(b, way) })
	}
}

func benchmarkInsert(b *testing.B, way string) {
	c := openTest(b, Config{Dir: b.TempDir(), Listen: "127.0.0.1:0"})
	opts := c.Options()
	if way != "in process" {
		_, o, err := Running(c.Dir())
		if err != nil {
			b.Fatal(err)
		}
		opts = o
	}
	if way == "TCP lz4" {
		opts.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	conn := openConn(b, opts)
	mustExec(b, conn, `CREATE TABLE flows (
		start DateTime64(3), end DateTime64(3), exporter IPv6, domain UInt32, vrf LowCardinality(String),
		src_ip IPv6, dst_ip IPv6, src_port UInt16, dst_port UInt16, proto UInt8, tcp_flags UInt8, icmp_type UInt8, icmp_code UInt8,
		octets UInt64, packets UInt64, rev_octets UInt64, rev_packets UInt64, input UInt32, output UInt32, vlan UInt16,
		direction UInt8, end_reason UInt8, sampling UInt32, basis LowCardinality(String), action LowCardinality(String))
		ENGINE = MergeTree PARTITION BY toDate(start) ORDER BY (vrf, dst_ip, dst_port, src_ip, start)
		SETTINGS non_replicated_deduplication_window = 1000`)

	const rows = 32 << 10
	rnd := rand.New(rand.NewPCG(1, 2))
	var (
		times               = make([]time.Time, rows)
		ips, peers          = make([]net.IP, rows), make([]net.IP, rows)
		ports               = make([]uint16, rows)
		bytes               = make([]uint8, rows)
		words               = make([]uint32, rows)
		octets              = make([]uint64, rows)
		vrfs, basis, action = make([]string, rows), make([]string, rows), make([]string, rows)
	)
	begun := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for i := range rows {
		times[i] = begun.Add(time.Duration(rnd.IntN(60_000)) * time.Millisecond)
		ips[i] = net.IPv4(10, byte(rnd.IntN(4)), byte(rnd.IntN(256)), byte(rnd.IntN(256))).To16()
		peers[i] = net.IPv4(10, 100, 1, byte(rnd.IntN(100))).To16()
		ports[i], bytes[i], words[i], octets[i] = uint16(rnd.IntN(100)), uint8(rnd.IntN(20)), rnd.Uint32N(64), rnd.Uint64N(1<<20)
		vrfs[i], basis[i], action[i] = fmt.Sprint("vrf", rnd.IntN(3)), "syn", "forwarded"
	}
	columns := []any{
		times, times, peers, words, vrfs, ips, peers, ports, ports, bytes, bytes, bytes, bytes,
		octets, octets, octets, octets, words, words, ports, bytes, bytes, words, basis, action,
	}
	b.ResetTimer()
	cpu := processCPU(b)
	for i := range b.N {
		ctx := clickhouse.Context(b.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": fmt.Sprint(i)}))
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO flows")
		if err != nil {
			b.Fatal(err)
		}
		for i, col := range columns {
			if err := batch.Column(i).Append(col); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
	// Merges in the background count in.
	b.ReportMetric(float64(processCPU(b)-cpu)/(float64(b.N)*rows), "cpu-ns/row")
	b.StopTimer()
	if n := queryInt(b, conn, "SELECT count() FROM flows"); n != uint64(b.N)*rows {
		b.Errorf("%d rows stored, want %d", n, b.N*rows)
	}
}

// BenchmarkSelect reads rows back, and the cost of a small query.
func BenchmarkSelect(b *testing.B) {
	c := openTest(b, Config{Listen: "127.0.0.1:0"})
	conn := openConn(b, c.Options())
	b.Run("one row", func(b *testing.B) {
		for range b.N {
			queryInt(b, conn, "SELECT count() FROM numbers(10)")
		}
	})
	b.Run("outside one row", func(b *testing.B) {
		for range b.N {
			get(b, c, nil, "SELECT count() FROM numbers(10)")
		}
	})
	b.Run("a million rows", func(b *testing.B) {
		for range b.N {
			rows, err := conn.Query(b.Context(), "SELECT number, toString(number), toIPv6('::1') FROM numbers(1000000)")
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for rows.Next() {
				n++
			}
			rows.Close()
			if n != 1_000_000 || rows.Err() != nil {
				b.Fatal(n, rows.Err())
			}
		}
		b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds(), "rows/s")
	})
}

// processCPU returns the processor time that this process has taken.
func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
