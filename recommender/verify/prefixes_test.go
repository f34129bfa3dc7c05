package verify

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/recommender/policy"

	"github.com/google/go-cmp/cmp"
)

// withPrefix is the example with three hosts in no group that use dns instead of one.
func withPrefix(t testing.TB) (*policy.Proposal, []Session) {
	p, list := right(t), collected(t)
	list = slices.DeleteFunc(list, func(s Session) bool { return s.Client.String() == "10.0.9.9" })
	for _, host := range []string{"10.0.9.4", "10.0.9.5", "10.0.9.6"} {
		list = append(list, session(t, host, "10.0.3.1", "udp/53"))
	}
	p.Rules[1] = newRule(t, "clients-to-dns", []string{"group:app", "group:web", "ip:10.0.9.4/30"}, []string{"group:dns"}, "udp/53",
		policy.Evidence{Sessions: 5, Clients: 5, Servers: 1}, policy.Excess{PermittedPairs: 7, ObservedPairs: 5, ExtraAddresses: 1})
	p.Prefixes = []policy.HostPrefix{{Prefix: netip.MustParsePrefix("10.0.9.4/30"), Hosts: 3, ExtraAddresses: 1}}
	p.Settings = &policy.Settings{Ungrouped: "prefix", MaxExtra: 1}
	s := &p.Summary
	s.Sessions, s.Included, s.PerHostRules, s.ExtraAddresses = 9, 8, 8, 1
	p.Seal()
	return p, list
}

func TestPrefixes(t *testing.T) {
	prefix := netip.MustParsePrefix
	for _, c := range []struct {
		name   string
		change func(p *policy.Proposal, list []Session, o *Options) []Session
		kinds  []Kind
		says   []string
	}{
		{"right", func(_ *policy.Proposal, list []Session, _ *Options) []Session { return list }, []Kind{}, []string{"prefixes have 1 address that was not seen", "Verified."}},
		{"in force for the extra address alone", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Existing = policies(t, "- {sources: [ip:10.0.9.7/32], destinations: [group:dns]}\n")
			return list
		}, []Kind{BadInForce}, nil},
		{"one host does more", func(_ *policy.Proposal, list []Session, _ *Options) []Session {
			return append(list, session(t, "10.0.9.5", "10.0.4.1", "tcp/5432"))
		}, []Kind{BadPrefix, Incomplete, WrongCount}, []string{"ip:10.0.9.4/30 -> group:db tcp/5432, between 1 of 3 pairs of hosts"}},
		{"one host does nothing", func(_ *policy.Proposal, list []Session, _ *Options) []Session {
			last := &list[len(list)-1]
			last.Complete, last.HalfOpen = false, true
			return list
		}, []Kind{BadPrefix, Hint, Unsound, WrongCount, WrongNumbers, WrongReason}, []string{"between 2 of 3 pairs", "ip:10.0.9.4/30 -> group:dns udp/53"}},
		{"another host is in it", func(_ *policy.Proposal, list []Session, _ *Options) []Session {
			other := session(t, "10.0.9.7", "10.0.4.1", "tcp/9")
			other.Complete, other.HalfOpen = false, true
			return append(list, other)
		}, []Kind{BadPrefix, Hint, Unsound, WrongCount, WrongNumbers, WrongReason}, []string{"counted are 4 and 0"}},
		{"more than asked for", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Settings.MaxExtra = 0
			return list
		}, []Kind{BadPrefix}, []string{"takes the extra addresses over the 0 that are permitted"}},
		{"a guardrail inside", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Guardrails = policies(t, "- {action: deny, sources: [ip:10.0.9.7/32], services: [tcp/1]}\n")
			return list
		}, []Kind{BadPrefix}, []string{"10.0.9.4 and 10.0.9.7"}},
		{"a group inside", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Prefixes[0].Prefix = prefix("10.0.0.0/20")
			return list
		}, []Kind{BadPrefix, Edited, Unsound, WrongCount, WrongNumbers}, []string{"which groups, address ranges, exclusions or guardrails do not treat alike"}},
		{"not said to be one", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Prefixes = nil
			return list
		}, []Kind{Edited, Unsound, WrongCount, WrongNumbers}, []string{"ip:10.0.9.7/32 -> group:dns udp/53"}},
		{"another mode", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Settings = policy.Settings{}
			return list
		}, []Kind{BadPrefix, Unsound, WrongCount, WrongNumbers}, []string{"which --ungrouped host does not make"}},
		{"wider in the rule", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Rules[1].Sources[2].Prefix = prefix("10.0.9.0/29")
			return list
		}, []Kind{Edited, Unsound, WrongNumbers}, []string{"ip:10.0.9.0/32 -> group:dns udp/53"}},
		{"a part in the rule", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Rules[1].Sources[2].Prefix = prefix("10.0.9.4/31")
			return list
		}, []Kind{Edited, Incomplete, WrongNumbers}, nil},
		{"the sum", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Summary.ExtraAddresses, p.Rules[1].Excess.ExtraAddresses = 2, 0
			return list
		}, []Kind{Edited, WrongCount, WrongNumbers}, []string{"summary.extraAddresses is 2, counted are 1", "excess.extraAddresses is 0, counted are 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, list := withPrefix(t)
			o := Options{Settings: *p.Settings}
			list = c.change(p, list, &o)
			expect(t, verified(t, p, list, o), c.kinds, c.says)
		})
	}
}

// TestHostsOfEachOther are in a prefix that is source and destination.
func TestHostsOfEachOther(t *testing.T) {
	p, list := withPrefix(t)
	hosts := []string{"10.0.9.4", "10.0.9.5", "10.0.9.6"}
	for _, a := range hosts {
		for _, b := range hosts {
			if a != b {
				list = append(list, session(t, a, b, "tcp/7000"))
			}
		}
	}
	p.Rules = append(p.Rules, newRule(t, "mesh", []string{"ip:10.0.9.4/30"}, []string{"ip:10.0.9.4/30"}, "tcp/7000",
		policy.Evidence{Sessions: 6, Clients: 3, Servers: 3}, policy.Excess{PermittedPairs: 6, ObservedPairs: 6, ExtraAddresses: 1}))
	e := literals(t, "ip:10.0.9.4/30")[0]
	c := &p.Certificate
	c.Rules, c.LowerBound, c.Witness = 4, 4, append(c.Witness, policy.Cell{Source: e, Destination: e, Service: service(t, "tcp/7000")})
	s := &p.Summary
	s.Sessions, s.Included, s.Cells, s.Rules, s.PerHostRules, s.PerPairRules, s.EOSLines = 15, 14, 6, 4, 14, 6, 48
	p.Seal()
	expect(t, verified(t, p, list, Options{Settings: *p.Settings}), []Kind{}, nil)
	expect(t, verified(t, p, list[:len(list)-1], Options{Settings: *p.Settings}),
		[]Kind{BadPrefix, BadWitness, Unsound, WrongCount, WrongNumbers}, []string{"between 5 of 6 pairs"})
}

func policies(t testing.TB, rules string) []policy.Policy {
	t.Helper()
	p, err := policy.ParsePolicies("policy.yaml", []byte("apiVersion: cordon/v1\nkind: Policy\nrules:\n"+rules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func expect(t testing.TB, r *Report, want []Kind, says []string) {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if d := cmp.Diff(want, kinds(r)); d != "" {
		t.Errorf("findings (-want +got):\n%s\n%s", d, b.String())
	}
	for _, s := range says {
		if !strings.Contains(b.String(), s) {
			t.Errorf("nothing says %q:\n%s", s, b.String())
		}
	}
}
