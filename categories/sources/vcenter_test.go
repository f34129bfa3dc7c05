//go:build !no_vcenter

package sources

import (
	"fmt"
	"strings"
	"testing"

	"cordon/internal/vcentertest"
)

const vcenterCategories = `{name: tier, label: "tag:tier"}, {name: tag, label: tag}, {name: host, label: host}, {name: vm, label: vm}, {name: net, label: portgroup}, {name: folder, label: folder}, {name: cluster, label: cluster}, {name: dc, label: datacenter}`

func vcenter(t *testing.T, v *vcentertest.VCenter, user string) (*Snapshot, []Membership, error) {
	s := source(t, fmt.Sprintf("kind: vcenter, address: %q, ca: %s, user: %s, password: {env: VCENTER_PASSWORD}, categories: [%s]", v.URL, v.CA, user, vcenterCategories))
	return Reader{}.ReadOne(t.Context(), s)
}

func TestVCenter(t *testing.T) {
	t.Setenv("VCENTER_PASSWORD", vcentertest.Password)
	v := vcentertest.Start(t, 4)
	v.Address("DC0_C0_RP0_VM0", "10.0.0.1")
	v.Address("DC0_C0_RP0_VM1", "10.0.0.2")
	v.Address("DC0_C0_RP0_VM2", "10.0.0.9")
	v.Address("DC0_C0_RP0_VM3", "fe80::1") // says nothing to others
	v.Stop("DC0_C0_RP0_VM2")
	v.Tag("DC0_C0_RP0_VM0", "tier", "web & <b>shop</b>")
	v.Tag("DC0_C0_RP0_VM0", "team", "blue")
	v.Tag("DC0_C0_RP0_VM1", "tier", "db")
	v.Move("DC0_C0_RP0_VM0", "DC0_C0_H1")
	v.Move("DC0_C0_RP0_VM1", "DC0_C0_H2")
	v.Folder("DC0_C0_RP0_VM1", "Prod/a")
	v.Rename("Prod%2fa/DC0_C0_RP0_VM1", "db 1/2")
	snapshot, got, err := vcenter(t, v, vcentertest.User)
	if err != nil {
		t.Fatal(err)
	}
	want := "cluster/DC0_C0 10.0.0.1/32, cluster/DC0_C0 10.0.0.2/32, dc/DC0 10.0.0.1/32, dc/DC0 10.0.0.2/32, folder/Prod/a 10.0.0.2/32, host/DC0_C0_H1 10.0.0.1/32, host/DC0_C0_H2 10.0.0.2/32, " +
		"net/DC0_DVPG0 10.0.0.1/32, net/DC0_DVPG0 10.0.0.2/32, tag/blue 10.0.0.1/32, tag/db 10.0.0.2/32, tag/web & <b>shop</b> 10.0.0.1/32, " +
		"tier/db 10.0.0.2/32, tier/web & <b>shop</b> 10.0.0.1/32, vm/DC0_C0_RP0_VM0 10.0.0.1/32, vm/db 1/2 10.0.0.2/32"
	if listed(got) != want {
		t.Errorf("\n%s\nwant\n%s", listed(got), want)
	}
	if len(snapshot.Problems) != 1 || !strings.Contains(snapshot.Problems[0], "DC0_C0_RP0_VM3: it has no address") {
		t.Errorf("problems %q", snapshot.Problems)
	}

	if _, got, err := vcenter(t, v, "somebody@else"); err == nil || !strings.Contains(err.Error(), "log in as somebody@else") || got != nil {
		t.Errorf("another user: %v", err)
	}
	t.Setenv("VCENTER_PASSWORD", "wr0ng")
	if _, got, err := vcenter(t, v, vcentertest.User); err == nil || !strings.Contains(err.Error(), "log in as") || strings.Contains(err.Error(), "wr0ng") || got != nil {
		t.Errorf("a wrong password: %v", err)
	}
	v.CA = file(t, "no certificate")
	if _, _, err := vcenter(t, v, vcentertest.User); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("a certificate that is none: %v", err)
	}
}
