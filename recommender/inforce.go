package recommender

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// force is the rules in force of a draft's VRF, with what was counted of them.
type force struct {
	rules []policy.AuditRule
	seen  []policy.Seen
}

// inForce gives the rules in force of a draft, and its sessions by the rules that hold them.
func (r *run) inForce(ctx context.Context, d *draft, parts []cells.Part) (*force, error) {
	out := new(force)
	place := make([]int, len(r.plan.existing.statements)) // Each statement's place among the rules, or -1.
	at := 0
	for _, doc := range r.plan.settings.Existing {
		for i := range doc.Rules {
			place[at] = -1
			if doc.VRF == "" || doc.VRF == d.VRF {
				place[at] = len(out.rules)
				rule := &doc.Rules[i]
				out.rules = append(out.rules, policy.AuditRule{StatementRule: *rule, Label: rule.Label(i),
					Partly: !r.plan.bounds.HoldsAll(r.plan.addresses.Around(rule.Sources), r.plan.addresses.Around(rule.Destinations))})
			}
			at++
		}
	}
	if len(out.rules) == 0 {
		return out, nil
	}
	kinds := map[string]bool{}
	held := make([][]int, len(out.rules)) // kept parts of each
	for _, i := range d.parts {
		pt := &parts[i]
		s := policy.Seen{Keep: pt.Reason == 0 || policy.Keeps(policy.Reasons[pt.Reason-1])}
		for j := range r.plan.existing.all(pt.SrcClass, pt.DstClass, pt.Service) {
			if p := place[j]; p >= 0 {
				s.Holders = append(s.Holders, p)
				if s.Keep {
					held[p] = append(held[p], i)
				}
			}
		}
		if len(s.Holders) == 0 {
			continue
		}
		for j := range d.Rules {
			if d.boxes[j].holds(pt, d.Rules[j].Services) {
				s.Holders = append(s.Holders, len(out.rules)+j)
			}
		}
		key := fmt.Sprint(s.Keep)
		for _, j := range s.Holders {
			key = string(binary.AppendUvarint([]byte(key), uint64(j)))
		}
		if !kinds[key] {
			kinds[key] = true
			out.seen = append(out.seen, s)
		}
	}
	return out, r.countForce(ctx, d, parts, out, place, held)
}

// holds reports whether a box, with the services of its rule, has the sessions of a part.
func (b *boxed) holds(pt *cells.Part, services []policy.Service) bool {
	return slices.Contains(b.sources, pt.Key.Src) && slices.Contains(b.dests, pt.Key.Dst) &&
		slices.ContainsFunc(services, func(s policy.Service) bool { return s.Matches(pt.Service) })
}

// reach is what of a rule in force was seen: distinct addresses of each class at either side, and pairs.
type reach struct {
	ends  [2]map[uint32]uint64
	pairs uint64
}

// countForce compares what the rules permit with what was seen under them: held are the parts of each.
func (r *run) countForce(ctx context.Context, d *draft, parts []cells.Part, f *force, place []int, held [][]int) error {
	known, err := r.readKnownClasses(ctx, d.VRF)
	if err != nil {
		return err
	}
	reached, err := r.readReach(ctx, parts, held)
	if err != nil {
		return err
	}
	for j, p := range place {
		if p < 0 {
			continue
		}
		rule := &f.rules[p]
		rule.Beyond = policy.Beyond{PermittedPairs: r.plan.permittedPairs(j, known), ObservedPairs: reached[p].pairs}
		var ports bool
		rule.Beyond.PermittedPorts, rule.Beyond.ObservedPorts, ports = d.ports(rule.Services, held[p], parts)
		rule.Wider = rule.Action == policy.Allow && !rule.Partly && len(held[p]) > 0 &&
			(ports || r.plan.unneeded(r.plan.existing.src, j, known, reached[p].ends[0]) || r.plan.unneeded(r.plan.existing.dst, j, known, reached[p].ends[1]))
	}
	return nil
}

// classOf is a class of addresses, those of one family.
type classOf struct {
	class uint32
	ipv4  bool
}

// readKnownClasses counts the known endpoints of a VRF by class.
func (r *run) readKnownClasses(ctx context.Context, vrf string) (map[classOf]uint64, error) {
	rows, err := r.conn.Query(ctx, "SELECT class, "+ofIPv4("address")+" AS ipv4, count() FROM ("+r.known(vrf)+") GROUP BY class, ipv4")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[classOf]uint64{}
	for rows.Next() {
		var c classOf
		var ipv4 uint8
		var n uint64
		if err := rows.Scan(&c.class, &ipv4, &n); err != nil {
			return nil, err
		}
		c.ipv4 = ipv4 == 1
		out[c] = n
	}
	return out, rows.Err()
}

// readReach counts what was seen under each rule in force.
func (r *run) readReach(ctx context.Context, parts []cells.Part, held [][]int) ([]reach, error) {
	out := make([]reach, len(held))
	for i := range out {
		out[i].ends = [2]map[uint32]uint64{{}, {}}
	}
	table := r.table("force")
	if err := r.conn.Exec(ctx, "DROP TABLE IF EXISTS "+table+" SYNC"); err != nil { // The table of another VRF may be left.
		return nil, err
	}
	if err := r.conn.Exec(ctx, "CREATE TABLE "+table+" (cell UInt64, rule UInt32) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return nil, err
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+table+" (cell, rule)")
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	for rule, of := range held {
		for _, i := range of {
			if err := batch.Append(parts[i].Hash, uint32(rule)); err != nil {
				return nil, err
			}
		}
	}
	if batch.Rows() == 0 {
		return out, nil
	}
	if err := batch.Send(); err != nil {
		return nil, err
	}
	joined := " FROM " + r.table("sessions") + " AS s INNER JOIN " + table + " AS f ON f.cell = s.cell GROUP BY f.rule"
	rows, err := r.conn.Query(ctx, "SELECT 2::UInt8, f.rule, 0::UInt32, uniqExactIf((s.client, s.server), "+isPair("s.client", "s.server")+")"+joined+
		" UNION ALL SELECT 0::UInt8, f.rule, s.source_class, uniqExact(s.client)"+joined+", s.source_class"+
		" UNION ALL SELECT 1::UInt8, f.rule, s.destination_class, uniqExact(s.server)"+joined+", s.destination_class")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var what uint8
		var rule, class uint32
		var n uint64
		if err := rows.Scan(&what, &rule, &class, &n); err != nil {
			return nil, err
		}
		if what == 2 {
			out[rule].pairs = n
		} else {
			out[rule].ends[what][class] = n
		}
	}
	return out, rows.Err()
}

// permittedPairs counts the pairs of known endpoints that a statement in force holds, a host with itself left out.
func (p *plan) permittedPairs(statement int, known map[classOf]uint64) (n uint64) {
	for _, ipv4 := range []bool{false, true} {
		var clients, servers, both uint64
		for c, of := range known {
			if c.ipv4 != ipv4 {
				continue
			}
			src, dst := has(p.existing.src[c.class], statement), has(p.existing.dst[c.class], statement)
			if src {
				clients += of
			}
			if dst {
				servers += of
			}
			if src && dst {
				both += of
			}
		}
		n += clients*servers - both
	}
	return n
}

func has(b []uint64, i int) bool { return b[i/64]>>(i%64)&1 == 1 }

// unneeded reports whether a statement has a group at one side, or a known host in no group, that no session under it has there.
func (p *plan) unneeded(side [][]uint64, statement int, known map[classOf]uint64, seen map[uint32]uint64) bool {
	groups := map[int]bool{} // whether seen
	group := func(c uint32) (int, bool) {
		cl := &p.classes.list[c]
		if cl.group < 0 && cl.kind == categories.Public && p.settings.External == policy.ExternalInternet {
			return math.MaxInt, true
		}
		return cl.group, cl.group >= 0
	}
	note := func(classes []uint32) {
		for _, c := range classes {
			if g, ok := group(c); ok && has(side[c], statement) {
				groups[g] = groups[g] || seen[c] > 0
			}
		}
	}
	for _, classes := range p.classes.byGroup {
		note(classes)
	}
	note(p.classes.internet)
	for _, seen := range groups {
		if !seen {
			return true
		}
	}
	hosts := map[uint32]uint64{}
	for c, n := range known {
		if _, ok := group(c.class); !ok && has(side[c.class], statement) {
			hosts[c.class] += n
		}
	}
	for c, n := range hosts {
		if seen[c] < n {
			return true
		}
	}
	return false
}

// ports counts the services that a rule in force permits, and those that the sessions under it have; unneeded
// reports whether some may be left out. A range that dynamic ports make is needed as a whole.
func (d *draft) ports(services []policy.Service, held []int, parts []cells.Part) (permitted, observed uint64, unneeded bool) {
	seen := map[categories.Service]bool{}
	for _, i := range held {
		seen[parts[i].Service] = true
	}
	var terms []categories.ServiceTerm
	for _, s := range services {
		if s.Any {
			return policy.NumServices, uint64(len(seen)), uint64(len(seen)) < policy.NumServices
		}
		terms = append(terms, s.Term)
	}
	for _, t := range decide.JoinTerms(terms) {
		permitted += uint64(t.Size())
		n := 0
		for s := range seen {
			if t.Matches(s) {
				n++
			}
		}
		dynamic := slices.ContainsFunc(d.cells, func(c cells.Cell) bool { return c.Key.Service == t && cells.IsRange(t) })
		unneeded = unneeded || n < t.Size() && !(dynamic && n > 0)
	}
	return permitted, uint64(len(seen)), unneeded
}
