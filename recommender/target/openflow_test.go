package target

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// openFlowFlow is a flow about what begins a session.
type openFlowFlow struct {
	priority int
	match    map[string]string
	actions  string
}

type openFlowTable []openFlowFlow

func readOpenFlow(t fataler, files []File) device {
	var out openFlowTable
	for _, l := range strings.Split(string(files[0].Data), "\n") {
		if l == "" || l[0] == '#' {
			continue
		}
		head, actions, ok := strings.Cut(l, "actions=")
		f := openFlowFlow{match: map[string]string{}, actions: actions}
		for _, part := range strings.Split(strings.TrimSuffix(head, ","), ",") {
			k, v, _ := strings.Cut(part, "=")
			f.match[k] = v
		}
		f.priority, _ = strconv.Atoi(f.match["priority"])
		if !ok || f.match["table"] != "0" {
			t.Fatalf("%q is no flow of table 0", l)
		}
		out = append(out, f)
	}
	slices.SortStableFunc(out, func(a, b openFlowFlow) int { return b.priority - a.priority })
	return out
}

// permits decides what begins a session: it is tracked, and new.
func (d openFlowTable) permits(p packet) bool {
	for i := 0; i < len(d); {
		end := i
		for end < len(d) && d[end].priority == d[i].priority {
			end++
		}
		same := d[i:end]
		i = end
		met := map[string]map[string]bool{} // number of a conjunction -> its dimensions
		of := map[string]string{}
		for _, f := range same {
			if m := conjunction.FindStringSubmatch(f.actions); m != nil && f.matches(p) {
				if met[m[1]] == nil {
					met[m[1]] = map[string]bool{}
				}
				met[m[1]][m[2]] = true
				of[m[1]] = m[3]
			}
		}
		for _, f := range same {
			number, isConjunction := f.match["conj_id"]
			if conjunction.MatchString(f.actions) || isConjunction && (len(met[number]) == 0 || strconv.Itoa(len(met[number])) != of[number]) || !f.matches(p) {
				continue
			}
			return strings.Contains(f.actions, "NORMAL")
		}
	}
	return false
}

var conjunction = regexp.MustCompile(`^conjunction\((\d+),(\d+)/(\d+)\)$`)

func (f *openFlowFlow) matches(p packet) bool {
	words := map[string]int{"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "tcp6": 6, "udp6": 17, "sctp6": 132, "icmp6": 58, "ip": -1, "ipv6": -1}
	for k, v := range f.match {
		proto, isWord := words[k]
		switch {
		case isWord:
			if (k == "ipv6" || k[len(k)-1] == '6') != p.src.Is6() || proto >= 0 && proto != p.proto {
				return false
			}
		case k == "ct_state":
			if v != "+trk+new" {
				return false
			}
		case k == "arp":
			return false
		case k == "nw_src" || k == "ipv6_src":
			if !inPrefix(v, p.src) {
				return false
			}
		case k == "nw_dst" || k == "ipv6_dst":
			if !inPrefix(v, p.dst) {
				return false
			}
		case k == "nw_proto" || k == "icmp_type":
			if v != strconv.Itoa(map[string]int{"nw_proto": p.proto, "icmp_type": p.dport}[k]) {
				return false
			}
		case k == "tp_dst":
			value, mask, masked := strings.Cut(v, "/")
			a, err := strconv.ParseInt(value, 0, 32)
			b := int64(0xffff)
			if masked {
				b, _ = strconv.ParseInt(mask, 0, 32)
			}
			if err != nil || int64(p.dport)&b != a {
				return false
			}
		case k != "table" && k != "priority" && k != "conj_id":
			panic("unknown: " + k)
		}
	}
	return true
}

// A range of ports is exactly what its masks say.
func TestPortMasks(t *testing.T) {
	for _, s := range []policy.PortSpan{{Lo: 0, Hi: 0}, {Lo: 0, Hi: 1}, {Lo: 0, Hi: 65535}, {Lo: 1, Hi: 65535}, {Lo: 80, Hi: 81}, {Lo: 8000, Hi: 9999}, {Lo: 1024, Hi: 65535}, {Lo: 65534, Hi: 65535}, {Lo: 1, Hi: 65534}} {
		masks := portMasks(s)
		if len(masks) > 30 {
			t.Errorf("%s: %d masks", s, len(masks))
		}
		var in [65536]int
		for _, m := range masks {
			value, mask, masked := strings.Cut(m, "/")
			a, _ := strconv.ParseInt(value, 0, 32)
			b := int64(0xffff)
			if masked {
				b, _ = strconv.ParseInt(mask, 0, 32)
			}
			for port := range in {
				if int64(port)&b == a {
					in[port]++
				}
			}
		}
		for port, n := range in {
			if want := port >= int(s.Lo) && port <= int(s.Hi); n > 1 || (n == 1) != want {
				t.Fatalf("%s: port %d is in %d of %v", s, port, n, masks)
			}
		}
	}
}

// ovs-ofctl takes everything that is written, and widens nothing of it, which it does with no more than a word.
func TestOpenFlowChecks(t *testing.T) {
	program := needs(t, "ovs-ofctl")
	for _, d := range checkedDocuments(t) {
		cmd := exec.Command(program, "parse-flows", "-")
		cmd.Stdin = strings.NewReader(written(t, "openflow", d))
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "normalization changed") {
			t.Errorf("%v\n%s", err, out)
		}
	}
	cmd := exec.Command(program, "parse-flows", "-")
	cmd.Stdin = strings.NewReader("table=0,ip,tp_dst=80,actions=drop\n")
	if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "normalization changed") {
		t.Errorf("the check notices nothing: %s", out)
	}
}

// dummySwitch starts Open vSwitch with a bridge that forwards nothing, in folders of its own, and gives a function that asks it.
func dummySwitch(t *testing.T) func(program string, args ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ovs") // a name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	schema := "/usr/share/openvswitch/vswitch.ovsschema"
	for _, p := range []string{"ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl"} {
		needs(t, p)
	}
	ask := func(program string, args ...string) string {
		t.Helper()
		cmd := exec.Command(needs(t, program), args...)
		cmd.Env = append(os.Environ(), "OVS_RUNDIR="+dir, "OVS_LOGDIR="+dir, "OVS_DBDIR="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	start := func(program string, args ...string) {
		t.Helper()
		ask(program, append(args, "--detach", "--no-chdir", "--pidfile="+filepath.Join(dir, program+".pid"), "--log-file="+filepath.Join(dir, program+".log"), "--unixctl="+filepath.Join(dir, program+".ctl"))...)
		t.Cleanup(func() { ask("ovs-appctl", "-t", filepath.Join(dir, program+".ctl"), "exit") })
	}
	socket := "unix:" + filepath.Join(dir, "db.sock")
	ask("ovsdb-tool", "create", filepath.Join(dir, "conf.db"), schema)
	start("ovsdb-server", filepath.Join(dir, "conf.db"), "--remote=p"+socket)
	start("ovs-vswitchd", socket, "--disable-system", "--enable-dummy=override")
	ask("ovs-vsctl", "--db="+socket, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure",
		"--", "add-port", "br0", "p1", "--", "set", "Interface", "p1", "type=dummy", "ofport_request=1",
		"--", "add-port", "br0", "p2", "--", "set", "Interface", "p2", "type=dummy", "ofport_request=2")
	return func(program string, args ...string) string {
		if program == "ovs-appctl" {
			args = append([]string{"-t", filepath.Join(dir, "ovs-vswitchd.ctl")}, args...)
		} else {
			for i := range args {
				if args[i] == "br0" {
					args[i] = "unix:" + filepath.Join(dir, "br0.mgmt")
				}
			}
		}
		return ask(program, args...)
	}
}

// A switch decides every cell as the policy does.
func TestOpenFlowTrace(t *testing.T) {
	ask := dummySwitch(t)
	groups, addresses := cellAddresses(t)
	policies, err := policy.ParsePolicies("policy.yaml", []byte(openFlowPolicy))
	if err != nil {
		t.Fatal(err)
	}
	d := Document{Policy: policies[0], Set: addresses.Set}
	target, _ := Find("openflow")
	out, err := target.Write([]Document{d}, Options{Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "flows")
	if err := os.WriteFile(name, out.Files[0].Data, 0o644); err != nil {
		t.Fatal(err)
	}
	ask("ovs-ofctl", "add-flows", "br0", name)
	permitted, cells := 0, 0
	hosts := []string{"10.0.0.1", "10.0.0.2", "192.0.2.1", "2001:db8:1::1", "2001:db8:2::9"}
	for _, from := range hosts {
		for _, to := range hosts {
			for _, text := range []string{"tcp/22", "tcp/80", "udp/9000", "icmp/8", "ipv6-icmp/128", "gre"} {
				s, _ := categories.ParseService(text)
				client, server := addr(from), addr(to)
				if from == to || client.Is4() != server.Is4() || iana.IsICMP(s.Proto) && (s.Proto == iana.ICMP) != client.Is4() {
					continue
				}
				flow := "in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02," + openFlowCell(s, client.Is6()) + fmt.Sprintf(",%s_src=%s,%s_dst=%s", map[bool]string{false: "nw", true: "ipv6"}[client.Is6()], from, map[bool]string{false: "nw", true: "ipv6"}[client.Is6()], to)
				answer := ask("ovs-appctl", "ofproto/trace", "br0", flow, "--ct-next", "trk,new")
				actions := answer[strings.LastIndex(answer, "Datapath actions: ")+len("Datapath actions: "):]
				got := strings.TrimSpace(actions) != "drop"
				by := decides(t, &d, client, server, s)
				want := by != nil && by.Action != policy.Deny
				cells++
				if want {
					permitted++
				}
				if got != want {
					t.Fatalf("%s -> %s %s: %v, want %v\n%s\n%s", from, to, text, got, want, answer, out.Files[0].Data)
				}
			}
		}
	}
	if permitted < 10 || cells < 35 {
		t.Errorf("%d of %d cells are permitted", permitted, cells)
	}
}

func openFlowCell(s categories.Service, ipv6 bool) string {
	suffix := ""
	if ipv6 {
		suffix = "6"
	}
	switch s.Proto {
	case iana.TCP, iana.UDP:
		return fmt.Sprintf("%s%s,%s_src=50000,%s_dst=%d", iana.ProtocolName(s.Proto), suffix, iana.ProtocolName(s.Proto), iana.ProtocolName(s.Proto), s.Port)
	case iana.ICMP, iana.ICMPv6:
		return fmt.Sprintf("icmp%s,icmp%s_type=%d", suffix, map[bool]string{true: "v6"}[ipv6], s.Port)
	}
	return fmt.Sprintf("%s,nw_proto=%d", openFlowIP(ipv6), s.Proto)
}

const openFlowPolicy = `apiVersion: cordon/v1
kind: Policy
name: shop
default: deny
rules:
  - {name: no-ssh, action: deny, sources: ["group:outside"], destinations: ["group:web"], services: [tcp/22]}
  - {name: web, sources: ["group:web"], destinations: ["group:db", "ip:192.0.2.0/25", "ip:2001:db8:2::/64"], services: [tcp/80, udp/8000-9999, gre, icmp/8, ipv6-icmp/128]}
  - {name: tcp, sources: ["group:outside"], destinations: ["group:web"], services: [tcp]}
  - {name: all, sources: ["ip:10.0.0.2"], services: [any]}
`
