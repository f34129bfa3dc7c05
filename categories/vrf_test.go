package categories

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const vrfGroups = `categories:
  - name: tenant
    groups:
      - {name: red, vrf: RED}
      - {name: blue, vrf: [BLUE, "blue & <b>"]}
      - {name: shared, prefixes: [192.0.2.0/24]}
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.1, {prefix: 10.0.0.2, vrf: RED, from: 2026-11-20, until: 2026-11-21}, 10.0.0.3]}
      - {name: db, prefixes: [10.0.0.2, {prefix: 10.0.0.1, vrf: BLUE}]}
      - {name: app, vrf: RED, prefixes: [10.0.0.3, {prefix: 10.0.0.4, vrf: BLUE}]}
exclude: [{reason: databases, sources: ["group:db"]}]
`

// Each VRF has the groups of its own and those of every one; where both have a prefix, its own count.
func TestInVRF(t *testing.T) {
	f, err := Parse("g.yaml", []byte(vrfGroups))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.VRFs(), []string{"BLUE", "RED", "blue & <b>"}; !slices.Equal(got, want) {
		t.Errorf("VRFs %q, want %q", got, want)
	}
	if _, err := NewResolver(f, nil); err == nil || !strings.Contains(err.Error(), "name the VRF") {
		t.Errorf("groups of VRFs without a VRF: %v", err)
	}
	day := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		vrf  string
		at   time.Time
		want string
	}{
		{"RED", day, "tenant: red red red red shared - | role: web web app - - -"},
		{"RED", day.Add(24 * time.Hour), "tenant: red red red red shared - | role: web db app - - -"},
		{"BLUE", day, "tenant: blue blue blue blue shared - | role: db db web app - -"},
		{"blue & <b>", day, "tenant: blue blue blue blue shared - | role: web db web - - -"},
		{"default", day, "tenant: - - - - shared - | role: web db web - - -"},
	} {
		var got []string
		for _, category := range []string{"tenant", "role"} {
			in := f.InVRF(c.vrf).At(c.at)
			r, err := NewResolver(in, []string{category})
			if err != nil {
				t.Fatal(err)
			}
			line, err := NewTimeline(f.InVRF(c.vrf), []string{category})
			if err != nil {
				t.Fatal(err)
			}
			text := category + ":"
			for _, a := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "192.0.2.9", "8.8.8.8"} {
				g, ok := r.Lookup(netip.MustParseAddr(a))
				if !ok {
					g.Group = "-"
				}
				text += " " + g.Group
				if place := line.LookupIndex(netip.MustParseAddr(a), c.at); ok != (place >= 0) || ok && line.Groups()[place] != g {
					t.Errorf("%s in %s at %s: the timeline says otherwise than %s", a, c.vrf, c.at, g.Group)
				}
			}
			got = append(got, text)
		}
		if got := strings.Join(got, " | "); got != c.want {
			t.Errorf("%s at %s: %s, want %s", c.vrf, c.at, got, c.want)
		}
	}
}

// What denies a group means its prefixes of every VRF also where the VRF has others for them.
func TestEverInVRF(t *testing.T) {
	f, err := Parse("g.yaml", []byte(vrfGroups))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ vrf, want string }{
		{"RED", "[10.0.0.2/32]"}, {"BLUE", "[10.0.0.1/32 10.0.0.2/32]"},
	} {
		in := f.InVRF(c.vrf).AtIn(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), time.Time{})
		g := in.Category("role").Groups[1]
		if got := fmt.Sprint(distinct(slices.Clone(g.Ever()))); got != c.want {
			t.Errorf("%s: db was ever %s, want %s", c.vrf, got, c.want)
		}
		if got := fmt.Sprint(distinct(slices.Clone(in.Exclude[0].Sources[0].Prefixes))); got != c.want {
			t.Errorf("%s: what is excluded is %s, want %s", c.vrf, got, c.want)
		}
	}
	if web := f.InVRF("BLUE").Category("role").Groups[0]; !slices.Contains(web.Ever(), netip.MustParsePrefix("10.0.0.1/32")) {
		t.Errorf("a denial of web does not mean the address that BLUE has otherwise: %s", web.Ever())
	}
}

func TestVRFTexts(t *testing.T) {
	f, err := Parse("g.csv", []byte("category,group,prefix,vrf\nrole,web,10.0.0.1,RED\nrole,web,10.0.0.2,\n"))
	if err != nil {
		t.Fatal(err)
	}
	g := f.Categories[0].Groups[0]
	if g.VRFOf(0) != "RED" || g.VRFOf(1) != "" {
		t.Errorf("CSV: VRFs %q and %q", g.VRFOf(0), g.VRFOf(1))
	}
	for text, want := range map[string]string{"vrf: ''": "it is empty", "vrf: []": "the list is empty", "vrf: {a: b}": "expected text", "prefixes: [{prefix: 10.0.0.1, vrf: ''}]": "it is empty"} {
		if _, err := Parse("g.yaml", []byte("categories: [{name: a, groups: [{name: b, "+text+"}]}]")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	plain, err := Parse("g.yaml", []byte("categories: [{name: a, groups: [{name: b, prefixes: [10.0.0.1]}]}]"))
	if err != nil || plain.InVRF("RED") != plain {
		t.Errorf("a file without VRFs does not come back as it is: %v", err)
	}
	// Findings of one VRF are not those of another.
	two, err := Parse("g.yaml", []byte("categories: [{name: a, groups: [{name: b, vrf: X, prefixes: [10.0.0.0/8]}, {name: c, vrf: Y, prefixes: [10.0.0.0/8]}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range Lint(two) {
		if finding.Severity == Warning && (strings.Contains(finding.Message, "10.0.0.0/8") || strings.Contains(finding.Message, "no prefixes")) {
			t.Errorf("lint: %s", finding)
		}
	}
	empty, err := Parse("g.yaml", []byte("categories: [{name: a, groups: [{name: b, vrf: X}, {name: c, prefixes: []}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(Lint(empty), func(f Finding) bool { return !strings.Contains(f.Message, "no prefixes") })); n != 1 {
		t.Errorf("%d groups without prefixes, want that of c alone", n)
	}
}
