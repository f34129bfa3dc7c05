package kubernetestest

import (
	"log/slog"
	"strings"
	"testing"

	"cordon/recommender/policy"

	cilium "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"pgregory.net/rapid"
	strict "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// sanitize reads an object as Cilium's agent does.
func sanitize(object []byte) error {
	text, err := yaml.YAMLToJSONStrict(object)
	if err != nil {
		return err
	}
	var p cilium.CiliumNetworkPolicy
	unknown, err := strict.UnmarshalStrict(text, &p)
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		return unknown[0]
	}
	_, err = p.Parse(slog.New(slog.DiscardHandler), "default")
	return err
}

// The file that the golden test of the target holds is what Cilium's agent takes.
func TestCiliumGoldenSanitizes(t *testing.T) {
	for _, o := range golden(t, "cilium") {
		if err := sanitize(o); err != nil {
			t.Errorf("%v in\n%s", err, o)
		}
	}
}

// What the agent refuses is refused here: the check is alive.
func TestCiliumRefuses(t *testing.T) {
	whole := `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cordon-web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
    - fromCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.0/25]}]
      toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}]}]
`
	if err := sanitize([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{{"protocol: TCP", "protocol: GRE"}, {"[192.0.2.0/25]", "[198.51.100.0/25]"}, {`port: "80"`, `port: "80000"`}, {"fromCIDRSet", "fromCIDRset"}} {
		changed := strings.Replace(whole, change[0], change[1], 1)
		if changed == whole {
			t.Fatalf("%q is not in the object", change[0])
		}
		if err := sanitize([]byte(changed)); err == nil {
			t.Errorf("%q in place of %q is taken", change[1], change[0])
		}
	}
}

// Whatever a policy says, what is written for it is what Cilium's agent takes.
func TestCiliumWrittenSanitizes(t *testing.T) {
	groups, addresses := fixture(t)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, []policy.Action{policy.Allow, policy.Allow, policy.Deny}, allServices)
		objects, _ := written(t, "cilium", p, groups, addresses)
		for _, o := range objects {
			if err := sanitize(o); err != nil {
				t.Fatalf("%v in\n%s", err, o)
			}
		}
	})
}
