package cover

import "slices"

// lift carries boxes of the topmost layer down to the problem's own indices, adding each layer's essential boxes.
// It makes boxes maximal in every layer, so that they cover the cells that were dropped there as dominated.
func (r *reduction) lift(boxes []Box, w *meter) []Box {
	for i := len(r.layers) - 1; i >= 0; i-- {
		l := r.layers[i]
		g := grower{l.t, w}
		for k := range boxes {
			boxes[k] = g.expand(boxes[k], modeOrders[0])
		}
		boxes = append(boxes, l.boxes...)
		for k := range boxes {
			for m := range 3 {
				boxes[k].Sets[m] = l.groups.expand(m, boxes[k].Sets[m])
			}
		}
	}
	return boxes
}

// expand returns the sorted indices of the layer below that a set of indices of mode m stands for.
func (g groups) expand(m int, set []int32) []int32 {
	out := make([]int32, 0, len(set))
	for _, x := range set {
		out = append(out, g[m][x]...)
	}
	slices.Sort(out)
	return out
}
