package e2e

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, 100 on every
// Linux that Go runs on.
const clockTick = time.Second / 100

// needLinux skips where the benchmarks' measuring is not possible.
func needLinux(b *testing.B) {
	b.Helper()
	if runtime.GOOS != "linux" {
		b.Skip("measures through /proc, which is Linux's")
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		b.Skip("taskset is not installed (Debian: apt-get install util-linux)")
	}
}

// processors of a benchmark: what is measured has the first, or all of them,
// the sender the last.
func firstCPU() string { return "0" }
func lastCPU() string  { return strconv.Itoa(runtime.NumCPU() - 1) }
func allCPUs() string  { return "0-" + lastCPU() }

// startOn is start on the given processors, in a process group of its own.
func startOn(b *testing.B, cpus string, env []string, args ...string) *process {
	b.Helper()
	p := &process{t: b, name: args[0], cmd: exec.Command("taskset", append([]string{"-c", cpus, binary}, args...)...), log: new(logBuffer), done: make(chan struct{})}
	p.cmd.Env = environment(env...)
	p.cmd.Dir = b.TempDir()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.run()
	return p
}

// procStat is what /proc/PID/stat says of a process.
type procStat struct {
	group int
	cpu   time.Duration // user and system, of all its threads
}

// readStat gives ok = false for a process that has ended.
func readStat(pid int) (s procStat, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, false
	}
	// pid (name) state ppid pgrp ...; a name may hold anything.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < 13 {
		return s, false
	}
	s.group, _ = strconv.Atoi(f[2])
	utime, _ := strconv.ParseInt(f[11], 10, 64)
	stime, _ := strconv.ParseInt(f[12], 10, 64)
	s.cpu = time.Duration(utime+stime) * clockTick
	return s, true
}

// groupCPU is the processor time of the processes of a group that run.
func groupCPU(group int) (total time.Duration) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if s, ok := readStat(pid); ok && s.group == group {
			total += s.cpu
		}
	}
	return total
}

// memory is the resident set of a process, in bytes. Anonymous memory is its
// own; the rest is pages of files, which the kernel can take back.
type memory struct{ resident, anonymous, peak float64 }

func readMemory(pid int) (m memory, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, false
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			m.resident = kb * 1024
		case "RssAnon:":
			m.anonymous = kb * 1024
		case "VmHWM:":
			m.peak = kb * 1024
		}
	}
	return m, m.resident > 0
}

// udpSocket is a line of /proc/net/udp.
type udpSocket struct {
	queued uint64 // bytes in the receive buffer
	drops  uint64 // datagrams that found it full
}

// readUDP gives ok = false where no socket has that local port.
func readUDP(port int) (s udpSocket, ok bool) {
	for _, name := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		data, _ := os.ReadFile(name)
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 13 {
				continue
			}
			_, p, _ := strings.Cut(f[1], ":")
			if raw, err := hex.DecodeString(p); err != nil || len(raw) != 2 || int(raw[0])<<8|int(raw[1]) != port {
				continue
			}
			_, rx, _ := strings.Cut(f[4], ":")
			queued, _ := strconv.ParseUint(rx, 16, 64)
			drops, _ := strconv.ParseUint(f[12], 10, 64)
			s.queued += queued
			s.drops += drops
			ok = true
		}
	}
	return s, ok
}

// defaultLimit is what the kernel lets an ordinary process have as a socket's
// receive buffer, in bytes.
func defaultLimit(b *testing.B) int {
	b.Helper()
	data, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// loadAverage is that of the last minute: others' work on the machine shows.
func loadAverage() float64 {
	data, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(data), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}
