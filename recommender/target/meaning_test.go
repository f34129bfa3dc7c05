package target

import (
	"flag"
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

// fewChecks draws fewer cases than rapid does, unless its flag says how many.
func fewChecks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	old := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(old) })
}

// packet is what a device sees. For ICMP, dport is the type.
type packet struct {
	src, dst     netip.Addr
	proto        int
	sport, dport int
	ack          bool
}

// request is the first packet of a session.
func request(client, server netip.Addr, s categories.Service) packet {
	p := packet{src: client, dst: server, proto: int(s.Proto), dport: int(s.Port)}
	if iana.HasPorts(s.Proto) {
		p.sport = 50000
	}
	return p
}

// answerTo is the packet that answers another, and whether there is one.
func answerTo(p packet) (packet, bool) {
	a := packet{src: p.dst, dst: p.src, proto: p.proto, sport: p.dport, dport: p.sport, ack: true}
	switch p.proto {
	case 1, 58:
		answer, ok := map[[2]int]int{{1, 8}: 0, {1, 13}: 14, {1, 15}: 16, {1, 17}: 18, {58, 128}: 129}[[2]int{p.proto, p.dport}]
		a.sport, a.dport = 0, answer
		return a, ok
	}
	return a, true
}

// device decides about packets, as what was written says.
type device interface {
	permits(packet) bool
}

// interpreter reads what was written for a target, with code of its own.
type interpreter struct {
	target    string // the name of the target, where it is not that of the interpreter
	stateless bool
	read      func(t fataler, files []File) device
}

// sees is what a device has that does not decide about every pair.
type sees interface {
	sees(client, server netip.Addr) bool
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

var interpreters = map[string]interpreter{
	"nftables": {read: readNFT},
	"iptables": {read: readIPTables},
	"csv":      {read: readCSVRules},

	"kubernetes": {read: readKubernetes},
	"cilium":     {read: readCilium},
	"calico":     {read: readCalico},
	"ios":        {stateless: true, read: readCisco},
	"nxos":       {stateless: true, read: readCisco},

	"openconfig": {stateless: true, read: readOpenConfig},
	"openflow":   {read: readOpenFlow},
	"aws":        {read: readAWS},

	"capirca":           {stateless: true, read: readCapirca("")},
	"capirca-stateful":  {target: "capirca", read: readCapirca("-stateful")},
	"capirca-netfilter": {target: "capirca", read: readCapirca("-netfilter")},
}

// of gives the target of an interpreter.
func (in *interpreter) of(name string) Target {
	if in.target != "" {
		name = in.target
	}
	t, ok := Find(name)
	if !ok {
		panic("no target " + name)
	}
	return t
}

const cellGroups = `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.0/29, "2001:db8:1::/64"], selector: {namespace: shop, labels: {app: web}}}
      - {name: db, prefixes: [10.0.0.2/32], selector: {namespace: shop, labels: {app: db, tier: "2"}}}
      - {name: outside, prefixes: [192.0.2.0/24, 10.0.1.0/24, "2001:db8:2::/64"]}
`

var (
	cellHosts    = []string{"10.0.0.1", "10.0.0.2", "10.0.0.9", "10.0.1.1", "192.0.2.1", "2001:db8::1", "2001:db8:1::1", "2001:db8:2::9"}
	cellServices = []string{"tcp/22", "tcp/80", "tcp/81", "udp/53", "udp/9000", "sctp/80", "icmp/8", "icmp/0", "icmp/3", "icmp/13", "ipv6-icmp/128", "ipv6-icmp/1", "gre", "ospf"}
)

func cellAddresses(t fataler) (*categories.File, *policy.Addresses) {
	groups, err := categories.Parse("groups.yaml", []byte(cellGroups))
	if err != nil {
		t.Fatalf("%v", err)
	}
	addresses, err := policy.NewAddresses(groups, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return groups, addresses
}

func drawPolicy(t *rapid.T) policy.Policy {
	p := policy.Policy{Default: policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}}
	ends := []string{"any", "ip:10.0.0.9", "ip:10.0.0.0/30", "ip:10.0.0.0/24", "ip:192.0.2.0/24", "ip:2001:db8::1", "ip:2001:db8::/64", "group:web", "group:db", "group:outside", "group:web", "group:db"}
	services := append([]string{"any", "tcp", "tcp/80-81", "icmp", "ipv6-icmp", "udp/8000-9999", "sctp"}, cellServices...)
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		r := policy.StatementRule{Name: fmt.Sprintf("r%d", i), Action: rapid.SampledFrom([]policy.Action{policy.Allow, policy.Allow, policy.Deny}).Draw(t, "action")}
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

// decides gives the rule that decides a session, by what the literals mean; nil for none.
func decides(t fataler, d *Document, client, server netip.Addr, s categories.Service) *policy.StatementRule {
	for i := range d.Rules {
		r := &d.Rules[i]
		as := policy.ReadingOf(r.Action, false)
		if d.Proposed && r.Action == policy.Allow {
			as = policy.Proposed
		}
		holds := func(list []policy.Endpoint, a netip.Addr) bool {
			set, err := d.Set(list, as)
			if err != nil {
				t.Fatalf("%v", err)
			}
			return set.Contains(a)
		}
		some := false
		for _, x := range r.Services {
			some = some || x.Matches(s)
		}
		if some && holds(r.Sources, client) && holds(r.Destinations, server) {
			return r
		}
	}
	return nil
}

// compare holds what was written against the policy, cell by cell: nothing is gained, but for what answers open on
// targets without state, and each loss is of a rule that is listed.
func compare(t fataler, name string, d *Document, out Output, hosts, services []string) (cells int) {
	t.Helper()
	in := interpreters[name]
	dev := in.read(t, out.Files)
	text := func() (all string) {
		for _, f := range out.Files {
			all += "--- " + f.Name + "\n" + string(f.Data)
		}
		return all + strings.Join(out.Gaps, "\n")
	}
	for _, from := range hosts {
		for _, to := range hosts {
			client, server := netip.MustParseAddr(from), netip.MustParseAddr(to)
			if client.BitLen() != server.BitLen() || client == server {
				continue
			}
			if d, ok := dev.(sees); ok && !d.sees(client, server) {
				continue
			}
			for _, name := range services {
				s, _ := categories.ParseService(name)
				if iana.IsICMP(s.Proto) && (s.Proto == iana.ICMPv6) != client.Is6() {
					continue // no packet of the family has it
				}
				cells++
				by := decides(t, d, client, server, s)
				want := by != nil && by.Action != policy.Deny
				got := dev.permits(request(client, server, s))
				if answer, ok := answerTo(request(client, server, s)); in.stateless && got && ok {
					got = dev.permits(answer)
				}
				switch {
				case got && !want && !(in.stateless && opened(t, d, client, server, s)):
					t.Fatalf("%s -> %s %s is gained in\n%s", from, to, name, text())
				case want && !got && !(in.stateless && deniedBack(t, d, client, server, s)) &&
					!strings.Contains(strings.Join(out.Gaps, "\n"), fmt.Sprintf("rule %q", by.Name)) && !deniedMore(d, out.Gaps):
					t.Fatalf("%s -> %s %s is lost in\n%s", from, to, name, text())
				}
			}
		}
	}
	return cells
}

// deniedMore reports whether a denial is listed, which goes to more members than it is about.
func deniedMore(d *Document, gaps []string) bool {
	for i := range d.Rules {
		if d.Rules[i].Action == policy.Deny && strings.Contains(strings.Join(gaps, "\n"), fmt.Sprintf("rule %q: it is about a part", d.Rules[i].Name)) {
			return true
		}
	}
	return false
}

// opened reports whether a rule for the other direction permits its answers in this one: of services for all ports,
// every service, or protocols without ports, since nothing tells those from requests.
func opened(t fataler, d *Document, client, server netip.Addr, s categories.Service) bool {
	for i := range d.Rules {
		one := *d
		one.Rules = d.Rules[i : i+1]
		r := decides(t, &one, server, client, categories.Service{Proto: s.Proto, Port: s.Port})
		if r == nil || r.Action == policy.Deny {
			r = answeredBy(t, &one, server, client, s)
		}
		if r == nil || r.Action == policy.Deny {
			continue
		}
		for _, x := range r.Services {
			if x.Any || x.Term.Any() || iana.IsICMP(x.Term.Proto) {
				return true
			}
		}
	}
	return false
}

// answeredBy gives the rule that permits sessions of ICMP of which the answers look like this.
func answeredBy(t fataler, d *Document, client, server netip.Addr, s categories.Service) *policy.StatementRule {
	for request, answer := range policy.ICMPAnswers(s.Proto) {
		if iana.IsICMP(s.Proto) && answer == s.Port {
			return decides(t, d, client, server, categories.Service{Proto: s.Proto, Port: request})
		}
	}
	return nil
}

// deniedBack reports whether a denial of the other direction meets the answers of this one: without state, what denies
// requests for all ports or of any protocol cannot be told from one that denies answers.
func deniedBack(t fataler, d *Document, client, server netip.Addr, s categories.Service) bool {
	for i := range d.Rules {
		if d.Rules[i].Action != policy.Deny {
			continue
		}
		one := *d
		one.Rules = d.Rules[i : i+1]
		for port := range []int{0, 1} {
			probe := s
			if iana.HasPorts(s.Proto) {
				probe.Port = []uint16{s.Port, 50000}[port]
			}
			if decides(t, &one, server, client, probe) != nil || decides(t, &one, client, server, probe) != nil || answeredBy(t, &one, server, client, s) != nil {
				return true
			}
		}
		for _, answer := range policy.ICMPAnswers(s.Proto) {
			if iana.IsICMP(s.Proto) && decides(t, &one, server, client, categories.Service{Proto: s.Proto, Port: answer}) != nil {
				return true
			}
		}
	}
	return false
}

// What is written for each target means what the policy means.
func TestMeaning(t *testing.T) {
	fewChecks(t, 40)
	groups, addresses := cellAddresses(t)
	for name, in := range interpreters {
		t.Run(name, func(t *testing.T) {
			target := in.of(name)
			rapid.Check(t, func(t *rapid.T) {
				d := Document{Policy: drawPolicy(t), Set: addresses.Set, Proposed: true}
				o := Options{Gaps: true, Groups: groups, Established: rapid.Bool().Draw(t, "established")}
				out, err := target.Write([]Document{d}, o)
				if err != nil {
					t.Skip(err.Error()) // a rule without addresses
				}
				compare(t, name, &d, out, cellHosts, cellServices)
			})
		})
	}
}

// portIn reads a list of ports and ranges.
func portIn(list []string, separator string, port int) bool {
	for _, part := range list {
		if part = strings.Trim(part, ", "); part == "" {
			continue
		}
		lo, hi, is := strings.Cut(part, separator)
		if !is {
			hi = lo
		}
		l, err := strconv.Atoi(lo)
		h, err2 := strconv.Atoi(hi)
		if err != nil || err2 != nil {
			panic("not a port: " + part)
		}
		if l <= port && port <= h {
			return true
		}
	}
	return false
}

func inPrefix(text string, a netip.Addr) bool {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Contains(a)
	}
	return netip.MustParseAddr(text) == a
}

// recorder takes the first failure instead of ending the test.
type recorder struct{ failure string }

func (r *recorder) Helper() {}
func (r *recorder) Fatalf(format string, args ...any) {
	panic(recorder{fmt.Sprintf(format, args...)})
}

// What is written wrongly is noticed, for every target.
func TestMeaningNoticesMutants(t *testing.T) {
	groups, addresses := cellAddresses(t)
	policies, err := policy.ParsePolicies("policy.yaml", []byte(`apiVersion: cordon/v1
kind: Policy
default: deny
rules:
  - {name: a, sources: ["group:web"], destinations: ["group:db"], services: [tcp/80]}
  - {name: b, sources: ["group:db"], destinations: ["ip:192.0.2.0/24"], services: [udp/53]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range interpreters {
		target := in.of(name)
		d := Document{Policy: policies[0], Set: addresses.Set}
		out, err := target.Write([]Document{d}, Options{Groups: groups})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for old, changed := range map[string]string{"80": "81", "192.0.2.0": "10.0.0.0", "53": "22"} {
			mutant := out
			mutant.Files = nil
			for _, f := range out.Files {
				mutant.Files = append(mutant.Files, File{f.Name, []byte(strings.ReplaceAll(string(f.Data), old, changed))})
			}
			noticed := func() (yes bool) {
				defer func() { yes = recover() != nil }()
				compare(&recorder{}, name, &d, mutant, cellHosts, cellServices)
				return false
			}()
			if !noticed {
				t.Errorf("%s: nothing notices %s instead of %s in\n%s", name, changed, old, mutant.Files)
			}
		}
		if cells := compare(t, name, &d, out, cellHosts, cellServices); cells < 50 {
			t.Errorf("%s: %d cells", name, cells)
		}
	}
}
