package target

import (
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// nft is a table of nftables.
type nft struct {
	sets  map[string][]string
	rules [][]string
}

func readNFT(t fataler, files []File) device {
	n := nft{sets: map[string][]string{}}
	set, chain, policyDrop := "", false, false
	for _, l := range strings.Split(string(files[0].Data), "\n") {
		w := strings.Fields(strings.ReplaceAll(l, ",", " "))
		switch {
		case len(w) == 0 || strings.HasPrefix(w[0], "#"):
		case w[0] == "set":
			set = w[1]
		case w[0] == "elements":
			n.sets[set] = w[3 : len(w)-1]
		case w[0] == "chain":
			chain = true
		case chain && w[0] == "type":
			policyDrop = strings.HasSuffix(l, "policy drop;")
		case chain && w[0] != "}" && w[0] != "ct":
			n.rules = append(n.rules, w)
		}
	}
	if !policyDrop {
		t.Fatalf("the chain does not drop")
	}
	return &n
}

func (n *nft) permits(p packet) bool {
	for _, w := range n.rules {
		if verdict, ok := n.match(w, p); ok {
			return verdict == "accept"
		}
	}
	return false
}

func (n *nft) match(w []string, p packet) (verdict string, ok bool) {
	for len(w) > 0 {
		take := 3
		switch w[0] {
		case "ip", "ip6":
			a := p.src
			if w[1] == "daddr" {
				a = p.dst
			}
			name, isSet := strings.CutPrefix(w[2], "@")
			list := []string{w[2]}
			if isSet {
				list = n.sets[name]
			}
			hit := false
			for _, x := range list {
				hit = hit || inPrefix(x, a)
			}
			if (w[0] == "ip6") != p.src.Is6() || !hit {
				return "", false
			}
		case "meta":
			switch {
			case w[1] == "nfproto" && (w[2] == "ipv6") != p.src.Is6():
				return "", false
			case w[1] == "l4proto" && w[2] != strconv.Itoa(p.proto):
				return "", false
			}
		case "th", "icmp", "icmpv6":
			list := w[2:3]
			if w[2] == "{" {
				end := 3
				for w[end] != "}" {
					end++
				}
				list, take = w[3:end], end+1
			}
			if w[0] == "icmp" && p.proto != 1 || w[0] == "icmpv6" && p.proto != 58 || !portIn(list, "-", p.dport) {
				return "", false
			}
		case "counter":
			return w[1], true
		default:
			panic("unknown: " + w[0])
		}
		w = w[take:]
	}
	return "", false
}

// needs skips a test where a program is not installed.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	return path
}

// accepted runs a program that checks a text.
func accepted(t *testing.T, text string, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s\n%s", program, err, out, text)
	}
}

// unshared gives a command that runs in a network namespace of its own, and skips the test where there can be none.
func unshared(t *testing.T) []string {
	t.Helper()
	path := needs(t, "unshare")
	if exec.Command(path, "-n", "true").Run() == nil {
		return []string{path, "-n"}
	}
	if exec.Command(path, "-rn", "true").Run() == nil {
		return []string{path, "-rn"}
	}
	t.Skip("there can be no network namespace here")
	return nil
}

// nft takes everything that is written.
func TestNFTChecks(t *testing.T) {
	program := needs(t, "nft")
	args := append(unshared(t), program, "-c", "-f", "-")
	for _, d := range checkedDocuments(t) {
		accepted(t, written(t, "nftables", d), args[0], args[1:]...)
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
