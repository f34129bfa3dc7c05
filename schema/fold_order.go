package schema

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// ordered is a session with as much of its sorting key, at the front of it, as
// fits: enough for most of IPv4, of which the rest has few ties.
type ordered struct {
	high, low    uint64
	session, vrf uint32
}

const secondsPerDay = 24 * 3600

// order sorts the sessions as sessions_hourly is sorted: by (toDate(hour),
// server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter,
// hour, egress, import).
func (f *Folder) order() []ordered {
	if f.n == 0 {
		return nil
	}
	firstHour := uint32(math.MaxUint32)
	for i := range f.n {
		firstHour = min(firstHour, f.session(i).key.hour)
	}
	firstDay := firstHour / secondsPerDay
	order := slices.Grow(f.sorted[:0], f.n)
	for i := range f.n {
		k := &f.session(i).key
		o := ordered{session: uint32(i), vrf: k.vrf}
		// Where a part of the key is not whole, nothing may stand behind it.
		if day := k.hour/secondsPerDay - firstDay; day >= 255 {
			o.high = 255 << 56
		} else if server, whole := addressOrder(&k.server); !whole {
			o.high = uint64(day)<<56 | server<<22
		} else {
			o.high = uint64(day)<<56 | server<<22 | uint64(k.proto)<<14 | uint64(k.port)>>2
			client, _ := addressOrder(&k.client)
			o.low = uint64(k.port)<<62 | client<<28
		}
		order = append(order, o)
	}
	f.sorted, f.spare = radixSort(order, slices.Grow(f.spare[:0], len(order))[:len(order)])
	for from, to := 0, 1; to <= len(f.sorted); to++ {
		if to < len(f.sorted) && f.sorted[to].high == f.sorted[from].high && f.sorted[to].low == f.sorted[from].low {
			continue
		}
		if to-from > 1 {
			slices.SortFunc(f.sorted[from:to], f.compare)
		}
		from = to
	}
	return f.sorted
}

// radixSort sorts by high, then low, a byte at a time from the last, leaving out
// the bytes in which all are the same: of addresses, most are. It uses spare, of
// the same length, and returns the sorted slice and the other one.
func radixSort(order, spare []ordered) (sorted, other []ordered) {
	var high, low uint64 // bits that differ
	for i := range order {
		high |= order[i].high ^ order[0].high
		low |= order[i].low ^ order[0].low
	}
	pass := func(word func(*ordered) uint64, shift int) {
		var starts [257]int
		for i := range order {
			starts[1+int(uint8(word(&order[i])>>shift))]++
		}
		for i := range 255 {
			starts[i+1] += starts[i]
		}
		for i := range order {
			at := &starts[uint8(word(&order[i])>>shift)]
			spare[*at] = order[i]
			*at++
		}
		order, spare = spare, order
	}
	for shift := 0; shift < 64; shift += 8 {
		if uint8(low>>shift) != 0 {
			pass(func(o *ordered) uint64 { return o.low }, shift)
		}
	}
	for shift := 0; shift < 64; shift += 8 {
		if uint8(high>>shift) != 0 {
			pass(func(o *ordered) uint64 { return o.high }, shift)
		}
	}
	return order, spare
}

// compare compares by the whole sorting key.
func (f *Folder) compare(x, y ordered) int {
	a, b := &f.session(int(x.session)).key, &f.session(int(y.session)).key
	return cmp.Or(
		cmp.Compare(a.hour/secondsPerDay, b.hour/secondsPerDay),
		bytes.Compare(a.server[:], b.server[:]),
		cmp.Compare(a.proto, b.proto),
		cmp.Compare(a.port, b.port),
		bytes.Compare(a.client[:], b.client[:]),
		cmp.Compare(f.vrfs[a.vrf], f.vrfs[b.vrf]),
		cmp.Compare(a.icmpType, b.icmpType),
		cmp.Compare(a.icmpCode, b.icmpCode),
		cmp.Compare(a.clientPort, b.clientPort),
		bytes.Compare(f.origins[a.origin].exporter[:], f.origins[b.origin].exporter[:]),
		cmp.Compare(a.hour, b.hour),
		cmp.Compare(a.egress, b.egress),
		cmp.Compare(f.origins[a.origin].imported, f.origins[b.origin].imported),
		// Of different partitions, which are sorted apart.
		cmp.Compare(a.month, b.month),
		cmp.Compare(a.decided, b.decided),
	)
}

// addressOrder gives 34 bits of an address that sort as addresses do, and
// whether they say all: that is so for IPv4.
func addressOrder(a *[16]byte) (order uint64, whole bool) {
	high, middle := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint32(a[8:12])
	switch {
	case high == 0 && middle == 0xffff:
		return 1<<32 | uint64(binary.BigEndian.Uint32(a[12:])), true
	case high == 0 && middle < 0xffff:
		return 0, false
	}
	return 2<<32 | high>>32, false
}
