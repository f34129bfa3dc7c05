package collector

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"cordon/internal/bus"
	"cordon/internal/natsserver"

	"golang.org/x/sys/unix"
)

var benchRate = flag.Int("rate", 1_000_000, "records a second that BenchmarkCollector sends")

// BenchmarkCollector is the way from UDP datagrams, of twenty records of 69
// bytes each, to batches that JetStream has acknowledged. An op is a record.
//
// There are three processes: the collector (the test itself) alone on the first
// core, and the sender and, unless it is inside the collector, the NATS server on
// the last one.
//
//	go test ./collector -run '^$' -bench Collector -benchtime 5000000x -rate 1000000
func BenchmarkCollector(b *testing.B) {
	b.Run("nats=apart", func(b *testing.B) { benchCollector(b, true) })
	b.Run("nats=inside", func(b *testing.B) { benchCollector(b, false) })
}

const recordsPerDatagram = 20

func benchCollector(b *testing.B, apart bool) {
	datagrams := max(b.N/recordsPerDatagram, 1)
	first, last := 0, runtime.NumCPU()-1
	dir := b.TempDir()
	var natsCPU func() time.Duration
	cfg := bus.DefaultConfig()
	cfg.MaxBytes = 16 << 30
	if apart {
		h := startHelper(b, "nats", last, dir)
		cfg.URL = h.line(b)
		natsCPU = func() time.Duration {
			fmt.Fprintln(h.in, "cpu")
			d, err := time.ParseDuration(h.line(b))
			if err != nil {
				b.Fatal(err)
			}
			return d
		}
	} else {
		n, err := natsserver.Start(natsserver.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Close() })
		cfg.Options = append(cfg.Options, n.InProcess())
		natsCPU = func() time.Duration { return 0 }
	}
	bb, err := bus.Connect(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bb.Close) // Cleanups run backwards: the collector has stopped by then.
	if err := bb.EnsureStreams(context.Background()); err != nil {
		b.Fatal(err)
	}

	config := testConfig()
	config.Batch = DefaultConfig().Batch
	config.TCP.Listen = nil
	config.StatsInterval = DefaultConfig().StatsInterval
	c := start(b, config, Deps{Bus: bb})

	release := pin(b, first)
	defer release()
	sender := startHelper(b, "sender", last, c.address("udp"), strconv.Itoa(datagrams), strconv.Itoa(*benchRate/recordsPerDatagram))
	if got := sender.line(b); got != "ready" {
		b.Fatalf("sender: %s", got)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, natsBefore := processCPU(b), natsCPU()
	b.ResetTimer()
	fmt.Fprintln(sender.in, "go")
	sending, err := time.ParseDuration(sender.line(b))
	if err != nil {
		b.Fatal(err)
	}
	var st Status
	eventually(b, "all datagrams are decoded and published", func() bool {
		time.Sleep(5 * time.Millisecond)
		st = c.Status()
		l := st.Listeners[0]
		return l.Messages+l.KernelDrops >= uint64(datagrams)+1 && st.Sealer.OpenRecords == 0 &&
			st.Publisher.QueuedBatches == 0 && st.Publisher.Published.Records >= st.Records
	})
	b.StopTimer()
	used, natsUsed := processCPU(b)-cpu, natsCPU()-natsBefore
	runtime.ReadMemStats(&after)

	sent := float64(datagrams * recordsPerDatagram)
	stored := float64(st.Publisher.Published.Records)
	b.ReportMetric(float64(used.Nanoseconds())/stored, "cpu-ns/record")
	if apart {
		b.ReportMetric(float64(natsUsed.Nanoseconds())/stored, "nats-cpu-ns/record")
	}
	b.ReportMetric(stored/sending.Seconds(), "records/s")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/stored, "allocs/record")
	b.ReportMetric(sent-stored, "lost-records")
	b.ReportMetric(float64(st.Listeners[0].KernelDrops), "kernel-drops")
	b.ReportMetric(float64(st.Publisher.Published.Bytes)/stored, "B/record")
	b.ReportMetric(0, "ns/op")
}

// helper is a process of this binary.
type helper struct {
	in  io.Writer
	out *bufio.Scanner
}

func startHelper(b *testing.B, name string, cpu int, args ...string) *helper {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{strconv.Itoa(cpu)}, args...)...)
	cmd.Env = append(os.Environ(), helperVariable+"="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { // helpers end when their standard input does
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("%s: %v", name, err)
		}
	})
	return &helper{in, bufio.NewScanner(out)}
}

func (h *helper) line(b *testing.B) string {
	b.Helper()
	if !h.out.Scan() {
		b.Fatalf("helper ended: %v", h.out.Err())
	}
	return h.out.Text()
}

// pin keeps all threads of this process on one core, and Go to one thread at
// a time.
func pin(b *testing.B, cpu int) (release func()) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		b.Fatal(err)
	}
	setAffinity(oneCPU(cpu))
	procs := runtime.GOMAXPROCS(1)
	return func() {
		runtime.GOMAXPROCS(procs)
		setAffinity(&all)
	}
}

func oneCPU(cpu int) *unix.CPUSet {
	var s unix.CPUSet
	s.Set(cpu)
	return &s
}

func setAffinity(set *unix.CPUSet) {
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, task := range tasks {
		if tid, err := strconv.Atoi(filepath.Base(task)); err == nil {
			_ = unix.SchedSetaffinity(tid, set) // a thread may have ended
		}
	}
}

func processCPU(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func helperCPU() {
	cpu, err := strconv.Atoi(os.Args[1])
	helperMust(err)
	setAffinity(oneCPU(cpu))
	runtime.GOMAXPROCS(1)
}

// helperNATS runs a NATS server until its standard input ends.
func helperNATS() {
	helperCPU()
	n, err := natsserver.Start(natsserver.Config{Dir: os.Args[2], Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	helperMust(err)
	fmt.Println(n.URL())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		helperMust(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		fmt.Println(time.Duration(u.Utime.Nano() + u.Stime.Nano()))
	}
	n.Close()
}

// helperSender sends a template and then datagrams at a steady rate, many with
// one system call. It prints how long that took.
func helperSender() {
	helperCPU()
	conn, err := net.Dial("udp", os.Args[2])
	helperMust(err)
	total, err := strconv.Atoi(os.Args[3])
	helperMust(err)
	rate, err := strconv.Atoi(os.Args[4])
	helperMust(err)
	e := newExporter(1)
	_, err = conn.Write(e.template())
	helperMust(err)

	datagrams := make([][]byte, 4096)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range datagrams {
		datagrams[i] = e.data(rng.IntN(1<<18), recordsPerDatagram)
		randomise(datagrams[i], rng)
	}
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	_, err = in.ReadString('\n')
	helperMust(err)

	raw, err := conn.(*net.UDPConn).SyscallConn()
	helperMust(err)
	const burst = 32
	var msgs [burst]mmsghdr
	var iovs [burst]unix.Iovec
	began := time.Now()
	for sent := 0; sent < total; {
		n := min(burst, total-sent)
		for i := range n {
			d := datagrams[(sent+i)%len(datagrams)]
			binary.BigEndian.PutUint32(d[8:], uint32((sent+i)*recordsPerDatagram))
			iovs[i].Base = &d[0]
			iovs[i].SetLen(len(d))
			msgs[i].hdr.Iov = &iovs[i]
			msgs[i].hdr.SetIovlen(1)
		}
		if wait := time.Until(began.Add(time.Duration(sent) * time.Second / time.Duration(rate))); wait > 0 {
			time.Sleep(wait)
		}
		helperMust(raw.Write(func(fd uintptr) bool {
			done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&msgs[0])), uintptr(n), 0, 0, 0)
			if errno == unix.EAGAIN {
				return false
			}
			if errno != 0 {
				helperMust(errno)
			}
			sent += int(done)
			return true
		}))
	}
	fmt.Println(time.Since(began))
	_, _ = io.Copy(io.Discard, in)
}

// randomise gives the records of a message ports and counts that do not follow
// from each other, as those of a network.
func randomise(msg []byte, rng *rand.Rand) {
	for b := msg[20:]; len(b) >= recordSize; b = b[recordSize:] {
		copy(b[4:], []byte{10, 200, 0, byte(rng.IntN(64))})
		binary.BigEndian.PutUint16(b[8:], uint16(32768+rng.IntN(28000)))
		binary.BigEndian.PutUint16(b[10:], [...]uint16{443, 53, 80, 22}[rng.IntN(4)])
		binary.BigEndian.PutUint64(b[14:], rng.Uint64N(100_000))
		binary.BigEndian.PutUint64(b[22:], 2+rng.Uint64N(100))
		end := time.Now().UnixMilli() - rng.Int64N(1000)
		binary.BigEndian.PutUint64(b[30:], uint64(end-rng.Int64N(60_000)))
		binary.BigEndian.PutUint64(b[38:], uint64(end))
		binary.BigEndian.PutUint32(b[46:], uint32(rng.IntN(48)))
		binary.BigEndian.PutUint32(b[50:], uint32(rng.IntN(48)))
	}
}

func init() {
	helpers["sender"], helpers["nats"] = helperSender, helperNATS
}
