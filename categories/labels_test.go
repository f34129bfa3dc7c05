package categories

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLabels(t *testing.T) {
	f := &File{Categories: []Category{
		{Name: "role", Groups: []Group{group("web"), group("db"), group("site/x"), group("internet")}},
		{Name: "app", Groups: []Group{group("web"), group("shop"), group("a/b")}},
		{Name: "site", Groups: []Group{group("x"), group("a/b")}},
	}}
	l := NewLabels(f)
	for ref, want := range map[Ref]string{
		{"role", "web"}:      "role/web",
		{"app", "web"}:       "app/web",
		{"role", "db"}:       "db",
		{"app", "shop"}:      "shop",
		{"site", "x"}:        "x",
		{"role", "site/x"}:   "role/site/x", // "site/x" is what group x of category site may be called
		{"app", "a/b"}:       "app/a/b",
		{"site", "a/b"}:      "site/a/b",
		{"role", "internet"}: "role/internet",
		Internet:             "builtin/internet",
	} {
		if got := l.Label(ref); got != want {
			t.Errorf("%v has the label %q, want %q", ref, got, want)
		}
		for _, label := range []string{want, ref.Category + "/" + ref.Group} {
			if got, err := l.Find(label); err != nil || got != ref {
				t.Errorf("%q finds %v, %v; want %v", label, got, err, ref)
			}
		}
	}
	for label, want := range map[string]string{
		"web":      `group "web" is in several categories: write group:role/web or group:app/web`,
		"internet": `group "internet" is in several categories: write group:builtin/internet or group:role/internet`,
		"dbs":      `no group is called "dbs"; did you mean "db"?`,
		"site/db":  `no group is called "site/db"`,
		"":         `no group is called ""`,
	} {
		if got, err := l.Find(label); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q finds %v, %v; want %s", label, got, err, want)
		}
	}
	if got := NewLabels(nil).Label(Internet); got != "internet" {
		t.Errorf("without a file the built-in group is %q", got)
	}
}

// TestLabelsProperty: a label belongs to one group and finds it again.
func TestLabelsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := new(File)
		names := rapid.StringMatching(`[ab]{1,2}(/[ab]{1,2}){0,2}`)
		for _, c := range rapid.SliceOfNDistinct(rapid.StringMatching(`[ab]{1,2}`), 1, 4, rapid.ID).Draw(t, "categories") {
			category := Category{Name: c}
			for _, g := range rapid.SliceOfNDistinct(names, 0, 6, rapid.ID).Draw(t, "groups") {
				category.Groups = append(category.Groups, Group{Name: g})
			}
			f.Categories = append(f.Categories, category)
		}
		l := NewLabels(f)
		owner := map[string]Ref{}
		for ref := range l.exists {
			label := l.Label(ref)
			if other, ok := owner[label]; ok {
				t.Fatalf("%v and %v both have the label %q", ref, other, label)
			}
			owner[label] = ref
			if got, err := l.Find(label); err != nil || got != ref {
				t.Fatalf("label %q of %v finds %v, %v", label, ref, got, err)
			}
		}
	})
}
