package target

import (
	"encoding/csv"
	"fmt"
	"strings"

	"cordon/recommender/policy"
)

// csvColumns are those of a table of rules.
var csvColumns = []string{"vrf", "position", "name", "id", "action", "direction", "sources", "source_addresses", "destinations", "destination_addresses",
	"services", "source_ports", "flags", "fragments", "redirect", "conditions", "remarks"}

// writeCSV writes the rules in the order in which they match, and what the policy does at its end.
func writeCSV(w *writer) error {
	var out strings.Builder
	table := csv.NewWriter(&out)
	rows := [][]string{csvColumns}
	for i := range w.documents {
		d := &w.documents[i]
		for j := range d.Rules {
			r := &d.Rules[j]
			x, err := w.resolve(d, r, j)
			if err != nil {
				return err
			}
			if j < len(d.About) {
				x.about = d.About[j]
			}
			direction := r.Direction
			if direction == "" {
				direction = policy.Bidirectional
			}
			rows = append(rows, []string{vrfName(d), fmt.Sprint(j + 1), x.name, r.ID, string(r.Action), direction,
				texts(r.Sources), strings.Join(prefixTexts(x.src.addresses), " "), texts(r.Destinations), strings.Join(prefixTexts(x.dst.addresses), " "),
				texts(r.Services), spans(policy.JoinPorts(r.SourcePorts), " "), r.Flags, r.Fragments, r.Redirect,
				strings.Join(r.Opaque, "; "), strings.Join(x.about, "; ")})
		}
		for _, ipv6 := range []bool{false, true} {
			if action := d.Default.Of(ipv6); action != "" {
				every := policy.FamilyOf(ipv6)[0].Prefix.String()
				rows = append(rows, []string{vrfName(d), "default", "default " + familyName(ipv6), "", string(action), policy.OneWay, "any", every, "any", every, "any", "", "", "", "", "", ""})
			}
		}
	}
	for _, row := range rows {
		for i := range row {
			row[i] = noFormula(row[i])
		}
		if err := table.Write(row); err != nil {
			return err
		}
	}
	table.Flush()
	w.file("", out.String())
	return table.Error()
}

// noFormula keeps a spreadsheet from taking text for a formula.
func noFormula(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func texts[T fmt.Stringer](list []T) string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.String()
	}
	return strings.Join(out, " ")
}
