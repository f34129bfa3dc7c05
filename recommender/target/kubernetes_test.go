package target

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// testPods are the pods among the hosts of the cells, with their labels.
var testPods = map[netip.Addr]map[string]string{
	addr("10.0.0.1"):      {"namespace": "shop", "app": "web"},
	addr("2001:db8:1::1"): {"namespace": "shop", "app": "web"},
	addr("10.0.0.2"):      {"namespace": "shop", "app": "db", "tier": "2"},
}

// cluster is a list of policies at pods.
type cluster struct {
	policies []object
	// selects says whether a policy is at a pod, and permits what it decides in one direction.
	selects func(policy object, labels map[string]string) bool
	permit  func(policy object, p packet, egress bool) bool
}

func readObjects(t fataler, files []File) (out []object) {
	d := yaml.NewDecoder(bytes.NewReader(files[0].Data))
	for {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatalf("%v", err)
		}
		out = append(out, o)
	}
}

// selected lists the policies at an address.
func (c *cluster) selected(a netip.Addr) (out []object) {
	labels, ok := testPods[a]
	for _, p := range c.policies {
		if ok && c.selects(p, labels) {
			out = append(out, p)
		}
	}
	return out
}

func (c *cluster) sees(client, server netip.Addr) bool {
	return len(c.selected(client))+len(c.selected(server)) > 0
}

func (c *cluster) permits(p packet) bool {
	at := func(a netip.Addr, egress bool) bool {
		policies := c.selected(a)
		return len(policies) == 0 || slices.ContainsFunc(policies, func(x object) bool { return c.permit(x, p, egress) })
	}
	return at(p.src, true) && at(p.dst, false)
}

func get(o any, path ...string) any {
	for _, k := range path {
		m, ok := o.(object)
		if !ok {
			return nil
		}
		o = m[k]
	}
	return o
}

func list(o any, path ...string) []any {
	l, _ := get(o, path...).([]any)
	return l
}

// hasLabels reports whether labels are all there.
func hasLabels(want any, labels map[string]string) bool {
	m, _ := want.(object)
	for k, v := range m {
		k = strings.TrimPrefix(k, "k8s:io.kubernetes.pod.")
		if k == "kubernetes.io/metadata.name" {
			k = "namespace"
		}
		if labels[k] != v {
			return false
		}
	}
	return true
}

func readKubernetes(t fataler, files []File) device {
	return &cluster{readObjects(t, files),
		func(x object, labels map[string]string) bool {
			return get(x, "metadata", "namespace") == labels["namespace"] && hasLabels(get(x, "spec", "podSelector", "matchLabels"), labels)
		},
		func(x object, p packet, egress bool) bool {
			key, peers, other := "ingress", "from", p.src
			if egress {
				key, peers, other = "egress", "to", p.dst
			}
			return slices.ContainsFunc(list(x, "spec", key), func(entry any) bool {
				return kubernetesPeer(list(entry, peers), other) && kubernetesPort(list(entry, "ports"), p)
			})
		}}
}

func kubernetesPeer(peers []any, a netip.Addr) bool {
	return len(peers) == 0 || slices.ContainsFunc(peers, func(peer any) bool {
		if cidr, ok := get(peer, "ipBlock", "cidr").(string); ok {
			return inPrefix(cidr, a)
		}
		labels, ok := testPods[a]
		return ok && hasLabels(get(peer, "namespaceSelector", "matchLabels"), labels) && hasLabels(get(peer, "podSelector", "matchLabels"), labels)
	})
}

var protocolNumbers = map[any]int{"TCP": 6, "UDP": 17, "SCTP": 132, "ICMP": 1, "ICMPv6": 58, "UDPLite": 136}

func kubernetesPort(ports []any, p packet) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(x any) bool {
		if protocolNumbers[get(x, "protocol")] != p.proto {
			return false
		}
		lo, ok := get(x, "port").(int)
		if text, is := get(x, "port").(string); is {
			_, _ = fmt.Sscan(text, &lo)
			ok = text != "0"
		}
		hi := lo
		if end, is := get(x, "endPort").(int); is {
			hi = end
		}
		return !ok || lo <= p.dport && p.dport <= hi
	})
}

func readCilium(t fataler, files []File) device {
	return &cluster{readObjects(t, files),
		func(x object, labels map[string]string) bool {
			return get(x, "metadata", "namespace") == labels["namespace"] && hasLabels(get(x, "spec", "endpointSelector", "matchLabels"), labels)
		},
		func(x object, p packet, egress bool) bool {
			key, word, other := "ingress", "from", p.src
			if egress {
				key, word, other = "egress", "to", p.dst
			}
			return slices.ContainsFunc(list(x, "spec", key), func(entry any) bool {
				labels, pod := testPods[other]
				peer := slices.ContainsFunc(list(entry, word+"Entities"), func(e any) bool { return e == "all" }) ||
					slices.ContainsFunc(list(entry, word+"Endpoints"), func(e any) bool { return pod && hasLabels(get(e, "matchLabels"), labels) }) ||
					slices.ContainsFunc(list(entry, word+"CIDR"), func(e any) bool { return !pod && inPrefix(e.(string), other) })
				if get(entry, "toPorts") == nil && get(entry, "icmps") == nil {
					return peer
				}
				port := slices.ContainsFunc(list(entry, "toPorts"), func(e any) bool { return kubernetesPort(list(e, "ports"), p) }) ||
					slices.ContainsFunc(list(entry, "icmps"), func(e any) bool {
						return slices.ContainsFunc(list(e, "fields"), func(f any) bool {
							return get(f, "type") == p.dport && p.proto == map[any]int{"IPv4": 1, "IPv6": 58}[get(f, "family")]
						})
					})
				return peer && port
			})
		}}
}

func calicoSelects(selector any, labels map[string]string) bool {
	for _, part := range strings.Split(selector.(string), " && ") {
		k, v, _ := strings.Cut(part, " == ")
		if labels[strings.TrimPrefix(k, "projectcalico.org/")] != strings.Trim(v, "'") {
			return false
		}
	}
	return true
}

func readCalico(t fataler, files []File) device {
	return &cluster{readObjects(t, files),
		func(x object, labels map[string]string) bool {
			return calicoSelects(get(x, "spec", "selector"), labels)
		},
		func(x object, p packet, egress bool) bool {
			key := "ingress"
			if egress {
				key = "egress"
			}
			for _, entry := range list(x, "spec", key) {
				if calicoMatches(entry, p) {
					return get(entry, "action") == "Allow"
				}
			}
			return false
		}}
}

func calicoMatches(entry any, p packet) bool {
	if v := get(entry, "ipVersion"); v != nil && (v == 6) != p.src.Is6() {
		return false
	}
	if proto := get(entry, "protocol"); proto != nil && proto != p.proto && protocolNumbers[proto] != p.proto {
		return false
	}
	if n := get(entry, "icmp", "type"); n != nil && n != p.dport {
		return false
	}
	for side, a := range map[string]netip.Addr{"source": p.src, "destination": p.dst} {
		if s := get(entry, side, "selector"); s != nil && (testPods[a] == nil || !calicoSelects(s, testPods[a])) {
			return false
		}
		if nets := list(entry, side, "nets"); nets != nil && !slices.ContainsFunc(nets, func(n any) bool { return inPrefix(n.(string), a) }) {
			return false
		}
	}
	ports := list(entry, "destination", "ports")
	return ports == nil || slices.ContainsFunc(ports, func(x any) bool { return portIn([]string{fmt.Sprint(x)}, ":", p.dport) })
}
