package verify

import (
	"fmt"
	"net/netip"

	"cordon/categories"
	"cordon/internal/iana"
)

// What makes a scanner, as docs/noise.md has it.
const (
	scanWindowHours = 24 // hours with sessions before "not seen again" says anything
	scanPorts       = 4  // ports among targets that were tried once

	attemptPackets, attemptOctets = 2, 100 // packets of a flow, octets of a packet: more is no mere knocking

	tcpRST = 0x04
	tcpACK = 0x10
)

// scan is what came of a scanner's targets.
type scan struct{ targets, fruitless int }

func (s scan) note() string {
	return fmt.Sprintf("%d of the client's %d targets were never answered, or used only once", s.fruitless, s.targets)
}

// target is what a client may find something at.
type target struct {
	server  netip.Addr
	service categories.Service
}

// scanners finds the clients that scan. A session of a protocol with ports is a
// target of its client; many is how many fruitless ones it takes, 0 to look for none.
func scanners(list []Session, many uint64) map[netip.Addr]scan {
	out := map[netip.Addr]scan{}
	if many == 0 {
		return out
	}
	hours := map[uint32]bool{}              // hours of the window with a session
	used := map[target]map[uint32]bool{}    // hours in which anyone used it
	byClient := map[netip.Addr][]*Session{} // sessions that are targets
	for i := range list {
		s := &list[i]
		if !iana.HasPorts(s.Service.Proto) || standsForMany(s.Server) {
			continue
		}
		at := target{s.Server, s.Service}
		if used[at] == nil {
			used[at] = map[uint32]bool{}
		}
		for _, h := range s.Hours {
			hours[h], used[at][h] = true, true
		}
		byClient[s.Client] = append(byClient[s.Client], s)
	}
	for client, sessions := range byClient {
		type sweep struct { // sessions that began in one hour
			targets, attempts int
			ports             map[categories.Service]bool
		}
		unanswered, once := 0, 0
		sweeps := map[int64]*sweep{}
		for _, s := range sessions {
			switch {
			case s.unanswered():
				unanswered++
			case s.ServerPackets == 0 && len(used[target{s.Server, s.Service}]) == 1 && categories.KindOf(s.Server) != categories.Public:
				once++
				hour := s.First.Unix() / 3600
				if sweeps[hour] == nil {
					sweeps[hour] = &sweep{ports: map[categories.Service]bool{}}
				}
				sweeps[hour].targets++
				sweeps[hour].ports[s.Service] = true
				if s.attempt() {
					sweeps[hour].attempts++
				}
			}
		}
		fruitless, enough := unanswered, uint64(unanswered) >= many
		if len(hours) >= scanWindowHours {
			fruitless += once
			for _, x := range sweeps {
				enough = enough || uint64(x.attempts) >= many || uint64(x.targets) >= many && len(x.ports) >= scanPorts
			}
		}
		if enough && 2*fruitless > len(sessions) {
			out[client] = scan{len(sessions), fruitless}
		}
	}
	return out
}

// unanswered reports whether the server is known to have answered nothing, or
// nothing but RST.
func (s *Session) unanswered() bool {
	refused := s.ServerFlags&tcpRST != 0 && s.ServerFlags&^(tcpRST|tcpACK) == 0
	return !s.Complete && (s.HalfOpen || s.Denied) || s.Service.Proto == iana.TCP && refused
}

// attempt reports whether the client sent no more than it takes to try a TCP
// port, as far as the counts tell.
func (s *Session) attempt() bool {
	return s.Service.Proto == iana.TCP && s.Sampling <= 1 && s.ClientFlags&tcpACK == 0 &&
		s.ClientPackets <= attemptPackets*s.Flows && s.ClientBytes > 0 && s.ClientBytes <= attemptOctets*s.ClientPackets
}
