package target

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// maxAWSText is how long names and descriptions of Amazon's security groups may be.
const maxAWSText = 255

// awsNames are those of resources of Terraform.
var awsNames = alphabet{also: "-_", most: maxAWSText, letter: true}

// aws writes security groups as JSON of Terraform.
type aws struct {
	*writer
	resources map[string]object // Keyed by type.
	names     *names
	lists     map[string]string // prefixes -> name of a prefix list
	most      int               // entries of the group that has the most, in one direction and family
	largest   string
}

// writeAWS writes a security group for each group that the rules name, with both directions: a session passes where the
// group of its client lets it out and that of its server lets it in. Peers are addresses, so that it does not matter
// which of them are in Amazon's cloud.
func writeAWS(w *writer) error {
	d := &w.documents[0]
	rules, err := w.allowRules(d)
	if err != nil {
		return err
	}
	labels := map[string]*categories.Pods{}
	for i := range rules {
		for _, e := range slices.Concat(rules[i].src.literals, rules[i].dst.literals) {
			if e.IsGroup() && e.Group != categories.InternetGroup {
				labels[e.Group] = nil
			}
		}
	}
	guards, err := w.guards(d, rules, labels, false)
	if err != nil {
		return err
	}
	if len(guards) == 0 {
		return fmt.Errorf("no rule names a group, and security groups are for groups")
	}
	x := &aws{writer: w, resources: map[string]object{}, names: newNames(w.target.Name, awsNames), lists: map[string]string{}}
	for _, g := range guards {
		if err := x.group(d, g); err != nil {
			return err
		}
	}
	root := object{"//": strings.Join(remarks(d), " "), "variable": object{"vpc_id": object{"type": "string", "description": "The VPC of the security groups."}}, "resource": x.resources}
	if err := w.json(root); err != nil {
		return err
	}
	w.note("attach each security group to the members of its group yourself")
	if x.most > 0 {
		w.note("%s has the most entries in one direction and family: %d, those of prefix lists counted; compare that with the quota of the account", x.largest, x.most)
	}
	return nil
}

// add adds a resource.
func (x *aws) add(kind, name string, o object) {
	if x.resources[kind] == nil {
		x.resources[kind] = object{}
	}
	x.resources[kind][name] = o
}

// group writes one security group with its rules.
func (x *aws) group(d *Document, g *guard) error {
	name, err := x.names.take("cordon-"+g.label, "group:"+g.label)
	if err != nil {
		return err
	}
	x.add("aws_security_group", name, object{"name": name, "description": awsText("Members of group " + g.label + ", by " + strings.Join(remarks(d), " ")), "vpc_id": "${var.vpc_id}"})
	for _, side := range []struct {
		kind, word string
		list       []access
	}{{"aws_vpc_security_group_ingress_rule", "in", g.in}, {"aws_vpc_security_group_egress_rule", "out", g.out}} {
		var entries [2]int
		for _, a := range side.list {
			if a.rule.services.empty() {
				continue
			}
			peers := a.addresses
			for _, o := range a.guards {
				peers = policy.Union(peers, o.addresses)
			}
			for _, ipv6 := range []bool{false, true} {
				if a.any {
					peers = policy.NewAddressSet([]netip.Prefix{policy.FamilyOf(false)[0].Prefix, policy.FamilyOf(true)[0].Prefix})
				}
				n, err := x.rules(name, side.kind, side.word, a.rule, peers.Of(ipv6), ipv6)
				if err != nil {
					return err
				}
				entries[family(ipv6)] += n
			}
		}
		for _, n := range entries {
			if n > x.most {
				x.most, x.largest = n, name
			}
		}
	}
	return nil
}

// rules writes the rules of one rule of the policy at one group in one family, and counts their entries.
func (x *aws) rules(group, kind, word string, r *rule, peers policy.AddressSet, ipv6 bool) (entries int, err error) {
	if len(peers) == 0 || !slices.Contains(r.families(), ipv6) {
		return 0, nil
	}
	prefixes := prefixTexts(peers)
	peer := object{"cidr_" + familyName(ipv6): prefixes[0]}
	services, err := x.services(r, ipv6)
	if err != nil || len(services) == 0 {
		return 0, err
	}
	if len(prefixes) > 1 {
		list, err := x.list(r, word, prefixes, ipv6)
		if err != nil {
			return 0, err
		}
		peer = object{"prefix_list_id": "${aws_ec2_managed_prefix_list." + list + ".id}"}
	}
	for i, s := range services {
		wish := group + "-" + word + "-" + r.name
		if len(services) > 1 {
			wish += fmt.Sprintf("-%d", i+1)
		}
		if ipv6 {
			wish += "-v6"
		}
		name, err := x.names.take(wish, fmt.Sprintf("rule %q at %s", r.name, group))
		if err != nil {
			return 0, err
		}
		o := object{"security_group_id": "${aws_security_group." + group + ".id}", "description": awsText(r.name)}
		for _, part := range []object{peer, s} {
			for k, v := range part {
				o[k] = v
			}
		}
		x.add(kind, name, o)
	}
	return len(services) * len(prefixes), nil
}

// list gives the name of the prefix list of addresses.
func (x *aws) list(r *rule, word string, prefixes []string, ipv6 bool) (string, error) {
	key := strings.Join(prefixes, " ")
	if name, ok := x.lists[key]; ok {
		return name, nil
	}
	wish := map[string]string{"in": r.src.wish, "out": r.dst.wish}[word]
	if ipv6 {
		wish += "-v6"
	}
	name, err := x.names.take("list-"+wish, fmt.Sprintf("the addresses of %q", wish))
	if err != nil {
		return "", err
	}
	x.lists[key] = name
	var entries []object
	for _, p := range prefixes {
		entries = append(entries, object{"cidr": p})
	}
	x.add("aws_ec2_managed_prefix_list", name, object{"name": name, "address_family": map[bool]string{false: "IPv4", true: "IPv6"}[ipv6], "max_entries": len(entries), "entry": entries})
	return name, nil
}

// services gives the services of a rule: TCP and UDP with ports, ICMP with a type in from_port and any code, and
// other protocols by number, of which Amazon knows no ports.
func (x *aws) services(r *rule, ipv6 bool) (out []object, err error) {
	for _, k := range r.services.kinds(ipv6) {
		switch {
		case k.any:
			out = append(out, object{"ip_protocol": "-1"})
		case k.proto == 0:
			if err := x.gapOf(r, "aws has no protocol 0"); err != nil {
				return nil, err
			}
		case iana.IsICMP(k.proto):
			word := map[bool]string{false: "icmp", true: "icmpv6"}[k.proto == iana.ICMPv6]
			if k.ports == nil {
				out = append(out, object{"ip_protocol": word, "from_port": -1, "to_port": -1})
			}
			for _, s := range k.ports {
				for n := int(s.Lo); n <= int(s.Hi); n++ {
					out = append(out, object{"ip_protocol": word, "from_port": n, "to_port": -1})
				}
			}
		case k.proto == iana.TCP || k.proto == iana.UDP:
			ports := k.ports
			if ports == nil {
				ports = []policy.PortSpan{everyPort}
			}
			for _, s := range ports {
				out = append(out, object{"ip_protocol": iana.ProtocolName(k.proto), "from_port": int(s.Lo), "to_port": int(s.Hi)})
			}
		case k.ports != nil:
			if err := x.gapOf(r, "aws has no ports of %s", iana.ProtocolName(k.proto)); err != nil {
				return nil, err
			}
		default:
			out = append(out, object{"ip_protocol": fmt.Sprint(k.proto)})
		}
	}
	return out, nil
}

// awsText keeps what Amazon takes in descriptions. The signs that begin a template of Terraform are not among it.
func awsText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" ._-:/()#,@[]+=&;!*", r) {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), maxAWSText)]
}
