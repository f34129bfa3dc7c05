package infer

import (
	"fmt"

	"cordon/categories"
)

// Category is the name of the category with inferred groups.
const Category = "inferred"

// Limits says what no grouping by traffic can tell.
const Limits = "Traffic tells what hosts do, not where they are or whom they belong to: sites, environments (production, test) and tenants that do the same are one group. Give those by prefixes, and use --refine CATEGORY to infer roles within them."

// String gives the reason in words.
func (r Reason) String() string { return r.Text + " " + Percent(r.Share) }

// Text says in words what a host with a feature does, such as "serves tcp/53 (dns)" or "uses tcp/443 (https) on the internet".
func Text(f Feature, names *categories.ServiceNames) string {
	service := f.Service.String()
	if f.Service.Lo == f.Service.Hi {
		if name := names.Name(categories.Service{Proto: f.Service.Proto, Port: f.Service.Lo}); name != service {
			service += " (" + name + ")"
		}
	} else {
		service += " (dynamic ports)"
	}
	switch {
	case f.Role == Server && f.Public:
		return "serves " + service + " to the internet"
	case f.Role == Server:
		return "serves " + service
	case f.Public:
		return "uses " + service + " on the internet"
	}
	return "uses " + service
}

// Percent writes a share. Only all is 100%, and only none 0%.
func Percent(share float64) string {
	switch p := 100 * share; {
	case p > 99 && p < 100:
		return "over 99%"
	case p > 0 && p < 1:
		return "under 1%"
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}
