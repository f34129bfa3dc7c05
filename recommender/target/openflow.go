package target

import (
	"fmt"
	"math/bits"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// The priorities of flows. Those of rules go down from the highest, the first rule having it.
const (
	openFlowLink    = 65100 // Flows that resolve addresses.
	openFlowTrack   = 65000 // Packets that are not tracked yet.
	openFlowSession = 64000 // Packets of sessions, and packets that no rule is about.
	openFlowRule    = 63000
	openFlowDefault = 1
)

// openFlow writes the flows of Open vSwitch.
type openFlow struct {
	*writer
	out  strings.Builder
	next int // number of the next conjunction
}

// writeOpenFlow writes the flows of one table. Connections are tracked by the switch, so that rules are about what begins a
// session. A rule is a conjunction of its sources, destinations and services, so that these add up instead of multiplying.
// Addresses of the link layer are resolved as before: ARP and neighbour discovery pass.
func writeOpenFlow(w *writer) error {
	d := &w.documents[0]
	rules, err := w.sessionRules(d)
	if err != nil {
		return err
	}
	if len(rules) >= openFlowRule-openFlowDefault {
		return fmt.Errorf("there are %d rules, and OpenFlow has priorities for %d", len(rules), openFlowRule-openFlowDefault-1)
	}
	x := openFlow{writer: w, next: 1}
	for _, r := range remarks(d) {
		fmt.Fprintf(&x.out, "# %s\n", printable(r, 1000))
	}
	x.flow(openFlowLink, "arp", "NORMAL")
	for n := 133; n <= 137; n++ {
		x.flow(openFlowLink, fmt.Sprintf("icmp6,icmp_type=%d", n), "NORMAL")
	}
	for _, ip := range []string{"ip", "ipv6"} {
		x.flow(openFlowTrack, "ct_state=-trk,"+ip, "ct(table=0)")
		for _, state := range []string{"+trk+est", "+trk+rel-new"} {
			x.flow(openFlowSession, "ct_state="+state+","+ip, "NORMAL")
		}
		x.flow(openFlowSession, "ct_state=+trk+rel+new,"+ip, "ct(commit),NORMAL")
		x.flow(openFlowSession, "ct_state=+trk+inv,"+ip, "drop")
	}
	for i := range rules {
		r := &rules[i]
		fmt.Fprintf(&x.out, "# %s\n", printable(r.name, 1000))
		for _, ipv6 := range r.families() {
			if err := x.rule(r, openFlowRule-i, ipv6); err != nil {
				return err
			}
		}
	}
	for _, ipv6 := range []bool{false, true} {
		if d.Default.Of(ipv6) == policy.Allow {
			x.flow(openFlowDefault, "ct_state=+trk+new,"+openFlowIP(ipv6), "ct(commit),NORMAL")
		}
	}
	x.flow(0, "", "drop")
	w.file("", x.out.String())
	w.note("the flows are for table 0 of Open vSwitch, which tracks connections (ct): ovs-ofctl add-flows BRIDGE FILE")
	return nil
}

func openFlowIP(ipv6 bool) string {
	if ipv6 {
		return "ipv6"
	}
	return "ip"
}

// flow writes one flow.
func (x *openFlow) flow(priority int, match, actions string) {
	if match != "" {
		match += ","
	}
	fmt.Fprintf(&x.out, "table=0,priority=%d,%sactions=%s\n", priority, match, actions)
}

// rule writes the flows of a rule in one family. Those of one dimension are plain flows.
func (x *openFlow) rule(r *rule, priority int, ipv6 bool) error {
	action := "ct(commit),NORMAL"
	if r.deny {
		action = "drop"
	}
	base := "ct_state=+trk+new," + openFlowIP(ipv6)
	var dimensions [][]string
	for _, side := range []struct {
		e    *end
		v4   string
		ipv6 string
	}{{&r.src, "nw_src", "ipv6_src"}, {&r.dst, "nw_dst", "ipv6_dst"}} {
		set, every := side.e.of(ipv6)
		if every {
			continue
		}
		key := side.v4
		if ipv6 {
			key = side.ipv6
		}
		var list []string
		for _, p := range set.Prefixes() {
			list = append(list, base+","+key+"="+strings.TrimSuffix(strings.TrimSuffix(p.String(), "/32"), "/128"))
		}
		dimensions = append(dimensions, list)
	}
	if !r.services.any {
		var list []string
		for _, k := range r.services.kinds(ipv6) {
			more, err := x.kind(r, k, ipv6)
			if err != nil {
				return err
			}
			list = append(list, more...)
		}
		if len(list) == 0 {
			return nil // The target cannot say it: it was listed, and is left out.
		}
		dimensions = append(dimensions, list)
	}
	switch len(dimensions) {
	case 0:
		x.flow(priority, base, action)
		return nil
	case 1:
		for _, match := range dimensions[0] {
			x.flow(priority, match, action)
		}
		return nil
	}
	for i, list := range dimensions {
		for _, match := range list {
			x.flow(priority, match, fmt.Sprintf("conjunction(%d,%d/%d)", x.next, i+1, len(dimensions)))
		}
	}
	x.flow(priority, fmt.Sprintf("conj_id=%d,%s", x.next, base), action)
	x.next++
	return nil
}

// kind gives the matches of one kind of sessions. A range of ports is as many masks as make it up.
func (x *openFlow) kind(r *rule, k kind, ipv6 bool) (out []string, err error) {
	base := "ct_state=+trk+new,"
	suffix := ""
	if ipv6 {
		suffix = "6"
	}
	named := map[uint8]string{iana.TCP: "tcp", iana.UDP: "udp", iana.SCTP: "sctp"}[k.proto]
	switch {
	case iana.IsICMP(k.proto) && (k.proto == iana.ICMPv6) == ipv6:
		word := "icmp" + suffix
		if k.ports == nil {
			return []string{base + word}, nil
		}
		for _, s := range k.ports {
			for n := int(s.Lo); n <= int(s.Hi); n++ {
				out = append(out, fmt.Sprintf("%s%s,icmp_type=%d", base, word, n))
			}
		}
		return out, nil
	case named != "" && k.ports == nil:
		return []string{base + named + suffix}, nil
	case named != "":
		for _, s := range k.ports {
			for _, m := range portMasks(s) {
				out = append(out, fmt.Sprintf("%s%s%s,tp_dst=%s", base, named, suffix, m))
			}
		}
		return out, nil
	case k.ports != nil:
		return nil, x.gapOf(r, "OpenFlow matches no ports of %s", iana.ProtocolName(k.proto))
	}
	return []string{fmt.Sprintf("%s%s,nw_proto=%d", base, openFlowIP(ipv6), k.proto)}, nil
}

// portMasks gives a range as ports with masks, such as "80" and "0x1f40/0xffe0".
func portMasks(s policy.PortSpan) (out []string) {
	for lo, hi := uint32(s.Lo), uint32(s.Hi); lo <= hi; {
		size := uint32(1) << 16
		if lo > 0 {
			size = 1 << bits.TrailingZeros32(lo)
		}
		for lo+size-1 > hi {
			size /= 2
		}
		if size == 1 {
			out = append(out, fmt.Sprint(lo))
		} else {
			out = append(out, fmt.Sprintf("0x%x/0x%x", lo, (1<<16-size)&0xffff))
		}
		lo += size
	}
	return out
}
