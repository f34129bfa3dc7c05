package eos

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cordon/internal/text"
	"cordon/recommender/policy"

	"pgregory.net/rapid"
)

// node is a line of a configuration on an emulated device, with what belongs to it.
type node struct {
	text   string
	inside []*node
}

// session emulates a configuration session: it reads what a device has, takes what is typed, and prints what it has then.
func session(t *rapid.T, running, typed []string) string {
	root := &node{}
	for _, lines := range [][]string{running, typed} {
		open := []*node{root}
		for _, l := range lines {
			level := (len(l) - len(strings.TrimLeft(l, " "))) / 3
			word := strings.TrimSpace(l)
			if word == "!" {
				continue
			}
			if level >= len(open) {
				t.Fatalf("%q is deeper than what is open", l)
			}
			open = open[:level+1]
			at := open[level]
			if what, is := strings.CutPrefix(word, "no "); is {
				before := len(at.inside)
				at.inside = slices.DeleteFunc(at.inside, func(n *node) bool {
					return n.text == what || what == "comment" && strings.HasPrefix(n.text, "!!")
				})
				if len(at.inside) == before {
					t.Fatalf("%q: there is nothing to take away", l)
				}
				continue
			}
			i := slices.IndexFunc(at.inside, func(n *node) bool { return n.text == word })
			if i < 0 {
				i = len(at.inside)
				at.inside = append(at.inside, &node{text: word})
			}
			open = append(open, at.inside[i])
		}
	}
	var out strings.Builder
	var print func(n *node, level int)
	print = func(n *node, level int) {
		rank := func(x *node) int { // comments come first, and the ends of policies last
			switch {
			case strings.HasPrefix(x.text, "!!"):
				return 0
			case strings.Contains(x.text, "-all-default "):
				return 2
			}
			return 1
		}
		slices.SortStableFunc(n.inside, func(a, b *node) int { return rank(a) - rank(b) })
		for _, x := range n.inside {
			fmt.Fprintf(&out, "%s%s\n", strings.Repeat("   ", level), x.text)
			print(x, level+1)
		}
	}
	print(root, 0)
	return out.String()
}

// said is what a configuration says, whatever the order of its sections.
func said(t *rapid.T, c *Config) string {
	var out bytes.Buffer
	if err := policy.WriteYAML(&out, c.Policies()); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.policies {
		fmt.Fprintln(&out, p.name, p.remarks)
	}
	return out.String()
}

// A device with one configuration, and what is typed for another, has the other; typed back it has the first again.
func TestCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *Config {
			p := drawPolicy(t, policy.Allow, policy.Deny)
			p.Name = rapid.SampledFrom([]string{"shop", "shop", "shop", "other"}).Draw(t, name)
			for i := range p.Rules {
				for _, to := range []*[]policy.Endpoint{&p.Rules[i].Sources, &p.Rules[i].Destinations} {
					*to = slices.DeleteFunc(*to, policy.Endpoint.IsGroup)
					if len(*to) == 0 {
						*to = policy.FamilyOf(false)
					}
				}
				p.Rules[i].Name = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "rule") + fmt.Sprint(i)
				p.Rules[i].Remarks = []string{rapid.SampledFrom([]string{"one", "two"}).Draw(t, "remark")}
			}
			var out bytes.Buffer
			if _, err := Write(&out, []Document{{Policy: p, Set: policy.IPSet, Remarks: []string{name}}}, Options{}); err != nil {
				t.Skip(err.Error())
			}
			c, err := Parse(name, out.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		a, b := draw("running"), draw("new")
		if commands := a.Commands(a); commands != nil {
			t.Fatalf("equal configurations need %v", commands)
		}
		for _, way := range [][2]*Config{{a, b}, {b, a}} {
			typed := way[0].Commands(way[1])
			after := session(t, way[0].Lines(), typed)
			c, err := Parse("after", []byte(after))
			if err != nil {
				t.Fatalf("%v in\n%s", err, after)
			}
			if got, want := said(t, c), said(t, way[1]); got != want {
				t.Fatalf("after\n%s\non\n%s\nthe device has\n%s\nand not\n%s", strings.Join(typed, "\n"), way[0].Write(), got, want)
			}
		}
		if edits := text.Diff(a.Lines(), a.Lines()); len(edits) == 0 {
			t.Fatal("no lines")
		}
	})
}

// What only a device has stays: lines for the control plane and counters.
func TestKeep(t *testing.T) {
	device := parse(t, []byte(`traffic-policies
   cpu traffic-policy copp vrf all
      enforcement management
   vrf prod
      cpu traffic-policy local fallback traffic-policy none
      traffic-policy input shop physical
   counter interface poll interval 5 seconds
   traffic-policy copp
   traffic-policy local
   traffic-policy shop
      match old ipv4
         actions
            count
`))
	out, _ := written(t, Options{}, testDocument(t))
	want := parse(t, out)
	kept, err := want.Keep(device)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"   traffic-policy copp", "   traffic-policy local", "   cpu traffic-policy copp vrf all", "      cpu traffic-policy local fallback traffic-policy none", "   counter interface poll interval 5 seconds"} {
		if !slices.Contains(kept.Lines(), line) {
			t.Errorf("%q is missing in\n%s", line, kept.Write())
		}
	}
	if again, err := kept.Keep(device); err != nil || !bytes.Equal(again.Write(), kept.Write()) {
		t.Errorf("kept twice (%v):\n%s", err, again.Write())
	}
	if fmt.Sprint(kept.Policies()) != fmt.Sprint(want.Policies()) {
		t.Errorf("the policies have changed:\n%s", kept.Write())
	}
}
