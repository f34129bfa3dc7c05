package verify

import (
	"fmt"
	"slices"

	"cordon/recommender/policy"
)

// box is what a rule permits: endpoints and services.
type box struct {
	ends     [2][]int32
	services services
}

// any reports whether the box has every service.
func (b *box) any() bool { return len(b.services) == 1 && b.services[0] == every }

func (v *verifier) name(c cell) string {
	service := c.service.String()
	if c.service.Any {
		service = "any other service"
	}
	return fmt.Sprintf("%s -> %s %s", v.ends.literals[c.src], v.ends.literals[c.dst], service)
}

// forbidden names a cell, and the guardrail that denies it if one does.
func (v *verifier) forbidden(c cell) string {
	if at := v.judge.guardrail(c); at >= 0 {
		return fmt.Sprintf("%s (guardrail %s forbids it)", v.name(c), v.judge.guardrails.statements[at].name)
	}
	return v.name(c)
}

// maxJudged bounds how many cells of a rule that were not observed are tried
// for being permitted by the policy in force.
const maxJudged = 2_000_000

// soundness looks for permissions that were not observed.
func (v *verifier) soundness() {
	var seen services // services over all pairs
	for _, s := range v.judge.observed {
		seen = append(seen, s...)
	}
	seen = seen.sorted()
	for i, s := range v.rules.statements {
		b := box{services: servicesOf(s.services)}
		for side, set := range s.ends {
			for _, e := range set {
				ids, err := v.ends.expand(e)
				if err == nil { // an error was reported already
					b.ends[side] = append(b.ends[side], ids...)
				}
			}
			slices.Sort(b.ends[side])
			b.ends[side] = slices.Compact(b.ends[side])
		}
		v.boxes = append(v.boxes, b)
		perPair := b.services.size()
		if b.any() {
			perPair = seen.size() + 1 // One more stands for any other service.
		}
		total := uint64(len(b.ends[0])) * uint64(len(b.ends[1])) * perPair
		v.report.Permits += total
		observed := uint64(0)
		for _, src := range b.ends[0] {
			for _, dst := range b.ends[1] {
				observed += b.services.common(v.judge.observed[[2]int32{src, dst}])
			}
		}
		if observed == total {
			continue
		}
		bad, examples := v.unobserved(&b, seen, total-observed)
		if bad > 0 {
			f := v.report.find(Unsound, v.names[i], "permits %d of %d cells that were never observed:", bad, total)
			f.Count, f.Examples = bad, examples
		}
	}
}

// unobserved counts and names the cells of a box that a rule may not hold; n of
// them were not observed. Any service stands for those that were seen elsewhere, and one more.
func (v *verifier) unobserved(b *box, seen services, n uint64) (bad uint64, examples []string) {
	permits := b.services
	if b.any() {
		permits = seen
	}
	all := len(v.judge.existing.statements) > 0 && uint64(len(b.ends[0]))*uint64(len(b.ends[1]))*permits.size() <= maxJudged
	bad = n
	for _, src := range b.ends[0] {
		for _, dst := range b.ends[1] {
			for _, missing := range permits.without(v.judge.observed[[2]int32{src, dst}]) {
				for _, r := range v.pieces(missing) {
					s := serviceOf(r.lo)
					if all && v.judge.isPermitted(cell{src, dst, policy.ServiceOf(s)}) {
						bad -= uint64(r.hi-r.lo) + 1
						continue
					}
					for ; len(examples) < v.o.Examples && keyOf(s) <= r.hi; s = serviceOf(keyOf(s) + 1) {
						examples = append(examples, v.forbidden(cell{src, dst, policy.ServiceOf(s)}))
					}
				}
				if len(examples) == v.o.Examples && !all {
					return bad, examples
				}
			}
			if b.any() && len(examples) < v.o.Examples {
				examples = append(examples, v.name(cell{src, dst, policy.Service{Any: true}}))
			}
		}
	}
	return bad, examples
}

// pieces cuts a range of services where any policy tells them apart.
func (v *verifier) pieces(r keyRange) (out []keyRange) {
	for _, p := range v.judge.existing.pieces(r) {
		out = append(out, v.judge.guardrails.pieces(p)...)
	}
	return out
}
