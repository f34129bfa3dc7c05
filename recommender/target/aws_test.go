package target

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// awsMembers are the hosts of the cells that have a security group.
var awsMembers = map[string][]string{"cordon-web": {"10.0.0.1", "2001:db8:1::1"}, "cordon-db": {"10.0.0.2"}, "cordon-outside": {"10.0.1.1", "192.0.2.1", "2001:db8:2::9"}}

// awsCloud is what Terraform would make of it.
type awsCloud struct{ root object }

func readAWS(t fataler, files []File) device {
	return &awsCloud{readJSON(t, files)}
}

// at gives the security group of an address that is there; empty for none.
func (c *awsCloud) at(a netip.Addr) string {
	for name, members := range awsMembers {
		if slices.Contains(members, a.String()) && get(c.root, "resource", "aws_security_group", name) != nil {
			return name
		}
	}
	return ""
}

func (c *awsCloud) sees(client, server netip.Addr) bool {
	return c.at(client)+c.at(server) != ""
}

func (c *awsCloud) permits(p packet) bool {
	return c.passes(c.at(p.src), "egress", p.dst, p) && c.passes(c.at(p.dst), "ingress", p.src, p)
}

func (c *awsCloud) passes(group, direction string, peer netip.Addr, p packet) bool {
	if group == "" {
		return true
	}
	rules, _ := get(c.root, "resource", "aws_vpc_security_group_"+direction+"_rule").(object)
	for _, r := range rules {
		if get(r, "security_group_id") == "${aws_security_group."+group+".id}" && c.holds(r, peer) && awsService(r, p) {
			return true
		}
	}
	return false
}

func (c *awsCloud) holds(r any, peer netip.Addr) bool {
	for _, version := range []string{"ipv4", "ipv6"} {
		if cidr, ok := get(r, "cidr_"+version).(string); ok {
			return inPrefix(cidr, peer)
		}
	}
	name := strings.TrimSuffix(strings.TrimPrefix(get(r, "prefix_list_id").(string), "${aws_ec2_managed_prefix_list."), ".id}")
	return slices.ContainsFunc(list(c.root, "resource", "aws_ec2_managed_prefix_list", name, "entry"), func(e any) bool {
		return inPrefix(get(e, "cidr").(string), peer)
	})
}

func awsService(r any, p packet) bool {
	proto := map[any]int{"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "132": 132, "47": 47, "89": 89}
	word := get(r, "ip_protocol")
	if word == "-1" {
		return true
	}
	if proto[word] != p.proto {
		return false
	}
	from, ports := get(r, "from_port").(float64)
	to, _ := get(r, "to_port").(float64)
	switch {
	case !ports:
		return true
	case word == "icmp" || word == "icmpv6":
		return from == -1 || int(from) == p.dport
	}
	return int(from) <= p.dport && p.dport <= int(to)
}

// A name that would begin a template of Terraform is text.
func TestAWSText(t *testing.T) {
	if got := awsText("${file(\"x\")} %{if} Ü" + strings.Repeat("a", 400)); strings.ContainsAny(got, "$%{\"") || len(got) != 255 {
		t.Errorf("%q", got)
	}
}
