package sources

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"cordon/categories"
)

// netboxSource reads a NetBox over its REST API: addresses and prefixes, with what they are assigned to.
type netboxSource struct {
	s *categories.Source
	*server
}

// netboxPage is how many objects are asked for at once: the most that NetBox gives by default. A server gives fewer if it wants to.
const netboxPage = 1000

func newNetboxSource(s *categories.Source) (*netboxSource, error) {
	at, err := newServer(s, s.Address, s.CA, slices.Concat(s.Headers, authorization("Token", s.Token)))
	return &netboxSource{s, at}, err
}

func (n *netboxSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	// Devices and virtual machines have what most groups are made of: role, site, tenant and tags.
	owners := map[string]map[string]labels{}
	for _, kind := range []string{"device", "virtual_machine"} {
		list, err := n.all(ctx, netboxOwners[kind])
		if err != nil {
			return nil, err
		}
		owners[kind] = map[string]labels{}
		for _, v := range list {
			l := netboxLabels(v)
			owners[kind][text(v["id"])] = l
		}
	}
	out := &Snapshot{Source: n.s.Name}
	prefixes, err := n.all(ctx, "api/ipam/prefixes/")
	if err != nil {
		return nil, err
	}
	for _, v := range prefixes {
		l := netboxLabels(v)
		l["kind"] = []string{"prefix"}
		out.add("prefix "+text(v["id"]), []string{text(v["prefix"])}, l)
	}
	addresses, err := n.all(ctx, "api/ipam/ip-addresses/")
	if err != nil {
		return nil, err
	}
	for _, v := range addresses {
		l := netboxLabels(v)
		l["kind"] = []string{"address"}
		addAssigned(l, v, owners)
		// The length says in which net the address is. It is that of one host nevertheless.
		address, _, _ := strings.Cut(text(v["address"]), "/")
		if a, err := netip.ParseAddr(address); err == nil {
			address = a.WithZone("").String()
		}
		out.add("ip-address "+text(v["id"]), []string{address}, l)
	}
	return out, nil
}

// labels are those of an object.
type labels = map[string][]string

// netboxOwners are the lists of what an address may be assigned to, by the field in which its object names that.
var netboxOwners = map[string]string{"device": "api/dcim/devices/", "virtual_machine": "api/virtualization/virtual-machines/"}

// netboxLabels gives the fields of an object of NetBox, and the usual ones under short names. What has a scope instead of a site, as
// prefixes have from version 4.2 on, has the label of the scope's kind.
func netboxLabels(v map[string]any) labels {
	out := labels{}
	flatten("", v, out)
	from := map[string][]string{"tag": {"tags.name"}, "status": {"status.value"},
		"role": {"role.name", "device_role.name", "role.value"}} // the role of an address, such as vip, is one of a fixed list
	for _, name := range []string{"tenant", "site", "vrf", "cluster", "platform", "vlan", "location", "region"} {
		from[name] = []string{name + ".name"}
	}
	if _, model, ok := strings.Cut(text(v["scope_type"]), "."); ok {
		from[model] = append(from[model], "scope.name")
	}
	for name, fields := range from {
		for _, field := range fields {
			if values := out[field]; values != nil {
				out[name] = values
				break
			}
		}
	}
	return out
}

// addAssigned adds the labels of the device or virtual machine that an address is assigned to, as device.role and so on.
func addAssigned(l labels, address map[string]any, owners map[string]map[string]labels) {
	to, _ := address["assigned_object"].(map[string]any)
	for _, kind := range slices.Sorted(maps.Keys(owners)) {
		owner, _ := to[kind].(map[string]any)
		if owner == nil {
			continue
		}
		if name := text(owner["name"]); name != "" {
			l["device"] = []string{name}
		}
		for name, values := range owners[kind][text(owner["id"])] {
			field, _, inner := strings.Cut(name, ".")
			if !inner && name != "id" || field == "custom_fields" {
				l["device."+name] = values
			}
		}
	}
}

// all reads every page of a list. Nobody but the server of the address is asked: of a link to the next page only the query counts, so a
// link that a proxy made wrong does no harm, and one to somewhere else gets no token.
func (n *netboxSource) all(ctx context.Context, path string) ([]map[string]any, error) {
	var out []map[string]any
	asked := map[string]bool{}
	query := fmt.Sprintf("limit=%d", netboxPage)
	for {
		if asked[query] {
			return nil, fmt.Errorf("%s names %q as the next page a second time", n.page(path, ""), query)
		}
		asked[query] = true
		var page struct {
			Count   *int             `json:"count"`
			Next    string           `json:"next"`
			Results []map[string]any `json:"results"`
		}
		at := n.page(path, query)
		if err := n.getJSON(ctx, at, &page); err != nil {
			return nil, netboxHint(err)
		}
		if page.Count == nil || page.Results == nil {
			return nil, fmt.Errorf("the answer of %s has neither count nor results: is the address that of a NetBox?", at.Redacted())
		}
		out = append(out, page.Results...)
		if page.Next == "" {
			if len(out) < *page.Count {
				return nil, fmt.Errorf("%s gave %d of %d objects", n.page(path, ""), len(out), *page.Count)
			}
			return out, nil
		}
		next, err := url.Parse(page.Next)
		if err != nil || next.RawQuery == "" {
			return nil, fmt.Errorf("the answer of %s names %q as the next page", at.Redacted(), page.Next)
		}
		query = next.RawQuery
	}
}

// netboxHint says what to do about answers that refuse.
func netboxHint(err error) error {
	refused, ok := errors.AsType[*statusError](err)
	if ok && (refused.code == http.StatusUnauthorized || refused.code == http.StatusForbidden) {
		return fmt.Errorf("%w; the token has to be valid, and its user to be allowed to view devices, virtual machines, prefixes and IP addresses", err)
	}
	return err
}
