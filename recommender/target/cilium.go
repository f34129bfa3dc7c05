package target

import (
	"fmt"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// maxCiliumPorts is how many ports an entry of toPorts may have.
const maxCiliumPorts = 40

// writeCilium writes a CiliumNetworkPolicy for each group with a selector. Pods are told by their identity and never by
// addresses, so that a prefix means what is outside of the cluster.
func writeCilium(w *writer) error {
	d := &w.documents[0]
	rules, err := w.allowRules(d)
	if err != nil {
		return err
	}
	guards, err := w.podGuards(d, rules, true)
	if err != nil {
		return err
	}
	names := newNames(w.target.Name, kubernetesNames)
	services := map[*rule][]object{}
	var objects []object
	for _, g := range guards {
		name, err := names.take("cordon-"+g.label, "group:"+g.label)
		if err != nil {
			return err
		}
		spec := object{"endpointSelector": podSelector(g.pods)}
		for _, side := range []struct {
			key, endpoints, cidrs, entities string
			list                            []access
		}{{"ingress", "fromEndpoints", "fromCIDR", "fromEntities", g.in}, {"egress", "toEndpoints", "toCIDR", "toEntities", g.out}} {
			entries := []object{{}} // it permits nothing, and denies what no other entry permits
			for _, a := range side.list {
				list, known := services[a.rule]
				if !known {
					if list, err = w.ciliumServices(a.rule); err != nil {
						return err
					}
					services[a.rule] = list
				}
				for _, s := range list {
					for key, peers := range ciliumPeers(a, side.endpoints, side.cidrs, side.entities) {
						entry := object{key: peers}
						for k, v := range s {
							entry[k] = v
						}
						entries = append(entries, entry)
					}
				}
			}
			if len(entries) > 1 {
				entries = entries[1:]
			}
			sortObjects(entries)
			spec[side.key] = entries
		}
		objects = append(objects, object{"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
			"metadata": object{"name": name, "namespace": g.pods.Namespace}, "spec": spec})
	}
	return w.yaml(d, objects)
}

// sortObjects orders entries by their text, since maps have no order.
func sortObjects(list []object) {
	slicesSortBy(list, func(o object) string { return fmt.Sprint(o) })
}

// ciliumPeers gives the peers of a rule by key, since an entry has one kind of them.
func ciliumPeers(a access, endpoints, cidrs, entities string) map[string]any {
	if a.any {
		return map[string]any{entities: []string{"all"}}
	}
	out := map[string]any{}
	var selectors []object
	for _, g := range a.guards {
		labels := object{"k8s:io.kubernetes.pod.namespace": g.pods.Namespace}
		for k, v := range g.pods.Labels {
			labels[k] = v
		}
		selectors = append(selectors, object{"matchLabels": labels})
	}
	if len(selectors) > 0 {
		out[endpoints] = selectors
	}
	if list := prefixTexts(a.addresses); len(list) > 0 {
		out[cidrs] = list
	}
	return out
}

// ciliumServices gives the services of a rule, as parts of entries: ports and types of ICMP cannot be in one.
func (w *writer) ciliumServices(r *rule) (out []object, err error) {
	s := &r.services
	if s.any {
		return []object{{}}, nil
	}
	var ports []object
	for _, proto := range s.withPorts() {
		name := strings.ToUpper(iana.ProtocolName(proto))
		if proto != iana.TCP && proto != iana.UDP && proto != iana.SCTP {
			if err := w.gapOf(r, "%s cannot say %s", w.target.Name, iana.ProtocolName(proto)); err != nil {
				return nil, err
			}
			continue
		}
		for _, x := range s.ports[proto] {
			entry := object{"protocol": name, "port": fmt.Sprint(x.Lo)}
			switch {
			case x == everyPort: // port 0 stands for every one
			case x.Lo == 0:
				if err := w.gapOf(r, "%s has no port 0", w.target.Name); err != nil {
					return nil, err
				}
				if x.Hi == 0 {
					continue
				}
				entry["port"] = "1"
				fallthrough
			default:
				if x.Hi > max(x.Lo, 1) {
					entry["endPort"] = int(x.Hi)
				}
			}
			ports = append(ports, entry)
		}
	}
	for len(ports) > 0 {
		n := min(len(ports), maxCiliumPorts)
		out = append(out, object{"toPorts": []object{{"ports": ports[:n]}}})
		ports = ports[n:]
	}
	var fields []object
	for i, family := range []string{"IPv4", "IPv6"} {
		for _, x := range s.types[i] {
			for n := int(x.Lo); n <= int(x.Hi); n++ {
				fields = append(fields, object{"family": family, "type": n})
			}
		}
	}
	for len(fields) > 0 {
		n := min(len(fields), maxCiliumPorts)
		out = append(out, object{"icmps": []object{{"fields": fields[:n]}}})
		fields = fields[n:]
	}
	return out, w.unsaid(r, [2][]policy.PortSpan{}, s.protocols)
}
