package sources

import (
	"maps"
	"net/netip"
	"slices"
)

// ansible reads an inventory: groups with hosts and children, and the variables of hosts.
func (s *Snapshot) ansible(groups, meta map[string]any) {
	hostvars, _ := meta["hostvars"].(map[string]any)
	in := map[string]map[string]bool{} // groups of each host
	var walk func(group string, above []string)
	walk = func(group string, above []string) {
		if slices.Contains(above, group) {
			return // a circle
		}
		g, _ := groups[group].(map[string]any)
		above = append(slices.Clone(above), group)
		for _, h := range list(g["hosts"]) {
			if in[h] == nil {
				in[h] = map[string]bool{}
			}
			for _, name := range above {
				in[h][name] = true
			}
		}
		for _, c := range list(g["children"]) {
			walk(c, above)
		}
	}
	for name := range groups {
		if name != "_meta" {
			walk(name, nil)
		}
	}
	for h := range hostvars {
		if in[h] == nil {
			in[h] = map[string]bool{}
		}
	}
	for _, h := range slices.Sorted(maps.Keys(in)) {
		labels := map[string][]string{}
		if vars, ok := hostvars[h].(map[string]any); ok {
			flatten("", vars, labels)
		}
		delete(in[h], "all")
		delete(in[h], "ungrouped")
		labels["group"] = slices.Sorted(maps.Keys(in[h]))
		labels["inventory_hostname"] = []string{h}
		address := h
		if v := labels["ansible_host"]; len(v) > 0 {
			address = v[0]
		}
		if _, err := netip.ParseAddr(address); err != nil {
			s.problem(h, "ansible_host %q is not an address", address)
			continue
		}
		s.add(h, []string{address}, labels)
	}
}

func list(v any) (out []string) {
	items, _ := v.([]any)
	for _, x := range items {
		if t := text(x); t != "" {
			out = append(out, t)
		}
	}
	return out
}

// objectsOf gives the objects of a list.
func objectsOf(v any) (out []map[string]any) {
	items, _ := v.([]any)
	for _, x := range items {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// among gives a field of each object of a list.
func among(v any, name string) (out []string) {
	for _, m := range objectsOf(v) {
		if t := text(m[name]); t != "" {
			out = append(out, t)
		}
	}
	return out
}
