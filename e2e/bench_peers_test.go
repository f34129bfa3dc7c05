package e2e

import (
	"bytes"
	varint "encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cordon/internal/natsserver"
)

// BenchmarkPeers sends the same stream to collectors of others and to `cordon
// collect`: the collector alone on the first processor, the sender (and for cordon
// the NATS server that acknowledges) on the last one, and the receive buffer of all
// as large as the kernel lets any process have it. Each searches for the highest rate
// at which the collector's own count is what was sent, and gives the processor time
// that it took there.
//
// What they do with a record differs: nfcapd writes it into files of its own binary
// format, nfacctd adds it up by addresses, ports and protocol and prints the sums,
// goflow2 writes protobuf or JSON into a file, cordon publishes batches in columns to
// JetStream.
//
//	go test ./e2e -run '^$' -bench Peers -benchtime 1x
func BenchmarkPeers(b *testing.B) {
	needLinux(b)
	for _, c := range []struct {
		name  string
		start func(b *testing.B) *peer
		search
	}{
		{"cordon", startCordonCollect, search{lo: 50_000, start: 1_000_000, hi: 6_000_000}},
		{"nfcapd", startNfcapd, search{lo: 50_000, start: 2_000_000, hi: 6_000_000}},
		{"nfacctd", startNfacctd, search{lo: 20_000, start: 200_000, hi: 3_000_000}},
		{"goflow2-protobuf", func(b *testing.B) *peer { return startGoflow2(b, "bin", countFramed) }, search{lo: 10_000, start: 100_000, hi: 3_000_000}},
		{"goflow2-json", func(b *testing.B) *peer { return startGoflow2(b, "json", countLines) }, search{lo: 5_000, start: 20_000, hi: 3_000_000}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				var best peerRun
				if !highest(c.search, func(rate float64) bool {
					r := runPeer(b, c.start, rate)
					ok := r.drops == 0 && r.counted == r.sent.Records && r.lag <= peerLag && r.sent.rate() > 0.97*rate
					if ok {
						best = r
					}
					b.Logf("%v: %v", map[bool]string{true: "kept up", false: "fell behind"}[ok], r)
					return ok
				}) {
					b.Skipf("loses records even at %.0f a second", c.search.lo)
				}
				b.ReportMetric(best.sent.rate(), "records/s")
				b.ReportMetric(best.cpuPerRecord(), "cpu-ns/record")
				b.ReportMetric(best.memory.peak/1e6, "peak-MB")
				b.ReportMetric(100*best.sent.CPU.Seconds()/best.sent.Elapsed.Seconds(), "sender-%")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// peerLag is how long a collector may be busy after the last datagram. It keeps an
// unbounded queue in memory from passing for speed.
const peerLag = 1500 * time.Millisecond

// peer is a collector that runs.
type peer struct {
	*process
	port  int
	count func() (uint64, error) // records, by its own account; the collector is idle, and is stopped by this
}

type peerRun struct {
	sent    sent
	drops   uint64 // datagrams dropped by the kernel
	counted uint64 // records
	lag     time.Duration
	cpu     time.Duration // Measured from the first datagram to the end of the process.
	memory  memory
	load    float64
}

func (r peerRun) cpuPerRecord() float64 {
	return float64(r.cpu.Nanoseconds()) / float64(max(r.counted, 1))
}

func (r peerRun) String() string {
	return fmt.Sprintf("sent %d at %.0f/s, dropped %d datagrams, counted %d; idle after %v; %.0f ns CPU a record; %.0f MB; sender took %.0f %% of a core; load average %.1f",
		r.sent.Records, r.sent.rate(), r.drops, r.counted, r.lag.Round(time.Millisecond), r.cpuPerRecord(), r.memory.peak/1e6,
		100*r.sent.CPU.Seconds()/r.sent.Elapsed.Seconds(), r.load)
}

func runPeer(b *testing.B, start func(*testing.B) *peer, rate float64) (r peerRun) {
	b.Helper()
	r.load = loadAverage()
	p := start(b)
	pid := p.cmd.Process.Pid
	eventually(b, 30*time.Second, p.name+" to listen", func() error {
		if _, ok := readUDP(p.port); !ok {
			return errors.New(tail(p.log.String(), 5))
		}
		return nil
	})
	before := groupCPU(pid)
	r.sent = sendFrom(b, lastCPU(), load{To: "127.0.0.1:" + strconv.Itoa(p.port), Records: wholeDatagrams(rate * probeTime.Seconds()), Rate: rate})
	r.lag = max(0, p.idle(b).Sub(r.sent.Ended))
	s, _ := readUDP(p.port)
	r.drops = s.drops
	r.memory, _ = readMemory(pid)
	var err error
	if r.counted, err = p.count(); err != nil {
		b.Fatalf("%s: %v\n%s", p.name, err, tail(p.log.String(), 10))
	}
	<-p.done
	// With the children that it has waited for.
	r.cpu = rusageCPU(p.cmd.ProcessState.SysUsage().(*syscall.Rusage)) - before
	return r
}

// idle waits until a collector has read everything and rests, and gives the time at
// which it began to.
func (p *peer) idle(b *testing.B) time.Time {
	b.Helper()
	const look, rest = 50 * time.Millisecond, 6 // looks
	pid := p.cmd.Process.Pid
	last, since, n := groupCPU(pid), time.Now(), 0
	for deadline := since.Add(30 * time.Second); n < rest && time.Now().Before(deadline); {
		time.Sleep(look)
		s, ok := readUDP(p.port)
		if !ok {
			b.Fatalf("%s has closed its socket\n%s", p.name, tail(p.log.String(), 10))
		}
		now := groupCPU(pid)
		if s.queued > 0 || now-last > clockTick {
			since, n = time.Now(), 0
		} else {
			n++
		}
		last = now
	}
	return since
}

// startPeer starts a program on the first processor, as the leader of a process
// group. It is killed at the end of the benchmark.
func startPeer(b *testing.B, port int, program string, args ...string) *peer {
	b.Helper()
	p := &peer{port: port, process: &process{t: b, name: filepath.Base(program), log: new(logBuffer), done: make(chan struct{})}}
	p.cmd = exec.Command("taskset", append([]string{"-c", firstCPU(), program}, args...)...)
	p.cmd.Dir = b.TempDir()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.run()
	b.Cleanup(func() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	return p
}

// end asks a collector to stop, and waits until it has.
func (p *peer) end(s syscall.Signal) error {
	p.cmd.Process.Signal(s)
	select {
	case <-p.done:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s did not stop within 30 s of %v", p.name, s)
	}
}

// freeUDPPort is a port that nobody has at the moment.
func freeUDPPort(b *testing.B) int {
	b.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// lookPath finds a program that others make, also where only root looks.
func lookPath(b *testing.B, program, install string) string {
	b.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program, "../.cache/bin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				return path
			}
		}
	}
	b.Skipf("%s is not installed (%s)", program, install)
	return ""
}

// natsEnv makes the test binary run NATS alone, as the server that a collector
// publishes to.
const natsEnv = "CORDON_E2E_NATS"

// runNATS serves until it is killed.
func runNATS(dir string) error {
	n, err := natsserver.Start(natsserver.Config{Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "url.tmp")
	if err := errors.Join(os.WriteFile(tmp, []byte(n.URL()), 0o600), os.Rename(tmp, filepath.Join(dir, "url"))); err != nil {
		return err
	}
	select {}
}

func startCordonCollect(b *testing.B) *peer {
	dir := b.TempDir()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	nats := &process{t: b, name: "nats", cmd: exec.Command("taskset", "-c", lastCPU(), exe), log: new(logBuffer), done: make(chan struct{})}
	nats.cmd.Env = append(os.Environ(), natsEnv+"="+dir, "GOMAXPROCS=1")
	nats.run()
	var url string
	eventually(b, 30*time.Second, "NATS to be ready", func() error {
		data, err := os.ReadFile(filepath.Join(dir, "url"))
		url = string(data)
		return err
	})
	p := &peer{port: freeUDPPort(b)}
	p.process = startOn(b, firstCPU(), []string{
		"CORDON_NATS_URL=" + url, "CORDON_NATS_MAX_BYTES=8589934592",
		fmt.Sprintf("CORDON_COLLECTOR_UDP_LISTEN=127.0.0.1:%d", p.port),
		fmt.Sprintf("CORDON_COLLECTOR_UDP_RECEIVE_BUFFER=%d", defaultLimit(b)),
	}, "collect", "--data-dir", filepath.Join(dir, "data"))
	var a addresses
	eventually(b, 30*time.Second, "the collector to listen", func() error {
		for line := range strings.Lines(p.log.String()) {
			if _, rest, ok := strings.Cut(line, " http="); ok && strings.Contains(line, "cordon is up") {
				a.HTTP, _, _ = strings.Cut(rest, " ")
				return nil
			}
		}
		return errors.New(tail(p.log.String(), 3))
	})
	p.count = func() (n uint64, err error) {
		eventually(b, 30*time.Second, "all batches to be acknowledged", func() error {
			m := a.metrics(b)
			n = m.sum("cordon_collector_exporter_flows_total")
			if got := m.sum(`cordon_collector_records_total{result="published"}`); m.sum("cordon_collector_open_records") > 0 || got < n {
				return fmt.Errorf("%d of %d records", got, n)
			}
			return nil
		})
		err = p.end(syscall.SIGTERM)
		nats.kill()
		return n, errors.Join(err, os.RemoveAll(dir))
	}
	return p
}

func startNfcapd(b *testing.B) *peer {
	program := lookPath(b, "nfcapd", "Debian: apt-get install nfdump")
	dir, port := b.TempDir(), freeUDPPort(b)
	p := startPeer(b, port, program, "-w", dir, "-b", "127.0.0.1", "-p", strconv.Itoa(port), "-t", "3600", "-B", strconv.Itoa(defaultLimit(b)))
	p.count = func() (uint64, error) {
		if err := p.end(syscall.SIGTERM); err != nil {
			return 0, err
		}
		out, err := exec.Command("nfdump", "-I", "-R", dir).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("nfdump -I: %w: %s", err, out)
		}
		m := regexp.MustCompile(`(?m)^Flows: (\d+)$`).FindSubmatch(out)
		if m == nil {
			return 0, fmt.Errorf("nfdump -I says no number of flows: %s", out)
		}
		return strconv.ParseUint(string(m[1]), 10, 64)
	}
	return p
}

func startNfacctd(b *testing.B) *peer {
	program := lookPath(b, "nfacctd", "Debian: apt-get install pmacct")
	dir, port := b.TempDir(), freeUDPPort(b)
	conf, table := filepath.Join(dir, "nfacctd.conf"), filepath.Join(dir, "flows.csv")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `daemonize: false
nfacctd_ip: 127.0.0.1
nfacctd_port: %d
nfacctd_pipe_size: %d
plugins: print[all]
aggregate[all]: src_host, dst_host, src_port, dst_port, proto, tcpflags, flows
print_output[all]: csv
print_output_file[all]: %s
print_output_file_append[all]: true
print_refresh_time[all]: 3600
print_cache_entries[all]: 262144
plugin_buffer_size: 102400
plugin_pipe_size: 104857600
`, port, defaultLimit(b), table), 0o600); err != nil {
		b.Fatal(err)
	}
	p := startPeer(b, port, program, "-f", conf)
	p.count = func() (total uint64, err error) {
		if err := p.end(syscall.SIGINT); err != nil {
			return 0, err
		}
		column := -1
		data, err := os.ReadFile(table)
		for line := range strings.Lines(string(data)) {
			f := strings.Split(strings.TrimSpace(line), ",")
			if column < 0 || f[0] == "SRC_IP" {
				for column = len(f) - 1; column >= 0 && f[column] != "FLOWS"; column-- {
				}
				if column < 0 {
					return 0, fmt.Errorf("no column FLOWS in %q", line)
				}
				continue
			}
			n, err := strconv.ParseUint(f[column], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%q: %w", line, err)
			}
			total += n
		}
		return total, err
	}
	return p
}

// goflow2Install is how the version that the document speaks of is installed.
const goflow2Install = "GOBIN=$PWD/.cache/bin go install github.com/netsampler/goflow2/v2/cmd/goflow2@v2.2.3"

func startGoflow2(b *testing.B, format string, count func(io.Reader) (uint64, error)) *peer {
	program := lookPath(b, "goflow2", goflow2Install)
	dir, port := b.TempDir(), freeUDPPort(b)
	file := filepath.Join(dir, "flows")
	// One worker: of two, one may decode records before the other their template.
	args := []string{
		"-listen", fmt.Sprintf("netflow://127.0.0.1:%d?workers=1", port), "-addr", "127.0.0.1:0",
		"-format", format, "-transport", "file", "-transport.file", file,
	}
	if format == "bin" {
		args = append(args, "-transport.file.sep", "") // each message begins with its length
	}
	p := startPeer(b, port, program, args...)
	p.count = func() (uint64, error) {
		if err := p.end(syscall.SIGTERM); err != nil {
			return 0, err
		}
		f, err := os.Open(file)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		defer os.Remove(file)
		return count(f)
	}
	return p
}

func countLines(r io.Reader) (n uint64, err error) {
	buf := make([]byte, 1<<20)
	for {
		k, err := r.Read(buf)
		n += uint64(bytes.Count(buf[:k], []byte("\n")))
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// countFramed counts messages that each begin with their length as a varint.
func countFramed(r io.Reader) (n uint64, err error) {
	data, err := io.ReadAll(r)
	for len(data) > 0 && err == nil {
		length, k := varint.Uvarint(data)
		if k <= 0 || uint64(len(data)-k) < length {
			return n, fmt.Errorf("message %d is cut short", n+1)
		}
		data = data[k+int(length):]
		n++
	}
	return n, err
}
