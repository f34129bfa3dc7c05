package categories

import (
	"fmt"
	"strings"
)

// GroupPrefix comes before a group's label wherever a group may stand beside a
// prefix: "group:web".
const GroupPrefix = "group:"

// Labels gives every group of a file, and the built-in ones, one unique label:
// its bare name ("web") where no other category has a group of that name, else
// category and name ("role/web"). Which form a group gets depends on the whole
// file and not on the selected categories, so a label means the same in every
// proposal made with that file. It is read-only and safe for concurrent use.
type Labels struct {
	byName map[string][]Ref // bare name to the groups that have it
	exists map[Ref]bool
}

// NewLabels indexes the groups of a file. A nil file has the built-in ones.
func NewLabels(f *File) *Labels {
	l := &Labels{byName: map[string][]Ref{}, exists: map[Ref]bool{}}
	add := func(r Ref) {
		if !l.exists[r] {
			l.exists[r] = true
			l.byName[r.Group] = append(l.byName[r.Group], r)
		}
	}
	add(Internet)
	if f != nil {
		for i := range f.Categories {
			for j := range f.Categories[i].Groups {
				add(Ref{f.Categories[i].Name, f.Categories[i].Groups[j].Name})
			}
		}
	}
	return l
}

// Label returns the label of a group of the file. A bare name that reads like
// another group's category and name is written in full as well.
func (l *Labels) Label(r Ref) string {
	if len(l.byName[r.Group]) == 1 {
		if category, group, ok := strings.Cut(r.Group, "/"); !ok || !l.exists[Ref{category, group}] {
			return r.Group
		}
	}
	return r.Category + "/" + r.Group
}

// Find returns the group that a label names: "NAME" where that is unique, or
// "CATEGORY/NAME", which always works. The error says what to write instead.
func (l *Labels) Find(label string) (Ref, error) {
	if category, group, ok := strings.Cut(label, "/"); ok {
		if r := (Ref{category, group}); l.exists[r] {
			return r, nil
		}
	}
	switch refs := l.byName[label]; len(refs) {
	case 1:
		return refs[0], nil
	case 0:
		names := make([]string, 0, len(l.byName))
		for name := range l.byName {
			names = append(names, name)
		}
		return Ref{}, fmt.Errorf("no group is called %s%s", quote(label), suggestSorted(label, names))
	default:
		return Ref{}, fmt.Errorf("group %s is in several categories: write %s%s or %s%s", quote(label),
			GroupPrefix, l.Label(refs[0]), GroupPrefix, l.Label(refs[1]))
	}
}
