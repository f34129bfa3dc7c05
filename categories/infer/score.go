package infer

import (
	"math"
	"net/netip"
)

// Agreement compares a grouping with the true one, over the hosts in both: the adjusted Rand index, which asks of pairs
// whether they are together, and the V-measure, which asks what one grouping says about the other.
func Agreement(got, want map[netip.Addr]string) (ari, v float64) {
	type cell struct{ got, want string }
	cells, rows, columns := map[cell]float64{}, map[string]float64{}, map[string]float64{}
	n := 0.0
	for host, w := range want {
		if g, ok := got[host]; ok {
			cells[cell{g, w}]++
			rows[g]++
			columns[w]++
			n++
		}
	}
	pairs := func(x float64) float64 { return x * (x - 1) / 2 }
	var both, a, b, hRows, hColumns, hBoth float64
	for _, x := range cells {
		both += pairs(x)
		hBoth -= x / n * math.Log2(x/n)
	}
	for _, x := range rows {
		a += pairs(x)
		hRows -= x / n * math.Log2(x/n)
	}
	for _, x := range columns {
		b += pairs(x)
		hColumns -= x / n * math.Log2(x/n)
	}
	chance := a * b / pairs(n)
	ari = (both - chance) / ((a+b)/2 - chance)
	v = 2 * (hRows + hColumns - hBoth) / (hRows + hColumns)
	return ari, v
}
