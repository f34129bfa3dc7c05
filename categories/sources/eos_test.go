package sources

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestEOS(t *testing.T) {
	sets := map[string][]netip.Prefix{"WEB": {netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("2001:db8::/64")}, "DB": {netip.MustParsePrefix("10.0.9.0/24")}, "NONE": nil}
	r := Reader{FieldSets: func(_ string, config []byte) (map[string][]netip.Prefix, error) {
		if string(config) != "config" {
			return nil, errors.New("line 1: it is cut")
		}
		return sets, nil
	}}
	const categories = `categories: [{name: zone, label: field-set, group: "{{lower .}}"}]`
	for _, place := range []string{"address: " + file(t, "config"), "command: [printf, config]"} {
		_, got, err := r.ReadOne(t.Context(), source(t, "kind: eos, "+place+", "+categories))
		if want := "zone/db 10.0.9.0/24, zone/web 10.0.0.1/32, zone/web 2001:db8::/64"; err != nil || listed(got) != want {
			t.Errorf("%s: %s, %v; want %s", place, listed(got), err, want)
		}
	}
	for place, want := range map[string]string{"address: /no/such/file": "no such file", "address: " + file(t, "conf"): "it is cut", "address: " + file(t, ""): "it is empty", "command: ['false']": "exit status 1"} {
		if _, got, err := r.ReadOne(t.Context(), source(t, "kind: eos, "+place+", "+categories)); err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("%s: %v, want %s", place, err, want)
		}
	}
	if _, _, err := (Reader{}).ReadOne(t.Context(), source(t, "kind: eos, address: x, "+categories)); err == nil {
		t.Error("a running-config is read by nobody")
	}
}
