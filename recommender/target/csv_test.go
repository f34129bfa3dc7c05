package target

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"

	"cordon/categories"
)

// csvRules is a table of rules.
type csvRules []map[string]string

func readCSVRules(t fataler, files []File) device {
	rows, err := csv.NewReader(bytes.NewReader(files[0].Data)).ReadAll()
	if err != nil {
		t.Fatalf("%v", err)
	}
	var out csvRules
	for _, row := range rows[1:] {
		r := map[string]string{}
		for i, v := range row {
			r[rows[0][i]] = v
		}
		out = append(out, r)
	}
	return out
}

func (c csvRules) permits(p packet) bool {
	for _, r := range c {
		in := func(list string, a func(string) bool) bool { return slices.ContainsFunc(strings.Fields(list), a) }
		if in(r["source_addresses"], func(x string) bool { return inPrefix(x, p.src) }) &&
			in(r["destination_addresses"], func(x string) bool { return inPrefix(x, p.dst) }) &&
			in(r["services"], func(x string) bool {
				if x == "any" {
					return true
				}
				s, err := categories.ParseServiceTerm(x)
				return err == nil && s.Matches(categories.Service{Proto: uint8(p.proto), Port: uint16(p.dport)})
			}) {
			return r["action"] != "deny"
		}
	}
	return false
}
