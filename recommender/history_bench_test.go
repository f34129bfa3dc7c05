package recommender

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
)

// changesOfHistory is how many changes the memberships of BenchmarkGenerateHistory have had, over daysOfHistory.
const (
	membersOfHistory = 100_000
	changesOfHistory = 1_000_000
	daysOfHistory    = 90
)

// historyGroups gives groups of the addresses of fillSessions and of more, up to membersOfHistory, as they are at the end of its sessions; with
// the changes before that, or without.
func historyGroups(changes int) *categories.File {
	rng := rand.New(rand.NewPCG(1, 2))
	end := time.Date(2026, 11, 20, hoursOfSession, 0, 0, 0, time.UTC)
	const groups = 8
	c := categories.Category{Name: "role"}
	for g := range groups {
		c.Groups = append(c.Groups, categories.Group{Name: fmt.Sprintf("g%02d", g)})
	}
	for i := range membersOfHistory {
		a := 167772160 + uint32(i) // 10.0.0.0 and on
		if i >= 1<<16 && i < 1<<16+4096 {
			a = 2886729728 + uint32(i-1<<16)
		}
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), 32)
		until, n := time.Time{}, changes/membersOfHistory
		at := make([]time.Duration, n)
		for j := range at {
			at[j] = time.Duration(rng.Int64N(int64(daysOfHistory*24*time.Hour))) / time.Duration(n)
		}
		group := i % groups
		for j := range n { // The last change comes first.
			from := end.Add(-at[j] - time.Duration(j)*daysOfHistory*24*time.Hour/time.Duration(n)).Truncate(time.Microsecond)
			c.Groups[group].AddPrefix(p, categories.Times{From: from, Until: until})
			until, group = from, (group+1+rng.IntN(groups-1))%groups
		}
		c.Groups[group].AddPrefix(p, categories.Times{Until: until})
	}
	return &categories.File{Path: "groups.yaml", Categories: []categories.Category{c}}
}

// BenchmarkGenerateHistory compares generate-rules on the sessions of fillSessions with groups that have had a million changes, and with the
// same groups without a history, in turns.
func BenchmarkGenerateHistory(b *testing.B) {
	conn := store(b)
	fillSessions(b, conn, *benchSessionHours)
	static, timed := historyGroups(0), historyGroups(changesOfHistory)
	run := func(file *categories.File, s Settings) (time.Duration, time.Duration) {
		return cost(b, func() error {
			s.Effort = cover.EffortQuick
			steps := map[string]time.Duration{}
			s.Observe = func(x Step) { steps[x.Name] += x.Took }
			p, err := Generate(b.Context(), conn, s, file)
			if err == nil {
				b.Logf("%d rules, %d re-used, %v", len(p[0].Rules), len(p[0].Reused), steps)
			}
			return err
		})
	}
	for name, s := range map[string]Settings{
		"whole": {},
		"day":   {Settings: policy.Settings{Since: policy.NewTime(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)), Until: policy.NewTime(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))}},
	} {
		b.Run(name, func(b *testing.B) {
			run(static, s) // the first one reads from the disk
			var took, busy, ownTook, ownBusy time.Duration
			for b.Loop() {
				t, c := run(static, s)
				ownTook, ownBusy = ownTook+t, ownBusy+c
				t, c = run(timed, s)
				took, busy = took+t, busy+c
			}
			b.ReportMetric(took.Seconds()/float64(b.N), "s/history")
			b.ReportMetric(ownTook.Seconds()/float64(b.N), "s/static")
			b.ReportMetric(took.Seconds()/ownTook.Seconds(), "times-static")
			b.ReportMetric(busy.Seconds()/ownBusy.Seconds(), "times-static-by-cpu")
		})
	}
}
