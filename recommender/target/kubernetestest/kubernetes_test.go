package kubernetestest

import (
	"fmt"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/kubernetes/pkg/apis/networking"
	conversion "k8s.io/kubernetes/pkg/apis/networking/v1"
	"k8s.io/kubernetes/pkg/apis/networking/validation"
	"pgregory.net/rapid"
	strict "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// validate reads an object as the API server does: no unknown field, names of fields with their case, defaults, and
// its own validation.
func validate(object []byte) (*networkingv1.NetworkPolicy, error) {
	text, err := yaml.YAMLToJSONStrict(object)
	if err != nil {
		return nil, err
	}
	var p networkingv1.NetworkPolicy
	unknown, err := strict.UnmarshalStrict(text, &p)
	if err != nil {
		return nil, err
	}
	if len(unknown) > 0 {
		return nil, unknown[0]
	}
	conversion.SetObjectDefaults_NetworkPolicy(&p)
	var internal networking.NetworkPolicy
	if err := conversion.Convert_v1_NetworkPolicy_To_networking_NetworkPolicy(&p, &internal, nil); err != nil {
		return nil, err
	}
	return &p, validation.ValidateNetworkPolicy(&internal, validation.NetworkPolicyValidationOptions{}).ToAggregate()
}

// The file that the golden test of the target holds is what an API server takes.
func TestGoldenValidates(t *testing.T) {
	for _, o := range golden(t, "kubernetes") {
		if _, err := validate(o); err != nil {
			t.Errorf("%v in\n%s", err, o)
		}
	}
}

// What the API server refuses is refused here: the check is alive.
func TestValidationRefuses(t *testing.T) {
	whole := `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: cordon-web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress]
  ingress:
    - from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/25]}}]
      ports: [{protocol: TCP, port: 80, endPort: 90}]
`
	if _, err := validate([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"endPort: 90", "endPort: 79"}, {"endPort: 90", "endport: 90"}, {"protocol: TCP", "protocol: ICMP"}, {"port: 80,", "port: 0,"},
		{"[192.0.2.0/25]", "[198.51.100.0/25]"}, {"cidr: 192.0.2.0/24", "cidr: 192.0.2.300/24"}, {"app: web", "app: 'a b'"}, {"name: cordon-web", "name: cordon_web"},
	} {
		changed := strings.Replace(whole, change[0], change[1], 1)
		if changed == whole {
			t.Fatalf("%q is not in the object", change[0])
		}
		if _, err := validate([]byte(changed)); err == nil {
			t.Errorf("%q in place of %q is taken", change[1], change[0])
		}
	}
}

// Whatever a policy says, what is written for it is what an API server takes.
func TestWrittenValidates(t *testing.T) {
	groups, addresses := fixture(t)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, []policy.Action{policy.Allow, policy.Allow, policy.Deny}, allServices)
		objects, _ := written(t, "kubernetes", p, groups, addresses)
		for _, o := range objects {
			if _, err := validate(o); err != nil {
				t.Fatalf("%v in\n%s", err, o)
			}
		}
	})
}

// cyclonus decides about every pair of peers and every service as the policy does, where a pod of a group is at one end.
func TestCyclonusDecidesAlike(t *testing.T) {
	groups, addresses := fixture(t)
	cells := 0
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, []policy.Action{policy.Allow}, portServices)
		objects, gaps := written(t, "kubernetes", p, groups, addresses)
		for _, gap := range gaps {
			if !strings.Contains(gap, "no end of it is a group that kubernetes has rules for") {
				t.Fatalf("left out: %s", gap)
			}
		}
		var list []*networkingv1.NetworkPolicy
		governed := map[string]bool{}
		for _, o := range objects {
			np, err := validate(o)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, np)
			governed[fmt.Sprint(np.Namespace, np.Spec.PodSelector.MatchLabels)] = true
		}
		decisions := matcher.BuildNetworkPolicies(false, list)
		for _, client := range peers {
			for _, server := range peers {
				if client.address == server.address || client.address.BitLen() != server.address.BitLen() || !client.in(groups, governed) && !server.in(groups, governed) {
					continue
				}
				for _, text := range []string{"tcp/21", "tcp/22", "tcp/80", "tcp/81", "tcp/65535", "udp/53", "udp/9999", "sctp/80"} {
					cells++
					s, err := categories.ParseService(text)
					if err != nil {
						t.Fatal(err)
					}
					want := permits(t, &p, addresses, client, server, s)
					got := decisions.IsTrafficAllowed(&matcher.Traffic{Source: client.traffic(), Destination: server.traffic(), ResolvedPort: int(s.Port),
						Protocol: corev1.Protocol(strings.ToUpper(strings.Split(text, "/")[0]))}).IsAllowed()
					if got != want {
						t.Fatalf("%s -> %s %s: the policy permits it: %v, cyclonus: %v, in\n%s", client.address, server.address, text, want, got, objects)
					}
				}
			}
		}
	})
	if cells == 0 {
		t.Fatal("no cell was compared")
	}
	t.Logf("%d cells decided alike", cells)
}

// permits reports whether a rule of a policy without denials permits a session.
func permits(t *rapid.T, p *policy.Policy, addresses *policy.Addresses, client, server peer, s categories.Service) bool {
	for i := range p.Rules {
		r := &p.Rules[i]
		var holds [2]bool
		for side, of := range []struct {
			literals []policy.Endpoint
			peer     peer
		}{{r.Sources, client}, {r.Destinations, server}} {
			set, err := addresses.Set(of.literals, policy.Proposed)
			if err != nil {
				t.Fatal(err)
			}
			holds[side] = set.Contains(of.peer.address)
		}
		for _, service := range r.Services {
			if holds[0] && holds[1] && service.Matches(s) {
				return true
			}
		}
	}
	return false
}

// in reports whether a NetworkPolicy selects the pod.
func (p *peer) in(groups *categories.File, governed map[string]bool) bool {
	if p.namespace == "batch" {
		return governed[fmt.Sprint(p.namespace, map[string]string(nil))]
	}
	return p.namespace != "" && governed[fmt.Sprint(p.namespace, p.labels)]
}

// traffic gives the peer as cyclonus has it.
func (p *peer) traffic() *matcher.TrafficPeer {
	out := &matcher.TrafficPeer{IP: p.address.String()}
	if p.namespace != "" {
		out.Internal = &matcher.InternalPeer{PodLabels: p.labels, Namespace: p.namespace, NamespaceLabels: map[string]string{"kubernetes.io/metadata.name": p.namespace}}
	}
	return out
}
