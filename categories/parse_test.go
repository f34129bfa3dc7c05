package categories

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// compareFiles ignores where things stand.
var compareFiles = cmp.Options{
	cmp.Comparer(func(a, b interface{ String() string }) bool { return a.String() == b.String() }),
	cmpopts.IgnoreUnexported(File{}, Group{}),
	cmpopts.IgnoreFields(File{}, "Path"),
	cmpopts.IgnoreFields(Category{}, "Line"),
	cmpopts.IgnoreFields(Group{}, "Line"),
	cmpopts.IgnoreFields(NamedService{}, "Line"),
	cmpopts.IgnoreFields(Exclusion{}, "Line"),
	cmpopts.EquateEmpty(),
}

func TestParse(t *testing.T) {
	want := &File{Categories: []Category{
		{Name: "role", Groups: []Group{
			group("web", "10.100.99.51/32", "10.100.99.52/32"),
			group("app, inner", "10.100.99.50", "2001:db8::/32"),
		}},
		{Name: "site", Groups: []Group{group("10", "10.0.0.0/8")}},
	}}
	for name, text := range map[string]string{
		"groups.yaml": `
# comment
categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.100.99.51/32, 10.100.99.52]}
      - name: "app, inner"
        prefixes:
          - ::ffff:10.100.99.50
          - 2001:db8::/32
  - groups: &sites [{prefixes: [10.1.2.3/8], name: 10}]
    name: site
services:
exclude: []
`,
		"groups.csv": `category,group,prefix
role,web,10.100.99.51/32
# comment
role,"app, inner",10.100.99.50
site,10,10.0.0.0/8
role,web, 10.100.99.52
role,"app, inner",2001:db8::5/32
`,
		"no extension, columns turned": "\ufeff\n# comment\n\"Prefix\", GROUP ,note,category\n" +
			"10.100.99.51,web,x,role\n10.100.99.52,web,x,role\n10.100.99.50,\"app, inner\",,role\n2001:db8::/32,\"app, inner\",,role\n10.0.0.0/8,10,,site,more\n",
		"no extension, JSON": `{"categories": [{"name": "role", "groups": [
			{"name": "web", "prefixes": ["10.100.99.51", "10.100.99.52"]},
			{"name": "app, inner", "prefixes": ["10.100.99.50", "2001:db8::/32"]}]},
			{"name": "site", "groups": [{"name": "10", "prefixes": ["10.0.0.0/8"]}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(name, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, f, compareFiles); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseServicesAndExclusions(t *testing.T) {
	f, err := Parse("x.yaml", []byte(`
exclude:
  - {reason: backup network, sources: [10.9.0.1/16, group:web], services: [DNS, tcp/53, gre]}
services:
  - {name: DNS, match: [udp/53, tcp/53]}
categories:
  - {name: role, groups: [{name: web, prefixes: [10.0.0.1]}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	web := group("web", "10.0.0.1")
	backup := group("", "10.9.0.0/16")
	want := &File{
		Categories: []Category{{Name: "role", Groups: []Group{web}}},
		Services:   []NamedService{{Name: "DNS", Match: []ServiceTerm{{17, 53, 53}, {6, 53, 53}}}},
		Exclude: []Exclusion{{
			Reason: "backup network",
			Sources: []Selector{
				{Text: "10.9.0.1/16", Prefixes: backup.Prefixes},
				{Text: "group:web", Group: Ref{"role", "web"}, Prefixes: web.Prefixes},
			},
			Services: []ServiceTerm{{6, 53, 53}, {17, 53, 53}, {47, 0, 0}},
		}},
	}
	if diff := cmp.Diff(want, f, compareFiles); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestParseErrors: the message names file, line and field, says what to do, and
// what is around the mistake is kept.
func TestParseErrors(t *testing.T) {
	for name, tc := range map[string]struct{ file, text, want string }{
		"unknown key": {"g.yaml", "categoris: []\n",
			`g.yaml:1:1: unknown key "categoris": the keys here are categories, exclude, services, sources; did you mean "categories"?`},
		"unknown key in a group": {"g.yaml", "categories:\n- name: a\n  groups:\n  - {name: x, prefix: [10.0.0.1]}\n",
			`g.yaml:4:15: group: unknown key "prefix": the keys here are from, id, name, prefixes, selector, until, vrf; did you mean "prefixes"?`},
		"key twice": {"g.yaml", "categories: []\ncategories: []\n",
			`g.yaml:2:1: key "categories" is here a second time: put both values under one`},
		"bad address": {"g.yaml", "categories:\n- name: a\n  groups:\n  - name: x\n    prefixes: [10.0.0.1, 10.0.0.300]\n",
			`g.yaml:5:26: prefix of group "x": "10.0.0.300" is not an address or prefix: write one such as 10.0.0.1, 10.0.0.0/24 or 2001:db8::/32`},
		"bad length": {"g.yaml", "categories:\n- {name: a, groups: [{name: x, prefixes: [10.0.0.1/33, '::/129', 10.0.0.0/024, 10.0.0.0/+8, 10.0.0.0/]}]}\n",
			`g.yaml:2:43: prefix of group "x": "10.0.0.1/33": the prefix length must be a number from 0 to 32
g.yaml:2:56: prefix of group "x": "::/129": the prefix length must be a number from 0 to 128
g.yaml:2:66: prefix of group "x": "10.0.0.0/024": the prefix length must be a number from 0 to 32
g.yaml:2:80: prefix of group "x": "10.0.0.0/+8": the prefix length must be a number from 0 to 32
g.yaml:2:93: prefix of group "x": "10.0.0.0/": the prefix length must be a number from 0 to 32`},
		"zone": {"g.yaml", "categories:\n- {name: a, groups: [{name: x, prefixes: ['fe80::1%eth0']}]}\n",
			`g.yaml:2:43: prefix of group "x": "fe80::1%eth0" has a zone: leave out "%eth0"`},
		"mapped": {"g.yaml", "categories:\n- {name: a, groups: [{name: x, prefixes: ['::ffff:10.0.0.0/24']}]}\n",
			`g.yaml:2:43: prefix of group "x": "::ffff:10.0.0.0/24": an IPv4-mapped prefix has a length of at least 96, write it as IPv4, such as 10.0.0.0/24`},
		"group twice": {"g.yaml", "categories:\n- name: a\n  groups:\n  - {name: x, prefixes: [10.0.0.1]}\n  - {name: x, prefixes: [10.0.0.2]}\n",
			`g.yaml:5:12: name of a group: "x" is already in line 4: put the prefixes of both in one group`},
		"category twice": {"g.yaml", "categories:\n- name: a\n- name: a\n",
			`g.yaml:3:9: name of a category: "a" is already in line 2: put the groups of both in one category`},
		"names": {"g.yaml", "categories:\n- name: ''\n- groups: []\n- name: a/b\n- name: builtin\n- name: a,b\n- name: \"a\\tb\"\n- name: [x]\n- name: ~\n- name: \"a\\u202Eb\"\n",
			`g.yaml:2:9: name of a category: the name is empty: give it one
g.yaml:3:3: name of a category: the name is empty: give it one
g.yaml:4:9: name of a category: "a/b" has a slash, which separates category and group in group:CATEGORY/NAME: use another character
g.yaml:5:9: name of a category: "builtin" is the category of built-in groups: use another name
g.yaml:6:9: name of a category: "a,b" has a comma, which separates categories in --category: use another character
g.yaml:7:9: name of a category: "a\tb" has a control character: remove it
g.yaml:8:9: name of a category: expected text, found a list
g.yaml:9:9: name of a category: the name is empty: give it one
g.yaml:10:9: name of a category: "a\u202eb" has a control character: remove it`},
		"long name": {"g.yaml", "categories:\n- name: " + strings.Repeat("é", 200) + "\n",
			`g.yaml:2:9: name of a category: "` + strings.Repeat("é", 30) + `..." is 400 bytes long: use at most 255`},
		"wrong kinds": {"g.yaml", "categories: {a: b}\nservices: [x]\nexclude: 5\n",
			`g.yaml:1:13: categories: expected a list, found a map
g.yaml:2:12: service: expected a map with the keys match, name, found "x"
g.yaml:3:10: exclude: expected a list, found "5"`},
		"not a map": {"g.yaml", "- a\n", `g.yaml:1:1: expected a map with the keys categories, exclude, services, sources, found a list`},
		"services": {"g.yaml", "services:\n- {name: A, match: [tcp/70000]}\n- {name: B}\n- {name: gre, match: [gre]}\n- {name: C, match: [tcp/1]}\n- {name: C, match: [tcp/2]}\n- {match: [tcp/3]}\n- {name: D, match: ['']}\n",
			`g.yaml:2:21: match of service "A": service "tcp/70000": the port must be a number from 0 to 65535 or a range such as tcp/1-9; tcp alone means every port
g.yaml:3:10: service "B": match is empty: list terms such as tcp/443 or udp/5000-5100
g.yaml:4:10: name of a service: "gre" is itself a protocol or port: use another name
g.yaml:6:10: name of a service: "C" is already in line 5: put the terms of both in one service
g.yaml:7:3: name of a service: the name is empty: give it one
g.yaml:8:21: match: the item is empty: remove it
g.yaml:8:10: service "D": match is empty: list terms such as tcp/443 or udp/5000-5100`},
		"exclude": {"g.yaml", "services: [{name: DNS, match: [udp/53]}]\nexclude:\n- {sources: [10.0.0.0/8]}\n- {reason: a}\n- {reason: b, sources: [group:x, web]}\n- {reason: c, services: [DSN]}\n",
			`g.yaml:3:3: exclude: the reason is empty: say why these sessions are never proposed
g.yaml:4:12: exclude: this would exclude every session: give sources, destinations or services
g.yaml:5:25: sources: no group is called "x"
g.yaml:5:34: sources: "web" is not an address or prefix: write one such as 10.0.0.1, 10.0.0.0/24 or 2001:db8::/32; a group is written group:NAME
g.yaml:6:26: services: "DSN" is neither a service of this file nor a term such as tcp/443; did you mean "DNS"?`},
		"syntax": {"g.yaml", "categories:\n- name: a\n   groups: []\n",
			`g.yaml:3: not valid YAML: mapping values are not allowed in this context; mind the indentation, and quote text with a colon in it`},
		"two documents": {"g.yaml", "categories: []\n---\ncategories: []\n",
			`g.yaml:2:1: a second YAML document begins here: keep everything in one, without ---`},
		"no header": {"g.csv", "role,web,10.0.0.1\n",
			`g.csv:1: header: column "category" is missing: the header is category,group,prefix
g.csv:1: header: column "group" is missing: the header is category,group,prefix
g.csv:1: header: column "prefix" is missing: the header is category,group,prefix`},
		"misspelt header": {"g.csv", "category,group,prefixes\n",
			`g.csv:1: header: column "prefix" is missing: the header is category,group,prefix; rename "prefixes"`},
		"empty CSV": {"g.csv", "", `g.csv:1: header: the file is empty: begin with the header category,group,prefix`},
		"CSV rows": {"g.csv", "category,group,prefix\nrole,web,10.0.0.1\nrole,web\n,web,10.0.0.1\nrole,,10.0.0.1\nrole,web,\nrole,web,x\n",
			`g.csv:3: the row has 2 columns instead of 3: write category,group,prefix
g.csv:4:1: category: the name is empty: give it one
g.csv:5:6: group: the name is empty: give it one
g.csv:6:10: prefix of group "web": the address is empty: write one such as 10.0.0.1 or 10.0.0.0/24
g.csv:7:10: prefix of group "web": "x" is not an address or prefix: write one such as 10.0.0.1, 10.0.0.0/24 or 2001:db8::/32`},
		"CSV quotes": {"g.csv", "category,group,prefix\nrole,w\"eb,10.0.0.1\n",
			`g.csv:2:7: bare " in non-quoted-field: put a field with a comma or a quote in double quotes, and double the quotes inside`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.file, []byte(tc.text))
			var parse *ParseError
			if !errors.As(err, &parse) {
				t.Fatalf("got %v, want a *ParseError", err)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseKeepsTheRest(t *testing.T) {
	f, err := Parse("g.csv", []byte("category,group,prefix\na,x,10.0.0.1\na,x,bad\nb,y,10.0.0.2\n"))
	if err == nil || len(f.Categories) != 2 || len(f.Categories[0].Groups[0].Prefixes) != 1 {
		t.Errorf("got %+v, %v", f, err)
	}
	// A service that lost a term is gone, and so is the exclusion with it, without
	// a second message.
	f, err = Parse("g.yaml", []byte("services: [{name: A, match: [tcp/1, tcp/x]}]\nexclude:\n- {reason: a, services: [A, gre]}\n"))
	if err == nil || strings.Contains(err.Error(), "\n") || len(f.Services)+len(f.Exclude) != 0 {
		t.Errorf("got %+v, %v", f, err)
	}
	// An exclusion that lost a selector would exclude more than was asked for.
	f, err = Parse("g.yaml", []byte("exclude:\n- {reason: a, sources: [10.0.0.1], destinations: [bad]}\n- {reason: b, sources: [10.0.0.1]}\n"))
	if err == nil || len(f.Exclude) != 1 || f.Exclude[0].Reason != "b" {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestParseErrorIsShort(t *testing.T) {
	text := "category,group,prefix\n" + strings.Repeat("a,b,"+strings.Repeat("x", 1000)+"\n", 1000)
	_, err := Parse("g.csv", []byte(text))
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxErrors+1 || lines[maxErrors] != "g.csv: 980 more errors" || len(lines[0]) > 300 {
		t.Errorf("got %d lines, last %q", len(lines), lines[len(lines)-1])
	}
}

func TestParseEmpty(t *testing.T) {
	for _, text := range []string{"", "\n# nothing\n", "---\n", "categories:\n", "{}"} {
		f, err := Parse("g.yaml", []byte(text))
		if err != nil || len(f.Categories) != 0 {
			t.Errorf("%q: got %+v, %v", text, f, err)
		}
	}
}

// TestParseHostile: files made to cost much are refused, or read, in bounded
// time and memory.
func TestParseHostile(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("x: &a [10.0.0.1]\n") // an unknown key may still carry an anchor
	bomb.WriteString("categories:\n- name: c0\n  groups: &g\n")
	for i := range 1000 {
		fmt.Fprintf(&bomb, "  - {name: g%d, prefixes: &p [%s]}\n", i, strings.Repeat("10.0.0.1,", 50))
	}
	for i := range 2000 {
		fmt.Fprintf(&bomb, "- {name: c%d, groups: *g}\n", i+1)
	}
	laughs := "a: &a [x]\n"
	for c := 'b'; c < 'z'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ","))
	}
	for name, tc := range map[string]struct{ file, text, want string }{
		"alias bomb":         {"g.yaml", bomb.String(), "with its aliases expanded"},
		"billion laughs":     {"g.yaml", laughs + "categories: *y\n", "unknown key"},
		"alias to itself":    {"g.yaml", "categories: &a [*a, *a]\n", "expected a map"},
		"deep nesting":       {"g.yaml", strings.Repeat("[", 1_000_000), "exceeded max depth"},
		"deep block nesting": {"g.yaml", strings.Repeat("- ", 100_000), "exceeded max depth"},
		"many values":        {"g.yaml", "categories: [" + strings.Repeat("a,", 8_000_000) + "a]", "use CSV"},
		"almost as many":     {"g.yaml", "categories: [" + strings.Repeat("a,", 2*maxYAMLValues-10) + "a]", "expected a map"},
		"many keys":          {"g.yaml", "{" + strings.Repeat("a: b, ", 300_000) + "}", "unknown key"},
		"too large":          {"g.csv", "category,group,prefix\n" + strings.Repeat(" ", MaxFileBytes), "larger than 64 MiB"},
		"one long field":     {"g.csv", "category,group,prefix\na,b,\"" + strings.Repeat("x\n", 1_000_000), "double quotes"},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(tc.text)
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := Parse(tc.file, data)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %.300v, want an error with %q", err, tc.want)
			}
			took, allocated := time.Since(start), (after.TotalAlloc-before.TotalAlloc)>>20
			t.Logf("%v, %d MiB allocated", took.Round(time.Millisecond), allocated)
			if allocated > 1024 {
				t.Errorf("allocates %d MiB for a file of %d KiB", allocated, len(data)>>10)
			}
		})
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "groups.csv")
	if _, err := ReadFile(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: got %v", err)
	}
	if err := os.WriteFile(path, []byte("category,group,prefix\na,b,10.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := ReadFile(path); err != nil || f.Path != path || len(f.Categories) != 1 {
		t.Errorf("got %+v, %v", f, err)
	}
}

// writeCSV and writeYAML are the reader's other half, for tests.
func writeCSV(f *File) []byte {
	var b bytes.Buffer
	b.WriteString("category,group,prefix\n")
	for _, c := range f.Categories {
		for _, g := range c.Groups {
			for _, p := range g.Prefixes {
				fmt.Fprintf(&b, "%s,%s,%s\n", csvQuote(c.Name), csvQuote(g.Name), p)
			}
		}
	}
	return b.Bytes()
}

func csvQuote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func writeYAML(f *File) []byte {
	var b bytes.Buffer
	b.WriteString("categories:\n")
	for _, c := range f.Categories {
		fmt.Fprintf(&b, "- name: %q\n  groups:\n", c.Name)
		for _, g := range c.Groups {
			fmt.Fprintf(&b, "  - name: %q\n    prefixes:\n", g.Name)
			for _, p := range g.Prefixes {
				fmt.Fprintf(&b, "    - %q\n", p)
			}
		}
	}
	b.WriteString("services:\n")
	for _, s := range f.Services {
		fmt.Fprintf(&b, "- name: %q\n  match:\n", s.Name)
		for _, m := range s.Match {
			fmt.Fprintf(&b, "  - %q\n", m)
		}
	}
	b.WriteString("exclude:\n")
	for _, x := range f.Exclude {
		fmt.Fprintf(&b, "- reason: %q\n", x.Reason)
		for key, selectors := range map[string][]Selector{"sources": x.Sources, "destinations": x.Destinations} {
			if len(selectors) > 0 {
				fmt.Fprintf(&b, "  %s:\n", key)
				for _, s := range selectors {
					fmt.Fprintf(&b, "  - %q\n", s.Text)
				}
			}
		}
		if len(x.Services) > 0 {
			b.WriteString("  services:\n")
			for _, s := range x.Services {
				fmt.Fprintf(&b, "  - %q\n", s)
			}
		}
	}
	return b.Bytes()
}

// TestFormatsAgreeProperty: the same groups in both formats are the same file.
func TestFormatsAgreeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFile(t)
		// CSV cannot say that a category or group is empty.
		full := &File{}
		for _, c := range f.Categories {
			kept := Category{Name: c.Name}
			for _, g := range c.Groups {
				if len(g.Prefixes) > 0 {
					kept.Groups = append(kept.Groups, g)
				}
			}
			if len(kept.Groups) > 0 {
				full.Categories = append(full.Categories, kept)
			}
		}
		for _, data := range [][]byte{writeCSV(full), writeYAML(full)} {
			got, err := Parse("x", data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if diff := cmp.Diff(full, got, compareFiles); diff != "" {
				t.Fatalf("-want +got:\n%s\n%s", diff, data)
			}
		}
	})
}

func addSeeds(f *testing.F) {
	f.Add([]byte(excludeYAML))
	f.Add([]byte("category,group,prefix\nrole,web,10.0.0.1/8\nrole,\"a \"\"b\",::ffff:1.2.3.4\n"))
	f.Add([]byte("\xef\xbb\xbf# c\nprefix;group;category\n"))
	f.Add([]byte("categories: [{name: a, groups: &x [{name: b, prefixes: [::/0, 0.0.0.0/0]}]}, {name: c, groups: *x}]"))
	f.Add([]byte("categories: &a\n- *a\n? [x]\n: {<<: *a}\n"))
	if lint, err := os.ReadFile("testdata/lint.yaml"); err == nil {
		f.Add(lint)
	}
}

// checkParsed holds for whatever Parse returns.
func checkParsed(t *testing.T, data []byte, f *File, err error) {
	if f == nil {
		t.Fatal("no file")
	}
	if err != nil {
		var parse *ParseError
		if !errors.As(err, &parse) || len(parse.Problems) == 0 || len(parse.Problems) > maxErrors {
			t.Fatalf("got %T %v", err, err)
		}
		for _, p := range parse.Problems {
			if text := p.String(); strings.ContainsAny(text, "\n\r\x00") || !strings.HasPrefix(text, "fuzz") {
				t.Fatalf("not one line with the file's name: %q", text)
			}
		}
	}
	for _, c := range f.Categories {
		if checkCategoryName(c.Name) != nil {
			t.Fatalf("category %q", c.Name)
		}
		for _, g := range c.Groups {
			if checkName(g.Name) != nil || len(g.lines) != len(g.Prefixes) {
				t.Fatalf("group %q with %d prefixes in %d lines", g.Name, len(g.Prefixes), len(g.lines))
			}
			for _, p := range g.Prefixes {
				if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() && p.Bits() >= 96 {
					t.Fatalf("prefix %v", p)
				}
			}
		}
	}
	for _, x := range f.Exclude {
		if x.Reason == "" || len(x.Sources)+len(x.Destinations)+len(x.Services) == 0 {
			t.Fatalf("exclusion %+v", x)
		}
	}
	r, rErr := NewResolver(f, nil)
	if rErr != nil {
		t.Fatal(rErr)
	}
	for _, a := range r.Assignments() {
		if want, ok := naiveLookup(f, f.CategoryNames(), a.Prefix.Addr()); !ok {
			t.Fatalf("%v is assigned, but %v is in no group", a, want)
		}
	}
	lintData("fuzz", data)
	// What was read can be written and read again.
	again, againErr := Parse("fuzz.yaml", writeYAML(f))
	if againErr != nil {
		t.Fatalf("%v\n%s", againErr, writeYAML(f))
	}
	if diff := cmp.Diff(f, again, compareFiles); diff != "" {
		t.Fatalf("-first +second:\n%s", diff)
	}
}

func FuzzParseYAML(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz.yaml", data)
		checkParsed(t, data, file, err)
	})
}

func FuzzParseCSV(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz.csv", data)
		checkParsed(t, data, file, err)
	})
}

// FuzzParse lets the content choose the format.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("fuzz", data)
		checkParsed(t, data, file, err)
	})
}

func BenchmarkParseCSV(b *testing.B) {
	data := writeCSV(largeFile(300_000))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("g.csv", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseYAML(b *testing.B) {
	data := writeYAML(largeFile(300_000))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Parse("g.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}
