package target

import (
	"encoding/json"
	"fmt"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// openConfigTypes are the identities of openconfig-icmpv4-types and openconfig-icmpv6-types; what the models have no word
// for cannot be said.
var openConfigTypes = [2]map[int]string{
	{0: "ECHO_REPLY", 3: "DST_UNREACHABLE", 5: "REDIRECT", 8: "ECHO", 9: "ROUTER_ADVERTISEMENT", 10: "ROUTER_SOLICITATION", 11: "TIME_EXCEEDED",
		12: "PARAM_PROBLEM", 13: "TIMESTAMP", 14: "TIMESTAMP_REPLY", 30: "TRACEROUTE", 40: "PHOTURIS", 42: "EXT_ECHO_REQUEST", 43: "EXT_ECHO_REPLY"},
	{1: "DESTINATION_UNREACHABLE", 2: "PACKET_TOO_BIG", 3: "TIME_EXCEEDED", 4: "PARAMETER_PROBLEM", 128: "ECHO_REQUEST", 129: "ECHO_REPLY",
		130: "MULTICAST_LISTENER_QUERY", 131: "MULTICAST_LISTENER_REPORT", 132: "MULTICAST_LISTENER_DONE", 133: "ROUTER_SOLICITATION",
		134: "ROUTER_ADVERTISEMENT", 135: "NEIGHBOR_SOLICITATION", 136: "NEIGHBOR_ADVERTISEMENT", 137: "REDIRECT"},
}

// openConfigProtocols are identities of openconfig-packet-match-types; other protocols are numbers.
var openConfigProtocols = map[uint8]string{iana.TCP: "IP_TCP", iana.UDP: "IP_UDP", iana.ICMP: "IP_ICMP", 2: "IP_IGMP", 47: "IP_GRE", 51: "IP_AUTH", 103: "IP_PIM", 115: "IP_L2TP"}

// openConfig writes access lists as OpenConfig has them.
type openConfig struct {
	*writer
	sets *sets
}

// writeOpenConfig writes an ACL set for each VRF and family, as JSON of YANG (RFC 7951) for openconfig-acl. Addresses of
// more than one prefix are prefix sets of openconfig-defined-sets.
func writeOpenConfig(w *writer) error {
	c := &openConfig{w, newSets(newNames("openconfig", alphabet{also: "-_.", most: 200}), [2]string{"", ""}, [2]string{"", "-v6"})}
	lists := newNames("openconfig", alphabet{also: "-_.", most: 200})
	acls := []object{}
	open := 0
	for i := range w.documents {
		d := &w.documents[i]
		rules, err := w.packetRules(d)
		if err != nil {
			return err
		}
		open += openPorts(rules)
		wish := d.Name
		if wish == "" {
			wish = "cordon-" + vrfName(d)
		}
		for _, ipv6 := range []bool{false, true} {
			name, err := lists.take(wish+map[bool]string{true: "-v6"}[ipv6], "the policy of VRF "+vrfName(d))
			if err != nil {
				return err
			}
			entries, err := c.entries(d, rules, ipv6)
			if err != nil {
				return err
			}
			kind := "openconfig-acl:ACL_" + strings.ToUpper(familyName(ipv6))
			acls = append(acls, object{"name": name, "type": kind, "config": object{"name": name, "type": kind, "description": strings.Join(remarks(d), " ")},
				"acl-entries": object{"acl-entry": entries}})
		}
	}
	root := object{"openconfig-acl:acl": object{"acl-sets": object{"acl-set": acls}}}
	defined := object{}
	for _, s := range c.sets.list {
		key := familyName(s.ipv6) + "-prefix-set"
		of, ok := defined[key+"s"].(object)
		if !ok {
			of = object{key: []object{}}
			defined[key+"s"] = of
		}
		of[key] = append(of[key].([]object), object{"name": s.name, "config": object{"name": s.name, "prefix": prefixTexts(s.addresses)}})
	}
	if len(defined) > 0 {
		root["openconfig-defined-sets:defined-sets"] = defined
	}
	if err := w.json(root); err != nil {
		return err
	}
	w.noteOpen(open)
	w.note("the lists are for packets in one direction, such as those that come in: bind them to interfaces yourself")
	return nil
}

// json writes a document of one file.
func (w *writer) json(o any) error {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(o); err != nil {
		return err
	}
	w.file("", out.String())
	return nil
}

// entries gives the entries of a list, with the end of the policy as the last one.
func (c *openConfig) entries(d *Document, rules []packetRule, ipv6 bool) (out []object, err error) {
	add := func(about string, deny bool, match object) {
		number := 10 * (len(out) + 1)
		action := "openconfig-acl:ACCEPT"
		if deny {
			action = "openconfig-acl:DROP"
		}
		entry := object{"sequence-id": number, "config": object{"sequence-id": number, "description": about}, "actions": object{"config": object{"forwarding-action": action}}}
		for k, v := range match {
			entry[k] = v
		}
		out = append(out, entry)
	}
	for i := range rules {
		r := &rules[i]
		if r.ipv6 != ipv6 {
			continue
		}
		for _, k := range r.kinds {
			matches, err := c.kind(r, k)
			if err != nil {
				return nil, err
			}
			for _, m := range matches {
				add(r.name, r.deny, m)
			}
		}
	}
	add("default", d.Default.Of(ipv6) != policy.Allow, nil)
	return out, nil
}

// addresses gives what matches both ends of a rule.
func (c *openConfig) addresses(r *packetRule) (object, error) {
	out := object{}
	for _, side := range []struct {
		key string
		e   *end
	}{{"source-address", &r.src}, {"destination-address", &r.dst}} {
		set, every := side.e.of(r.ipv6)
		if every {
			continue
		}
		if prefixes := set.Prefixes(); len(prefixes) == 1 {
			out[side.key] = prefixes[0].String()
			continue
		}
		name, err := c.sets.name(side.e, r.ipv6)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.name, err)
		}
		out[side.key+"-prefix-set"] = name
	}
	return out, nil
}

// kind gives the matches for one kind of packets: one for each pair of ranges of ports, and for each type.
func (c *openConfig) kind(r *packetRule, k kind) (out []object, err error) {
	ip, err := c.addresses(r)
	if err != nil {
		return nil, err
	}
	header := object{"config": ip}
	transport, ok, err := c.transport(r, k)
	if err != nil || !ok {
		return nil, err
	}
	switch {
	case k.any:
	case k.proto == 255:
		return nil, c.gapOfPackets(r, "protocols of OpenConfig end at 254")
	case openConfigProtocols[k.proto] != "" && (k.proto != iana.ICMP || !r.ipv6):
		ip["protocol"] = "openconfig-packet-match-types:" + openConfigProtocols[k.proto]
	default:
		ip["protocol"] = int(k.proto)
	}
	add := func(header, transport object) {
		match := object{familyName(r.ipv6): header}
		if len(header["config"].(object)) == 0 {
			delete(match, familyName(r.ipv6))
		}
		if len(transport) > 0 {
			match["transport"] = object{"config": transport}
		}
		out = append(out, match)
	}
	if iana.IsICMP(k.proto) && !k.any && k.ports != nil {
		types, err := c.types(r, k)
		for _, t := range types {
			add(object{"config": ip, "icmpv" + familyName(r.ipv6)[3:]: object{"config": object{"type": t}}}, transport)
		}
		return out, err
	}
	for _, from := range openConfigPorts(k.source) {
		for _, to := range openConfigPorts(k.ports) {
			x := object{}
			for key, v := range transport {
				x[key] = v
			}
			if from != nil {
				x["source-port"] = from
			}
			if to != nil {
				x["destination-port"] = to
			}
			add(header, x)
		}
	}
	return out, nil
}

// transport gives conditions of fragments and flags, and reports whether they can be said.
func (c *openConfig) transport(r *packetRule, k kind) (object, bool, error) {
	builtin := func(word string) object { return object{"detail-mode": "BUILTIN", "builtin-detail": word} }
	switch {
	case (len(k.source) > 0 || len(k.ports) > 0) && iana.HasPorts(k.proto) && k.proto != iana.TCP && k.proto != iana.UDP && k.proto != iana.SCTP:
		return nil, false, c.gapOfPackets(r, "openconfig matches no ports of %s", iana.ProtocolName(k.proto))
	case k.fragments != "" && (k.flags != "" || k.fragments != "all"):
		return nil, false, c.gapOfPackets(r, "openconfig matches neither offsets of fragments in all families nor flags of them")
	case k.fragments != "":
		return builtin("FRAGMENT"), true, nil
	case k.flags == policy.Established:
		return builtin("TCP_ESTABLISHED"), true, nil
	case k.flags == policy.Initial:
		return builtin("TCP_INITIAL"), true, nil
	case k.flags == policy.Reset:
		return object{"detail-mode": "EXPLICIT", "explicit-detail-match-mode": "ANY", "explicit-tcp-flags": []string{"openconfig-packet-match-types:TCP_RST"}}, true, nil
	}
	return nil, true, nil
}

// types gives the identities of types of ICMP.
func (c *openConfig) types(r *packetRule, k kind) (out []string, err error) {
	for _, s := range k.ports {
		for n := int(s.Lo); n <= int(s.Hi); n++ {
			word, known := openConfigTypes[family(r.ipv6)][n]
			if !known {
				if err := c.gapOfPackets(r, "openconfig has no word for %s/%d", iana.ProtocolName(k.proto), n); err != nil {
					return nil, err
				}
				continue
			}
			out = append(out, fmt.Sprintf("openconfig-icmpv%s-types:%s", familyName(r.ipv6)[3:], word))
		}
	}
	return out, nil
}

// openConfigPorts gives each port as a number and each range as text; nil for every port.
func openConfigPorts(list []policy.PortSpan) []any {
	if len(list) == 0 {
		return []any{nil}
	}
	var out []any
	for _, s := range list {
		if s.Lo == s.Hi {
			out = append(out, int(s.Lo))
		} else {
			out = append(out, fmt.Sprintf("%d..%d", s.Lo, s.Hi))
		}
	}
	return out
}
