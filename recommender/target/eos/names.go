package eos

import (
	"fmt"
	"strings"
)

// The ends of names of matches.
const (
	reverseSuffix = "-reverse"
	v6Suffix      = "-v6"
	icmpSuffix    = "-icmp"
)

// reserved are words that cannot be names.
var reserved = map[string]bool{
	"ipv4-all-default": true, "ipv6-all-default": true, "field-set": true, "prefix": true, "all": true, "except": true,
}

// word makes a name of EOS of any text: letters, digits, "_", "-" and ".".
func word(text string) (string, error) {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, text)
	if strings.Trim(name, "-") == "" {
		return "", fmt.Errorf("the name %q has no letter or digit that EOS takes: choose another one", text)
	}
	if reserved[strings.ToLower(name)] {
		return "", fmt.Errorf("the name %q means something else on EOS: choose another one", text)
	}
	return name, nil
}

func (p *printer) policyName(d *Document) (string, error) {
	if d.Name != "" {
		return word(d.Name)
	}
	return word("cordon-" + vrfName(d.VRF))
}
