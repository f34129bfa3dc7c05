package decide

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"cordon/categories"
	"cordon/recommender/cells"

	"pgregory.net/rapid"
)

// TestZeroProbability compares with the count of all ways to choose.
func TestZeroProbability(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 60).Draw(t, "n")
		row, column := rapid.Uint64Range(1, n).Draw(t, "row"), rapid.Uint64Range(1, n).Draw(t, "column")
		of := func(a, b uint64) *big.Int { return new(big.Int).Binomial(int64(a), int64(b)) }
		want := 0.0
		if row+column <= n {
			want, _ = new(big.Rat).SetFrac(of(n-column, row), of(n, row)).Float64()
		}
		if got := zeroProbability(n, row, column, 0); math.Abs(got-want) > 1e-9*want {
			t.Fatalf("%v, want %v", got, want)
		}
		if a, b := zeroProbability(n, row, column, 0), zeroProbability(n, column, row, 0); a != b {
			t.Fatalf("%v is not %v: the ends are not treated alike", a, b)
		}
	})
	if p := zeroProbability(1e9, 5e8, 5e8, 0.05); p >= 0.05 {
		t.Errorf("%v: what is certain takes no time", p)
	}
}

func TestTermsMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term := rapid.Custom(func(t *rapid.T) categories.ServiceTerm {
			lo := rapid.Uint16Range(0, 30).Draw(t, "lo")
			return categories.ServiceTerm{Proto: rapid.SampledFrom([]uint8{6, 17}).Draw(t, "protocol"), Lo: lo, Hi: lo + rapid.Uint16Range(0, 5).Draw(t, "more")}
		})
		terms, one := rapid.SliceOf(term).Draw(t, "terms"), term.Draw(t, "term")
		want := slices.ContainsFunc(terms, func(x categories.ServiceTerm) bool { return x.Proto == one.Proto && x.Lo <= one.Hi && one.Lo <= x.Hi })
		if got := meets(JoinTerms(slices.Clone(terms)), one); got != want {
			t.Fatalf("%v meets %v: %v", terms, one, got)
		}
	})
}

// halves is a level: groups 1 to 4 are in its group 0, the others up to 8 in its group 1, and group 9 is all of its group 2.
type halves struct{}

func (halves) Parent(e cells.Endpoint) (group int, wider bool) {
	switch {
	case e.Group == cells.NoGroup || e.Group > 9:
		return -1, false
	case e.Group == 9:
		return 2, false
	case e.Group > 4:
		return 1, true
	}
	return 0, true
}

// pairs is a level that puts each two neighbours together.
type pairs struct{}

func (pairs) Parent(e cells.Endpoint) (group int, wider bool) {
	if e.Group == cells.NoGroup || e.Group > 4 {
		return -1, false
	}
	return int(e.Group-1) / 2, true
}

// TestUnseen goes through all cells over the ends, one by one, and asks of each what the doc comment says.
func TestUnseen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SampledFrom([][]Level{{halves{}}, {pairs{}, halves{}}, nil}).Draw(t, "levels")
		services := []categories.ServiceTerm{{Proto: 6, Lo: 1, Hi: 1}, {Proto: 6, Lo: 2, Hi: 2}, {Proto: 6, Lo: 1, Hi: 9}}
		all := []cells.Endpoint{host("10.0.0.1")}
		for _, n := range []uint32{1, 2, 3, 5, 6, 9, 10} {
			all = append(all, group(n))
		}
		end := rapid.SampledFrom(all)
		var list []cells.Cell
		var parts []cells.Part
		for range rapid.IntRange(3, 30).Draw(t, "cells") {
			k := cells.Key{VRF: "a", Src: end.Draw(t, "source"), Dst: end.Draw(t, "destination"), Service: rapid.SampledFrom(services).Draw(t, "service")}
			if slices.ContainsFunc(list, func(c cells.Cell) bool { return c.Key == k }) {
				continue
			}
			list = append(list, cells.Cell{Key: k, Sessions: rapid.Uint64Range(1, 5).Draw(t, "sessions")})
		}
		out := rapid.IntRange(0, 5).Draw(t, "left out")
		for range out { // Sessions that are left out, of the same VRF and of another.
			p := cells.Part{Service: categories.Service{Proto: 6, Port: uint16(rapid.IntRange(1, 3).Draw(t, "port"))}}
			p.Key = cells.Key{VRF: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "VRF"), Src: end.Draw(t, "source"), Dst: end.Draw(t, "destination")}
			parts = append(parts, p)
		}
		var ends Ends
		for i := range list {
			if rapid.IntRange(0, 4).Draw(t, "in a rule") > 0 {
				k := &list[i].Key
				ends.Sources, ends.Dests, ends.Services = append(ends.Sources, k.Src), append(ends.Dests, k.Dst), append(ends.Services, k.Service)
			}
		}
		slices.SortFunc(ends.Sources, cells.Endpoint.Compare)
		slices.SortFunc(ends.Dests, cells.Endpoint.Compare)
		slices.SortFunc(ends.Services, categories.ServiceTerm.Compare)
		closed := group(uint32(rapid.IntRange(1, 9).Draw(t, "closed")))
		significance := rapid.SampledFrom([]float64{0.05, 0.3, 0.75, 1}).Draw(t, "significance")
		got, err := Unseen(levels, &ends, "a", list, parts, significance, func(k cells.Key) bool { return k.Dst == closed }, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range all {
			for _, dst := range all {
				for _, v := range services {
					k := cells.Key{VRF: "a", Src: src, Dst: dst, Service: v}
					z, have := got[k]
					want, yes := expected(levels, &ends, list, parts, k)
					yes = yes && dst != closed && want.Probability >= significance*(1-1e-9)
					if have != yes || yes && (z.Level != want.Level || z.Src != want.Src || z.Dst != want.Dst || math.Abs(z.Expected-want.Expected) > 1e-9 || math.Abs(z.Probability-want.Probability) > 1e-9) {
						t.Fatalf("%v: %+v %v, want %+v %v", k, z, have, want, yes)
					}
				}
			}
		}
	})
}

// expected tells whether nothing was seen in a cell that lies in a coarse one with its client and its server, and what chance says.
func expected(levels []Level, ends *Ends, list []cells.Cell, parts []cells.Part, k cells.Key) (z Zero, yes bool) {
	if !slices.Contains(ends.Sources, k.Src) || !slices.Contains(ends.Dests, k.Dst) || !slices.Contains(ends.Services, k.Service) {
		return z, false
	}
	for i := range list {
		if o := &list[i].Key; o.Src == k.Src && o.Dst == k.Dst && o.Service.Overlaps(k.Service) {
			return z, false
		}
	}
	for i := range parts {
		if p := &parts[i]; p.Key.VRF == k.VRF && p.Key.Src == k.Src && p.Key.Dst == k.Dst && k.Service.Matches(p.Service) {
			return z, false
		}
	}
	for at, l := range levels {
		s, widerS := l.Parent(k.Src)
		d, widerD := l.Parent(k.Dst)
		if s < 0 || d < 0 || !widerS && !widerD {
			continue
		}
		var all, row, column uint64
		for i := range list {
			o := &list[i].Key
			os, _ := l.Parent(o.Src)
			od, _ := l.Parent(o.Dst)
			if os != s || od != d || o.Service != k.Service {
				continue
			}
			all += list[i].Sessions
			if o.Src == k.Src {
				row += list[i].Sessions
			}
			if o.Dst == k.Dst {
				column += list[i].Sessions
			}
		}
		if row == 0 || column == 0 {
			return z, false
		}
		return Zero{at, s, d, float64(row) * float64(column) / float64(all), zeroProbability(all, row, column, 0)}, true
	}
	return z, false
}

// TestUnseenBound: as many pairs as permitted are looked at, and one more is refused.
func TestUnseenBound(t *testing.T) {
	var list []cells.Cell
	ends := Ends{Services: []categories.ServiceTerm{term(t, "tcp/1")}}
	for i := range uint32(3) {
		list = append(list, cells.Cell{Key: cells.Key{Src: group(i + 1), Dst: group(i + 5), Service: ends.Services[0]}, Sessions: 1})
		ends.Sources, ends.Dests = append(ends.Sources, group(i+1)), append(ends.Dests, group(i+5))
	}
	for most, want := range map[int]error{9: nil, 8: ErrTooFine} {
		got, err := Unseen([]Level{halves{}}, &ends, "", list, nil, 0.05, func(cells.Key) bool { return false }, most)
		if !errors.Is(err, want) || err == nil && len(got) != 6 {
			t.Errorf("%d pairs: %d cells, %v", most, len(got), err)
		}
	}
	if _, err := Unseen([]Level{halves{}}, &Ends{}, "", list, nil, 0.05, nil, 1); err != nil {
		t.Errorf("services of no rule are not looked at: %v", err)
	}
	if got := fmt.Sprint(JoinTerms([]categories.ServiceTerm{term(t, "tcp/5-6"), term(t, "udp/1"), term(t, "tcp/6-9"), term(t, "tcp/11")})); got != "[tcp/5-9 tcp/11 udp/1]" {
		t.Error(got)
	}
}
