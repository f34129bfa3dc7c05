package e2e

import (
	"bytes"
	"context"
	"cordon/internal/loadtest"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// senderEnv makes the test binary send flow records, as its value says, as a
// process of its own, so that what sending costs is nobody else's.
const senderEnv = "CORDON_E2E_SENDER"

// load is what a sender is to send: twenty records of 69 bytes a datagram.
type load struct {
	To      string  `json:"to"`
	Records uint64  `json:"records"`
	Rate    float64 `json:"rate"` // records a second
}

// sent is what a sender has sent. One datagram more held the template.
type sent struct {
	Records   uint64        `json:"records"`
	Datagrams uint64        `json:"datagrams"`
	Elapsed   time.Duration `json:"elapsed"`
	CPU       time.Duration `json:"cpu"`
	Ended     time.Time     `json:"ended"` // The last datagram had left then.
}

// rate is how many records a second have left in fact.
func (s sent) rate() float64 { return float64(s.Records) / s.Elapsed.Seconds() }

func runSender(job string) int {
	result, err := send(job)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	json.NewEncoder(os.Stdout).Encode(result)
	return 0
}

func send(job string) (result sent, err error) {
	var l load
	if err := json.Unmarshal([]byte(job), &l); err != nil {
		return result, err
	}
	ctx := context.Background()
	g, err := loadtest.New(ctx, loadtest.Config{To: l.To, Records: l.Records, Rate: l.Rate, Seed: 1, TemplateRefresh: time.Hour})
	if err != nil {
		return result, err
	}
	defer g.Close()
	before := ownCPU()
	st, err := g.Run(ctx)
	return sent{Records: st.Records, Datagrams: st.Datagrams, Elapsed: st.Elapsed, CPU: ownCPU() - before, Ended: time.Now()}, err
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // no other reason than a wrong argument
	}
	return rusageCPU(&u)
}

func rusageCPU(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sendFrom runs a sender on the given processors to its end.
func sendFrom(b *testing.B, cpus string, l load) (s sent) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	job, err := json.Marshal(l)
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("taskset", "-c", cpus, exe)
	cmd.Env = append(os.Environ(), senderEnv+"="+string(job), "GOMAXPROCS=1")
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("sender: %v", err)
	}
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		b.Fatalf("sender printed %q: %v", out.String(), err)
	}
	return s
}
