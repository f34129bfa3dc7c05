package categories

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// timedFiles say the same in each form.
var timedFiles = map[string]string{
	"g.yaml": `
categories:
  - name: app
    groups:
      - {name: web, prefixes: [10.0.0.1, {prefix: 10.244.1.7, from: 2026-11-20}]}
      - {name: job, prefixes: [{prefix: 10.244.1.7/32, until: 2026-11-20T01:00:00+01:00}]}
exclude:
  - {reason: jobs are nobody's, sources: ["group:job"]}
`,
	"whole.yaml": `
categories:
  - name: app
    groups:
      - name: web
        prefixes: [10.0.0.1, {prefix: 10.244.1.7, from: "2026-11-20 00:00:00"}]
      - {name: job, until: 2026-11-20T00:00:00Z, prefixes: [10.244.1.7]}
exclude:
  - {reason: jobs are nobody's, sources: ["group:job"]}
`,
	"g.csv": "category,From,group,prefix,until\napp,,web,10.0.0.1,\napp,2026-11-20,web,10.244.1.7,\napp,,job,10.244.1.7,2026-11-20T00:00Z\n",
}

func moment(t *testing.T, s string) (at time.Time) {
	t.Helper()
	if s != "" {
		var err error
		if at, err = parseMoment(s); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

func membersText(f *File) string {
	var out []string
	for _, g := range f.Categories[0].Groups {
		var prefixes []string
		for i, p := range g.Prefixes {
			text := p.String()
			if t := g.TimesOf(i); !t.Always() {
				text += " " + t.String()
			}
			prefixes = append(prefixes, text)
		}
		out = append(out, g.Name+": "+strings.Join(prefixes, ", "))
	}
	return strings.Join(out, "; ")
}

func TestTimes(t *testing.T) {
	for name, text := range timedFiles {
		f, err := Parse(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := membersText(f), "web: 10.0.0.1/32, 10.244.1.7/32 from 2026-11-20T00:00:00Z; job: 10.244.1.7/32 until 2026-11-20T00:00:00Z"; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if _, err := NewResolver(f, nil); err == nil {
			t.Errorf("%s: groups are looked up without a time", name)
		}
		for at, want := range map[string]string{
			"2026-11-19T23:59:59.999999Z": "web: 10.0.0.1/32; job: 10.244.1.7/32",
			"2026-11-20T00:00:00Z":        "web: 10.0.0.1/32, 10.244.1.7/32; job: ",
		} {
			then := f.At(moment(t, at))
			if got := membersText(then); got != want || then.Timed() {
				t.Errorf("%s at %s: %s, want %s", name, at, got, want)
			}
			if _, err := NewResolver(then, nil); err != nil {
				t.Error(err)
			}
			if then.Digest() != f.Digest() {
				t.Errorf("%s: the digest at %s is another", name, at)
			}
			if len(f.Exclude) > 0 {
				if excluded := then.Exclude[0].Matches(netip.MustParseAddr("10.244.1.7"), netip.MustParseAddr("10.0.0.9"), Service{}); excluded != strings.HasSuffix(want, "7/32") {
					t.Errorf("%s at %s: what an exclusion names is excluded: %t", name, at, excluded)
				}
			}
		}
		for window, want := range map[[2]string]string{
			{"", ""}:                     "web: 10.0.0.1/32, 10.244.1.7/32 from 2026-11-20T00:00:00Z; job: 10.244.1.7/32 until 2026-11-20T00:00:00Z [10.244.1.7/32]",
			{"2026-11-20", ""}:           "web: 10.0.0.1/32, 10.244.1.7/32 from 2026-11-20T00:00:00Z; job:  []",
			{"", "2026-11-20"}:           "web: 10.0.0.1/32; job: 10.244.1.7/32 until 2026-11-20T00:00:00Z []",
			{"2026-11-19", "2026-11-21"}: "web: 10.0.0.1/32, 10.244.1.7/32 from 2026-11-20T00:00:00Z; job: 10.244.1.7/32 until 2026-11-20T00:00:00Z [10.244.1.7/32]",
		} {
			since, until := moment(t, window[0]), moment(t, window[1])
			if got := membersText(f.During(since, until)) + " " + fmt.Sprint(f.Changing(since, until)); got != want {
				t.Errorf("%s in %v: %s, want %s", name, window, got, want)
			}
		}
	}
}

func TestFileWithoutTimes(t *testing.T) {
	f, err := Parse("g.csv", []byte("category,group,prefix,from,until\na,b,10.0.0.1,,\n"))
	if err != nil || f.Timed() || f.At(time.Now()) != f || f.During(time.Now(), time.Time{}) != f || (*File)(nil).Timed() {
		t.Errorf("a file without times is taken for one with times: %v %+v", err, f)
	}
}

func TestTimesErrors(t *testing.T) {
	for group, want := range map[string]string{
		"name: b, prefixes: [{prefix: 10.0.0.1, from: soon}]":                                   `g.yaml:1:79: from of a prefix of group "b": "soon" is not a time`,
		"name: b, prefixes: [{prefix: 10.0.0.1, from: 2026-11-20, until: 2026-11-20}]":          "is not after",
		"name: b, prefixes: [{prefix: 10.0.0.1, since: 2026-11-20}]":                            "unknown key",
		"name: b, prefixes: [{from: 2026-11-20}]":                                               "address is empty",
		"name: b, prefixes: [{prefix: [10.0.0.1]}]":                                             "expected text",
		"name: b, prefixes: [{prefix: 10.0.0.1, until: [2026-11-20]}]":                          "expected text",
		"name: b, from: 1969-12-31, prefixes: [10.0.0.1]":                                       "between the years",
		"name: b, from: 2026-11-21, until: 2026-11-20, prefixes: [10.0.0.1]":                    "is not after",
		"name: b, from: 2026-11-21, prefixes: [{prefix: 10.0.0.1, until: 2026-11-20}]":          "no moment in common",
		"name: b, prefixes: [{prefix: 10.0.0.1, from: 2026-11-20T00:00:00Z, from: 2026-11-20}]": "a second time",
	} {
		_, err := Parse("g.yaml", []byte("categories: [{name: a, groups: [{"+group+"}]}]"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", group, err, want)
		}
	}
	for row, want := range map[string]string{"a,b,10.0.0.1,soon,": "g.csv:2:14: from of a prefix", "a,b,10.0.0.1,2026-11-20,2026-11-19": "is not after"} {
		_, err := Parse("g.csv", []byte("category,group,prefix,from,until\n"+row+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", row, err, want)
		}
	}
}

func TestLintTimes(t *testing.T) {
	f, err := Parse("g.yaml", []byte(`categories:
  - name: app
    groups:
      - name: web
        prefixes:
          - {prefix: 10.0.0.7, from: 2026-11-20}
          - {prefix: 10.0.0.8, from: 2026-11-20}
          - {prefix: 10.0.0.9, from: 2026-11-20}
      - name: job
        prefixes:
          - {prefix: 10.0.0.7, until: 2026-11-19}
          - {prefix: 10.0.0.8, until: 2026-11-21}
          - {prefix: 10.0.0.9, until: 2026-11-20}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range lintAt(f, moment(t, "2026-11-25"), nil) {
		got = append(got, x.String())
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"g.yaml:6: warning: app/web: 10.0.0.7/32 belongs to nobody from 2026-11-19T00:00:00Z, where group \"job\" ends (line 11), until 2026-11-20T00:00:00Z",
		"g.yaml:7: warning: app/web: 10.0.0.8/32 belongs to group \"job\" as well, until 2026-11-21T00:00:00Z (line 12)",
		"g.yaml:9: info: app/job: has no prefix now",
		"g.yaml: info: 6 prefixes belong to their groups for a time; 3 of them do now",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "10.0.0.9/32 belongs") {
		t.Errorf("owners that follow each other are a finding:\n%s", text)
	}
}

// TestTimeline compares each moment of a timeline with the file of that moment.
func TestTimeline(t *testing.T) {
	base := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		day := func(name string) time.Time {
			if n := rapid.IntRange(0, 4).Draw(t, name); n > 0 {
				return base.AddDate(0, 0, n)
			}
			return time.Time{}
		}
		f := &File{Path: "groups"}
		for _, c := range []string{"role", "site"} {
			category := Category{Name: c}
			for _, g := range []string{"b", "a"} {
				group := Group{Name: g}
				for range rapid.IntRange(0, 4).Draw(t, "prefixes") {
					p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 7).Draw(t, "address"))}), rapid.IntRange(29, 32).Draw(t, "bits")).Masked()
					times := Times{day("from"), day("until")}
					if times.Until.IsZero() || times.From.Before(times.Until) {
						group.AddPrefix(p, times)
					}
				}
				category.Groups = append(category.Groups, group)
			}
			f.Categories = append(f.Categories, category)
		}
		selected := rapid.SampledFrom([][]string{nil, {"site"}, {"site", "role"}}).Draw(t, "selected")
		line, err := NewTimeline(f, selected)
		if err != nil {
			t.Fatal(err)
		}
		for last := range 8 {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(last)})
			tenures := line.Tenures(addr)
			for hour := -12; hour < 24*6; hour += 12 {
				at := base.Add(time.Duration(hour) * time.Hour)
				r, err := NewResolver(f.At(at), selected)
				if err != nil {
					t.Fatal(err)
				}
				want := r.LookupIndex(addr)
				if got := line.LookupIndex(addr, at); got != want || fmt.Sprint(r.Groups()) != fmt.Sprint(line.Groups()) {
					t.Fatalf("%s at %s is in %d, want %d", addr, at, got, want)
				}
				held := 0
				for i, x := range tenures {
					if x.Holds(at) {
						held++
						if x.Group != want {
							t.Fatalf("%s at %s: its tenures %v say %d, want %d", addr, at, tenures, x.Group, want)
						}
					}
					if i > 0 && (x.Group == tenures[i-1].Group || !x.From.Equal(tenures[i-1].Until)) {
						t.Fatalf("%s: tenures %v", addr, tenures)
					}
				}
				if held != 1 {
					t.Fatalf("%s at %s is in %d of its tenures %v", addr, at, held, tenures)
				}
			}
		}
	})
}

// TestAtIn: what denies means every address that belonged to the group since the window began, or will; what allows means those of the moment.
func TestAtIn(t *testing.T) {
	f, err := Parse("g.yaml", []byte(`categories:
  - name: app
    groups:
      - name: pci
        prefixes:
          - {prefix: 10.0.0.1, until: 2026-11-01}
          - {prefix: 10.0.0.2, until: 2026-11-10}
          - 10.0.0.3
          - {prefix: 10.0.0.4, from: 2026-11-20}
      - {name: web, prefixes: [10.0.1.1]}
exclude: [{reason: cards, sources: ["group:pci"]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	at := f.AtIn(time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC))
	pci, web := &at.Categories[0].Groups[0], &at.Categories[0].Groups[1]
	const now, ever = "[10.0.0.3/32]", "[10.0.0.2/32 10.0.0.3/32 10.0.0.4/32]"
	if got := fmt.Sprint(pci.Prefixes); got != now || at.Timed() {
		t.Errorf("members %s, want %s", got, now)
	}
	if got := fmt.Sprint(pci.Ever()); got != ever {
		t.Errorf("a denial means %s, want %s", got, ever)
	}
	if got := fmt.Sprint(at.Exclude[0].Sources[0].Prefixes); got != ever {
		t.Errorf("an exclusion means %s, want %s", got, ever)
	}
	if _, got, err := at.Declared("pci"); err != nil || fmt.Sprint(got) != ever {
		t.Errorf("a scope means %s, want %s", got, ever)
	}
	if fmt.Sprint(web.Ever()) != "[10.0.1.1/32]" || fmt.Sprint(f.At(time.Now()).Categories[0].Groups[0].Ever()) == ever {
		t.Error("groups without times, or of a moment alone, mean more than their members")
	}
}
