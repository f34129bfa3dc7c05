package recommender

import (
	"bufio"
	"encoding/csv"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/cover"
	"cordon/recommender/policy"

	"github.com/klauspost/compress/zstd"
)

// truth is the true policy of a synthetic network, by role, and its labelled sessions.
type truth struct {
	rules    []truthRule
	sessions []labelled
}

type truthRule struct {
	sources, destinations []string // roles; "internet"
	services              []categories.ServiceTerm
	constraint            string // Sites or environments that a permit asks for; see permits.
}

type labelled struct {
	client, server netip.Addr
	service        categories.Service
	label          string // a rule's id, or the kind of noise
	at             time.Time
}

// noise says whether a session is not of the true policy.
func (l *labelled) noise() bool { return l.label == "scan" || l.label == "noise" || l.label == "rev" }

func readTruth(t *testing.T, set string) *truth {
	t.Helper()
	out := new(truth)
	rows := func(path string, zipped bool, row func(map[string]string)) {
		f, err := os.Open(shared(t, set+path))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := csv.NewReader(bufio.NewReader(f))
		if zipped {
			z, err := zstd.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			r = csv.NewReader(z)
		}
		all, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, fields := range all[1:] {
			m := map[string]string{}
			for i, name := range all[0] {
				m[name] = fields[i]
			}
			row(m)
		}
	}
	roles := func(s string) []string { return strings.Split(strings.ReplaceAll(s, "EXT", "internet"), "|") }
	rows("/rules_true.csv", false, func(m map[string]string) {
		r := truthRule{sources: roles(m["src_roles"]), destinations: roles(m["dst_roles"]), constraint: m["constraint"]}
		for _, s := range strings.Split(m["services"], "|") {
			term, err := categories.ParseServiceTerm(s)
			if err != nil {
				t.Fatal(err)
			}
			r.services = append(r.services, term)
		}
		out.rules = append(out.rules, r)
	})
	rows("/sessions.csv.zst", true, func(m map[string]string) {
		proto, err := categories.ParseProtocol(m["proto"])
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.ParseUint(m["dst_port"], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		at, err := strconv.ParseFloat(m["start_time"], 64)
		if err != nil {
			t.Fatal(err)
		}
		service := categories.Service{Proto: proto, Port: uint16(port)}
		if service.Kind() == categories.KindICMPType {
			service.Port = 8 // all that the set has
		}
		out.sessions = append(out.sessions, labelled{netip.MustParseAddr(m["src_ip"]), netip.MustParseAddr(m["dst_ip"]), service, m["label"], time.UnixMicro(int64(at * 1e6))})
	})
	return out
}

// score compares a proposal with the truth. A cell is (role, role, service), a
// range of ports being one service; sites and environments, by which some
// true rules narrow their roles, are not looked at. A permitted cell is right
// if a true rule holds all of it. A true cell is one of a true rule with a
// session in the data, and found if a permitted cell is within it.
type score struct {
	rules, cells, right                   int
	trueCells, found                      int
	trueSessions, permittedTrue           int
	noise                                 int
	permittedNoise                        map[string]int // Keyed by label.
	observedPorts, permittedPorts, ranges int
}

func (s *score) precision() float64  { return float64(s.right) / float64(max(s.cells, 1)) }
func (s *score) recall() float64     { return float64(s.found) / float64(max(s.trueCells, 1)) }
func (s *score) trueShare() float64  { return float64(s.permittedTrue) / float64(s.trueSessions) }
func (s *score) noiseShare() float64 { return float64(s.keptIn()) / float64(s.noise) }

func (s *score) keptIn() (n int) {
	for _, k := range s.permittedNoise {
		n += k
	}
	return n
}

func (tr *truth) score(p *policy.Proposal, a *policy.Addresses) *score {
	type pair struct{ src, dst string }
	truly := map[pair][]categories.ServiceTerm{}
	for _, r := range tr.rules {
		for _, src := range r.sources {
			for _, dst := range r.destinations {
				truly[pair{src, dst}] = append(truly[pair{src, dst}], r.services...)
			}
		}
	}
	permitted := map[pair][]categories.ServiceTerm{}
	out := &score{rules: len(p.Rules), permittedNoise: map[string]int{}}
	for _, r := range p.Rules {
		for _, src := range r.Sources {
			for _, dst := range r.Destinations {
				for _, s := range r.Services {
					permitted[pair{src.Group, dst.Group}] = append(permitted[pair{src.Group, dst.Group}], s.Term)
				}
			}
		}
		for _, pr := range r.PortRanges {
			out.ranges++
			out.observedPorts += pr.ObservedPorts
			out.permittedPorts += pr.PermittedPorts
		}
	}
	within := func(in, of categories.ServiceTerm) bool {
		return in.Proto == of.Proto && of.Lo <= in.Lo && in.Hi <= of.Hi
	}
	for at, terms := range permitted {
		slices.SortFunc(terms, categories.ServiceTerm.Compare)
		for _, term := range slices.Compact(terms) {
			out.cells++
			if slices.ContainsFunc(truly[at], func(of categories.ServiceTerm) bool { return within(term, of) }) {
				out.right++
			}
		}
	}

	role := func(addr netip.Addr) string {
		if ref, ok := a.Resolver().Lookup(addr); ok {
			return a.Resolver().Label(ref)
		}
		return "internet"
	}
	type trueCell struct {
		pair
		term categories.ServiceTerm
	}
	seen := map[trueCell]bool{}
	for i := range tr.sessions {
		s := &tr.sessions[i]
		in := a.Permits(p.Rules, s.client, s.server, s.service)
		at := pair{role(s.client), role(s.server)}
		if s.noise() {
			if slices.ContainsFunc(truly[at], func(of categories.ServiceTerm) bool { return of.Matches(s.service) }) {
				continue // the true policy permits it between these roles
			}
			out.noise++
			if in {
				out.permittedNoise[s.label]++
			}
			continue
		}
		out.trueSessions++
		if in {
			out.permittedTrue++
		}
		for _, term := range truly[at] {
			if c := (trueCell{at, term}); term.Matches(s.service) && !seen[c] {
				seen[c] = true
				out.trueCells++
				if slices.ContainsFunc(permitted[at], func(t categories.ServiceTerm) bool { return within(t, term) }) {
					out.found++
				}
			}
		}
	}
	return out
}

// TestPrecisionAndRecall measures what the options against noise do on a
// network whose true policy is known, and holds them to it: docs/noise.md
// shows the table that it prints.
func TestPrecisionAndRecall(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 100,000 sessions, several times")
	}
	const set = "data/sets/synth_small"
	tr := readTruth(t, set)
	file, err := categories.ReadFile(shared(t, set+"/groups.csv"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := policy.NewAddresses(file, []string{"role"})
	if err != nil {
		t.Fatal(err)
	}
	conn := store(t)
	insertFile(t, conn, shared(t, set+"/sessions.csv.zst"))

	measure := func(flags string, s Settings) *score {
		t.Helper()
		s.Categories, s.External, s.Effort = []string{"role"}, policy.ExternalInternet, cover.EffortQuick
		got, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			t.Fatal(err)
		}
		out := tr.score(&got[0], a)
		t.Logf("| %s | %d | %d | %.1f%% | %.1f%% | %.2f%% | %.1f%% (%d of %d) | %d of %d |", flags, out.rules, out.cells, 100*out.precision(), 100*out.recall(),
			100*out.trueShare(), 100*out.noiseShare(), out.keptIn(), out.noise, out.observedPorts, out.permittedPorts)
		return out
	}
	t.Log("| options | rules | cells | precision | recall | true sessions | noise | ports in ranges |")
	none := measure("none", Settings{})
	hours := measure("`--min-hours 2`", Settings{Settings: policy.Settings{MinHours: 2}})
	recurring := measure("`--recurring`", Settings{Settings: policy.Settings{Recurring: policy.DefaultRecurring}})
	scans := measure("`--exclude-scanners`", Settings{Settings: policy.Settings{ScannerTargets: policy.DefaultScannerTargets}})
	ranges := measure("`--port-ranges`", Settings{Settings: policy.Settings{PortRanges: policy.DefaultPortRanges}})
	both := Settings{Settings: policy.Settings{PortRanges: policy.DefaultPortRanges, ScannerTargets: policy.DefaultScannerTargets}}
	with := func(hours, recurring uint64) Settings {
		s := both
		s.MinHours, s.Recurring = hours, recurring
		return s
	}
	byHours := measure("both, `--min-hours 2`", with(2, 0))
	all := measure("**both, `--recurring`**", with(0, 2))
	strict := measure("both, `--recurring=3`", with(0, 3))

	// Each option does what it is for, and costs no more than it did when measured.
	for _, c := range []struct {
		what string
		ok   bool
	}{
		{"everything true is found without options", none.recall() == 1 && none.trueShare() > 0.997},
		{"min-hours keeps noise out", hours.keptIn() < none.keptIn() && hours.recall() > 0.95 && hours.trueShare() > 0.975},
		{"exclude-scanners keeps scans out", 2*scans.permittedNoise["scan"] < none.permittedNoise["scan"] && scans.precision() > none.precision()+0.1 &&
			scans.recall() == 1 && scans.trueShare() > 0.997},
		{"port-ranges makes fewer services", 3*ranges.cells < none.cells && ranges.trueShare() >= none.trueShare() && ranges.recall() == 1 && ranges.ranges == 2},
		{"recurring keeps noise out by itself", 10*recurring.keptIn() < hours.keptIn() && recurring.trueShare() > 0.95},
		{"hours of a cell do not", 5*byHours.keptIn() < none.keptIn() && byHours.keptIn() > 100*all.keptIn()},
		{"all keep noise out", all.noiseShare() < 0.001 && all.precision() > 0.98 && all.recall() > 0.9 && all.trueShare() > 0.995},
		{"more hours, fewer cells", strict.recall() <= all.recall() && strict.keptIn() <= all.keptIn()},
	} {
		if !c.ok {
			t.Errorf("not so: %s", c.what)
		}
	}
}
