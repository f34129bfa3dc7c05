package e2e

import (
	"context"
	"cordon/internal/loadtest"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	benchTime  = flag.Duration("send", 20*time.Second, "how long BenchmarkUp sends at each rate")
	probeTime  = flag.Duration("probe", 6*time.Second, "how long a search for the highest rate sends at each rate it tries")
	benchCPUs  = flag.String("cpus", allCPUs(), "processors of cordon in BenchmarkUp; the sender always has the last one")
	latencyFor = flag.Duration("latency", 20*time.Second, "how long BenchmarkUpLatency sends")
)

// BenchmarkUp sends flow records to a real `cordon up`, and waits until a query
// over HTTP sees them all. Every rate gets a process and a data folder of its own;
// "highest" searches for the highest rate at which nothing is lost and rows are not
// more than upLag behind.
//
//	go test ./e2e -run '^$' -bench 'Up$' -benchtime 1x -send 60s
func BenchmarkUp(b *testing.B) {
	needLinux(b)
	for _, rate := range []float64{100_000, 250_000, 400_000} {
		b.Run(fmt.Sprintf("rate=%.0f", rate), func(b *testing.B) {
			for range b.N {
				r := runUp(b, rate, *benchTime, 2*time.Minute)
				r.report(b)
			}
		})
	}
	b.Run("highest", func(b *testing.B) {
		for range b.N {
			var best upRun
			if !highest(search{lo: 50_000, start: 400_000, hi: 1_600_000}, func(rate float64) bool {
				r := runUp(b, rate, *probeTime, upLag)
				ok := r.drops == 0 && r.stored == r.sent.Records && r.lag <= upLag && r.sent.rate() > 0.97*rate
				if ok {
					best = r
				}
				b.Logf("%v: %v", map[bool]string{true: "kept up", false: "fell behind"}[ok], r)
				return ok
			}) {
				b.Fatal("loses records, or falls behind, even at 50000 a second")
			}
			best.report(b)
		}
	})
}

// upLag is how long after the last datagram every row must be visible, for
// `cordon up` to have kept up with a rate: a second until the last batch is sealed,
// and a second for what comes after.
const upLag = 2 * time.Second

// upRun is what one run of `cordon up` came to.
type upRun struct {
	sent      sent
	drops     uint64 // datagrams dropped by the kernel at the socket
	decoded   uint64 // records, by the collector's own count
	published uint64 // records in batches that JetStream acknowledged
	stored    uint64 // rows that a query sees
	lag       time.Duration
	cpu       time.Duration // The process's, measured from the first datagram to the last row.
	middle    float64       // bytes of the process's own memory, the mean of the second third
	last      float64       // The last third's.
	peak      float64       // bytes, the most that was resident, files included
	buffer    uint64        // bytes of the socket's receive buffer
	load      float64       // load average before
}

func (r upRun) String() string {
	return fmt.Sprintf("sent %d at %.0f/s, dropped %d datagrams, decoded %d, published %d, stored %d; last row after %v; %.0f ns CPU a record; %.0f MB; receive buffer %d KiB; sender took %.0f %% of a core; load average %.1f",
		r.sent.Records, r.sent.rate(), r.drops, r.decoded, r.published, r.stored, r.lag.Round(time.Millisecond),
		r.cpuPerRecord(), r.peak/1e6, r.buffer>>10, 100*r.sent.CPU.Seconds()/r.sent.Elapsed.Seconds(), r.load)
}

func (r upRun) cpuPerRecord() float64 {
	return float64(r.cpu.Nanoseconds()) / float64(max(r.stored, 1))
}

func (r upRun) report(b *testing.B) {
	b.Helper()
	b.Log(r)
	if r.decoded+r.drops*loadtest.Records != r.sent.Records {
		b.Errorf("%d records sent, %d decoded and %d dropped by the kernel: some are not accounted for", r.sent.Records, r.decoded, r.drops*loadtest.Records)
	}
	b.ReportMetric(r.sent.rate(), "records/s")
	b.ReportMetric(float64(r.sent.Records-r.stored), "lost-records")
	b.ReportMetric(float64(r.drops), "kernel-drops")
	b.ReportMetric(r.cpuPerRecord(), "cpu-ns/record")
	b.ReportMetric(r.lag.Seconds(), "lag-s")
	b.ReportMetric(r.middle/1e6, "middle-MB")
	b.ReportMetric(r.last/1e6, "last-MB")
	b.ReportMetric(r.peak/1e6, "peak-MB")
	b.ReportMetric(100*r.sent.CPU.Seconds()/r.sent.Elapsed.Seconds(), "sender-%")
	b.ReportMetric(float64(r.buffer), "buffer-B")
	b.ReportMetric(0, "ns/op")
}

// runUp sends at a rate to a new `cordon up`, and waits for the rows, at most so
// long after the last datagram.
func runUp(b *testing.B, rate float64, sending, patience time.Duration) (r upRun) {
	b.Helper()
	r.load = loadAverage()
	dir := b.TempDir()
	p := startOn(b, *benchCPUs, nil, "up", "--data-dir", dir)
	a := p.ready(dir)
	port := portOf(b, a.UDP[0])
	before, _ := readStat(p.cmd.Process.Pid)

	stopWatch := watchMemory(p.cmd.Process.Pid, sending, &r)
	r.sent = sendFrom(b, lastCPU(), load{To: a.UDP[0], Records: wholeDatagrams(rate * sending.Seconds()), Rate: rate})
	stopWatch()
	r.await(b, a, port, patience)
	after, _ := readStat(p.cmd.Process.Pid)
	r.cpu = after.cpu - before.cpu
	memory, _ := readMemory(p.cmd.Process.Pid)
	r.peak = memory.peak
	m := a.metrics(b)
	r.decoded, r.buffer = m.sum("cordon_collector_exporter_flows_total"), m.sum("cordon_collector_receive_buffer_bytes")
	r.published = m.sum(`cordon_collector_records_total{result="published"}`)
	if dead := m.sum("cordon_ingest_dead_letters_total"); dead > 0 || r.stored+r.drops*loadtest.Records < r.sent.Records {
		b.Logf("%d of %d rows visible %v after the last datagram, %d dead letters, %d batches waiting, %d failed inserts\n%s",
			r.stored, r.decoded, r.lag.Round(time.Millisecond), dead, m.sum("cordon_ingest_pending_batches")+m.sum("cordon_ingest_unacknowledged_batches"),
			m.sum("cordon_ingest_failed_inserts_total"), tail(p.log.String(), 3))
	}
	if own := m.sum("cordon_collector_kernel_drops_total"); own != r.drops {
		b.Errorf("cordon counts %d datagrams dropped by the kernel, the kernel %d", own, r.drops)
	}
	p.kill()
	if err := os.RemoveAll(dir); err != nil { // a search has many runs
		b.Error(err)
	}
	return r
}

// await waits until the rows of all records that were not dropped are visible.
func (r *upRun) await(b *testing.B, a addresses, port int, patience time.Duration) {
	b.Helper()
	for deadline := r.sent.Ended.Add(patience); ; time.Sleep(5 * time.Millisecond) {
		s, ok := readUDP(port)
		if !ok {
			b.Fatalf("no socket on UDP port %d in /proc/net", port)
		}
		r.drops = s.drops
		n, err := a.query("SELECT count() FROM flows")
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		if r.stored, err = strconv.ParseUint(n, 10, 64); err != nil {
			b.Fatal(err)
		}
		r.lag = now.Sub(r.sent.Ended)
		if r.stored+r.drops*loadtest.Records >= r.sent.Records || now.After(deadline) {
			return
		}
	}
}

// watchMemory samples the memory of a process while records are sent to it. What it
// has of its own goes up and down with merges and garbage; whether it grows shows in
// the means of the second and of the last third.
func watchMemory(pid int, sending time.Duration, r *upRun) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		began, tick := time.Now(), time.NewTicker(100*time.Millisecond)
		defer tick.Stop()
		var sum, n [3]float64
		for {
			select {
			case <-ctx.Done():
				r.middle, r.last = sum[1]/max(n[1], 1), sum[2]/max(n[2], 1)
				return
			case now := <-tick.C:
				if m, ok := readMemory(pid); ok {
					third := min(int(3*now.Sub(began)/sending), 2)
					sum[third] += m.anonymous
					n[third]++
				}
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// search is where highest looks, in records a second.
type search struct{ lo, start, hi float64 }

// highest finds the highest rate at which ok holds, within 7 %; the last call of ok
// that gave true was at that rate. From start it goes up or down in large steps until
// the rate lies between a good and a bad one, and then bisects. A rate is bad when
// two tries at it are: others' work on the machine may spoil one. It gives false if
// even the lowest rate is bad.
func highest(s search, ok func(rate float64) bool) bool {
	try := func(rate float64) bool {
		for range 2 {
			if ok(rate) {
				return true
			}
		}
		return false
	}
	good, bad := 0.0, 0.0
	for rate := s.start; (good == 0 || bad == 0) && rate >= s.lo && rate <= s.hi; {
		if try(rate) {
			good, rate = rate, rate*1.4
		} else {
			bad, rate = rate, rate/1.4
		}
	}
	for good > 0 && bad > 1.07*good {
		if middle := (good + bad) / 2; try(middle) {
			good = middle
		} else {
			bad = middle
		}
	}
	return good > 0
}

// wholeDatagrams rounds a number of records up to what fills datagrams.
func wholeDatagrams(records float64) uint64 {
	return (uint64(records) + loadtest.Records - 1) / loadtest.Records * loadtest.Records
}

// BenchmarkUpLatency sends one record in a datagram, a hundred times a second, and
// measures the time until a query over HTTP sees its row.
func BenchmarkUpLatency(b *testing.B) {
	needLinux(b)
	for range b.N {
		latencies := measureLatency(b, 100, *latencyFor)
		slices.Sort(latencies)
		at := func(q float64) float64 {
			return 1000 * latencies[min(int(q*float64(len(latencies))), len(latencies)-1)].Seconds()
		}
		b.ReportMetric(at(0.5), "median-ms")
		b.ReportMetric(at(0.99), "p99-ms")
		b.ReportMetric(at(1), "max-ms")
		b.ReportMetric(float64(len(latencies)), "records")
		b.ReportMetric(0, "ns/op")
	}
}

func measureLatency(b *testing.B, rate float64, d time.Duration) (latencies []time.Duration) {
	b.Helper()
	dir := b.TempDir()
	p := startOn(b, *benchCPUs, nil, "up", "--data-dir", dir)
	a := p.ready(dir)
	g, err := loadtest.New(b.Context(), loadtest.Config{To: a.UDP[0], Records: 1, Seed: 1, TemplateRefresh: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()

	// Records come one by one from one exporter, so that the n-th row that
	// appears is the n-th record that left.
	total := int(rate * d.Seconds())
	var mu sync.Mutex
	left := make([]time.Time, 0, total)
	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for range total {
			// Not in step with batches, nor with the look at rows.
			time.Sleep(time.Duration(2 * rng.Float64() / rate * float64(time.Second)))
			mu.Lock()
			left = append(left, time.Now())
			mu.Unlock()
			if _, err := g.Run(b.Context()); err != nil {
				b.Error(err)
				return
			}
		}
	})
	for deadline := time.Now().Add(2*d + 30*time.Second); len(latencies) < total; time.Sleep(2 * time.Millisecond) {
		n, err := a.query("SELECT count() FROM flows")
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		rows, err := strconv.Atoi(n)
		if err != nil {
			b.Fatal(err)
		}
		if now.After(deadline) {
			b.Fatalf("%d of %d records are visible after %v", rows, total, 2*d+30*time.Second)
		}
		mu.Lock()
		for len(latencies) < rows {
			latencies = append(latencies, now.Sub(left[len(latencies)]))
		}
		mu.Unlock()
	}
	wg.Wait()
	p.stop()
	return latencies
}

// metrics are the lines of a /metrics page.
type metrics []string

func (a addresses) metrics(tb testing.TB) metrics {
	tb.Helper()
	resp, err := http.Get("http://" + a.HTTP + "/metrics")
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Split(string(body), "\n")
}

// sum adds up the values of a metric, with the given labels or all.
func (m metrics) sum(name string) (total uint64) {
	for _, line := range m {
		rest, found := strings.CutPrefix(line, name)
		if !found || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			total += uint64(v)
		}
	}
	return total
}

func portOf(tb testing.TB, address string) int {
	tb.Helper()
	port, err := strconv.Atoi(address[strings.LastIndexByte(address, ':')+1:])
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
