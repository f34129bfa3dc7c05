//go:build !no_vcenter

package recommender

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/categories/sources"
	"cordon/internal/memberships"
	"cordon/internal/vcentertest"
	"cordon/schema"
)

// TestVCenterChanges: a machine moves to another host, and another machine takes over its address, while sessions arrive. Each session is
// judged by what the vCenter said at the snapshots around it.
func TestVCenterChanges(t *testing.T) {
	conn := store(t)
	for _, table := range []string{"membership_rows", "membership_source_rows"} {
		if err := conn.Exec(t.Context(), "TRUNCATE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("VCENTER_PASSWORD", vcentertest.Password)
	v := vcentertest.Start(t, 3)
	file, err := categories.Parse("g.yaml", fmt.Appendf(nil, `categories: [{name: other, groups: [{name: db, prefixes: [10.0.9.9]}]}]
sources: [{name: vc, kind: vcenter, address: %q, ca: %q, user: %s, password: {env: VCENTER_PASSWORD}, max_loss: 80%%,
  categories: [{name: tier, label: "tag:tier"}, {name: host, label: host}]}]`, v.URL, v.CA, vcentertest.User))
	if err != nil {
		t.Fatal(err)
	}
	const job, web, third = "DC0_C0_RP0_VM0", "DC0_C0_RP0_VM1", "DC0_C0_RP0_VM2"
	for vm, tier := range map[string]string{job: "job", web: "web", third: "web"} {
		v.Tag(vm, "tier", tier)
		v.Move(vm, "DC0_C0_H0")
	}
	v.Address(job, "10.0.0.7")
	v.Address(web, "10.0.0.8")
	refresh := func(at time.Duration) {
		t.Helper()
		if _, err := memberships.Refresh(t.Context(), conn, sources.Reader{}, &file.Sources[0], base.Add(at), false); err != nil {
			t.Fatal(err)
		}
	}
	var flows []flow
	session := func(at time.Duration, port uint16) {
		flows = append(flows, flow{client: "10.0.0.7", server: "10.0.9.9", proto: 6, port: port, at: at, completeness: schema.Unknowable})
	}
	const minute = time.Minute
	refresh(0)
	session(10*minute, 1001) // the job on host 0
	refresh(60 * minute)
	v.Move(job, "DC0_C0_H1")
	session(61*minute, 1002) // moved between snapshots: nobody knows when
	refresh(65 * minute)
	session(130*minute, 1003) // the job on host 1
	refresh(180 * minute)
	v.Stop(job)
	v.Address(third, "10.0.0.7")
	session(182*minute, 1004) // the address changed hands between snapshots
	refresh(185 * minute)
	session(250*minute, 1005) // the third machine, on host 0
	refresh(300 * minute)
	insertFlows(t, conn, flows)

	known, _, err := memberships.File(context.Background(), conn, sources.Reader{}, file, base.Add(301*minute))
	if err != nil {
		t.Fatal(err)
	}
	for category, want := range map[string]string{
		"tier": "job > db tcp/1001, job > db tcp/1002, job > db tcp/1003, web > db tcp/1005, ungrouped 1, 4 of 5",
		"host": "DC0_C0_H0 > db tcp/1001, DC0_C0_H0 > db tcp/1005, DC0_C0_H1 > db tcp/1003, ungrouped 2, 3 of 5",
	} {
		settings := Settings{Categories: []string{category, "other"}}
		got, err := Generate(t.Context(), conn, settings, known)
		if err != nil {
			t.Fatal(err)
		}
		if said(&got[0]) != want {
			t.Errorf("by %s:\n%s\nwant\n%s", category, said(&got[0]), want)
		}
		verifyProposal(t, t, conn, &got[0], settings, known)
		if text := reusedText(&got[0]); !strings.HasPrefix(text, "10.0.0.7/32: ") {
			t.Errorf("by %s, re-used are %q", category, text)
		}
	}
	if then := known.At(base.Add(2 * time.Hour)); memberOf(then, "tier", "10.0.0.7") != "job" || memberOf(then, "host", "10.0.0.7") != "DC0_C0_H1" {
		t.Errorf("two hours in, 10.0.0.7 is in %s on %s", memberOf(then, "tier", "10.0.0.7"), memberOf(then, "host", "10.0.0.7"))
	}
}

// memberOf gives the group of a category that lists an address, empty for none.
func memberOf(f *categories.File, category, address string) string {
	c := f.Category(category)
	for i := range c.Groups {
		for _, p := range c.Groups[i].Prefixes {
			if p.Addr().String() == address {
				return c.Groups[i].Name
			}
		}
	}
	return ""
}
