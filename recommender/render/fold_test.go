package render

import (
	"fmt"
	"slices"
	"testing"

	"cordon/recommender/policy"
)

// A long list of hosts ends in how many more there are.
func TestEndpointsFold(t *testing.T) {
	hosts := func(n int) (set []policy.Endpoint) {
		for i := range n {
			e, err := policy.ParseEndpoint(fmt.Sprintf("ip:10.0.%d.%d/32", i>>8, i&255))
			if err != nil {
				t.Fatal(err)
			}
			set = append(set, e)
		}
		return set
	}
	for _, n := range []int{1, foldedEndpoints, foldedEndpoints + 1} {
		if got := endpoints(hosts(n)); len(got) != n {
			t.Errorf("%d hosts give %d items", n, len(got))
		}
	}
	got := endpoints(hosts(foldedEndpoints + 1210))
	if len(got) != foldedEndpoints+1 || got[foldedEndpoints] != "… and 1,210 more" || !slices.Contains(got, "10.0.0.11") {
		t.Errorf("%q", got)
	}
}
