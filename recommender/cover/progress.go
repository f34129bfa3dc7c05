package cover

// reporter adds up what is known of parts of a problem and tells of each change.
type reporter struct {
	call    func(Progress)
	waiting int
	done    Progress // sum over the parts that are finished
	last    Progress // the progress that was last told
}

// update tells that the part at hand has a cover of so many boxes and such a bound.
func (r *reporter) update(boxes, bound int) {
	now := Progress{r.done.Boxes + boxes, r.done.LowerBound + bound, r.waiting}
	if r.call != nil && now != r.last {
		r.call(now)
	}
	r.last = now
}

// add tells of a part that is finished.
func (r *reporter) add(boxes, bound int) {
	r.update(boxes, bound)
	r.done = r.last
}
