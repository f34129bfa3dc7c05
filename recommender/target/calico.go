package target

import (
	"fmt"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// writeCalico writes a policy of Calico for each group with a selector, and with Options.Staged one that decides
// nothing yet. Its rules are in the order of the policy, and what none matches is denied.
func writeCalico(w *writer) error {
	d := &w.documents[0]
	rules, err := w.sessionRules(d)
	if err != nil {
		return err
	}
	guards, err := w.podGuards(d, rules, false)
	if err != nil {
		return err
	}
	kindOf := "GlobalNetworkPolicy"
	if w.options.Staged {
		kindOf = "StagedGlobalNetworkPolicy"
	}
	names := newNames(w.target.Name, kubernetesNames)
	services := map[*rule][]object{}
	var objects []object
	for _, g := range guards {
		name, err := names.take("cordon-"+g.label, "group:"+g.label)
		if err != nil {
			return err
		}
		spec := object{"selector": calicoSelector(g.pods), "types": []string{"Ingress", "Egress"}}
		for _, side := range []struct {
			key, peer string
			list      []access
		}{{"ingress", "source", g.in}, {"egress", "destination", g.out}} {
			var entries []object
			for _, a := range side.list {
				list, known := services[a.rule]
				if !known {
					if list, err = w.calicoServices(a.rule); err != nil {
						return err
					}
					services[a.rule] = list
				}
				for _, s := range list {
					entries = append(entries, calicoEntries(a, s, side.peer)...)
				}
			}
			for _, ipv6 := range []bool{false, true} {
				if d.Default.Of(ipv6) == policy.Allow {
					entries = append(entries, object{"action": "Allow", "ipVersion": map[bool]int{false: 4, true: 6}[ipv6]})
				}
			}
			if len(entries) > 0 {
				spec[side.key] = entries
			}
		}
		objects = append(objects, object{"apiVersion": "projectcalico.org/v3", "kind": kindOf, "metadata": object{"name": name}, "spec": spec})
	}
	return w.yaml(d, objects)
}

func calicoSelector(p *categories.Pods) string {
	parts := []string{fmt.Sprintf("projectcalico.org/namespace == '%s'", p.Namespace)}
	for _, k := range sortedKeys(p.Labels) {
		parts = append(parts, fmt.Sprintf("%s == '%s'", k, p.Labels[k]))
	}
	return strings.Join(parts, " && ")
}

// calicoEntries gives the rules for one kind of sessions: with one for pods and one for other addresses of each family.
func calicoEntries(a access, service object, peer string) (out []object) {
	action := "Allow"
	if a.rule.deny {
		action = "Deny"
	}
	add := func(who object, ipVersion int) {
		if v, given := service["ipVersion"]; given && ipVersion != 0 && v != ipVersion {
			return
		}
		entry := object{"action": action}
		for k, v := range service {
			entry[k] = v
		}
		if ipVersion != 0 {
			entry["ipVersion"] = ipVersion
		}
		destination := object{}
		if ports, ok := service["destination"]; ok {
			for k, v := range ports.(object) {
				destination[k] = v
			}
		}
		if len(who) > 0 && peer == "destination" {
			for k, v := range who {
				destination[k] = v
			}
		} else if len(who) > 0 {
			entry[peer] = who
		}
		if len(destination) > 0 {
			entry["destination"] = destination
		}
		out = append(out, entry)
	}
	if a.any {
		add(object{}, 0)
		return out
	}
	for _, g := range a.guards {
		add(object{"selector": calicoSelector(g.pods)}, 0)
	}
	for _, ipv6 := range []bool{false, true} {
		if list := prefixTexts(a.addresses.Of(ipv6)); len(list) > 0 {
			add(object{"nets": list}, map[bool]int{false: 4, true: 6}[ipv6])
		}
	}
	return out
}

// calicoServices gives the services of a rule, as parts of entries.
func (w *writer) calicoServices(r *rule) (out []object, err error) {
	s := &r.services
	if s.any {
		return []object{{}}, nil
	}
	for _, proto := range s.withPorts() {
		name := map[uint8]any{iana.TCP: "TCP", iana.UDP: "UDP", iana.SCTP: "SCTP", iana.UDPLite: "UDPLite"}[proto]
		every := s.ports[proto][0] == everyPort
		switch {
		case name == nil && every:
			out = append(out, object{"protocol": int(proto)})
		case name == nil || name == "UDPLite" && !every:
			if err := w.gapOf(r, "%s has no ports of %s", w.target.Name, iana.ProtocolName(proto)); err != nil {
				return nil, err
			}
		case every:
			out = append(out, object{"protocol": name})
		default:
			var ports []any
			for _, x := range s.ports[proto] {
				if x.Lo == x.Hi {
					ports = append(ports, int(x.Lo))
				} else {
					ports = append(ports, fmt.Sprintf("%d:%d", x.Lo, x.Hi))
				}
			}
			out = append(out, object{"protocol": name, "destination": object{"ports": ports}})
		}
	}
	for i, name := range []string{"ICMP", "ICMPv6"} {
		version := []int{4, 6}[i]
		for _, x := range s.types[i] {
			if x == everyType {
				out = append(out, object{"protocol": name, "ipVersion": version})
				continue
			}
			for n := int(x.Lo); n <= int(x.Hi); n++ {
				if n == 255 {
					if err := w.gapOf(r, "%s has no type 255 of ICMP", w.target.Name); err != nil {
						return nil, err
					}
					continue
				}
				out = append(out, object{"protocol": name, "ipVersion": version, "icmp": object{"type": n}})
			}
		}
	}
	for _, proto := range s.protocols {
		if proto == 0 {
			if err := w.gapOf(r, "%s has no protocol 0", w.target.Name); err != nil {
				return nil, err
			}
			continue
		}
		out = append(out, object{"protocol": int(proto)})
	}
	return out, nil
}
