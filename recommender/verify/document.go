package verify

import (
	"slices"
	"time"

	"cordon/recommender/policy"
)

// edited compares the ids with the content.
func (v *verifier) edited() {
	if v.p.Edited() {
		v.report.find(Edited, "", "the document was edited: its content has the id %s", v.p.ContentID())
	}
	for i := range v.p.Rules {
		if r := &v.p.Rules[i]; r.ID != r.ContentID() {
			v.report.find(Edited, v.names[i], "its literals or its action were edited: they have the id %s", r.ContentID())
		}
	}
}

// settings finds values of settings that nothing writes: those that are the default, mean nothing, or are out of range.
func (v *verifier) settings() {
	s := v.p.Settings
	if s == nil {
		return
	}
	written := new(policy.Settings)
	if of := s.Filled().Document(); of != nil {
		written = of
	}
	for _, o := range policy.Options() {
		wrong := !o.Same(s, written) || !o.IsZero(s) && o.Check(s) != nil
		if o.Key == "generaliseWithin" && !o.IsZero(s) && !slices.Contains(v.judge.file.CategoryNames(), s.GeneraliseWithin) {
			wrong = true
		}
		if wrong {
			v.report.find(WrongCount, "", "settings.%s has a value that generate-rules never writes", o.Key)
		}
	}
	if *s == (policy.Settings{}) {
		v.report.find(WrongCount, "", "settings is there, although every choice is the default")
	}
}

// form prepares the rules that mean something.
func (v *verifier) form() {
	list := make([]statement, len(v.p.Rules))
	v.unknown = make([]bool, len(v.p.Rules))
	places := map[string]int{}
	for i := range v.p.Rules {
		r := &v.p.Rules[i]
		if r.Name == "" {
			v.report.find(BadRule, v.names[i], "it has no name")
		} else if first, ok := places[r.Name]; ok {
			v.report.find(BadRule, v.names[i], "rules %d and %d have this name: a name is for one rule", first+1, i+1)
		} else {
			places[r.Name] = i
		}
		if r.Action != policy.Allow {
			v.report.find(BadRule, v.names[i], "the action is %q: the rules of a proposal allow", r.Action)
			continue // it permits nothing
		}
		if r.Direction != policy.Bidirectional {
			v.report.find(BadRule, v.names[i], "the direction is %q, not %s", r.Direction, policy.Bidirectional)
		}
		for _, set := range [][]policy.Endpoint{r.Sources, r.Destinations} {
			for _, e := range set {
				if err := v.addresses.Check(e); err != nil {
					v.report.find(BadRule, v.names[i], "%s: %v", e, err)
					v.unknown[i] = true
				}
			}
		}
		list[i] = statement{ends: [2][]policy.Endpoint{r.Sources, r.Destinations}, services: r.Services}
	}
	v.rules = newIndex(v.judge.existing.meanings, list)
}

// window compares the ends of the window that nobody asked for with the sessions, those beyond the scope among them.
func (v *verifier) window() {
	if len(v.all) == 0 {
		return
	}
	first, last := v.all[0].First, v.all[0].Last
	for i := range v.all {
		if s := &v.all[i]; s.First.Before(first) {
			first = s.First
		}
		if s := &v.all[i]; s.Last.After(last) {
			last = s.Last
		}
	}
	var asked policy.Settings
	if v.p.Settings != nil {
		asked = *v.p.Settings
	}
	for _, end := range []struct {
		name  string
		said  policy.Time
		asked policy.Time
		are   time.Time
		what  string
	}{{"from", v.p.Window.From, asked.Since, first, "first"}, {"to", v.p.Window.To, asked.Until, last, "last"}} {
		switch {
		case !end.asked.IsZero() && !end.said.Equal(end.asked.Time):
			v.report.find(WrongCount, "", "window.%s is %s, the settings ask for %s", end.name, moment(end.said.Time), moment(end.asked.Time))
		case end.asked.IsZero() && !end.said.Equal(end.are):
			v.report.find(WrongCount, "", "window.%s is %s, the %s moment of the sessions is %s", end.name, moment(end.said.Time), end.what, moment(end.are))
		}
	}
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// summary compares the numbers about the whole.
func (v *verifier) summary() {
	s := &v.p.Summary
	lines := 0
	for i := range v.p.Rules {
		lines += v.p.Rules[i].EOSLines(v.p.Rules[i].Families(v.addresses))
	}
	pairs := map[[2]int32]bool{}
	for c, needed := range v.judge.cells {
		if needed {
			pairs[[2]int32{c.src, c.dst}] = true
		}
	}
	for _, text := range differing([]number{
		{"summary.sessions", s.Sessions, v.report.Sessions}, {"summary.included", s.Included, v.report.Included},
		{"summary.cells", uint64(s.Cells), uint64(v.report.Cells)}, {"summary.rules", uint64(s.Rules), uint64(len(v.p.Rules))},
		{"summary.perHostRules", s.PerHostRules, v.report.Included}, {"summary.perPairRules", uint64(s.PerPairRules), uint64(len(pairs))},
		{"summary.eosLines", uint64(s.EOSLines), uint64(lines)},
		{"summary.extraAddresses", s.ExtraAddresses, v.ends.extraOf(func(policy.Endpoint) bool { return true })},
		{"summary.generalisedCells", uint64(s.GeneralisedCells), v.report.Unseen},
	}) {
		v.report.find(WrongCount, "", "%s", text)
	}
}
