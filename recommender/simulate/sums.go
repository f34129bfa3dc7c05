package simulate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// sums counts by groups, by service and by cell.
type sums struct {
	r        *Replay
	groups   []uint32 // the number of each class; those of one name have the same
	pairs    map[[2]uint32]*Pair
	services map[categories.Service]*ServiceTally
	cells    map[cellKey]*Cell
}

func newSums(r *Replay) *sums {
	return &sums{r: r, groups: numbered(r.named), pairs: map[[2]uint32]*Pair{}, services: map[categories.Service]*ServiceTally{}, cells: map[cellKey]*Cell{}}
}

func (s *sums) add(p *part, j *judged) {
	at := [2]uint32{s.groups[p.client], s.groups[p.server]}
	pair := s.pairs[at]
	if pair == nil {
		pair = &Pair{Source: s.r.named[p.client], Destination: s.r.named[p.server]}
		s.pairs[at] = pair
	}
	pair.add(j.now.Decision, j.beforeDecision(), &p.tallied)
	service := s.services[p.service]
	if service == nil {
		service = &ServiceTally{Service: p.service.String()}
		s.services[p.service] = service
	}
	service.add(j.now.Decision, j.beforeDecision(), &p.tallied)
	key := cellKey{p.number, at, p.service, s.r.verdictOf(j)}
	cell := s.cells[key]
	if cell == nil {
		cell = &Cell{VRF: p.vrf, Source: pair.Source, Destination: pair.Destination, Service: service.Service, Decision: key.decision, Before: key.before}
		cell.Rule, cell.RuleBefore = s.r.names(&key.verdict)
		s.cells[key] = cell
	}
	cell.Count.add(&p.tallied)
}

// write lists what was counted, what breaks first.
func (s *sums) write(out *Result) {
	out.Pairs = inOrder(s.pairs, (*Pair).weight, func(a, b *Pair) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Destination, b.Destination))
	})
	out.Services = inOrder(s.services, (*ServiceTally).weight, func(a, b *ServiceTally) int { return strings.Compare(a.Service, b.Service) })
	out.all = inOrder(s.cells, (*Cell).weight, (*Cell).compareNames)
}

func (c *Cell) compareNames(o *Cell) int {
	if x := cmp.Or(strings.Compare(c.VRF, o.VRF), strings.Compare(c.Source, o.Source), strings.Compare(c.Destination, o.Destination), strings.Compare(c.Service, o.Service)); x != 0 {
		return x
	}
	return cmp.Or(strings.Compare(string(c.Decision), string(o.Decision)), strings.Compare(c.Rule, o.Rule), strings.Compare(string(c.Before), string(o.Before)), strings.Compare(c.RuleBefore, o.RuleBefore))
}

// numbered gives each label the place of the first one that reads the same.
func numbered(labels []string) []uint32 {
	known, out := map[string]uint32{}, make([]uint32, len(labels))
	for i, label := range labels {
		at, ok := known[label]
		if !ok {
			at = uint32(i)
			known[label] = at
		}
		out[i] = at
	}
	return out
}

// cellKey is what makes a cell of a result.
type cellKey struct {
	vrf     uint16 // the number in tables
	groups  [2]uint32
	service categories.Service
	verdict
}

// verdict is a decision and its rule, and those of the policy that is compared with. Rules of one name are one here.
type verdict struct {
	decision   policy.Decision
	rule       int32 // the place in the candidate's rules.names
	before     policy.Decision
	ruleBefore int32 // -1 where nothing is compared with
}

func (r *Replay) verdictOf(j *judged) verdict {
	v := verdict{j.now.Decision, r.candidate.rules.alike[j.now.rule], "", -1}
	if j.compared {
		v.before, v.ruleBefore = j.before.Decision, r.against.rules.alike[j.before.rule]
	}
	return v
}

// names gives the names of the rules of a verdict; of none the empty name.
func (r *Replay) names(v *verdict) (rule, before string) {
	if v.ruleBefore >= 0 {
		before = r.against.rules.names[v.ruleBefore].name
	}
	return r.candidate.rules.names[v.rule].name, before
}

// inOrder lists what is in a map, the heaviest first, then in the order that compare gives.
func inOrder[K comparable, T any](m map[K]*T, weight func(*T) [4]uint64, compare func(a, b *T) int) []T {
	type weighed struct {
		of     *T
		weight [4]uint64
	}
	list := make([]weighed, 0, len(m))
	for _, x := range m {
		list = append(list, weighed{x, weight(x)})
	}
	slices.SortFunc(list, func(a, b weighed) int {
		if c := heavier(a.weight, b.weight); c != 0 {
			return c
		}
		return compare(a.of, b.of)
	})
	if len(list) == 0 {
		return nil
	}
	out := make([]T, len(list))
	for i := range list {
		out[i] = *list[i].of
	}
	return out
}

// weight orders cells: what breaks comes first.
func (c *Cell) weight() [4]uint64 {
	var t Tally
	t.add(c.Decision, c.Before, &tallied{n: c.Sessions, example: example{}, first: time.Time{}})
	t.add(c.Decision, c.Before, &tallied{n: c.Attempts, attempts: true})
	return t.weight()
}

// add counts what a rule decided.
func (r *Rule) add(d policy.Decision, t *tallied) {
	r.Count.add(t)
	switch d {
	case policy.AnswersRefused:
		r.AnswersDenied += t.n
	case policy.UncertainDecision:
		r.Uncertain += t.n
	}
}
