package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"cordon/categories"
)

const (
	prefixIP   = "ip:"
	literalAny = "any"
)

// Endpoint is one literal of a rule's sources or destinations: a group by its
// label ("group:web"), a prefix ("ip:10.0.0.1/32"), or, as the zero value, "any".
// It is comparable.
type Endpoint struct {
	Group  string       // label, see categories.Labels; empty for the other two
	Prefix netip.Prefix // valid for a prefix
}

// Any is every address.
var Any = Endpoint{}

// GroupEndpoint names a group by its label.
func GroupEndpoint(label string) Endpoint { return Endpoint{Group: label} }

// HostEndpoint names one address.
func HostEndpoint(a netip.Addr) Endpoint {
	a = a.Unmap()
	return Endpoint{Prefix: netip.PrefixFrom(a, a.BitLen())}
}

// IsGroup reports whether e names a group.
func (e Endpoint) IsGroup() bool { return e.Group != "" }

// IsAny reports whether e stands for every address.
func (e Endpoint) IsAny() bool { return e == Any }

// String returns the form of the public contract.
func (e Endpoint) String() string {
	switch {
	case e.Group != "":
		return categories.GroupPrefix + e.Group
	case e.Prefix.IsValid():
		return prefixIP + e.Prefix.String()
	}
	return literalAny
}

// Compare orders "any" first, then groups by label, then prefixes by address.
func (e Endpoint) Compare(o Endpoint) int {
	return cmp.Or(cmp.Compare(e.rank(), o.rank()), cmp.Compare(e.Group, o.Group), e.Prefix.Compare(o.Prefix))
}

func (e Endpoint) rank() int {
	switch {
	case e.Group != "":
		return 1
	case e.Prefix.IsValid():
		return 2
	}
	return 0
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseEndpoint.
func (e *Endpoint) UnmarshalText(text []byte) (err error) {
	*e, err = ParseEndpoint(string(text))
	return err
}

// ParseEndpoint reads "group:LABEL", "ip:PREFIX" (a bare address means /32 or
// /128) or "any".
func ParseEndpoint(s string) (Endpoint, error) {
	if s == literalAny {
		return Any, nil
	}
	if label, ok := strings.CutPrefix(s, categories.GroupPrefix); ok {
		if label == "" {
			return Endpoint{}, fmt.Errorf("endpoint %q names no group: write group:NAME", s)
		}
		return GroupEndpoint(label), nil
	}
	text, ok := strings.CutPrefix(s, prefixIP)
	if !ok {
		return Endpoint{}, fmt.Errorf("endpoint %q is not group:NAME, ip:PREFIX or any", s)
	}
	prefix, hostBits, err := categories.ParsePrefix(text)
	if err != nil {
		return Endpoint{}, fmt.Errorf("endpoint %q: %w", s, err)
	}
	if hostBits {
		return Endpoint{}, fmt.Errorf("endpoint %q has bits set behind the prefix length: write ip:%s", s, prefix)
	}
	return Endpoint{Prefix: prefix}, nil
}
