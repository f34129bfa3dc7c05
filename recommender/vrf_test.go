package recommender

import (
	"errors"
	"slices"
	"testing"

	"cordon/recommender/policy"
	"cordon/schema"
)

// perVRF has a tenant for each VRF, one of which has another owner for an address.
const perVRF = `categories:
  - name: tenant
    groups:
      - {name: red, vrf: RED}
      - {name: blue, vrf: BLUE}
      - {name: shared, prefixes: [10.9.0.0/16]}
      - {name: red-dns, vrf: RED, prefixes: [10.9.0.53]}
      - {name: dns, prefixes: [10.9.0.53]}
`

// TestGroupsPerVRF: each VRF has its own groups, and its proposal says what these do.
func TestGroupsPerVRF(t *testing.T) {
	conn := store(t)
	var flows []flow
	for _, vrf := range []string{"RED", "BLUE", ""} {
		for _, server := range []string{"10.9.0.53", "10.9.0.1", "8.8.8.8"} {
			flows = append(flows, flow{client: "10.0.0.7", server: server, proto: 17, port: 53, vrf: vrf, completeness: schema.Unknowable})
		}
	}
	insertFlows(t, conn, flows)
	deny := []policy.Policy{{APIVersion: policy.APIVersion, Kind: policy.KindPolicy, Rules: []policy.StatementRule{
		{Name: "no names", Action: policy.Deny, Sources: []policy.Endpoint{policy.GroupEndpoint("red")}, Destinations: []policy.Endpoint{policy.GroupEndpoint("dns")}, Services: []policy.Service{{Any: true}}},
	}}}
	file, settings := parseGroups(t, perVRF), Settings{Guardrails: deny}
	got, err := Generate(t.Context(), conn, settings, file)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		// The address is one of dns in every VRF but RED, where the denial means it nevertheless.
		"RED":     "red > shared udp/53, external 1, guardrail 1, 1 of 3",
		"BLUE":    "blue > dns udp/53, blue > shared udp/53, external 1, 2 of 3",
		"default": "ip:10.0.0.7/32 > dns udp/53, ip:10.0.0.7/32 > shared udp/53, external 1, 2 of 3",
	}
	if len(got) != len(want) {
		t.Fatalf("%d proposals, want %d", len(got), len(want))
	}
	for i := range got {
		p := &got[i]
		if said(p) != want[p.VRF] {
			t.Errorf("%s:\n%s\nwant\n%s", p.VRF, said(p), want[p.VRF])
		}
		if p.GroupsFile != file.Digest() {
			t.Errorf("the proposal of %s carries the digest %s", p.VRF, p.GroupsFile)
		}
		if p.VRF != "RED" {
			continue
		}
		settings.VRF = p.VRF
		verifyProposal(t, t, conn, p, settings, file)
		one, err := Generate(t.Context(), conn, settings, file)
		if err != nil || len(one) != 1 || !slices.Equal(one[0].JSON(), p.JSON()) {
			t.Errorf("the proposal of VRF %s by itself is another: %v", p.VRF, err)
		}
	}
	_, err = Suggest(t.Context(), conn, SuggestSettings{}, parseGroups(t, perVRF))
	if wrong, ok := errors.AsType[*policy.SettingsError](err); !ok || wrong.Setting != "vrf" {
		t.Errorf("a comparison over VRFs with groups of their own: %v", err)
	}
}
