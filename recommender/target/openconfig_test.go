package target

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openConfigDevice has the entries of each family, and the prefix sets.
type openConfigDevice struct {
	entries [2][]any
	sets    map[string][]any
}

func readJSON(t fataler, files []File) (o object) {
	if err := json.Unmarshal(files[0].Data, &o); err != nil {
		t.Fatalf("%v", err)
	}
	return o
}

func readOpenConfig(t fataler, files []File) device {
	o := readJSON(t, files)
	d := openConfigDevice{sets: map[string][]any{}}
	for _, acl := range list(o, "openconfig-acl:acl", "acl-sets", "acl-set") {
		d.entries[family(get(acl, "type") == "openconfig-acl:ACL_IPV6")] = list(acl, "acl-entries", "acl-entry")
		last := 0.0
		for _, e := range list(acl, "acl-entries", "acl-entry") {
			n := get(e, "sequence-id").(float64)
			if n <= last || get(e, "config", "sequence-id") != n {
				t.Fatalf("entry %v comes after %v", n, last)
			}
			last = n
		}
	}
	for _, version := range []string{"ipv4", "ipv6"} {
		for _, s := range list(o, "openconfig-defined-sets:defined-sets", version+"-prefix-sets", version+"-prefix-set") {
			d.sets[version+get(s, "name").(string)] = list(s, "config", "prefix")
		}
	}
	return &d
}

func (d *openConfigDevice) permits(p packet) bool {
	for _, e := range d.entries[family(p.src.Is6())] {
		if d.matches(e, p) {
			return get(e, "actions", "config", "forwarding-action") == "openconfig-acl:ACCEPT"
		}
	}
	return false
}

func (d *openConfigDevice) matches(e any, p packet) bool {
	version := familyName(p.src.Is6())
	ip := get(e, version, "config")
	for i, key := range []string{"source-address", "destination-address"} {
		a := p.src
		if i == 1 {
			a = p.dst
		}
		if x := get(ip, key); x != nil && !inPrefix(x.(string), a) {
			return false
		}
		if x := get(ip, key+"-prefix-set"); x != nil && !slices.ContainsFunc(d.sets[version+x.(string)], func(p any) bool { return inPrefix(p.(string), a) }) {
			return false
		}
	}
	protocols := map[any]int{"TCP": 6, "UDP": 17, "ICMP": 1, "GRE": 47}
	if x := get(ip, "protocol"); x != nil {
		number, _ := x.(float64)
		word, _ := x.(string)
		if int(number) != p.proto && protocols[strings.TrimPrefix(word, "openconfig-packet-match-types:IP_")] != p.proto {
			return false
		}
	}
	types := map[any]int{"openconfig-icmpv4-types:ECHO": 8, "openconfig-icmpv4-types:ECHO_REPLY": 0, "openconfig-icmpv4-types:DST_UNREACHABLE": 3,
		"openconfig-icmpv4-types:TIMESTAMP": 13, "openconfig-icmpv4-types:TIMESTAMP_REPLY": 14, "openconfig-icmpv6-types:ECHO_REQUEST": 128,
		"openconfig-icmpv6-types:ECHO_REPLY": 129, "openconfig-icmpv6-types:DESTINATION_UNREACHABLE": 1}
	if x := get(e, version, "icmpv"+version[3:], "config", "type"); x != nil {
		if n, ok := types[x]; !ok || n != p.dport {
			return false
		}
	}
	transport := get(e, "transport", "config")
	for i, key := range []string{"source-port", "destination-port"} {
		port := []int{p.sport, p.dport}[i]
		if x := get(transport, key); x != nil && !portIn([]string{fmt.Sprint(x)}, "..", port) {
			return false
		}
	}
	return get(transport, "builtin-detail") == nil || p.ack
}

// yanglint takes everything that is written. The models of OpenConfig are in a folder that the variable names, since they
// are no part of this project: all .yang files of github.com/openconfig/public, side by side.
func TestOpenConfigChecks(t *testing.T) {
	models := os.Getenv("OPENCONFIG_MODELS")
	if models == "" {
		t.Skip("OPENCONFIG_MODELS names no folder with the models of OpenConfig")
	}
	program := needs(t, "yanglint")
	for i, d := range checkedDocuments(t) {
		name := filepath.Join(t.TempDir(), "acl.json")
		if err := os.WriteFile(name, []byte(written(t, "openconfig", d)), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-p", models, "-t", "config"}
		for _, m := range []string{"packet-match-types", "icmpv4-types", "icmpv6-types", "defined-sets", "acl"} {
			args = append(args, filepath.Join(models, "openconfig-"+m+".yang"))
		}
		if out, err := exec.Command(program, append(args, name)...).CombinedOutput(); err != nil || len(out) > 0 && strings.Contains(string(out), "err") {
			t.Errorf("document %d: %v\n%s", i, err, out)
		}
	}
}
