package render

import (
	"fmt"
	"slices"
	"strings"

	"cordon/recommender/policy"
)

// missing tells what the exporters sent and the proposal does not have, and
// what they did not look at.
func (t table) missing(p *policy.Proposal) {
	if len(p.Loss) == 0 && len(p.Sampling) == 0 {
		return
	}
	t.head("What may be missing")
	for i := range p.Loss {
		l := &p.Loss[i]
		text := Loss(l)
		if rules := restingOn(p, l.Exporter); len(rules) > 0 {
			text += "; resting on it: " + strings.Join(rules, ", ")
		}
		t.para(indent, text)
	}
	for _, s := range p.Sampling {
		name := exporter(s.Exporter, "an exporter that is not known")
		text := name + " looks at some packets only, and it is not known at how many"
		if s.OneIn > 0 {
			text = fmt.Sprintf("%s looks at 1 packet in %d", name, s.OneIn)
			if s.UnknownRate {
				text += ", for some records at an unknown share"
			}
		}
		text += ": short sessions may have escaped it"
		if p.ScaledBytes {
			text += "; bytes are scaled up"
		}
		t.para(indent, text)
	}
	fmt.Fprintln(t.w)
}

// Loss says in words what is missing of an exporter.
func Loss(l *policy.Loss) string {
	var parts []string
	add := func(n uint64, what, then string) {
		if n > 0 {
			parts = append(parts, count(n, what)+then)
		}
	}
	if l.LostRecords > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s lost (%.1f%%)", l.LostRecords, count(l.Records+l.LostRecords, "record"),
			100*float64(l.LostRecords)/float64(l.Records+l.LostRecords)))
	}
	add(l.NoTemplate, "data set", " without a template")
	add(l.Restarts, "restart", "")
	add(l.KernelDrops, "datagram", " dropped by the kernel")
	add(l.DroppedRecords, "record", " dropped by a full queue")
	add(l.LateRecords, "record", " over an hour late")
	if len(parts) == 0 {
		parts = append(parts, "messages lost")
	}
	return fmt.Sprintf("%s, in %s: %s", exporter(l.Exporter, "any exporter"), count(l.Hours, "hour"), strings.Join(parts, ", "))
}

// restingOn names the rules with evidence from a lossy exporter.
func restingOn(p *policy.Proposal, exporter string) (names []string) {
	for i := range p.Rules {
		if slices.Contains(p.Rules[i].Evidence.LossyExporters, exporter) {
			names = append(names, p.Rules[i].Name)
		}
	}
	return names
}

// exporter gives an address, or other words for none.
func exporter(address, none string) string {
	if address == policy.AnyExporter {
		return none
	}
	return address
}
