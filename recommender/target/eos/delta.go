package eos

import (
	"fmt"
	"slices"
	"strings"
)

// Lines gives the section as it was read, a line each, with the indentation of a device.
func (c *Config) Lines() []string {
	return strings.Split(strings.TrimSuffix(string(c.Write()), "\n"), "\n")
}

// block is a line with what belongs to it.
type block struct {
	text   string
	inside []*block
	// known are the blocks inside by their text, made when first asked for; indexed of them.
	known   map[string]*block
	indexed int
}

// tree gives the section as blocks, without separators.
func (c *Config) tree() *block {
	root := &block{}
	open := []*block{root}
	for _, l := range c.lines {
		if l.text == "!" {
			continue
		}
		b := &block{text: strings.Join(strings.Fields(l.text), " ")}
		open = open[:min(l.level, len(open)-1)+1]
		parent := open[len(open)-1]
		parent.inside = append(parent.inside, b)
		open = append(open, b)
	}
	return root.inside[0]
}

func (b *block) is(word string) bool { return b.text == word || strings.HasPrefix(b.text, word+" ") }

func (b *block) equal(o *block) bool {
	return b.text == o.text && slices.EqualFunc(b.inside, o.inside, (*block).equal)
}

// split divides what is inside by whether it is a comment.
func (b *block) split() (comments, others []*block) {
	for _, x := range b.inside {
		if x.is("!!") {
			comments = append(comments, x)
		} else {
			others = append(others, x)
		}
	}
	return comments, others
}

// find gives the block inside with a text.
func (b *block) find(text string) *block {
	if len(b.inside) < b.indexed { // some were taken out
		b.known, b.indexed = nil, 0
	}
	if b.known == nil {
		b.known = map[string]*block{}
	}
	for ; b.indexed < len(b.inside); b.indexed++ {
		if x := b.inside[b.indexed]; b.known[x.text] == nil {
			b.known[x.text] = x
		}
	}
	return b.known[text]
}

// commands are what is typed on a device, line by line.
type commands struct{ lines []string }

func (c *commands) add(level int, text string) {
	c.lines = append(c.lines, strings.Repeat("   ", level)+text)
}

func (c *commands) whole(level int, b *block) {
	c.add(level, b.text)
	for _, x := range b.inside {
		c.whole(level+1, x)
	}
}

// Commands gives what has to be typed on a device with this configuration, in a configuration session, so that it
// has another; none where both say the same. A match that cannot be added at the end of its policy is, with all behind it,
// since the first match decides and nothing else says where one belongs. What a device has no policy, binding or field-set
// for, such as counters, is left as it is.
func (c *Config) Commands(to *Config) []string {
	from, want := c.tree(), to.tree()
	var out commands
	for _, b := range want.inside {
		old := from.find(b.text)
		switch {
		case old != nil && old.equal(b):
		case b.is("traffic-policy") && old != nil:
			policyCommands(&out, old, b)
		case b.is("vrf") && old != nil:
			out.add(1, b.text)
			bindingCommands(&out, old, b)
		case old != nil: // a field-set
			out.add(1, "no "+b.text)
			out.whole(1, b)
		default:
			out.whole(1, b)
		}
	}
	for _, b := range from.inside {
		if want.find(b.text) != nil {
			continue
		}
		switch {
		case b.is("traffic-policy"), b.is("field-set"), b.is("transforms"):
			out.add(1, "no "+b.text)
		case b.is("vrf"):
			before := len(out.lines)
			out.add(1, b.text)
			if bindingCommands(&out, b, &block{}); len(out.lines) == before+1 {
				out.lines = out.lines[:before] // nothing was bound
			}
		}
	}
	if len(out.lines) == 0 {
		return nil
	}
	return append([]string{want.text}, out.lines...)
}

// bindingCommands binds other policies in a VRF. What is there for the control plane stays.
func bindingCommands(out *commands, old, b *block) {
	for _, x := range old.inside {
		if b.find(x.text) == nil && x.is("traffic-policy") {
			out.add(2, "no "+x.text)
		}
	}
	for _, x := range b.inside {
		if o := old.find(x.text); o == nil || !o.equal(x) {
			out.whole(2, x)
		}
	}
}

// policyCommands changes a policy.
func policyCommands(out *commands, old, b *block) {
	out.add(1, b.text)
	oldComments, oldLines := old.split()
	comments, lines := b.split()
	commentCommands(out, 2, oldComments, comments)
	isMatch := func(x *block) bool { return x.is("match") && !strings.Contains(x.text, "-all-default ") }
	for _, x := range lines {
		if o := old.find(x.text); !isMatch(x) && (o == nil || !o.equal(x)) {
			if o != nil {
				out.add(2, "no "+x.text)
			}
			out.whole(2, x)
		}
	}
	oldLines = slices.DeleteFunc(slices.Clone(oldLines), func(x *block) bool {
		if !isMatch(x) && b.find(x.text) == nil {
			out.add(2, "no "+x.text)
		}
		return !isMatch(x)
	})
	lines = slices.DeleteFunc(slices.Clone(lines), func(x *block) bool { return !isMatch(x) })
	place := map[string]int{}
	for i, o := range oldLines {
		place[o.text] = i
	}
	// The first matches that are there already, in this order, stay.
	kept, last := 0, -1
	for ; kept < len(lines); kept++ {
		at, ok := place[lines[kept].text]
		if !ok || at <= last {
			break
		}
		_, was := oldLines[at].split()
		if _, is := lines[kept].split(); !slices.EqualFunc(was, is, (*block).equal) {
			break
		}
		last = at
	}
	stays := map[string]bool{}
	for _, x := range lines[:kept] {
		stays[x.text] = true
	}
	for _, o := range oldLines {
		if !stays[o.text] {
			out.add(2, "no "+o.text)
		}
	}
	for _, x := range lines[:kept] {
		was, _ := oldLines[place[x.text]].split()
		if is, _ := x.split(); !slices.EqualFunc(was, is, (*block).equal) {
			out.add(2, x.text)
			commentCommands(out, 3, was, is)
		}
	}
	for _, x := range lines[kept:] {
		out.whole(2, x)
	}
}

// commentCommands replaces the comment of a block.
func commentCommands(out *commands, level int, old, now []*block) {
	if slices.EqualFunc(old, now, (*block).equal) {
		return
	}
	if len(old) > 0 {
		out.add(level, "no comment")
	}
	for _, x := range now {
		out.add(level, x.text)
	}
}

// Keep gives a configuration that has what this one does not speak of: of the device's own, lines for the control plane,
// counters and updates, and the policies that are bound in no VRF while others are, such as those of the control plane.
// Bound policies, bindings and field-sets are those of this one.
func (c *Config) Keep(device *Config) (*Config, error) {
	has, own := device.tree(), c.tree()
	var out commands
	out.add(0, own.text)
	if err := own.keepUnbound(has, device); err != nil {
		return nil, err
	}
	for _, b := range has.inside {
		if own.find(b.text) == nil && !b.is("vrf") && !b.is("field-set") && !b.is("traffic-policy") {
			own.inside = append(own.inside, b)
		}
		if v := own.find(b.text); v != nil && b.is("vrf") {
			for _, x := range b.inside {
				if x.is("cpu") && v.find(x.text) == nil {
					v.inside, v.known, v.indexed = append([]*block{x}, v.inside...), nil, 0
				}
			}
		}
	}
	kinds := []string{"cpu", "vrf", "field-set", "counter", "transforms", "update", "traffic-policy"}
	order := func(b *block) int { return slices.IndexFunc(kinds, b.is) }
	slices.SortStableFunc(own.inside, func(a, b *block) int { return order(a) - order(b) })
	for i, b := range own.inside {
		if i > 0 && (len(b.inside) > 0 || len(own.inside[i-1].inside) > 0) && !(b.is("vrf") && i == 0) {
			out.add(1, "!")
		}
		printed(&out, 1, b)
	}
	return Parse("the configuration to be", []byte(strings.Join(out.lines, "\n")+"\n"))
}

// keepUnbound adds the policies of a device that are bound in no VRF, with their field-sets.
func (b *block) keepUnbound(has *block, device *Config) error {
	if !device.Bound() {
		return nil
	}
	bound := map[string]bool{}
	for _, v := range device.vrfs {
		for _, name := range v.policies {
			bound["traffic-policy "+name] = true
		}
	}
	var sets []string // words that may name field-sets
	var words func(x *block)
	words = func(x *block) {
		sets = append(sets, strings.Fields(x.text)...)
		for _, y := range x.inside {
			words(y)
		}
	}
	for _, x := range has.inside {
		if x.is("traffic-policy") && !bound[x.text] && b.find(x.text) == nil {
			b.inside = append(b.inside, x)
			words(x)
		}
	}
	for _, x := range has.inside {
		name := x.text[strings.LastIndexByte(x.text, ' ')+1:]
		if !x.is("field-set") || !slices.Contains(sets, name) {
			continue
		}
		if own := b.find(x.text); own == nil {
			b.inside = append(b.inside, x)
		} else if !own.equal(x) {
			return fmt.Errorf("%s would have other members, and a policy of the device that is bound in no VRF has it: give the group or service another name", x.text)
		}
	}
	return nil
}

// printed writes a block as devices print it.
func printed(out *commands, level int, b *block) {
	out.add(level, b.text)
	for i, x := range b.inside {
		if x.is("match") || x.is("actions") && i > 0 {
			out.add(level+1, "!")
		}
		printed(out, level+1, x)
	}
}

// Session wraps commands in a configuration session that is undone after a time, unless it is confirmed.
func Session(name, timer string, commands []string) []string {
	out := append([]string{"configure session " + name}, commands...)
	return append(out, "commit timer "+timer, fmt.Sprintf("! to keep it, within that time: configure session %s commit", name))
}
