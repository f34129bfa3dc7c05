package recommender

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/cover"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// order is one order of categories in trial.
type order struct {
	survey *survey
	plan   *plan // The plan of a run with these categories.
	chain  []int // the categories, by their place among the candidates
	// first is by candidate: the number, less one, that its first group has in the plan.
	first []int
}

// try counts what Generate would with an order of categories.
func (v *survey) try(ctx context.Context, chain []int) (Suggestion, error) {
	o, err := v.order(chain)
	if err != nil {
		return Suggestion{}, err
	}
	x := Suggestion{Categories: o.plan.categories}
	name := strings.Join(x.Categories, ",")
	var parts [windows][]cells.Part
	if err := v.run.plan.step("count cells of "+name, true, func() (n uint64, err error) {
		parts, err = o.readParts(ctx)
		return uint64(len(parts[wholeWindow])), err
	}); err != nil {
		return x, err
	}
	var boxes []boxed
	var vrfs []string // VRFs of the boxes.
	var held [][]cells.Key
	if err := v.run.plan.step("cover "+name, false, func() (uint64, error) {
		all := parts[wholeWindow]
		list := o.support(all)
		for i := range all {
			x.Sessions += all[i].Sessions
			if all[i].Reason == 0 {
				x.Included += all[i].Sessions
			}
		}
		x.Cells = len(list)
		for len(list) > 0 {
			vrf, n := list[0].Key.VRF, 1
			for n < len(list) && list[n].Key.VRF == vrf {
				n++
			}
			c, err := o.plan.cover(ctx, vrf, list[:n], all)
			if err != nil {
				return 0, err
			}
			rules, found := o.plan.rules(c)
			x.Rules += len(rules)
			x.LowerBound += c.solution.LowerBound
			for i := range rules {
				x.Literals += len(rules[i].Sources) + len(rules[i].Destinations) + len(rules[i].Services)
				b, in := c.inside(vrf, &found[i])
				boxes, vrfs, held = append(boxes, b), append(vrfs, vrf), append(held, in)
			}
			list = list[n:]
		}
		return uint64(x.Cells), nil
	}); err != nil {
		return x, err
	}
	if err := v.run.plan.step("pairs of "+name, true, func() (uint64, error) {
		seen, err := o.readPairs(ctx, held)
		known := o.known()
		for i := range boxes {
			of := draft{Proposal: policy.Proposal{VRF: vrfs[i]}}
			x.Excess += of.pairs(&boxes[i], known) - seen[i]
		}
		return uint64(len(boxes)), err
	}); err != nil {
		return x, err
	}
	if v.heldOut {
		x.HeldOut = o.heldOut(parts[learnWindow], parts[laterWindow])
	}
	return x, nil
}

func (v *survey) order(chain []int) (*order, error) {
	s := v.run.plan.settings
	s.Categories = v.namesOf(chain)
	file := *v.run.plan.file
	file.Exclude = nil // done with already
	p, err := newPlan(s, &file)
	if err != nil {
		return nil, err
	}
	o := &order{survey: v, plan: p, chain: chain, first: make([]int, len(v.candidates))}
	n := 0
	for _, c := range chain {
		o.first[c] = n
		for i, g := range v.categories[c].Groups() {
			if n >= len(p.resolver.Groups()) || p.resolver.Groups()[n] != g {
				return nil, fmt.Errorf("BUG: group %d of category %s has another number among %v", i, v.candidates[c], s.Categories)
			}
			n++
		}
	}
	return o, nil
}

// namesOf gives the categories of an order.
func (v *survey) namesOf(chain []int) []string {
	out := make([]string, len(chain))
	for i, c := range chain {
		out[i] = v.candidates[c]
	}
	return out
}

// support gives the cells with enough support, and the other parts their reason.
func (o *order) support(parts []cells.Part) []cells.Cell {
	list := decide.Judge(parts, o.plan)
	return decide.Support(list, parts, &o.plan.settings.Settings, func(c *cells.Cell) cells.Breadth {
		return parts[c.Parts[0]].Breadth // Cells have one part where there are no policies.
	})
}

// sessions is a query for the sessions of all parts of the window with their reason and cell.
func (o *order) sessions() string {
	group := func(end, kind string) string {
		var b strings.Builder
		b.WriteString("multiIf(")
		for _, c := range o.chain {
			fmt.Fprintf(&b, "%[1]s%[2]d != 0, %[1]s%[2]d + %[3]d, ", end, c, o.first[c])
		}
		if o.plan.settings.External == policy.ExternalInternet {
			fmt.Fprintf(&b, "%s = %d, %d, ", kind, categories.Public, cells.InternetGroup)
		}
		return b.String() + "0)::UInt32"
	}
	// A local address that some candidate names is local still where no category of this order does.
	local := func(end string) string {
		return fmt.Sprintf("%[1]s_naming != 0 AND bitAnd(%[1]s_naming, %[2]d) = 0", end, o.selected())
	}
	reasons := fmt.Sprintf("own_reason = %[1]d OR %[2]s OR %[3]s, %[1]d, ", decide.LocalNumber, local("client"), local("server"))
	if len(o.survey.run.plan.exclusions.statements) > 0 {
		reasons += fmt.Sprintf("(client_class, server_class, proto, port) IN (SELECT client_class, server_class, proto, port FROM %s), %d, ", o.survey.run.table("excluded"), decide.ExcludedNumber)
	}
	reasons += "own_reason != 0, own_reason, "
	alone := func(kind categories.AddressKind, reason policy.Reason) string {
		return fmt.Sprintf("client_group = 0 AND client_kind = %[1]d OR server_group = 0 AND server_kind = %[1]d, %[2]d, ", kind, cells.ReasonNumber(reason))
	}
	if o.plan.settings.External == policy.ExternalReport {
		reasons += alone(categories.Public, policy.External)
	}
	if o.plan.settings.Ungrouped == policy.UngroupedReport {
		reasons += alone(categories.Private, policy.Ungrouped)
	}
	return fmt.Sprintf(`SELECT part, vrf, client, server, hours, first_seen, last_seen,
    %[1]s AS client_group, %[2]s AS server_group, multiIf(%[3]s0)::UInt8 AS reason,
    if(reason = 0, client_group, 0) AS source_group, if(reason = 0 AND client_group = 0, client, toIPv6('::')) AS source_address,
    if(reason = 0, server_group, 0) AS destination_group, if(reason = 0 AND server_group = 0, server, toIPv6('::')) AS destination_address,
    if(reason = 0, proto, 0) AS cell_proto, if(reason = 0, port, 0) AS cell_port
FROM %[4]s`, group("c", "client_kind"), group("s", "server_kind"), reasons, o.survey.run.table("sessions"))
}

const cellColumns = "vrf, source_group, source_address, destination_group, destination_address, cell_proto, cell_port"

func (o *order) readParts(ctx context.Context) (out [windows][]cells.Part, err error) {
	rows, err := o.survey.run.conn.Query(ctx, "SELECT part, reason, "+cellColumns+", count(), "+o.plan.breadthColumns()+", min(first_seen), max(last_seen) FROM ("+
		o.sessions()+") GROUP BY part, reason, "+cellColumns)
	if err != nil {
		return out, err
	}
	defer rows.Close()
	for rows.Next() {
		p := cells.Part{Note: -1}
		var window uint8
		var src, dst netip.Addr
		if err := rows.Scan(&window, &p.Reason, &p.Key.VRF, &p.Key.Src.Group, &src, &p.Key.Dst.Group, &dst, &p.Service.Proto, &p.Service.Port,
			&p.Sessions, &p.Breadth.Clients, &p.Breadth.Hours, &p.Breadth.Recurring, &p.First, &p.Last); err != nil {
			return out, err
		}
		p.Key.Src, p.Key.Dst = cells.NewEndpoint(p.Key.Src.Group, src), cells.NewEndpoint(p.Key.Dst.Group, dst)
		p.Key.Service = p.Service.Term()
		out[window] = append(out[window], p)
	}
	return out, rows.Err()
}

// inside gives a box in endpoints, and its cells.
func (c *covered) inside(vrf string, b *cover.Box) (box boxed, list []cells.Key) {
	for _, d := range b.Sets[1] {
		box.dests = append(box.dests, c.Dests[d])
	}
	for _, s := range b.Sets[0] {
		box.sources = append(box.sources, c.Sources[s])
		for _, d := range b.Sets[1] {
			for _, v := range b.Sets[2] {
				list = append(list, cells.Key{VRF: vrf, Src: c.Sources[s], Dst: c.Dests[d], Service: c.Services[v]})
			}
		}
	}
	return box, list
}

// readPairs counts the (client, server) pairs seen under each rule, given its cells.
func (o *order) readPairs(ctx context.Context, held [][]cells.Key) ([]uint64, error) {
	out := make([]uint64, len(held))
	if len(held) == 0 {
		return out, nil
	}
	if err := o.survey.run.conn.Exec(ctx, "TRUNCATE TABLE "+o.survey.run.table("verdicts")); err != nil {
		return out, err
	}
	batch, err := o.survey.run.conn.PrepareBatch(ctx, "INSERT INTO "+o.survey.run.table("verdicts")+" ("+cellColumns+", rule)")
	if err != nil {
		return out, err
	}
	defer batch.Close()
	for i, list := range held {
		for _, k := range list {
			if err := batch.Append(k.VRF, k.Src.Group, endpointAddress(k.Src), k.Dst.Group, endpointAddress(k.Dst), k.Service.Proto, k.Service.Lo, uint32(i)); err != nil {
				return out, err
			}
		}
	}
	if err := batch.Send(); err != nil {
		return out, err
	}
	rows, err := o.survey.run.conn.Query(ctx, fmt.Sprintf(`SELECT rule, uniqExactIf((client, server), %s) FROM (%s) AS s INNER JOIN %s AS v USING (%s)
		WHERE part = %d AND reason = 0 GROUP BY rule`, isPair("client", "server"), o.sessions(), o.survey.run.table("verdicts"), cellColumns, wholeWindow))
	if err != nil {
		return out, err
	}
	defer rows.Close()
	for rows.Next() {
		var rule uint32
		var n uint64
		if err := rows.Scan(&rule, &n); err != nil {
			return out, err
		}
		out[rule] = n
	}
	return out, rows.Err()
}

// endpointAddress is what the tables have for an endpoint: "::" for a group.
func endpointAddress(e cells.Endpoint) netip.Addr {
	if e.Group != cells.NoGroup {
		return netip.IPv6Unspecified()
	}
	return as16(e.Prefix.Addr())
}

// selected gives the categories of the order as bits.
func (o *order) selected() (bits uint64) {
	for _, c := range o.chain {
		bits |= 1 << c
	}
	return bits
}

// known counts the known endpoints of each group under the order.
func (o *order) known() map[groupOf]hosts {
	out := map[groupOf]hosts{}
	for _, k := range o.survey.known {
		group := cells.NoGroup
		for _, c := range o.chain {
			if k.groups[c] != 0 {
				group = k.groups[c] + uint32(o.first[c])
				break
			}
		}
		if group == cells.NoGroup && k.kind == categories.Public && o.plan.settings.External == policy.ExternalInternet {
			group = cells.InternetGroup
		}
		if group != cells.NoGroup {
			n := out[groupOf{k.vrf, group}]
			if k.ipv4 {
				n.ipv4 += k.count
			} else {
				n.ipv6 += k.count
			}
			out[groupOf{k.vrf, group}] = n
		}
	}
	return out
}

// heldOut counts the later sessions that rules learned before would deny. Rules are sound and complete, so they
// permit the cells that they were learned from and no other.
func (o *order) heldOut(learn, later []cells.Part) *HeldOut {
	learned := map[cells.Key]bool{}
	for _, c := range o.support(learn) {
		learned[c.Key] = true
	}
	h := new(HeldOut)
	for _, c := range decide.Judge(later, o.plan) {
		h.Sessions += c.Sessions
		if !learned[c.Key] {
			h.Denied += c.Sessions
		}
	}
	return h
}
