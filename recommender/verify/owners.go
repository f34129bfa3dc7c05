package verify

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/gaissmai/bart"
)

// A session of an address that changed its owner is one for each owner. Here the address of a former owner has a zone, which no
// address of a record has: it numbers what is known of that owner. An address without a zone is what it is at the
// moment whose groups the proposal means. So the checks tell owners apart wherever they tell addresses apart.

// owners says what addresses were when they were seen, where a groups file has times or the document names re-used addresses.
type owners struct {
	at       time.Time
	file     *categories.File // The file with its times; nil if the document has to say.
	line     *categories.Timeline
	changing []netip.Prefix
	in       bart.Lite                 // the same
	reused   []policy.Reused           // The document's, if there is no file.
	places   map[string]int            // Places of groups, keyed by label.
	named    map[string]categories.Ref // groups that statements which allow name, by label
	members  map[categories.Ref]*bart.Table[[]categories.Times]
	known    map[netip.Addr][]owner
	former   []former // Indexed by the number in the zone.
	numbers  map[string]int
}

// owner is what an address was for a time.
type owner struct {
	categories.Times
	group int    // place in Resolver.Groups, or -1
	named string // labels of the named groups it was in
}

// former is an owner that is not the present one.
type former struct {
	addr  netip.Addr
	group int
	times categories.Times
	named []string // labels
}

// about is how long before the window a change still is one of the window.
const about = 25 * time.Hour

// newOwners gives nil where no address changed its owner. The groups of the options become those of the moment.
func newOwners(p *policy.Proposal, o *Options) (*owners, error) {
	x := &owners{places: map[string]int{}, named: map[string]categories.Ref{}, members: map[categories.Ref]*bart.Table[[]categories.Times]{}, known: map[netip.Addr][]owner{}, numbers: map[string]int{}}
	if x.at = p.Window.To.Time; p.GroupsAt != nil {
		x.at = p.GroupsAt.Time
	}
	var since, until time.Time
	if s := p.Settings; s != nil && !s.Since.IsZero() {
		since = s.Since.Add(-about)
	}
	if s := p.Settings; s != nil && !s.Until.IsZero() {
		until = s.Until.Time
	}
	if o.Groups.Timed() {
		x.file, x.changing = o.Groups.During(since, until), o.Groups.Changing(since, until)
		o.Groups = o.Groups.AtIn(x.at, since)
	} else {
		x.reused = p.Reused
		for _, r := range p.Reused {
			x.changing = append(x.changing, r.Prefix)
		}
	}
	if len(x.changing) == 0 {
		return nil, nil
	}
	for _, c := range x.changing {
		x.in.Insert(c)
	}
	return x, nil
}

// prepare tells the owners of groups and of what names them.
func (x *owners) prepare(a *policy.Addresses, file *categories.File, selected []string, o *Options) (err error) {
	for i, g := range a.Resolver().Groups() {
		x.places[a.Resolver().Label(g)] = i
	}
	name := func(ref categories.Ref) {
		if ref != (categories.Ref{}) && ref != categories.Internet {
			x.named[a.Resolver().Label(ref)] = ref
		}
	}
	// An allow that names a group means those that resolve to it, where any do; see policy.Reading.
	for _, s := range append(statements(o.Existing, false), statements(o.Guardrails, true)...) {
		for _, e := range append(slices.Clone(s.ends[0]), s.ends[1]...) {
			if m, err := a.MeaningAs(e, s.as); err == nil && e.IsGroup() && m.Group < 0 && !m.Internet && s.as != policy.Denying {
				name(a.Ref(e.Group))
			}
		}
	}
	if x.file == nil {
		return nil
	}
	for i := range x.file.Categories {
		c := &x.file.Categories[i]
		for j := range c.Groups {
			ref := categories.Ref{Category: c.Name, Group: c.Groups[j].Name}
			if label := a.Resolver().Label(ref); x.named[label] != ref {
				continue
			}
			t := new(bart.Table[[]categories.Times])
			for k, p := range c.Groups[j].Prefixes {
				known, _ := t.Get(p)
				t.Insert(p, append(known, c.Groups[j].TimesOf(k)))
			}
			x.members[ref] = t
		}
	}
	x.line, err = categories.NewTimeline(x.file, selected)
	return err
}

// touches reports whether the address changes its owner.
func (x *owners) touches(a netip.Addr) bool {
	_, ok := x.in.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
	return ok
}

// declared reports whether the file put an address into a group in a time in which nothing about it changes.
func (x *owners) declared(ref categories.Ref, a netip.Addr, t categories.Times) bool {
	m := x.members[ref]
	if m == nil {
		return false
	}
	for _, times := range m.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		if slices.ContainsFunc(times, func(o categories.Times) bool { return o.Overlaps(t.From, t.Until) }) {
			return true
		}
	}
	return false
}

// of gives the owners of an address, one after another.
func (x *owners) of(a netip.Addr) []owner {
	if list, ok := x.known[a]; ok {
		return list
	}
	var list []owner
	add := func(o owner) {
		if n := len(list); n > 0 && list[n-1].group == o.group && list[n-1].named == o.named {
			list[n-1].Until = o.Until
			return
		}
		list = append(list, o)
	}
	if x.file == nil {
		for _, r := range x.reused {
			if !r.Prefix.Contains(a) {
				continue
			}
			for _, o := range x.fromDocument(r) {
				add(o)
			}
		}
	} else {
		var moments []time.Time
		for i := range x.file.Categories {
			for j := range x.file.Categories[i].Groups {
				g := &x.file.Categories[i].Groups[j]
				for k, p := range g.Prefixes {
					if t := g.TimesOf(k); !t.Always() && p.Contains(a) {
						moments = append(moments, t.From, t.Until)
					}
				}
			}
		}
		for _, t := range categories.Slices(moments) {
			var named []string
			for label, ref := range x.named {
				if x.declared(ref, a, t) {
					named = append(named, label)
				}
			}
			slices.Sort(named)
			add(owner{t, x.line.LookupDuring(a, t), strings.Join(named, "\x00")})
		}
	}
	x.known[a] = list
	return list
}

func timeOf(t *policy.Time) (out time.Time) {
	if t != nil {
		out = t.Time
	}
	return out
}

// when gives the address as it was at the begin of an hour's flows, which went on to last.
func (x *owners) when(a netip.Addr, first, last time.Time) netip.Addr {
	list := x.of(a)
	i := slices.IndexFunc(list, func(o owner) bool { return o.Holds(first) })
	if i < 0 {
		return a
	}
	if !list[i].Holds(last) {
		return x.zoned(a, owner{group: -1, named: "?"})
	}
	if now := x.present(list); now.group == list[i].group && now.named == list[i].named {
		return a
	}
	return x.zoned(a, list[i])
}

func (x *owners) present(list []owner) owner {
	if i := slices.IndexFunc(list, func(o owner) bool { return o.Holds(x.at) }); i >= 0 {
		return list[i]
	}
	return owner{group: -1}
}

// zoned gives the address of a former owner.
func (x *owners) zoned(a netip.Addr, o owner) netip.Addr {
	key := fmt.Sprintf("%s %d %s", a, o.group, o.named)
	n, ok := x.numbers[key]
	if !ok {
		n = len(x.former)
		x.numbers[key] = n
		x.former = append(x.former, former{addr: a, group: o.group, times: o.Times, named: strings.Split(o.named, "\x00")})
	}
	return netip.AddrFrom16(a.As16()).WithZone(strconv.Itoa(n))
}

// formerly gives what is known of the owner that a zone numbers.
func (x *owners) formerly(a netip.Addr) (*former, bool) {
	if a.Zone() == "" {
		return nil, false
	}
	n, _ := strconv.Atoi(a.Zone())
	return &x.former[n], true
}

// all gives an address for each former owner of the changing addresses among borders, at which what concerns addresses changes.
func (x *owners) all(borders []netip.Addr) (out []netip.Addr) {
	for _, p := range x.changing {
		borders = append(borders, p.Addr())
	}
	for _, a := range borders {
		if a = plain(a); !x.touches(a) {
			continue
		}
		list := x.of(a)
		now := x.present(list)
		for _, o := range list {
			if o.group != now.group || o.named != now.named {
				out = append(out, x.zoned(a, o))
			}
		}
	}
	return out
}

// plain gives an address without its owner.
func plain(a netip.Addr) netip.Addr {
	if a.Zone() == "" {
		return a
	}
	return a.WithZone("").Unmap()
}

// meansFormer reports whether a literal holds the address that a former owner had. Where the literal is one of a proposal, an
// address means its present owner; a denial means whoever has the address.
func (m *meanings) meansFormer(l literal, f *former) bool {
	switch ref := m.addresses.Ref(l.Group); {
	case l.IsAny():
		return true
	case !l.IsGroup():
		return l.as != policy.Proposed && l.Prefix.Contains(f.addr)
	case l.deniesGroup():
		return m.holds(l, f.addr)
	case ref == categories.Internet:
		return categories.KindOf(f.addr) == categories.Public && f.group < 0
	default:
		meant, err := m.addresses.MeaningAs(l.Endpoint, l.as)
		switch {
		case err != nil:
			return false
		case meant.Group >= 0:
			return meant.Group == f.group
		}
		return slices.Contains(f.named, l.Group) && (!meant.Ungrouped || f.group < 0)
	}
}

// formerRules gives the statements that hold the address of a former owner at a side.
func (x *index) formerRules(side int, f *former) bitset {
	out := x.empty()
	for i := range x.statements {
		if slices.ContainsFunc(x.statements[i].literals(side), func(l literal) bool { return x.meanings.meansFormer(l, f) }) {
			out.set(i)
		}
	}
	return out
}

// hoursOfSession are the sums of the hours of a session that one pair of owners had.
type hoursOfSession struct {
	Session
	answered, refused, unheard, asked, replied, alone, unknown uint64
	turned                                                     bool
}

// session judges the sums as the store's views do.
func (h *hoursOfSession) session() Session {
	s := h.Session
	s.Complete, s.HalfOpen = h.unknown > 0, h.refused > 0 || h.unheard+h.alone > 0
	switch {
	case h.turned:
		s.Complete, s.HalfOpen = h.answered+h.replied+h.asked+h.unheard+h.refused > 0, false
	case h.answered+h.replied > 0:
		s.Complete, s.HalfOpen = true, h.refused > 0
	}
	return s
}

// readHours reads the sessions of addresses that changed their owner, hour by hour.
func (x *owners) readHours(ctx context.Context, conn driver.Conn, p *policy.Proposal, loss []policy.Loss) ([]Session, error) {
	since, until := window(p)
	touched := func(client, server string) string {
		return "(" + schema.InPrefixes(client, x.changing) + " OR " + schema.InPrefixes(server, x.changing) + ")"
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_query_size": 256 << 20}))
	rows, err := conn.Query(ctx, `SELECT client_ip, server_ip, proto, port, icmp_type::UInt8, icmp_code::UInt8, hour, first_seen, last_seen,
			client_packets::UInt64, client_bytes::UInt64, server_packets::UInt64, server_bytes::UInt64, scaled_bytes::UInt64,
			complete::UInt64, half_open::UInt64, unanswered::UInt64, requests::UInt64, replies::UInt64, denied::UInt64, requests_alone::UInt64, requests_unknown::UInt64,
			asked::UInt8, basis::UInt8, seen_by, client_flags::UInt16, server_flags::UInt16, sampling::UInt32
		FROM (`+schema.HoursOf(since, until, touched)+`) WHERE vrf = ?`, p.VRF)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	type key struct {
		client, server netip.Addr
		service        categories.Service
		code           uint8
	}
	sums := map[key]*hoursOfSession{}
	var order []key
	for rows.Next() {
		var h hoursOfSession
		var proto, icmpType, code, turned, basis uint8
		var port uint16
		var hour time.Time
		var denied uint64
		var seenBy []net.IP
		if err := rows.Scan(&h.Client, &h.Server, &proto, &port, &icmpType, &code, &hour, &h.First, &h.Last,
			&h.ClientPackets, &h.ClientBytes, &h.ServerPackets, &h.Bytes, &h.ScaledBytes,
			&h.answered, &h.refused, &h.unheard, &h.asked, &h.replied, &denied, &h.alone, &h.unknown,
			&turned, &basis, &seenBy, &h.ClientFlags, &h.ServerFlags, &h.Sampling); err != nil {
			return nil, err
		}
		h.Bytes += h.ClientBytes
		h.Flows = h.answered + h.refused + h.unheard + h.asked + h.replied + denied
		h.turned, h.Denied, h.Directed = turned > 0, denied > 0, basis > 0
		h.Hours = []uint32{uint32(hour.Unix() / 3600)}
		last := h.Last
		if end := hour.Add(time.Hour - time.Microsecond); end.Before(last) {
			last = end
		}
		if last.Before(h.First) {
			last = h.First
		}
		h.Client, h.Server = x.when(h.Client.Unmap(), h.First, last), x.when(h.Server.Unmap(), h.First, last)
		h.Service = categories.NewService(proto, port, icmpType)
		for _, ip := range seenBy {
			a, _ := netip.AddrFromSlice(ip)
			if a = a.Unmap(); a != netip.IPv6Unspecified() {
				h.SeenBy = append(h.SeenBy, a)
				if slices.ContainsFunc(loss, func(l policy.Loss) bool { return l.Exporter == a.String() }) {
					h.Exporters = append(h.Exporters, a.String())
				}
			}
		}
		k := key{h.Client, h.Server, h.Service, code}
		sum := sums[k]
		if sum == nil {
			sums[k] = &h
			order = append(order, k)
			continue
		}
		sum.addHour(&h)
	}
	var out []Session
	codes := map[key]int{}
	for _, k := range order {
		s := sums[k].session()
		k.code = 0
		if at, ok := codes[k]; ok {
			out[at].add(&s)
			continue
		}
		codes[k] = len(out)
		out = append(out, s)
	}
	return out, rows.Err()
}

// addHour adds another hour.
func (h *hoursOfSession) addHour(o *hoursOfSession) {
	h.Session.add(&o.Session)
	h.ClientPackets += o.ClientPackets
	h.ClientBytes += o.ClientBytes
	h.ClientFlags, h.ServerFlags = h.ClientFlags|o.ClientFlags, h.ServerFlags|o.ServerFlags
	h.answered, h.refused, h.unheard, h.asked = h.answered+o.answered, h.refused+o.refused, h.unheard+o.unheard, h.asked+o.asked
	h.replied, h.alone, h.unknown = h.replied+o.replied, h.alone+o.alone, h.unknown+o.unknown
	h.turned = h.turned || o.turned
}

// reused compares the addresses that the document says changed their owner with the groups file.
func (v *verifier) reused() {
	x := v.ends.owners
	if v.o.alone || x != nil && x.file == nil {
		return // nothing to compare with
	}
	said := map[string]bool{}
	for _, r := range v.p.Reused {
		said[r.Prefix.String()] = false
	}
	var wrong []string
	seen := map[netip.Addr]bool{}
	for i := range v.c.Sessions {
		for _, a := range [2]netip.Addr{plain(v.c.Sessions[i].Client), plain(v.c.Sessions[i].Server)} {
			if x == nil || seen[a] || !x.touches(a) {
				continue
			}
			seen[a] = true
			are, say := "", ""
			if list := x.of(a); len(list) > 1 {
				are = v.ownersText(list)
			}
			for _, r := range v.p.Reused {
				if r.Prefix.Contains(a) {
					say, said[r.Prefix.String()] = v.ownersText(x.fromDocument(r)), true
				}
			}
			if say != are {
				wrong = append(wrong, fmt.Sprintf("%s: %q, where the groups file says %q", a, say, are))
			}
		}
	}
	for _, r := range v.p.Reused {
		// A range of addresses may be written as several prefixes, of which some have no session.
		if x != nil && !said[r.Prefix.String()] {
			if list := x.of(r.Prefix.Addr()); len(list) > 1 && v.ownersText(list) == v.ownersText(x.fromDocument(r)) {
				continue
			}
		}
		if !said[r.Prefix.String()] {
			wrong = append(wrong, r.Prefix.String()+" has no such owners in the groups file")
		}
	}
	if slices.Sort(wrong); len(wrong) > 0 {
		f := v.report.find(WrongCarried, "", "the owners of re-used addresses are not those of the groups file:")
		f.Count, f.Examples = uint64(len(wrong)), v.examples(wrong)
	}
}

// fromDocument gives the owners of re-used addresses as the document has them.
func (x *owners) fromDocument(r policy.Reused) (out []owner) {
	for _, o := range r.Owners {
		group, ok := x.places[o.Group]
		if !ok {
			group = -1
		}
		out = append(out, owner{Times: categories.Times{From: timeOf(o.From), Until: timeOf(o.Until)}, group: group, named: strings.Join(o.Named, "\x00")})
	}
	return out
}

func (v *verifier) ownersText(list []owner) string {
	var out []string
	for _, o := range list {
		text := "nobody"
		if o.group >= 0 {
			text = v.ends.literals[v.ends.groups[o.group]].Group
		}
		if o.named != "" {
			text += " (" + strings.ReplaceAll(o.named, "\x00", ", ") + ")"
		}
		out = append(out, text+" "+o.Times.String())
	}
	return strings.Join(out, ", ")
}
