package render

import (
	"fmt"
	"strings"

	"cordon/recommender/policy"
)

// maxReused is how many re-used addresses are named.
const maxReused = 20

// reused names the addresses that changed their owner, each with its owners.
func (t table) reused(p *policy.Proposal) {
	if len(p.Reused) == 0 {
		return
	}
	t.head("Addresses with one owner after another")
	for _, r := range p.Reused[:min(maxReused, len(p.Reused))] {
		var owners []string
		for _, o := range r.Owners {
			text := "nobody"
			if o.Group != "" {
				text = o.Group
			}
			if o.From != nil {
				text += " from " + clock(*o.From)
			}
			if o.Until != nil {
				text += " until " + clock(*o.Until)
			}
			owners = append(owners, text)
		}
		address := r.Prefix.String()
		if r.Prefix.IsSingleIP() {
			address = r.Prefix.Addr().String()
		}
		t.para(indent, address+": "+strings.Join(owners, ", "))
	}
	if more := len(p.Reused) - maxReused; more > 0 {
		t.para(indent, fmt.Sprintf("and %d more", more))
	}
	t.para("", "Each session was judged by what its addresses were when it was seen. An hour in which the owner changed between the first and the last packet is nobody's.")
	fmt.Fprintln(t.w)
}
