package eos

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"

	"pgregory.net/rapid"
)

// packet is what a device sees.
type packet struct {
	src, dst     netip.Addr
	proto        int
	sport, dport int // An ICMP type stands in dport.
	ack          bool
}

// device interprets the text of a section as a switch would, line by line, with nothing of the code that
// reads or writes it.
type device struct {
	sets    map[string][]string // "ipv4 NAME" -> prefixes, "service NAME" -> lines
	matches [][]string          // the lines of each, the first with its name and family
}

func newDevice(text string) *device {
	d := &device{sets: map[string][]string{}}
	set, in := "", false
	for _, l := range strings.Split(text, "\n") {
		l = strings.TrimSpace(l)
		w := strings.Fields(l)
		switch {
		case len(w) == 0 || w[0] == "!" || w[0] == "!!":
		case w[0] == "field-set":
			set, in = strings.Replace(strings.Join(w[1:], " "), " prefix ", " ", 1), true
		case w[0] == "transforms" || w[0] == "traffic-policy":
			in = false
		case in:
			if strings.HasPrefix(set, "service") {
				d.sets[set] = append(d.sets[set], l)
			} else {
				d.sets[set] = append(d.sets[set], w...)
			}
		case w[0] == "match":
			d.matches = append(d.matches, []string{l})
		case len(d.matches) > 0:
			d.matches[len(d.matches)-1] = append(d.matches[len(d.matches)-1], l)
		}
	}
	return d
}

func portIn(list []string, port int) bool {
	names := map[string]string{"ssh": "22", "domain": "53", "www": "80", "ntp": "123", "https": "443"}
	for _, w := range list {
		for _, part := range strings.Split(strings.TrimSuffix(w, ","), ",") {
			if n := names[part]; n != "" {
				part = n
			}
			lo, hi, is := strings.Cut(part, "-")
			if !is {
				hi = lo
			}
			l, _ := strconv.Atoi(lo)
			h, _ := strconv.Atoi(hi)
			if part == "all" || l <= port && port <= h {
				return true
			}
		}
	}
	return false
}

// protocol interprets one line about protocols.
func (d *device) protocol(l string, p packet) bool {
	w := strings.Fields(l)[1:]
	number := map[string]int{"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "ospf": 89}
	switch {
	case w[0] == "service":
		for _, name := range w[2:] {
			for _, line := range d.sets["service "+name] {
				if d.protocol(line, p) {
					return true
				}
			}
		}
		return false
	case w[0] == "tcp" || w[0] == "udp":
		if p.proto != number[w[0]] {
			return false
		}
		if len(w) == 1 {
			return true
		}
		at := len(w)
		for i := range w {
			if w[i] == "destination" {
				at = i
			}
		}
		return portIn(w[3:at], p.sport) && portIn(w[at+2:], p.dport)
	case number[w[0]] > 0:
		if p.proto != number[w[0]] {
			return false
		}
		return len(w) == 1 || portIn(w[2:len(w)-2], p.dport)
	}
	return portIn(w, p.proto)
}

// permits gives the verdict of the first match, or the end's.
func (d *device) permits(p packet) bool {
	in := func(family, line string, a netip.Addr) bool {
		for _, name := range strings.Fields(line)[3:] {
			for _, prefix := range d.sets[family+" "+name] {
				if netip.MustParsePrefix(prefix).Contains(a) {
					return true
				}
			}
		}
		return false
	}
	for _, m := range d.matches {
		family := strings.Fields(m[0])[2]
		if (family == "ipv6") != p.src.Is6() {
			continue
		}
		ok, protocols, some, flags, drop := true, 0, false, false, false
		for _, l := range m[1:] {
			switch {
			case strings.HasPrefix(l, "source"):
				ok = ok && in(family, l, p.src)
			case strings.HasPrefix(l, "destination"):
				ok = ok && in(family, l, p.dst)
			case l == "protocol tcp flags established":
				flags = true
			case strings.HasPrefix(l, "protocol"):
				protocols++
				some = some || d.protocol(l, p)
			case l == "drop":
				drop = true
			}
		}
		if ok && (protocols == 0 || some) && (!flags || p.proto != 6 || p.ack) {
			return !drop
		}
	}
	return false
}

var (
	cellHosts    = []string{"10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.1.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:1::1"}
	cellServices = []string{"tcp/22", "tcp/80", "tcp/81", "udp/53", "udp/9000", "icmp/8", "icmp/3", "icmp/13", "ipv6-icmp/128", "ipv6-icmp/1", "gre", "ospf"}
)

func drawPolicy(t *rapid.T, actions ...policy.Action) policy.Policy {
	p := policy.Policy{Default: policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}}
	ends := []string{"any", "ip:10.0.0.1", "ip:10.0.0.0/30", "ip:10.0.0.0/24", "ip:192.0.2.0/24", "ip:2001:db8::1", "ip:2001:db8::/64", "group:web", "group:db"}
	services := append([]string{"any", "tcp", "tcp/80-81", "icmp", "udp/8000-9999"}, cellServices...)
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		r := policy.StatementRule{Name: fmt.Sprintf("r%d", i), Action: rapid.SampledFrom(actions).Draw(t, "action")}
		for _, to := range []*[]policy.Endpoint{&r.Sources, &r.Destinations} {
			for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(ends), 1, 3, rapid.ID).Draw(t, "ends") {
				e, err := policy.ParseEndpoint(text)
				if err != nil {
					t.Fatal(err)
				}
				*to = append(*to, e)
			}
		}
		for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(services), 1, 4, rapid.ID).Draw(t, "services") {
			s, err := policy.ParseService(text)
			if err != nil {
				t.Fatal(err)
			}
			r.Services = append(r.Services, s)
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// answerOf is the packet that answers another, and whether there is one.
func answerOf(p packet) (packet, bool) {
	a := packet{src: p.dst, dst: p.src, proto: p.proto, sport: p.dport, dport: p.sport, ack: true}
	switch p.proto {
	case 1, 58:
		answer, ok := map[[2]int]int{{1, 8}: 0, {1, 13}: 14, {58, 128}: 129}[[2]int{p.proto, p.dport}]
		a.sport, a.dport = 0, answer
		return a, ok
	}
	return a, true
}

// What is written permits the cells of the policy, requests and answers, and gains none but what matches for answers
// open. What is read back decides alike.
func TestMeaning(t *testing.T) {
	groups, err := categories.Parse("groups.csv", []byte("category,group,prefix\nrole,web,10.0.0.0/29\nrole,web,2001:db8:1::/64\nrole,db,10.0.0.2/32\n"))
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := policy.NewAddresses(groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, policy.Allow)
		o := Options{TCPEstablished: rapid.Bool().Draw(t, "established"), PortNumbers: rapid.Bool().Draw(t, "numbers")}
		var out strings.Builder
		if _, err := Write(&out, []Document{{Policy: p, Set: addresses.Set, Proposed: true}}, o); err != nil {
			t.Skip(err.Error()) // a rule without addresses
		}
		d := newDevice(out.String())
		c, err := Parse("switch.cfg", []byte(out.String()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
		read := c.Policies()[0]
		rules := make([]policy.Rule, len(p.Rules))
		for i := range p.Rules {
			r := &p.Rules[i]
			rules[i] = policy.Rule{Action: r.Action, Sources: r.Sources, Destinations: r.Destinations, Services: r.Services}
		}
		for _, from := range cellHosts {
			for _, to := range cellHosts {
				client, server := netip.MustParseAddr(from), netip.MustParseAddr(to)
				if client.BitLen() != server.BitLen() {
					continue
				}
				for _, text := range cellServices {
					s, _ := categories.ParseService(text)
					if iana.IsICMP(s.Proto) && (s.Proto == iana.ICMPv6) != client.Is6() {
						continue // no packet of the family has it
					}
					want := addresses.Permits(rules, client, server, s)
					// A rule for all ports, or without ports, permits the sessions of the other direction with its answers.
					back := func(x categories.Service) bool {
						return addresses.Permits(wide(rules), server, client, x)
					}
					request := packet{src: client, dst: server, proto: int(s.Proto), dport: int(s.Port)}
					if iana.HasPorts(s.Proto) {
						request.sport = 50000
					}
					got := d.permits(request)
					if answer, ok := answerOf(request); got && ok && !d.permits(answer) {
						got = false
					}
					if got != want && !(got && back(s)) {
						t.Fatalf("%s -> %s %s: device %v, policy %v in\n%s", from, to, text, got, want, out.String())
					}
					decision, rule, err := read.Decide(policy.IPSet, client, server, s)
					if err != nil {
						t.Fatal(err)
					}
					if (decision == policy.Permitted) != got {
						t.Fatalf("%s -> %s %s: device %v, read as %s by %s in\n%s", from, to, text, got, decision, rule, out.String())
					}
				}
			}
		}
	})
}

// wide gives the rules whose answers may be requests as well: those about every port, every service, or protocols without ports.
func wide(rules []policy.Rule) []policy.Rule {
	out := make([]policy.Rule, len(rules))
	for i, r := range rules {
		out[i] = policy.Rule{Action: r.Action, Sources: r.Sources, Destinations: r.Destinations}
		for _, s := range r.Services {
			if s.Any || s.Term.Any() || iana.IsICMP(s.Term.Proto) {
				out[i].Services = append(out[i].Services, s)
			}
		}
	}
	return out
}

// Rules about sessions made of what was read decide as the device does, also with denials among them: what they
// permit the device permits.
func TestSessionsOfConfig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t, policy.Allow, policy.Deny)
		for i := range p.Rules {
			for _, to := range []*[]policy.Endpoint{&p.Rules[i].Sources, &p.Rules[i].Destinations} {
				for j := range *to {
					if (*to)[j].IsGroup() {
						(*to)[j] = policy.Endpoint{Prefix: netip.MustParsePrefix("10.0.0.2/31")}
					}
				}
			}
		}
		var out strings.Builder
		if _, err := Write(&out, []Document{{Policy: p, Set: policy.IPSet}}, Options{}); err != nil {
			t.Skip(err.Error())
		}
		// Without some matches, so that answers are missing.
		text := out.String()
		if rapid.Bool().Draw(t, "cut") {
			if at := strings.Index(text, "-reverse"); at > 0 {
				begin := strings.LastIndex(text[:at], "      match ")
				end := strings.Index(text[at:], "      match ")
				if begin > 0 && end > 0 {
					text = text[:begin] + text[at+end:]
				}
			}
		}
		c, err := Parse("switch.cfg", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		read := c.Policies()[0]
		sessions, _, err := read.Sessions(false)
		if err != nil {
			t.Fatal(err)
		}
		plain := policy.Policy{Rules: sessions}
		d := newDevice(text)
		for _, from := range cellHosts {
			for _, to := range cellHosts {
				client, server := netip.MustParseAddr(from), netip.MustParseAddr(to)
				if client.BitLen() != server.BitLen() {
					continue
				}
				for _, name := range cellServices {
					s, _ := categories.ParseService(name)
					if iana.IsICMP(s.Proto) && (s.Proto == iana.ICMPv6) != client.Is6() {
						continue
					}
					request := packet{src: client, dst: server, proto: int(s.Proto), dport: int(s.Port)}
					if iana.HasPorts(s.Proto) {
						request.sport = 50000
					}
					permits := d.permits(request)
					if answer, ok := answerOf(request); ok && !d.permits(answer) {
						permits = false
					}
					got := firstOf(&plain, client, server, s)
					if (got == policy.Allow) != permits && got != policy.Uncertain {
						t.Fatalf("%s -> %s %s: device %v, sessions %q in\n%s\n%+v", from, to, name, permits, got, text, sessions)
					}
				}
			}
		}
	})
}

func firstOf(p *policy.Policy, client, server netip.Addr, s categories.Service) policy.Action {
	for i := range p.Rules {
		r := &p.Rules[i]
		src, _ := policy.IPSet(r.Sources, policy.Proposed)
		dst, _ := policy.IPSet(r.Destinations, policy.Proposed)
		if src.Contains(client) && dst.Contains(server) {
			for _, x := range r.Services {
				if x.Matches(s) {
					return r.Action
				}
			}
		}
	}
	return ""
}
