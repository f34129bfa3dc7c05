package e2e

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// flowFile writes a flow CSV of n rows, numbered from first by their bytes, so
// that a missing or doubled record can be named.
func flowFile(t *testing.T, first, n int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "flows.csv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := csv.NewWriter(f)
	w.Write([]string{"src_ip", "dst_ip", "src_port", "dst_port", "proto", "bytes", "packets"})
	for i := first; i < first+n; i++ {
		w.Write([]string{
			fmt.Sprintf("10.1.%d.%d", i>>8&255, i&255), fmt.Sprintf("10.2.0.%d", i%250),
			strconv.Itoa(32768 + i%20000), "443", "tcp", strconv.Itoa(i), "1",
		})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		t.Fatal(err)
	}
	return name
}

// killAfter is a moment within a run at which a process is killed. The seed
// is fixed; what happens at that moment is not.
func killAfter(round int) time.Duration {
	rng := rand.New(rand.NewPCG(7, uint64(round)))
	return time.Duration(20+rng.IntN(700)) * time.Millisecond
}

// exactlyOnce waits until the records numbered 1..n are stored, and checks
// that none is stored twice, in flows and in sessions alike.
func exactlyOnce(t *testing.T, a addresses, n int) {
	t.Helper()
	eventually(t, patience, "every record to be stored", func() error {
		got, err := a.query("SELECT uniqExact(bytes) FROM flows")
		if err == nil && got != strconv.Itoa(n) {
			err = fmt.Errorf("%s of %d records", got, n)
		}
		return err
	})
	if got := a.count(t, "SELECT count() FROM flows"); got != n {
		twice, _ := a.query("SELECT bytes, count() AS c FROM flows GROUP BY bytes HAVING c > 1 ORDER BY bytes LIMIT 5")
		t.Fatalf("%d rows for %d records; stored more than once: %s", got, n, twice)
	}
	if got := a.count(t, "SELECT sum(flows) FROM sessions"); got != n {
		t.Fatalf("sessions count %d flows of %d", got, n)
	}
}

const (
	killRounds    = 8
	recordsARound = 30_000
)

// `cordon up` is killed over and over while an import publishes through its
// NATS and its ingester inserts. The import is a process of its own that goes
// on publishing what was not acknowledged.
func TestKillUp(t *testing.T) {
	dir := t.TempDir()
	env := []string{"CORDON_COLLECTOR_BATCH_MAX_ROWS=1000"}
	// The ports must stay the same over restarts, for the import to find them.
	first, addr := up(t, dir, env...)
	env = append(env, "CORDON_NATS_LISTEN="+hostPort(addr.NATS))
	first.stop()

	total := 0
	for round := range killRounds {
		p, _ := up(t, dir, env...)
		imp := start(t, env, "import", "--data-dir", dir, flowFile(t, total+1, recordsARound))
		total += recordsARound
		wait(imp.done, killAfter(round))
		p.kill()
		p, a := up(t, dir, env...)
		select {
		case <-imp.done:
		case <-time.After(patience):
			t.Fatalf("import of round %d did not end\n%s", round, tail(imp.log.String(), 20))
		}
		if imp.err != nil {
			t.Fatalf("import of round %d: %v\n%s", round, imp.err, tail(imp.log.String(), 20))
		}
		exactlyOnce(t, a, total)
		p.kill() // The last kill comes with nothing in flight.
	}
	_, a := up(t, dir, env...)
	exactlyOnce(t, a, total)
}

// wait waits for a process to end, at most so long.
func wait(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// hostPort is the host:port of a URL such as nats://host:port.
func hostPort(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest
}
