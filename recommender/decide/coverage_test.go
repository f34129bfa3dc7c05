package decide

import (
	"slices"
	"testing"

	"cordon/recommender/cells"
	"cordon/recommender/policy"
)

// weighed are parts of two VRFs with each reason that matters to a share; a part's sessions are a power of two.
func weighed(t *testing.T) []cells.Part {
	var parts []cells.Part
	for i, of := range []struct {
		vrf    string
		reason uint8
		note   int32
	}{{"a", 0, -1}, {"a", AlreadyPermittedNumber, 3}, {"a", BelowSupportNumber, ShareNote}, {"a", BelowSupportNumber, -1}, {"a", GuardrailNumber, 0}, {"b", 0, -1}, {"b", AlreadyPermittedNumber, 0}, {"b", BelowSupportNumber, ShareNote}} {
		p := part(t, "group 1", "group 2", "tcp/443", 1<<i)
		p.Key.VRF, p.Reason, p.Note, p.Bytes = of.vrf, of.reason, of.note, 1000<<i
		parts = append(parts, p)
	}
	return parts
}

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		vrf  string
		by   policy.Measure
		want Weights
	}{
		{"a", policy.BySessions, Weights{Total: 1 + 2 + 4, Permitted: 1 + 2, Already: 2}},
		{"a", policy.ByBytes, Weights{Total: 7000, Permitted: 3000, Already: 2000}},
		{"b", "", Weights{Total: 32 + 64 + 128, Permitted: 32 + 64, Already: 64}},
		{"c", policy.BySessions, Weights{}},
	} {
		if got := WeightsOf(c.vrf, weighed(t), c.by); got != c.want {
			t.Errorf("%s by %q: %+v, want %+v", c.vrf, c.by, got, c.want)
		}
	}
}

func TestLeaveOut(t *testing.T) {
	parts := weighed(t)
	list := []cells.Cell{
		{Parts: []int{0, 1}, Included: true},    // The first part is in a rule.
		{Parts: []int{5}, Included: true},       // It is in none.
		{Parts: []int{1, 6}, Included: true},    // All of it was permitted before.
		{Parts: []int{0, 5, 3}, Included: true}, // One is in a rule, one is not.
	}
	left := LeaveOut(list, parts, [][]int{{3}, {1, 0}})
	if !slices.Equal(left, []int{5}) || parts[5].Reason != BelowSupportNumber || parts[5].Note != ShareNote {
		t.Errorf("left out are %v: %+v", left, parts[5])
	}
	if parts[0].Reason != 0 || parts[1].Reason != AlreadyPermittedNumber || parts[3].Note != -1 {
		t.Errorf("others changed: %+v", parts)
	}
	for i, want := range []bool{true, false, false, true} {
		if list[i].Included != want {
			t.Errorf("cell %d needs a rule: %v", i, list[i].Included)
		}
	}
}
