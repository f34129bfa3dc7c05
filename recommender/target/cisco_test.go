package target

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// ciscoDevice has access lists of both families.
type ciscoDevice struct {
	groups map[string][]string
	lists  [2][][]string
}

func readCisco(t fataler, files []File) device {
	d := ciscoDevice{groups: map[string][]string{}}
	group, list := "", -1
	for _, l := range strings.Split(string(files[0].Data), "\n") {
		w := strings.Fields(l)
		switch {
		case len(w) == 0 || w[0] == "!":
		case w[0] == "object-group":
			group, list = w[len(w)-1], -1
			if d.groups[group] != nil {
				t.Fatalf("group %s twice", group)
			}
		case strings.HasPrefix(l, "ip access-list"):
			list = 0
		case strings.HasPrefix(l, "ipv6 access-list"):
			list = 1
		default:
			if n, err := strconv.Atoi(w[0]); err == nil && n%10 == 0 {
				w = w[1:]
			}
			switch {
			case list >= 0 && w[0] != "remark":
				d.lists[list] = append(d.lists[list], w)
			case list < 0:
				d.groups[group] = append(d.groups[group], strings.Join(w, " "))
			}
		}
	}
	return &d
}

func (d *ciscoDevice) permits(p packet) bool {
	for _, w := range d.lists[family(p.src.Is6())] {
		if d.match(w[1:], p) {
			return w[0] == "permit"
		}
	}
	return false
}

func v4bits(s string) uint32 {
	a := netip.MustParseAddr(s).As4()
	return binary.BigEndian.Uint32(a[:])
}

func (d *ciscoDevice) match(w []string, p packet) bool {
	names := map[string]int{"tcp": 6, "udp": 17, "sctp": 132}
	switch n, err := strconv.Atoi(w[0]); {
	case w[0] == "ip" || w[0] == "ipv6":
	case w[0] == "icmp":
		if p.proto != map[bool]int{false: 1, true: 58}[p.src.Is6()] {
			return false
		}
	case err == nil && n != p.proto, err != nil && names[w[0]] != p.proto:
		return false
	}
	icmp := w[0] == "icmp"
	w = w[1:]
	// end takes the words of one side.
	end := func(a netip.Addr, port int) bool {
		ok := false
		take := 2
		switch {
		case w[0] == "any":
			ok, take = true, 1
		case w[0] == "host":
			ok = w[1] == a.String()
		case w[0] == "object-group" || w[0] == "addrgroup":
			for _, m := range d.groups[w[1]] {
				first, second, two := strings.Cut(m, " ")
				switch {
				case first == "host":
					ok = ok || second == a.String()
				case two:
					ok = ok || a.Is4() && v4bits(a.String())&v4bits(second) == v4bits(first)
				default:
					ok = ok || inPrefix(first, a)
				}
			}
		case strings.Contains(w[0], "/"):
			ok, take = inPrefix(w[0], a), 1
		default:
			ok = v4bits(a.String())&^v4bits(w[1]) == v4bits(w[0])
		}
		w = w[take:]
		switch {
		case len(w) >= 2 && w[0] == "eq":
			ok = ok && w[1] == strconv.Itoa(port)
			w = w[2:]
		case len(w) >= 3 && w[0] == "range":
			ok = ok && portIn([]string{w[1] + "-" + w[2]}, "-", port)
			w = w[3:]
		}
		return ok
	}
	if !end(p.src, p.sport) {
		return false
	}
	if !end(p.dst, p.dport) {
		return false
	}
	if icmp && len(w) > 0 {
		return w[0] == strconv.Itoa(p.dport)
	}
	return len(w) == 0 || w[0] == "established" && p.ack
}
