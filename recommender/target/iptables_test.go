package target

import (
	"strconv"
	"strings"
	"testing"
)

// ipTables is the table filter of both families.
type ipTables struct {
	chains map[string][][]string
}

func readIPTables(t fataler, files []File) device {
	x := ipTables{map[string][][]string{}}
	for _, l := range strings.Split(string(files[0].Data), "\n") {
		w := strings.Fields(l)
		switch {
		case len(w) == 0 || w[0] == "#" || w[0] == "*filter" || w[0] == "COMMIT" || strings.Contains(l, "--ctstate"):
		case strings.HasPrefix(w[0], ":"):
			if len(w[0]) > 29 {
				t.Fatalf("chain %s", w[0])
			}
			x.chains[w[0][1:]] = nil
			if w[0] == ":FORWARD" && w[1] != "DROP" {
				t.Fatalf("FORWARD does not drop")
			}
		default:
			if w[1] != "-A" {
				t.Fatalf("%s", l)
			}
			if _, ok := x.chains[w[2]]; !ok {
				t.Fatalf("no chain %s", w[2])
			}
			x.chains[w[2]] = append(x.chains[w[2]], append(w[:1:1], w[3:]...))
		}
	}
	return &x
}

func (x *ipTables) permits(p packet) bool { return x.run("FORWARD", p) == "ACCEPT" }

func (x *ipTables) run(chain string, p packet) string {
	for _, w := range x.chains[chain] {
		to, ok := matchIPTables(w, p)
		switch {
		case !ok:
		case to == "ACCEPT" || to == "DROP":
			return to
		default:
			if verdict := x.run(to, p); verdict != "" {
				return verdict
			}
		}
	}
	return ""
}

func matchIPTables(w []string, p packet) (to string, ok bool) {
	if (w[0] == "-6") != p.src.Is6() {
		return "", false
	}
	names := map[string]int{"icmp": 1, "ipv6-icmp": 58}
	for i := 1; i < len(w); i += 2 {
		switch v := w[i+1]; w[i] {
		case "-s":
			ok = inPrefix(v, p.src)
		case "-d":
			ok = inPrefix(v, p.dst)
		case "-p":
			n, isName := names[v]
			if !isName {
				n, _ = strconv.Atoi(v)
			}
			ok = n == p.proto || v == "0"
		case "--icmp-type":
			ok = v == strconv.Itoa(p.dport) || v == "255"
		case "--icmpv6-type":
			ok = v == strconv.Itoa(p.dport)
		case "--dports":
			list := strings.Split(v, ",")
			if n := len(list) + strings.Count(v, ":"); n > 15 {
				panic("too many ports: " + v)
			}
			ok = portIn(list, ":", p.dport)
		case "-m":
			ok = true
		case "--comment":
			ok = true
			for !strings.HasSuffix(w[i+1], `"`) {
				i++
			}
		case "-j":
			return v, true
		default:
			panic("unknown: " + w[i])
		}
		if !ok {
			return "", false
		}
	}
	panic("no target")
}

// Both programs take everything that is written.
func TestIPTablesChecks(t *testing.T) {
	for _, program := range []string{"iptables-restore", "ip6tables-restore", "iptables-legacy-restore"} {
		args := append(unshared(t), needs(t, program), "--test")
		for _, d := range checkedDocuments(t) {
			accepted(t, written(t, "iptables", d), args[0], args[1:]...)
		}
	}
}
