package schema_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// referenceViews makes the views of testdata/reference_views.sql beside those in use, with reference_ before their names.
func (s *store) referenceViews() {
	s.t.Helper()
	const name = "testdata/reference_views.sql"
	file, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := schema.Render(s.name, name, string(file))
	if err != nil {
		s.t.Fatal(err)
	}
	views := regexp.MustCompile(`CREATE OR REPLACE VIEW\s+\S+\.(\w+)`).FindAllStringSubmatch(string(text), -1)
	if len(views) != 5 {
		s.t.Fatalf("%s has views %q", name, views)
	}
	for _, v := range views {
		text = regexp.MustCompile("(`"+s.name+"`\\.)("+v[1]+")\\b").ReplaceAll(text, []byte("${1}reference_${2}"))
	}
	for _, view := range strings.Split(string(text), "CREATE OR REPLACE VIEW")[1:] {
		query, _, _ := strings.Cut(view, ";\n")
		s.exec("CREATE OR REPLACE VIEW" + query)
	}
}

// scenario makes records that often belong together, of one VRF with its own
// exporters, since what one exporter shows tells of all its sessions. Each kind
// leaves out some of what makes a session hard to put together.
func scenario(kind, seed int, r *rand.Rand) []schema.Record {
	var out []schema.Record
	exporters := 1 + kind%3
	for n := range 1 + r.IntN(40) {
		x := flowRecords().Example(seed*1000 + n)
		x.VRF = fmt.Sprintf("v%d", seed)
		x.Exporter = ip(fmt.Sprintf("10.%d.%d.%d", 100+seed/200, seed%200, r.IntN(exporters)))
		if r.IntN(40) == 0 {
			x.Exporter = ip("::")
		}
		if x.Start < noon.UnixMicro()-3*3600e6 || x.Start > noon.UnixMicro() {
			x.Start = noon.UnixMicro() - r.Int64N(3*3600e6)
		}
		x.End = x.Start + r.Int64N(3600e6)
		if kind&4 == 0 && x.Direction == 0 {
			x.Direction, x.Basis = schema.Forward, schema.BasisPortRange
		}
		if kind&8 == 0 {
			x.Sampling = uint32(r.IntN(2))
		}
		if kind&16 == 0 {
			x.FlowDirection, x.InIf, x.OutIf = 0, 0, 0
		}
		if kind&32 == 0 && (x.SrcPort == 69 || x.DstPort == 69) {
			x.SrcPort, x.DstPort = 40000, 443
		}
		if kind&64 != 0 { // one-way, and all of one direction
			x.RevPackets, x.RevBytes, x.RevTCPFlags, x.Completeness = 0, 0, 0, 0
			x.Direction, x.Basis = schema.Forward, schema.BasisStated
		}
		out = append(out, x)
	}
	return out
}

// TestViewsSayWhatTheReferenceSays: sessions with one exporter and those with several, sampled, translated, undecided,
// fragmented ones and TFTP, each in one part and in many.
func TestViewsSayWhatTheReferenceSays(t *testing.T) {
	s := newStore(t)
	s.referenceViews()
	r := rand.New(rand.NewPCG(1, 2))
	batches := make([][]schema.Record, 4)
	for seed := range 256 {
		for _, x := range scenario(seed%128, seed, r) {
			at := r.IntN(len(batches))
			batches[at] = append(batches[at], x)
		}
	}
	for _, b := range batches {
		s.insert(b...)
	}
	// Some exporters say by their counters alone that they sample.
	s.exec("INSERT INTO " + s.name + `.exporter_stats (time, exporter, sampling)
		SELECT '2026-11-20 12:00:10', toIPv6(concat('10.100.', toString(number * 7), '.0')), 1000 FROM numbers(20)`)
	const (
		hours  = "* REPLACE arraySort(active_hours) AS active_hours"
		always = "sessions_window(since = '1970-01-01 00:00:00', until = '2106-01-01 00:00:00')"
		once   = "sessions_window(since = '2026-11-20 10:20:00', until = '2026-11-20 11:30:00')"
	)
	for _, c := range []struct{ columns, view, reference string }{
		{"*", "sessions", "sessions"},
		{hours, always, always},
		{hours, "sessions_all", always},
		{hours, once, once},
		{"*", "session_directions", "session_directions"},
	} {
		query := "SELECT " + c.columns + " FROM {db}.%s ORDER BY ALL"
		want := s.rows(fmt.Sprintf(query, "reference_"+c.reference))
		got := s.rows(fmt.Sprintf(query, c.view))
		if len(want) < 300 {
			t.Errorf("%s: only %d rows compared", c.view, len(want))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-reference +views):\n%.3000s", c.view, d)
		}
	}
	checkHours(t, s)
	// The quick way and the long one have both been taken.
	for _, view := range []string{"sessions_plain", "sessions_marked"} {
		if n := s.rows("SELECT count() > 200 FROM {db}." + view); n[0] != "1" {
			t.Errorf("%s has too few sessions to tell", view)
		}
	}
	columns := "SELECT name, type FROM system.columns WHERE database = '{db}' AND table = '%s' ORDER BY position"
	for _, view := range []string{"sessions", "session_directions"} {
		if d := cmp.Diff(s.rows(fmt.Sprintf(columns, "reference_"+view)), s.rows(fmt.Sprintf(columns, view))); d != "" {
			t.Errorf("columns of %s (-reference +view):\n%s", view, d)
		}
	}
}
