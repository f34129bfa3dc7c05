package verify

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// Numbers of the method of docs/readiness.md. Lengths are in hours.
const (
	stopsOfBacktest = 12
	timesLargest    = 2
	addedToBound    = 0.001
	hoursNeeded     = 24 // hours that have data
	windowNeeded    = 48
	wholeWeek       = 168
	acceptable      = 0.01 // share of denied sessions that a document calls ready
	mayBeNew        = 0.01 // share of a group's late sessions in new cells, above which it is still learning
	large           = 0.01 // share of all sessions, above which a group that is learning holds the verdict up
	hostsNamed      = 20   // hosts that are still learning
)

// unknown is the hour at which a cell is known that never is.
const unknown = math.MaxInt

// learned is a cell that readiness is about.
type learned struct {
	ends      [2]int32
	sessions  []int // places in the list
	never     bool  // too little support by the whole window
	permitted bool  // all of it, by the policy in force

	hours [][]int // one list for each session, sorted, counted from the first hour
	known int     // the hour in which it had its support; -1 for what is in force
	once  bool    // all its sessions were seen in one and the same hour
}

// in counts the sessions with a record in an hour of [from, to).
func (c *learned) in(from, to int) (n uint64) {
	for _, hours := range c.hours {
		if at, _ := slices.BinarySearch(hours, from); at < len(hours) && hours[at] < to {
			n++
		}
	}
	return n
}

// learn finds when the cell had enough sessions and hours.
func (c *learned) learn(s *policy.Settings) {
	begins, all := map[int]uint64{}, map[int]bool{}
	for _, hours := range c.hours {
		begins[hours[0]]++
		for _, h := range hours {
			all[h] = true
		}
	}
	c.once, c.known = len(all) == 1, unknown
	if c.permitted {
		c.known = -1
		return
	}
	var sessions, distinct uint64
	for _, h := range slices.Sorted(maps.Keys(all)) {
		sessions, distinct = sessions+begins[h], distinct+1
		if !c.never && sessions >= s.MinSessions && distinct >= s.MinHours {
			c.known = h
			return
		}
	}
}

// history is what was learned hour by hour.
type history struct {
	cells []learned
	begin uint32 // the first hour, since 1970
	end   int    // hours of the window
	data  int    // hours with a session
	total uint64 // sessions
	lossy []string
}

// history lays the sessions out by hour.
func (v *verifier) history() *history {
	h := &history{cells: v.judge.learned, begin: math.MaxUint32}
	seen := map[uint32]bool{}
	for i := range h.cells {
		for _, at := range h.cells[i].sessions {
			h.total++
			for _, hour := range v.c.Sessions[at].Hours {
				seen[hour] = true
				h.begin = min(h.begin, hour)
			}
		}
	}
	h.data = len(seen)
	for hour := range seen {
		h.end = max(h.end, int(hour-h.begin)+1)
	}
	for i := range h.cells {
		c := &h.cells[i]
		for _, at := range c.sessions {
			var hours []int
			for _, hour := range v.c.Sessions[at].Hours {
				hours = append(hours, int(hour-h.begin))
			}
			slices.Sort(hours)
			c.hours = append(c.hours, hours)
		}
		c.learn(&v.o.Settings)
	}
	for _, l := range v.loss() {
		h.lossy = append(h.lossy, l.Exporter)
	}
	return h
}

// share is part of whole, 0 where there is no whole.
func share(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// written is a share as documents have it.
func written(x float64) float64 { return math.Round(x*1e6) / 1e6 }

func inPercent(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }

// backtests gives the shares that a policy learned until each stop denies in the third of the time learned behind it, and the
// largest one of the second half.
func (h *history) backtests() (out []policy.ReadinessBacktest, late float64) {
	out = []policy.ReadinessBacktest{}
	before := 0
	for i := 1; i <= stopsOfBacktest; i++ {
		stop := h.end * i / (stopsOfBacktest + 1)
		if stop <= before {
			continue
		}
		before = stop
		to := min(stop+max(h.end/3, 1), h.end)
		var sessions, denied uint64
		for i := range h.cells {
			n := h.cells[i].in(stop, to)
			sessions += n
			if h.cells[i].known >= stop {
				denied += n
			}
		}
		x := share(denied, sessions)
		out = append(out, policy.ReadinessBacktest{LearnedUntil: policy.NewTime(time.Unix((int64(h.begin)+int64(stop))*3600, 0)), Horizon: fmt.Sprintf("%dh", to-stop), DeniedShare: written(x), Sessions: sessions})
		if 2*stop >= h.end {
			late = max(late, x)
		}
	}
	return out, late
}

// bound gives the forecast, and the bound with all its digits.
func (h *history) bound(late float64) (f policy.ReadinessForecast, atMost float64) {
	switch {
	case h.data < hoursNeeded:
		f.Declined = fmt.Sprintf("only %d hours have data: at least %d are needed", h.data, hoursNeeded)
	case h.end < windowNeeded:
		f.Declined = fmt.Sprintf("the window has %d hours: at least two days are needed", h.end)
	case len(h.lossy) > 0:
		f.Declined = "records of the window are missing, of exporters " + strings.Join(h.lossy, ", ") + ": what was not seen cannot be told from what is new"
	}
	if f.Declined != "" {
		return f, 0
	}
	var once uint64
	for i := range h.cells {
		if c := &h.cells[i]; c.once && !c.permitted {
			once += uint64(len(c.sessions))
		}
	}
	atMost = min(1, timesLargest*max(late, share(once, h.total))+addedToBound)
	digits := written(atMost)
	f.Horizon, f.DeniedShareAtMost = fmt.Sprintf("%dh", max(h.end/3, 1)), &digits
	return f, atMost
}

// groups judges each end of a cell by the last quarter of the window, and counts those that are large and still learning.
func (h *history) groups(ends *endpoints) (out []policy.ReadinessGroup, holding int) {
	from := h.end - max(h.end/4, 1)
	type verdict struct {
		policy.ReadinessGroup
		literal           policy.Endpoint
		rank              int
		all, late, denied uint64
	}
	of := map[int32]*verdict{}
	for i := range h.cells {
		c := &h.cells[i]
		late := c.in(from, h.end)
		for side, id := range c.ends {
			if side == 1 && id == c.ends[0] {
				continue
			}
			g := of[id]
			if g == nil {
				g = &verdict{literal: ends.literals[id]}
				of[id] = g
			}
			g.all, g.late = g.all+uint64(len(c.sessions)), g.late+late
			if c.known >= from {
				g.denied += late
			}
		}
	}
	var list []*verdict
	for _, g := range of {
		g.Group = strings.TrimPrefix(g.literal.String(), categories.GroupPrefix)
		fresh := share(g.denied, g.late)
		g.Reason = fmt.Sprintf("%s of its %d sessions of the last %dh are in cells that were new then", inPercent(fresh), g.late, h.end-from)
		switch {
		case g.late == 0:
			g.State, g.rank, g.Reason = "too-little", 1, fmt.Sprintf("no session in the last %dh", h.end-from)
		case fresh > mayBeNew:
			g.State = "learning"
		default:
			g.State, g.rank = "settled", 2
		}
		if len(h.lossy) > 0 {
			g.Reason += "; records are missing, so more may be unseen"
		}
		if g.rank == 0 && share(g.all, h.total) > large {
			holding++
		}
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *verdict) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.all, a.all), strings.Compare(a.literal.String(), b.literal.String()))
	})
	out = []policy.ReadinessGroup{}
	hosts := 0
	for _, g := range list {
		if g.literal.Prefix.IsValid() { // a host
			if hosts++; g.rank != 0 || hosts > hostsNamed {
				continue
			}
		}
		out = append(out, g.ReadinessGroup)
	}
	return out, holding
}

// verdict gives whether that is enough, and why, a sentence each.
func (h *history) verdict(f *policy.ReadinessForecast, atMost float64, holding int) (ready bool, why []string) {
	ready = f.Declined == "" && atMost <= acceptable && holding == 0
	switch {
	case f.Declined != "":
		why = append(why, "no bound can be given: "+f.Declined+".")
	case atMost > acceptable:
		why = append(why, fmt.Sprintf("the bound of %s is above the %s that is acceptable.", inPercent(atMost), inPercent(acceptable)))
	default:
		why = append(why, fmt.Sprintf("the bound of %s is within the %s that is acceptable.", inPercent(atMost), inPercent(acceptable)))
	}
	if holding > 0 {
		why = append(why, fmt.Sprintf("groups that are still learning and have more than 1%% of the sessions: %d.", holding))
	}
	if h.end < wholeWeek {
		why = append(why, "Warning: no whole week was seen, so what happens on other days is unknown.")
	}
	return ready, why
}

// readiness compares how far the sessions are said to be known with the sessions. Documents of early versions do not say it.
func (v *verifier) readiness() {
	said := v.p.Readiness
	if said == nil {
		return
	}
	h := v.history()
	if h.data < hoursNeeded || h.end < windowNeeded {
		v.report.find(WrongCount, "", "readiness is there, although the sessions have %d hours with data within %d hours: too few to tell", h.data, h.end)
		return
	}
	backtests, late := h.backtests()
	forecast, atMost := h.bound(late)
	groups, holding := h.groups(v.ends)
	ready, why := h.verdict(&forecast, atMost, holding)
	if said.Ready != ready {
		v.report.find(WrongCount, "", "readiness.ready is %v, the sessions say %v", said.Ready, ready)
	}
	if !reflect.DeepEqual(said.Forecast, forecast) {
		v.report.find(WrongCount, "", "readiness.forecast is %s, the sessions say %s", texts([]policy.ReadinessForecast{said.Forecast})[0], texts([]policy.ReadinessForecast{forecast})[0])
	}
	v.compareReadiness("why", said.Why, why)
	v.compareReadiness("backtest", texts(said.Backtest), texts(backtests))
	v.compareReadiness("groups", texts(said.Groups), texts(groups))
}

// compareReadiness says where a list of the part differs from what the sessions say.
func (v *verifier) compareReadiness(name string, said, are []string) {
	var wrong []string
	for i := range max(len(said), len(are)) {
		one := func(list []string) string {
			if i < len(list) {
				return list[i]
			}
			return "nothing"
		}
		if one(said) != one(are) {
			wrong = append(wrong, fmt.Sprintf("%s, where the sessions say %s", one(said), one(are)))
		}
	}
	if len(wrong) > 0 {
		f := v.report.find(WrongCount, "", "readiness.%s is not what the sessions say:", name)
		f.Count, f.Examples = uint64(len(wrong)), v.examples(wrong)
	}
}
