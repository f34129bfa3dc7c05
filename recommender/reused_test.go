package recommender

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/recommender/policy"
	"cordon/recommender/verify"
	"cordon/schema"
)

// reusedGroups has an address that is a job's until half past twelve, and then a web server's.
const reusedGroups = `categories:
  - name: app
    groups:
      - {name: web, prefixes: [10.0.1.1, {prefix: 10.0.0.7, from: "2026-11-20T12:30:00Z"}]}
      - {name: job, prefixes: [{prefix: 10.0.0.7, until: "2026-11-20T12:30:00Z"}]}
      - {name: db, prefixes: [10.0.9.9]}
      - {name: api, prefixes: [10.0.8.8]}
`

// reusedFlows are sessions of that address, on either side of the change and across it.
func reusedFlows() (flows []flow) {
	for _, f := range []struct {
		server string
		port   uint16
		at     time.Duration
	}{
		{"10.0.9.9", 5432, 0}, {"10.0.8.8", 8080, 5 * time.Hour},
		{"10.0.8.8", 9090, 0}, {"10.0.8.8", 9090, 5 * time.Hour},
		{"10.0.8.8", 7000, 140 * time.Minute}, {"10.0.8.8", 7000, 160 * time.Minute},
		{"10.0.8.8", 7001, 140 * time.Minute}, {"10.0.8.8", 7002, 160 * time.Minute},
	} {
		flows = append(flows, flow{client: "10.0.0.7", server: f.server, proto: 6, port: f.port, at: f.at, completeness: schema.Unknowable})
	}
	return append(flows, flow{client: "10.0.1.1", server: "10.0.8.8", proto: 6, port: 8080, completeness: schema.Unknowable})
}

// said lists what a proposal permits and leaves out, with how often.
func said(p *policy.Proposal) string {
	var out []string
	for i := range p.Rules {
		r := &p.Rules[i]
		for _, s := range r.Sources {
			for _, d := range r.Destinations {
				for _, x := range r.Services {
					out = append(out, fmt.Sprintf("%s > %s %s", strings.TrimPrefix(s.String(), "group:"), strings.TrimPrefix(d.String(), "group:"), x))
				}
			}
		}
	}
	slices.Sort(out)
	for _, u := range p.Unproposed {
		out = append(out, fmt.Sprintf("%s %d", u.Reason, u.Sessions))
	}
	return strings.Join(append(out, fmt.Sprintf("%d of %d", p.Summary.Included, p.Summary.Sessions)), ", ")
}

// TestReusedAddress: a session is judged by what the address was when it was seen.
func TestReusedAddress(t *testing.T) {
	conn := store(t)
	insertFlows(t, conn, reusedFlows())
	hour := func(h int) time.Time { return base.Add(time.Duration(h) * time.Hour) }
	for name, c := range map[string]struct {
		settings Settings
		groups   string
		want     string
		reused   string
	}{
		"both owners": {
			want:   "job > api tcp/7001, job > api tcp/9090, job > db tcp/5432, web > api tcp/7002, web > api tcp/8080, web > api tcp/9090, ungrouped 1, 7 of 8",
			reused: "10.0.0.7/32: job until 2026-11-20T12:30:00Z, web from 2026-11-20T12:30:00Z",
		},
		"the first owner": {
			settings: Settings{Settings: policy.Settings{Until: policy.NewTime(hour(2))}},
			want:     "job > api tcp/9090, job > db tcp/5432, web > api tcp/8080, 3 of 3",
		},
		"the second owner": {
			settings: Settings{Settings: policy.Settings{Since: policy.NewTime(hour(3))}},
			want:     "web > api tcp/8080, web > api tcp/9090, 2 of 2",
		},
		"nobody before": {
			groups: "categories: [{name: app, groups: [{name: web, prefixes: [10.0.1.1, {prefix: 10.0.0.7, from: \"2026-11-20T12:30:00Z\"}]}, {name: api, prefixes: [10.0.8.8]}]}]",
			want:   "web > api tcp/7002, web > api tcp/8080, web > api tcp/9090, ungrouped 4, 4 of 8",
			reused: "10.0.0.7/32: nobody until 2026-11-20T12:30:00Z, web from 2026-11-20T12:30:00Z",
		},
		"a net, and a denial for the former owner, which holds at all times of the window": {
			settings: Settings{Guardrails: []policy.Policy{{APIVersion: policy.APIVersion, Kind: policy.KindPolicy, Rules: []policy.StatementRule{
				{Name: "jobs", Action: policy.Deny, Sources: []policy.Endpoint{policy.GroupEndpoint("job")}, Destinations: []policy.Endpoint{policy.GroupEndpoint("api")}, Services: []policy.Service{{Any: true}}},
			}}}},
			groups: strings.ReplaceAll(reusedGroups, "prefix: 10.0.0.7", "prefix: 10.0.0.0/29"),
			want:   "job > db tcp/5432, ungrouped 1, guardrail 6, 1 of 8",
			reused: "10.0.0.0/29: job until 2026-11-20T12:30:00Z, web from 2026-11-20T12:30:00Z",
		},
		"an exclusion of a group that had the address at another time": {
			settings: Settings{Categories: []string{"app"}},
			groups: `categories:
  - {name: app, groups: [{name: web, prefixes: [10.0.1.1, 10.0.0.7]}, {name: db, prefixes: [10.0.9.9]}, {name: api, prefixes: [10.0.8.8]}]}
  - {name: use, groups: [{name: batch, until: "2026-11-20T12:30:00Z", prefixes: [10.0.0.7]}]}
exclude: [{reason: batch, sources: ["group:batch"], services: [tcp/9090]}]
`,
			want: "web > api tcp/7000, web > api tcp/7001, web > api tcp/7002, web > api tcp/8080, web > db tcp/5432, excluded 1, 6 of 7",
		},
	} {
		groups := reusedGroups
		if c.groups != "" {
			groups = c.groups
		}
		got, err := Generate(t.Context(), conn, c.settings, parseGroups(t, groups))
		if err != nil {
			t.Fatal(err)
		}
		p := &got[0]
		verifyProposal(t, t, conn, p, c.settings, parseGroups(t, groups))
		if said(p) != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, said(p), c.want)
		}
		if name == "both owners" {
			wrong := *p
			wrong.Reused = []policy.Reused{{Prefix: p.Reused[0].Prefix, Owners: []policy.Owner{{Group: "db", Until: p.Reused[0].Owners[0].Until}, p.Reused[0].Owners[1]}}}
			r, err := verify.Proposal(t.Context(), conn, &wrong, verify.Options{Groups: parseGroups(t, groups)})
			if err != nil || !strings.Contains(reportText(r), "the owners of re-used addresses are not those of the groups file") {
				t.Errorf("an owner that is not the file's is not found: %v %s", err, reportText(r))
			}
		}
		if c.reused != "" && reusedText(p) != c.reused {
			t.Errorf("%s: re-used are %q, want %q", name, reusedText(p), c.reused)
		}
	}
}

func reusedText(p *policy.Proposal) string {
	var out []string
	for _, r := range p.Reused {
		var owners []string
		for _, o := range r.Owners {
			text := o.Group
			if text == "" {
				text = "nobody"
			}
			if o.From != nil {
				text += " from " + o.From.Format(time.RFC3339)
			}
			if o.Until != nil {
				text += " until " + o.Until.Format(time.RFC3339)
			}
			owners = append(owners, text)
		}
		out = append(out, r.Prefix.String()+": "+strings.Join(owners, ", "))
	}
	return strings.Join(out, "; ")
}

// formsGroups are forms of groups that change: an address with three owners, a net with a time around a host without one, a host
// that a denied group takes over after the window, a change in another category, a public address that ceases to be in a group.
const formsGroups = `categories:
  - name: app
    groups:
      - {name: web, prefixes: [10.0.1.1, {prefix: 10.0.0.7, from: "2026-11-20T11:00:00Z", until: "2026-11-20T13:00:00Z"}]}
      - {name: job, prefixes: [{prefix: 10.0.0.7, until: "2026-11-20T11:00:00Z"}, {prefix: 10.0.3.0/24, until: "2026-11-20T12:00:00Z"}]}
      - {name: db, prefixes: [10.0.9.9, {prefix: 10.0.0.7, from: "2026-11-20T13:00:00Z"}]}
      - {name: lab, prefixes: [10.0.3.5, {prefix: 10.0.3.0/24, from: "2026-11-20T12:00:00Z"}]}
      - {name: api, prefixes: [10.0.8.8]}
      - {name: pos, prefixes: [10.0.4.5, {prefix: 10.0.4.4, until: "2026-11-21T00:00:00Z"}]}
      - {name: pci, prefixes: [{prefix: 10.0.4.4, from: "2026-11-21T00:00:00Z"}]}
      - {name: cloud, prefixes: [{prefix: 9.9.9.9, until: "2026-11-20T12:00:00Z"}]}
  - name: site
    groups:
      - {name: zurich, prefixes: [{prefix: 10.0.5.5, until: "2026-11-20T12:00:00Z"}, 10.0.8.8, 10.0.0.0/24]}
      - {name: bern, prefixes: [{prefix: 10.0.5.5, from: "2026-11-20T12:00:00Z"}]}
exclude: [{reason: cards, destinations: ["group:pci"], services: [tcp/8086]}]
`

// TestReusedForms: each form of a group that changes, in one proposal.
func TestReusedForms(t *testing.T) {
	conn := store(t)
	var flows []flow
	for _, f := range []struct {
		client, server string
		port           uint16
		hours          []int // Hours since base.
	}{
		{"10.0.0.7", "10.0.8.8", 8080, []int{0, 2, 4}},
		{"10.0.3.9", "10.0.8.8", 8081, []int{0, 3}},
		{"10.0.3.5", "10.0.8.8", 8082, []int{0, 3}},
		{"10.0.5.5", "10.0.8.8", 8083, []int{0, 3}},
		{"9.9.9.9", "10.0.8.8", 8084, []int{0, 3}},
		{"10.0.1.1", "10.0.0.7", 8087, []int{0, 2}}, {"10.0.3.9", "10.0.0.7", 8088, []int{0, 3}},
		{"10.0.1.1", "10.0.4.4", 22, []int{0}}, {"10.0.1.1", "10.0.4.5", 22, []int{0}},
		{"10.0.1.1", "10.0.4.5", 8085, []int{0}},
		{"10.0.1.1", "10.0.4.4", 8086, []int{0}}, {"10.0.1.1", "10.0.4.5", 8086, []int{0}},
	} {
		for _, h := range f.hours {
			flows = append(flows, flow{client: f.client, server: f.server, proto: 6, port: f.port, at: time.Duration(h) * time.Hour, completeness: schema.Unknowable})
		}
	}
	insertFlows(t, conn, flows)
	ssh, err := policy.ParseService("tcp/22")
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{Guardrails: []policy.Policy{{APIVersion: policy.APIVersion, Kind: policy.KindPolicy, Rules: []policy.StatementRule{
		{Name: "no ssh", Action: policy.Deny, Sources: []policy.Endpoint{policy.Any}, Destinations: []policy.Endpoint{policy.GroupEndpoint("pci")}, Services: []policy.Service{ssh}},
	}}}}
	file := parseGroups(t, formsGroups)
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	p := &got[0]
	want := "bern > api tcp/8083, cloud > api tcp/8084, db > api tcp/8080, job > api tcp/8080, job > api tcp/8081, job > job tcp/8088, lab > api tcp/8081, lab > api tcp/8082, lab > db tcp/8088, " +
		"web > api tcp/8080, web > job tcp/8087, web > pos tcp/8085, web > pos tcp/8086, web > web tcp/8087, zurich > api tcp/8083, excluded 1, external 1, guardrail 2, 15 of 19"
	if said(p) != want {
		t.Errorf("\n%s\nwant\n%s", said(p), want)
	}
	text := reusedText(p)
	for _, reused := range []string{
		"9.9.9.9/32: cloud until 2026-11-20T12:00:00Z, nobody from 2026-11-20T12:00:00Z",
		"10.0.0.7/32: job until 2026-11-20T11:00:00Z, web from 2026-11-20T11:00:00Z until 2026-11-20T13:00:00Z, db from 2026-11-20T13:00:00Z",
		"10.0.3.8/29: job until 2026-11-20T12:00:00Z, lab from 2026-11-20T12:00:00Z",
		"10.0.5.5/32: zurich until 2026-11-20T12:00:00Z, bern from 2026-11-20T12:00:00Z",
	} {
		if !strings.Contains(text, reused) {
			t.Errorf("re-used are %s\nwithout %s", text, reused)
		}
	}
	verifyProposal(t, t, conn, p, s, file)
	r, err := verify.Proposal(t.Context(), conn, p, verify.Options{Groups: file, Guardrails: s.Guardrails})
	if err != nil {
		t.Fatal(err)
	}
	if alone, err := verifyAlone(t, conn, p); err != nil || alone != reportText(r) {
		t.Errorf("verify with the document alone: %v %s\nwith the file: %s", err, alone, reportText(r))
	}
}
