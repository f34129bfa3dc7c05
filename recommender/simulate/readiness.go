package simulate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// KindReadiness is what the head of a readiness document says.
const KindReadiness = "Readiness"

// LearnedCell is a cell with its sessions by the hours in which they have records: what readiness is made of. Hours are counted
// from the first one of the window.
type LearnedCell struct {
	Source, Destination, Service string
	MinSessions, MinHours        uint64 // the least that the cell needs to be permitted
	Never                        bool   // it has too little support by the whole window
	Permitted                    bool   // a policy in force permits it, whatever was learned
	Activity                     []Activity
}

// Activity is sessions that have records in the same hours.
type Activity struct {
	Hours    []int // sorted
	Sessions uint64
}

// Learned is what was learned of a VRF within a window.
type Learned struct {
	VRF   string
	From  time.Time // the first hour
	Hours int       // the length of the window
	Cells []LearnedCell
	Lossy []string // exporters with loss in the window
}

// ReadinessOptions say what is enough.
type ReadinessOptions struct {
	AtMost float64 // share of denied sessions in the forecast that is acceptable
}

// Readiness says how far the sessions of a VRF are known. A session is one (client, server, service); in a backtest those with a record
// in the time after the stop count, once.
type Readiness struct {
	APIVersion string        `json:"apiVersion" yaml:"apiVersion"`
	Kind       string        `json:"kind" yaml:"kind"`
	VRF        string        `json:"vrf" yaml:"vrf"`
	Window     policy.Window `json:"window" yaml:"window"`
	Sessions   uint64        `json:"sessions" yaml:"sessions"`
	Cells      int           `json:"cells" yaml:"cells"`
	// Hours are those of the window, HoursWithData those of them with a session.
	Hours         int  `json:"hours" yaml:"hours"`
	HoursWithData int  `json:"hoursWithData" yaml:"hoursWithData"`
	Ready         bool `json:"ready" yaml:"ready"`
	// Why says in a sentence each what ready rests on, warnings among them.
	Why      []string         `json:"why" yaml:"why"`
	Backtest []Backtest       `json:"backtest" yaml:"backtest"`
	Ago      []Stopped        `json:"ago" yaml:"ago"`
	Curve    []CurveDay       `json:"curve" yaml:"curve"`
	Newest   []NewCell        `json:"newest" yaml:"newest"` // the newest cells first
	Forecast Forecast         `json:"forecast" yaml:"forecast"`
	Groups   []GroupReadiness `json:"groups" yaml:"groups"`
}

// Backtest is what a policy learned until a moment would have denied in the time after it.
type Backtest struct {
	LearnedUntil policy.Time `json:"learnedUntil" yaml:"learnedUntil"`
	Horizon      string      `json:"horizon" yaml:"horizon"`
	Sessions     uint64      `json:"sessions" yaml:"sessions"`
	Denied       uint64      `json:"denied" yaml:"denied"`
	DeniedShare  float64     `json:"deniedShare" yaml:"deniedShare"` // 0 where there is no session
}

// Stopped is the backtest of having stopped to learn so many days before the end, until the end.
type Stopped struct {
	Days     int `json:"days" yaml:"days"`
	Backtest `yaml:",inline"`
	Groups   []DeniedOf `json:"groups" yaml:"groups"`     // one entry for each group at either end; a session of two groups counts for both
	Services []DeniedOf `json:"services" yaml:"services"` // most denied first
}

// DeniedOf is what of a group or service would have been denied.
type DeniedOf struct {
	Name     string `json:"name" yaml:"name"`
	Sessions uint64 `json:"sessions" yaml:"sessions"`
	Denied   uint64 `json:"denied" yaml:"denied"`
}

// CurveDay is a day of the learning curve.
type CurveDay struct {
	Day      string `json:"day" yaml:"day"`     // UTC
	Cells    int    `json:"cells" yaml:"cells"` // known at its end
	NewCells int    `json:"newCells" yaml:"newCells"`
	// ByHour are the new cells of each hour of the day, from the first hour of the window on.
	ByHour []int `json:"byHour" yaml:"byHour,flow"`
}

// NewCell is a cell with the hour in which it was seen first.
type NewCell struct {
	Source      string      `json:"source" yaml:"source"`
	Destination string      `json:"destination" yaml:"destination"`
	Service     string      `json:"service" yaml:"service"`
	FirstSeen   policy.Time `json:"firstSeen" yaml:"firstSeen"`
	Sessions    uint64      `json:"sessions" yaml:"sessions"`
}

// Forecast bounds what is denied in the third of the time learned that follows, if nothing new is introduced.
type Forecast struct {
	Horizon           string   `json:"horizon,omitempty" yaml:"horizon,omitempty"`
	DeniedShareAtMost *float64 `json:"deniedShareAtMost,omitempty" yaml:"deniedShareAtMost,omitempty"`
	Text              string   `json:"text,omitempty" yaml:"text,omitempty"`
	Declined          string   `json:"declined,omitempty" yaml:"declined,omitempty"` // why there is none
	// What it is made of: the largest late backtest, and the share of sessions whose cell was seen in one hour only.
	LateBacktest float64 `json:"lateBacktest" yaml:"lateBacktest"`
	OneHour      float64 `json:"oneHour" yaml:"oneHour"`
}

// States of groups.
const (
	Settled   = "settled"
	Learning  = "learning"
	TooLittle = "too-little"
)

// GroupReadiness is the verdict about a group, or about a host that stands for itself.
type GroupReadiness struct {
	Group    string    `json:"group" yaml:"group"`
	State    string    `json:"state" yaml:"state"`
	Reason   string    `json:"reason" yaml:"reason"`
	Sessions uint64    `json:"sessions" yaml:"sessions"`
	Share    float64   `json:"share" yaml:"share"` // the part of all sessions
	Newest   []NewCell `json:"newest,omitempty" yaml:"newest,omitempty"`
}

// Numbers of the method; research on seven families of sets chose them.
const (
	maxStops      = 12
	boundFactor   = 2
	boundAdded    = 0.001
	leastHours    = 24 // hours with data
	leastWindow   = 48 // hours
	week          = 7 * 24
	learningShare = 0.01
	maxNewest     = 10
	newestOfGroup = 3
)

// never is the hour of what is not known within the window.
const never = int(^uint(0) >> 1)

// timeline is a cell with what the method asks of it.
type timeline struct {
	*LearnedCell
	first, known int // the first hour, and the one in which it had enough support
	sessions     uint64
	oneHour      bool
}

// newTimeline looks at the hours before the end only.
func newTimeline(c *LearnedCell, end int) (t timeline) {
	t = timeline{LearnedCell: c, first: never, known: never}
	hours := map[int]bool{}
	firsts := map[int]uint64{} // sessions by their first hour
	for _, a := range c.Activity {
		at := firstIn(a.Hours, 0, end)
		if at == never {
			continue
		}
		t.sessions += a.Sessions
		firsts[at] += a.Sessions
		t.first = min(t.first, at)
		for _, h := range a.Hours {
			if h < end {
				hours[h] = true
			}
		}
	}
	t.oneHour = len(hours) == 1
	if c.Permitted {
		t.known = -1
		return t
	}
	if c.Never {
		return t
	}
	sessions, distinct := uint64(0), uint64(0)
	for _, h := range slices.Sorted(maps.Keys(hours)) {
		sessions, distinct = sessions+firsts[h], distinct+1
		if sessions >= c.MinSessions && distinct >= c.MinHours {
			t.known = h
			break
		}
	}
	return t
}

// firstIn gives the first hour within [from, to), never if there is none.
func firstIn(hours []int, from, to int) int {
	at, _ := slices.BinarySearch(hours, from)
	if at < len(hours) && hours[at] < to {
		return hours[at]
	}
	return never
}

// active counts the sessions with a record within [from, to).
func (t *timeline) active(from, to int) (n uint64) {
	for _, a := range t.Activity {
		if firstIn(a.Hours, from, to) != never {
			n += a.Sessions
		}
	}
	return n
}

// learning is a Learned until an hour.
type learning struct {
	*Learned
	end   int
	cells []timeline
	total uint64
}

func (l *Learned) until(end int) *learning {
	out := &learning{Learned: l, end: end}
	for i := range l.Cells {
		if t := newTimeline(&l.Cells[i], end); t.sessions > 0 {
			out.cells = append(out.cells, t)
			out.total += t.sessions
		}
	}
	return out
}

// denied counts the sessions with a record within [stop, to), and those of them that what was learned until the stop denies.
func (l *learning) denied(stop, to int) (sessions, denied uint64) {
	for i := range l.cells {
		n := l.cells[i].active(stop, to)
		sessions += n
		if l.cells[i].known >= stop {
			denied += n
		}
	}
	return sessions, denied
}

// ratio is 0 where there is no whole.
func ratio(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// bound gives the largest late backtest, the share of sessions whose cell was seen in one hour only, and the bound on what is
// denied in the next third of the time learned.
func (l *learning) bound() (late, oneHour, atMost float64) {
	for _, stop := range l.stops() {
		if 2*stop >= l.end {
			sessions, denied := l.denied(stop, min(stop+l.horizon(), l.end))
			late = max(late, ratio(denied, sessions))
		}
	}
	var once uint64
	for i := range l.cells {
		if l.cells[i].oneHour && !l.cells[i].Permitted {
			once += l.cells[i].sessions
		}
	}
	oneHour = ratio(once, l.total)
	return late, oneHour, min(1, boundFactor*max(late, oneHour)+boundAdded)
}

// horizon is a third of the time learned, in hours.
func (l *learning) horizon() int { return max(l.end/3, 1) }

// stops are the hours of backtests, spread evenly.
func (l *learning) stops() (out []int) {
	for i := 1; i <= maxStops; i++ {
		if at := l.end * i / (maxStops + 1); at > 0 && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// hoursWithData counts the hours in which some session has a record.
func (l *learning) hoursWithData() int {
	hours := map[int]bool{}
	for i := range l.cells {
		for _, a := range l.cells[i].Activity {
			for _, h := range a.Hours {
				if h < l.end {
					hours[h] = true
				}
			}
		}
	}
	return len(hours)
}

// at gives the moment of an hour.
func (l *Learned) at(hour int) policy.Time {
	return policy.NewTime(l.From.Add(time.Duration(hour) * time.Hour))
}

// Assess says how far what was learned suffices.
func Assess(learned *Learned, o ReadinessOptions) *Readiness {
	l := learned.until(learned.Hours)
	r := &Readiness{APIVersion: policy.APIVersion, Kind: KindReadiness, VRF: l.VRF, Window: policy.Window{From: l.at(0), To: l.at(l.end)},
		Sessions: l.total, Hours: l.end, HoursWithData: l.hoursWithData(), Why: []string{}}
	for i := range l.cells {
		if l.cells[i].known < l.end {
			r.Cells++
		}
	}
	r.Backtest = []Backtest{}
	for _, stop := range l.stops() {
		r.Backtest = append(r.Backtest, l.backtest(stop, min(stop+l.horizon(), l.end)))
	}
	r.Ago = []Stopped{}
	for days := 1; days <= 3 && days*24 < l.end; days++ {
		r.Ago = append(r.Ago, l.stopped(days))
	}
	r.Curve, r.Newest = l.curve(), l.newest("", 0, maxNewest)
	r.Forecast = l.forecast(r.HoursWithData)
	r.Groups = l.groups()
	r.conclude(o)
	return r
}

func (l *learning) backtest(stop, to int) Backtest {
	sessions, denied := l.denied(stop, to)
	return Backtest{l.at(stop), hoursText(to - stop), sessions, denied, ratio(denied, sessions)}
}

// stopped is the backtest of having stopped some days ago, by group and by service.
func (l *learning) stopped(days int) Stopped {
	stop := l.end - days*24
	out := Stopped{Days: days, Backtest: l.backtest(stop, l.end)}
	groups, services := map[string]*DeniedOf{}, map[string]*DeniedOf{}
	for i := range l.cells {
		c := &l.cells[i]
		n := c.active(stop, l.end)
		if n == 0 {
			continue
		}
		add := func(m map[string]*DeniedOf, name string) {
			if m[name] == nil {
				m[name] = &DeniedOf{Name: name}
			}
			m[name].Sessions += n
			if c.known >= stop {
				m[name].Denied += n
			}
		}
		add(groups, groupName(c.Source))
		if c.Destination != c.Source {
			add(groups, groupName(c.Destination))
		}
		add(services, c.Service)
	}
	out.Groups, out.Services = mostDenied(groups), mostDenied(services)
	return out
}

// mostDenied lists what has something denied.
func mostDenied(m map[string]*DeniedOf) []DeniedOf {
	out := []DeniedOf{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name].Denied > 0 {
			out = append(out, *m[name])
		}
	}
	slices.SortStableFunc(out, func(a, b DeniedOf) int { return cmp.Compare(b.Denied, a.Denied) })
	return out
}

// curve counts the cells known by the end of each day, and the new ones of each hour.
func (l *learning) curve() []CurveDay {
	out := []CurveDay{}
	known := 0
	for h := range l.end {
		day := l.at(h).Format(time.DateOnly)
		if n := len(out); n == 0 || out[n-1].Day != day {
			out = append(out, CurveDay{Day: day, ByHour: []int{}})
		}
		d := &out[len(out)-1]
		d.ByHour = append(d.ByHour, 0)
	}
	base := map[string]int{}
	for i := range out {
		base[out[i].Day] = i
	}
	for i := range l.cells {
		if h := l.cells[i].first; h < l.end {
			d := &out[base[l.at(h).Format(time.DateOnly)]]
			d.NewCells++
			begin := 0
			if d.Day == l.at(0).Format(time.DateOnly) {
				begin = l.at(0).Hour()
			}
			d.ByHour[l.at(h).Hour()-begin]++
		}
	}
	for i := range out {
		known += out[i].NewCells
		out[i].Cells = known
	}
	return out
}

// newest lists cells, of a group or of all, that were seen first at or after an hour, the newest first.
func (l *learning) newest(group string, from, most int) []NewCell {
	var list []*timeline
	for i := range l.cells {
		c := &l.cells[i]
		if c.first >= from && (group == "" || c.Source == group || c.Destination == group) && !c.Permitted {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *timeline) int {
		return cmp.Or(cmp.Compare(b.first, a.first), cmp.Compare(b.sessions, a.sessions), strings.Compare(a.Source+"\x00"+a.Destination+"\x00"+a.Service, b.Source+"\x00"+b.Destination+"\x00"+b.Service))
	})
	out := []NewCell{}
	for _, c := range list[:min(len(list), most)] {
		out = append(out, NewCell{c.Source, c.Destination, c.Service, l.at(c.first), c.sessions})
	}
	return out
}

// held is how often the bound held in backtests on sets of seven families.
const held = "it held in 86 of 96 backtests"

// LongEnough reports whether a window of so many hours, and of hours with data, is enough for a forecast.
func LongEnough(window, withData int) bool { return withData >= leastHours && window >= leastWindow }

func (l *learning) forecast(hoursWithData int) Forecast {
	late, oneHour, atMost := l.bound()
	f := Forecast{LateBacktest: late, OneHour: oneHour}
	switch {
	case hoursWithData < leastHours:
		f.Declined = fmt.Sprintf("only %d hours have data: at least %d are needed", hoursWithData, leastHours)
	case l.end < leastWindow:
		f.Declined = fmt.Sprintf("the window has %d hours: at least two days are needed", l.end)
	case len(l.Lossy) > 0:
		f.Declined = "records of the window are missing, of exporters " + strings.Join(l.Lossy, ", ") + ": what was not seen cannot be told from what is new"
	default:
		f.Horizon, f.DeniedShareAtMost = hoursText(l.horizon()), &atMost
		f.Text = fmt.Sprintf("at most %s of the sessions of the next %s are denied, if nothing new is introduced; %s", percent(atMost), f.Horizon, held)
	}
	return f
}

// hoursText writes a number of hours.
func hoursText(n int) string { return fmt.Sprintf("%dh", n) }

func percent(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }

// groupName is a group without what tells it from a prefix; a prefix stays as it is.
func groupName(literal string) string { return strings.TrimPrefix(literal, categories.GroupPrefix) }

// groups judges every group by the last quarter of the window.
func (l *learning) groups() []GroupReadiness {
	from := l.end - max(l.end/4, 1)
	type tally struct{ all, late, denied uint64 }
	of := map[string]*tally{}
	for i := range l.cells {
		c := &l.cells[i]
		ends := []string{c.Source}
		if c.Destination != c.Source {
			ends = append(ends, c.Destination)
		}
		n := c.active(from, l.end)
		for _, e := range ends {
			if of[e] == nil {
				of[e] = new(tally)
			}
			of[e].all += c.sessions
			of[e].late += n
			if c.known >= from {
				of[e].denied += n
			}
		}
	}
	out := []GroupReadiness{}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		t := of[name]
		g := GroupReadiness{Group: groupName(name), Sessions: t.all, Share: ratio(t.all, l.total)}
		quarter := hoursText(l.end - from)
		switch {
		case t.late == 0:
			g.State, g.Reason = TooLittle, "no session in the last "+quarter
		case ratio(t.denied, t.late) > learningShare:
			g.State, g.Newest = Learning, l.newest(name, from, newestOfGroup)
			g.Reason = fmt.Sprintf("%s of its %d sessions of the last %s are in cells that were new then", percent(ratio(t.denied, t.late)), t.late, quarter)
		case l.end < leastWindow:
			g.State, g.Reason = TooLittle, "less than two days were seen"
		default:
			g.State, g.Reason = Settled, fmt.Sprintf("%s of its %d sessions of the last %s are in cells that were new then", percent(ratio(t.denied, t.late)), t.late, quarter)
		}
		if len(l.Lossy) > 0 {
			g.Reason += "; records are missing, so more may be unseen"
		}
		out = append(out, g)
	}
	rank := map[string]int{Learning: 0, TooLittle: 1, Settled: 2}
	slices.SortStableFunc(out, func(a, b GroupReadiness) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(b.Sessions, a.Sessions))
	})
	return out
}

// conclude says whether to go on.
func (r *Readiness) conclude(o ReadinessOptions) {
	r.Ready = true
	not := func(format string, args ...any) { r.Ready = false; r.Why = append(r.Why, fmt.Sprintf(format, args...)) }
	switch f := &r.Forecast; {
	case f.Declined != "":
		not("no bound can be given: %s.", f.Declined)
	case *f.DeniedShareAtMost > o.AtMost:
		not("the bound of %s is above the %s that is acceptable.", percent(*f.DeniedShareAtMost), percent(o.AtMost))
	default:
		r.Why = append(r.Why, fmt.Sprintf("the bound of %s is within the %s that is acceptable.", percent(*f.DeniedShareAtMost), percent(o.AtMost)))
	}
	large := 0
	for _, g := range r.Groups {
		if g.State == Learning && g.Share > learningShare {
			large++
		}
	}
	if large > 0 {
		not("groups that are still learning and have more than 1%% of the sessions: %d.", large)
	}
	if r.Hours < week {
		r.Why = append(r.Why, "Warning: no whole week was seen, so what happens on other days is unknown.")
	}
}
