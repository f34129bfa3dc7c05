package target

import (
	"errors"
	"fmt"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"

	"go.yaml.in/yaml/v3"
)

// object is a map that is written as YAML, its keys in order.
type object = map[string]any

var errNoPods = errors.New("no group of the rules has a selector: write selector: {namespace: NAME, labels: {KEY: VALUE}} beside its prefixes in the groups file, and give that with --groups")

// kubernetesNames are those of objects of Kubernetes.
var kubernetesNames = alphabet{also: "-", lower: true, most: 253, trim: true}

// writeKubernetes writes a NetworkPolicy for each group with a selector. It has both directions, so that
// what no rule permits is denied at the pods of the group.
func writeKubernetes(w *writer) error {
	d := &w.documents[0]
	rules, err := w.allowRules(d)
	if err != nil {
		return err
	}
	guards, err := w.podGuards(d, rules, false)
	if err != nil {
		return err
	}
	names := newNames(w.target.Name, kubernetesNames)
	ports := map[*rule][]object{}
	var objects []object
	for _, g := range guards {
		name, err := names.take("cordon-"+g.label, "group:"+g.label)
		if err != nil {
			return err
		}
		spec := object{"podSelector": podSelector(g.pods), "policyTypes": []string{"Ingress", "Egress"}}
		for _, side := range []struct {
			key, peers string
			list       []access
		}{{"ingress", "from", g.in}, {"egress", "to", g.out}} {
			var entries []object
			for _, a := range side.list {
				list, known := ports[a.rule]
				if !known {
					if list, err = w.kubernetesPorts(a.rule); err != nil {
						return err
					}
					ports[a.rule] = list
				}
				entry := object{}
				if peers := kubernetesPeers(a); len(peers) > 0 {
					entry[side.peers] = peers
				}
				if a.rule.services.empty() || !a.rule.services.any && len(list) == 0 || !a.any && entry[side.peers] == nil {
					continue // An empty list of ports or peers would mean all of them.
				}
				if len(list) > 0 {
					entry["ports"] = list
				}
				entries = append(entries, entry)
			}
			if len(entries) > 0 {
				spec[side.key] = entries
			}
		}
		objects = append(objects, object{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
			"metadata": object{"name": name, "namespace": g.pods.Namespace}, "spec": spec})
	}
	return w.yaml(d, objects)
}

// yaml writes objects as documents of one file.
func (w *writer) yaml(d *Document, objects []object) error {
	var out strings.Builder
	for _, r := range remarks(d) {
		fmt.Fprintf(&out, "# %s\n", printable(r, 1000))
	}
	for _, o := range objects {
		out.WriteString("---\n")
		e := yaml.NewEncoder(&out)
		e.SetIndent(2)
		if err := e.Encode(o); err != nil {
			return err
		}
		if err := e.Close(); err != nil {
			return err
		}
	}
	w.file("", out.String())
	return nil
}

func podSelector(p *categories.Pods) object {
	if len(p.Labels) == 0 {
		return object{}
	}
	return object{"matchLabels": p.Labels}
}

// kubernetesPeers lists the peers of a rule; none stand for every peer.
func kubernetesPeers(a access) (out []object) {
	if a.any {
		return nil
	}
	for _, g := range a.guards {
		out = append(out, object{"namespaceSelector": object{"matchLabels": object{"kubernetes.io/metadata.name": g.pods.Namespace}},
			"podSelector": podSelector(g.pods)})
	}
	for _, p := range prefixTexts(a.addresses) {
		out = append(out, object{"ipBlock": object{"cidr": p}})
	}
	return out
}

// kubernetesPorts lists the ports of a rule. What has no ports there is a gap.
func (w *writer) kubernetesPorts(r *rule) (out []object, err error) {
	s := &r.services
	for _, proto := range s.withPorts() {
		name := strings.ToUpper(iana.ProtocolName(proto))
		if proto != iana.TCP && proto != iana.UDP && proto != iana.SCTP {
			if err := w.gapOf(r, "%s cannot say %s", w.target.Name, iana.ProtocolName(proto)); err != nil {
				return nil, err
			}
			continue
		}
		for _, x := range s.ports[proto] {
			if x == everyPort {
				out = append(out, object{"protocol": name})
				continue
			}
			if x.Lo == 0 {
				if err := w.gapOf(r, "%s has no port 0", w.target.Name); err != nil {
					return nil, err
				}
				if x.Lo = 1; x.Hi == 0 {
					continue
				}
			}
			entry := object{"protocol": name, "port": int(x.Lo)}
			if x.Hi > x.Lo {
				entry["endPort"] = int(x.Hi)
			}
			out = append(out, entry)
		}
	}
	return out, w.unsaid(r, s.types, s.protocols)
}

// unsaid lists types of ICMP and protocols that a target cannot say.
func (w *writer) unsaid(r *rule, types [2][]policy.PortSpan, protocols []uint8) error {
	for i, proto := range []uint8{iana.ICMP, iana.ICMPv6} {
		if len(types[i]) > 0 {
			if err := w.gapOf(r, "%s cannot say %s/%s", w.target.Name, iana.ProtocolName(proto), spans(types[i], ",")); err != nil {
				return err
			}
		}
	}
	for _, proto := range protocols {
		if err := w.gapOf(r, "%s cannot say %s", w.target.Name, iana.ProtocolName(proto)); err != nil {
			return err
		}
	}
	return nil
}
