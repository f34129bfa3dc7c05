package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSampling: what an exporter says of its sampling in options data reaches
// flows, sessions, the exporters' hours and the proposal.
func TestSampling(t *testing.T) {
	dir := t.TempDir()
	_, a := up(t, dir, "CORDON_COLLECTOR_STATS_INTERVAL=200ms")
	at := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	file := writeFlows(t, [][]string{
		{"10.0.0.1", "10.0.0.2", "tcp", "40000", "443", "", "", at, at, "420", "4", "300", "3", "SA", "", "", ""},
	})
	cordon(t, nil, "replay", file, "--biflow", "--sampling", "100", "--to", a.UDP[0])
	eventually(t, patience, "sampling to be stored", func() error {
		for query, want := range map[string]string{
			"SELECT count(), min(sampling), max(sampling), sum(bytes) FROM flows FORMAT TabSeparated":                                                                        "1\t100\t100\t420",
			"SELECT sampling, client_bytes, server_bytes, scaled_bytes, scaled_packets FROM sessions_window(since = '2020-01-01', until = '2100-01-01') FORMAT TabSeparated": "100\t420\t300\t72000\t700",
			"SELECT max(sampling) FROM exporters": "100",
		} {
			if got, err := a.query(query); err != nil || got != want {
				return fmt.Errorf("%s: %q, want %q (%v)", query, got, want, err)
			}
		}
		return nil
	})
	for _, flag := range []string{"", "--scale-sampled"} {
		args := []string{"generate-rules", "--data-dir", dir, "--format", "json"}
		want := []string{`"oneIn": 100`, `"bytes": 720,`}
		if flag != "" {
			args, want = append(args, flag), []string{`"oneIn": 100`, `"bytes": 72000,`, `"scaledBytes": true`}
		}
		out := cordon(t, nil, args...)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("generate-rules %s does not have %s:\n%s", flag, w, out)
			}
		}
	}
}
