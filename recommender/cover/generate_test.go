package cover_test

import "cordon/recommender/cover"

// sequence is a generator of numbers that is the same everywhere.
type sequence uint64

func (s *sequence) below(n int) int {
	*s += 0x9e3779b97f4a7c15
	x := uint64(*s)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % uint64(n))
}

// randomCube draws each cell of an n × n × n cube with a chance of some in ten.
func randomCube(n, inTen int) cover.Problem {
	var s sequence
	p := cover.Problem{Dims: [3]int{n, n, n}}
	for i := range n {
		for j := range n {
			for k := range n {
				if s.below(10) < inTen {
					p.Ones = append(p.Ones, cover.Cell{int32(i), int32(j), int32(k)})
				}
			}
		}
	}
	return p
}

// generate draws the cells of a network with hosts that are in no group: services with some servers each, which a part of the hosts use,
// and noise. Every host uses only a part of what it may, so slices are rarely identical.
func generate(hosts, services, cells int, seed sequence) cover.Problem {
	p := cover.Problem{Dims: [3]int{hosts, hosts, services}}
	seen := make(map[cover.Cell]bool, cells)
	add := func(s, d, v int) {
		c := cover.Cell{int32(s % hosts), int32(d % hosts), int32(v % services)}
		if len(seen) < cells && !seen[c] {
			seen[c] = true
			p.Ones = append(p.Ones, c)
		}
	}
	// Twelve services that all hosts use (names, time, directory), each with two to six servers.
	for v := range 12 {
		first := seed.below(hosts)
		for s := range hosts {
			for range 1 + seed.below(2) {
				add(s, first+seed.below(2+v%5), v)
			}
		}
	}
	// Applications: clients that use one to four services of some servers, seven pairs in ten.
	for len(seen) < cells*9/10 {
		clients, servers := seed.below(hosts), seed.below(hosts)
		n, k, v := 1+seed.below(200), 1+seed.below(12), 12+seed.below(services)
		for s := range n {
			for d := range k {
				for x := range 1 + (clients+servers)%4 {
					if seed.below(10) < 7 {
						add(clients+s, servers+d, v+x)
					}
				}
			}
		}
	}
	for len(seen) < cells {
		add(seed.below(hosts), seed.below(hosts), seed.below(services))
	}
	return p
}

// shapes are generators of other networks than generate draws, which share less: most cells of them are in few large boxes or in none.
var shapes = map[string]func(hosts, services, cells int, seed sequence) cover.Problem{
	"applications": generate,
	// Groups of clients, servers and services that overlap with others in each mode, nine cells in ten.
	"overlapping": func(hosts, services, cells int, seed sequence) cover.Problem {
		return fill(hosts, services, cells, func(add func(s, d, v int)) {
			s, d, v := seed.below(hosts/16)*8, seed.below(hosts/64)*4, seed.below(services/4)*2
			for i := range 8 + seed.below(40) {
				for j := range 2 + seed.below(10) {
					for k := range 1 + seed.below(5) {
						if seed.below(10) > 0 {
							add(s+i, d+j, v+k)
						}
					}
				}
			}
		})
	},
	// Hosts and services by rank: few are in most cells.
	"power-law": func(hosts, services, cells int, seed sequence) cover.Problem {
		rank := func(n int) int { // about one over rank
			for {
				if x := seed.below(1 << (1 + seed.below(16))); x < n {
					return x
				}
			}
		}
		return fill(hosts, services, cells, func(add func(s, d, v int)) { add(rank(hosts), rank(hosts), rank(services)) })
	},
	// Forty servers that nearly every host uses, each by other services, and with gaps.
	"hubs": func(hosts, services, cells int, seed sequence) cover.Problem {
		return fill(hosts, services, cells, func(add func(s, d, v int)) {
			d := seed.below(40)
			add(seed.below(hosts), d*7, d*3+seed.below(1+d%8))
		})
	},
	// What networks without groups look like (cisco_g5 and cisco_g10 of the shared sets): stars. One host asks many for one service,
	// many ask one server for a few services, two hosts talk on many ports; sizes and hosts by rank, a sixteenth of each star
	// missing, and between them single cells.
	"observed": func(hosts, services, cells int, seed sequence) cover.Problem {
		rank := func(n int) int { // about one over rank
			for {
				if x := seed.below(1 << (1 + seed.below(16))); x < n {
					return x
				}
			}
		}
		return fill(hosts, services, cells, func(add func(s, d, v int)) {
			s, d, v := rank(hosts), rank(hosts), rank(services)
			kind, n := seed.below(8), 1+seed.below(1<<(1+seed.below(13)))
			step := 1 + seed.below(3)
			for i := range n {
				if seed.below(16) == 0 {
					continue
				}
				switch {
				case kind < 3: // a client of many
					add(s, d+i*step, v)
				case kind < 6: // a server of many
					for k := range 1 + s%3 {
						add(s+i*step, d, v+k)
					}
				case i < services/8: // ports of a pair
					add(s, d, v+i)
				}
				if i&15 == 0 {
					add(seed.below(hosts), rank(hosts), rank(services))
				}
			}
		})
	},
	// Cells anywhere.
	"noise": func(hosts, services, cells int, seed sequence) cover.Problem {
		return fill(hosts, services, cells, func(add func(s, d, v int)) { add(seed.below(hosts), seed.below(hosts), seed.below(services)) })
	},
}

// fill draws until there are so many cells.
func fill(hosts, services, cells int, draw func(add func(s, d, v int))) cover.Problem {
	p := cover.Problem{Dims: [3]int{hosts, hosts, services}}
	seen := make(map[cover.Cell]bool, cells)
	for len(seen) < cells {
		draw(func(s, d, v int) {
			c := cover.Cell{int32(s % hosts), int32(d % hosts), int32(v % services)}
			if len(seen) < cells && !seen[c] {
				seen[c] = true
				p.Ones = append(p.Ones, c)
			}
		})
	}
	return p
}
