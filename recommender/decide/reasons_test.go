package decide

import (
	"testing"

	"cordon/recommender/cells"
	"cordon/recommender/policy"

	"github.com/google/go-cmp/cmp"
)

// TestJudge: what exclusions, guardrails and policies in force say, in the order in which it counts.
func TestJudge(t *testing.T) {
	web := term(t, "tcp/443")
	anything := term(t, "tcp")
	half := uint8(cells.ReasonNumber(policy.HalfOpen))
	type verdict struct {
		reason uint8
		note   int32
	}
	for name, c := range map[string]struct {
		before uint8
		by     said
		want   verdict
		listed bool // the part is in a cell
		needed bool // the cell needs a rule
	}{
		"nothing said":                        {want: verdict{0, -1}, listed: true, needed: true},
		"excluded":                            {by: said{excluded: []saying{{2, 1, web}, {1, 2, web}}}, want: verdict{ExcludedNumber, 1}},
		"excluded comes before other reasons": {before: half, by: said{excluded: []saying{{1, 2, web}}}, want: verdict{ExcludedNumber, 0}},
		"local comes first":                   {before: LocalNumber, by: said{excluded: []saying{{1, 2, web}}}, want: verdict{LocalNumber, -1}},
		"other reasons stay":                  {before: half, by: said{denied: []saying{{1, 2, web}}, permitted: []saying{{1, 2, web}}}, want: verdict{half, -1}},
		"denied":                              {by: said{denied: []saying{{2, 2, web}, {1, 2, web}}, permitted: []saying{{1, 2, web}}}, want: verdict{GuardrailNumber, 1}},
		"excluded before denied":              {by: said{excluded: []saying{{0, 0, anything}}, denied: []saying{{1, 2, web}}}, want: verdict{ExcludedNumber, 0}},
		"denied for another member of the group": {
			by:   said{denied: []saying{{7, 2, web}}, classes: map[cells.Endpoint][]uint32{group(1): {1, 7}}},
			want: verdict{GuardrailNumber, 0},
		},
		"denied at the other end": {
			by:   said{denied: []saying{{1, 7, web}}, classes: map[cells.Endpoint][]uint32{group(2): {2, 7}}},
			want: verdict{GuardrailNumber, 0},
		},
		"permitted before":                  {by: said{permitted: []saying{{2, 1, web}, {1, 2, web}}}, want: verdict{AlreadyPermittedNumber, 1}, listed: true},
		"permitted for another member only": {by: said{permitted: []saying{{7, 2, web}}, classes: map[cells.Endpoint][]uint32{group(1): {1, 7}}}, want: verdict{0, -1}, listed: true, needed: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := part(t, "group 1", "group 2", "tcp/443", 4)
			p.Reason = c.before
			parts := []cells.Part{p}
			list := Judge(parts, &c.by)
			if got := (verdict{parts[0].Reason, parts[0].Note}); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			var want []cells.Cell
			if c.listed {
				want = []cells.Cell{{Key: p.Key, Parts: []int{0}, Sessions: 4, Included: c.needed}}
			}
			if d := cmp.Diff(want, list, comparable); d != "" {
				t.Error(d)
			}
		})
	}
}

var comparable = cmp.Comparer(func(a, b cells.Key) bool { return a == b })

// TestJudgeGathers: the parts of a cell are one cell, which needs a rule if one of them does, and cells are in order.
func TestJudgeGathers(t *testing.T) {
	var before []cells.Part // Parts that are in no cell keep the next ones out of none.
	for _, reason := range []uint8{LocalNumber, uint8(cells.ReasonNumber(policy.HalfOpen)), 0, 0} {
		p := part(t, "group 3", "group 4", "tcp/1", 1)
		p.Reason = reason
		before = append(before, p)
	}
	before[2].SrcClass, before[3].DstClass = 9, 9
	parts := append(before, []cells.Part{
		part(t, "group 2", "group 1", "tcp/22", 1),
		part(t, "group 1", "group 2", "tcp/443", 2),
		part(t, "group 1", "group 2", "tcp/80", 3),
		part(t, "group 1", "group 2", "tcp/443", 4),
		part(t, "group 1", "group 2", "tcp/80", 5),
	}...)
	parts[5].SrcClass, parts[6].SrcClass, parts[8].SrcClass = 8, 8, 8
	list := Judge(parts, &said{permitted: []saying{{8, 2, term(t, "tcp")}}, excluded: []saying{{9, 0, term(t, "tcp")}}, denied: []saying{{0, 9, term(t, "tcp")}}})
	want := []cells.Cell{
		{Key: parts[6].Key, Parts: []int{6, 8}, Sessions: 8},
		{Key: parts[5].Key, Parts: []int{5, 7}, Sessions: 6, Included: true},
		{Key: parts[4].Key, Parts: []int{4}, Sessions: 1, Included: true},
	}
	if d := cmp.Diff(want, list, comparable); d != "" {
		t.Error(d)
	}
}

// TestSupport: each kind of support at its bound and one below it.
func TestSupport(t *testing.T) {
	for name, c := range map[string]struct {
		settings policy.Settings
		sessions uint64
		own      *cells.Breadth // Breadth of a range, which the cell has itself.
		counted  cells.Breadth
		want     bool
		asks     bool
	}{
		"nothing asked":         {sessions: 1, want: true},
		"enough sessions":       {settings: policy.Settings{MinSessions: 3}, sessions: 3, want: true},
		"too few sessions":      {settings: policy.Settings{MinSessions: 3}, sessions: 2},
		"few with breadth":      {settings: policy.Settings{MinSessions: 3, MinHosts: 2}, sessions: 2, counted: cells.Breadth{Clients: 9}},
		"one host is no bound":  {settings: policy.Settings{MinHosts: 1, MinHours: 1, Recurring: 1}, sessions: 1, want: true},
		"enough clients":        {settings: policy.Settings{MinHosts: 2}, sessions: 2, counted: cells.Breadth{Clients: 2}, want: true, asks: true},
		"too few clients":       {settings: policy.Settings{MinHosts: 2}, sessions: 2, counted: cells.Breadth{Clients: 1, Hours: 9, Recurring: 9}, asks: true},
		"enough hours":          {settings: policy.Settings{MinHours: 2}, sessions: 2, counted: cells.Breadth{Hours: 2}, want: true, asks: true},
		"too few hours":         {settings: policy.Settings{MinHours: 2}, sessions: 2, counted: cells.Breadth{Clients: 9, Hours: 1, Recurring: 1}, asks: true},
		"a pair came back":      {settings: policy.Settings{Recurring: 2}, sessions: 2, counted: cells.Breadth{Recurring: 2}, want: true, asks: true},
		"no pair came back":     {settings: policy.Settings{Recurring: 2}, sessions: 2, counted: cells.Breadth{Clients: 9, Hours: 9, Recurring: 1}, asks: true},
		"one host, counted not": {settings: policy.Settings{MinHosts: 1, MinHours: 2}, sessions: 2, counted: cells.Breadth{Hours: 2}, want: true, asks: true},
		"one hour, counted not": {settings: policy.Settings{MinHosts: 2, MinHours: 1}, sessions: 2, counted: cells.Breadth{Clients: 2}, want: true, asks: true},
		"a range has its own":   {settings: policy.Settings{MinHosts: 2}, sessions: 2, own: &cells.Breadth{Clients: 2}, want: true},
		"a range with too few":  {settings: policy.Settings{MinHosts: 2}, sessions: 2, own: &cells.Breadth{Clients: 1}, counted: cells.Breadth{Clients: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			parts := []cells.Part{part(t, "group 1", "group 2", "tcp/443", c.sessions), part(t, "group 1", "group 2", "tcp/443", 1)}
			parts[1].Reason = AlreadyPermittedNumber
			one := cells.Cell{Key: parts[0].Key, Parts: []int{0, 1}, Sessions: c.sessions, Included: true, Breadth: c.own}
			asked := false
			list := Support([]cells.Cell{one}, parts, &c.settings, func(*cells.Cell) cells.Breadth { asked = true; return c.counted })
			reason := uint8(0)
			if !c.want {
				reason = BelowSupportNumber
			}
			if (len(list) == 1) != c.want || parts[0].Reason != reason || parts[1].Reason != AlreadyPermittedNumber {
				t.Errorf("%d cells, reasons %d and %d", len(list), parts[0].Reason, parts[1].Reason)
			}
			if asked != c.asks {
				t.Errorf("the breadth was asked for: %v", asked)
			}
		})
	}
}
