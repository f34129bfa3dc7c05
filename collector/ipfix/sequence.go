package ipfix

import (
	"hash/maphash"
	"slices"
)

// numbering is what the sequence numbers of an exporter count.
type numbering uint8

// The numberings. RFC 7011, section 3.1: the sequence number is the count of
// all data records, those of options included, sent before this message.
const (
	numberedRecords  numbering = iota // RFC 7011
	numberedAfter                     // flow records up to and with this message (softflowd)
	numberedFlows                     // flow records before this message, options left out
	numberedMessages                  // messages (as in NetFlow version 9)
	unnumbered                        // the number says nothing
	numNumberings
)

var numberingNames = [numNumberings]string{
	"records (RFC 7011)", "records, this message included", "flow records", "messages", "none",
}

func (n numbering) String() string { return numberingNames[n] }

const (
	recentMessages = 64      // duplicates are found among so many messages
	openGaps       = 16      // gaps that late messages can fill
	maxGap         = 1 << 24 // records; more than this is a restart
	mindChanged    = 2       // transitions that only another numbering explains, to change to it
	sameAgain      = 8       // datagrams like the last, to take the exporter as unnumbered
)

// sequence follows the sequence numbers of an observation domain.
//
// A message covers the span [start, start+length) of its exporter's count.
// What start and length are depends on the numbering, so each numbering has
// its own idea of where the next message starts. The one in use is given up
// for another one as soon as only that one explains what comes. Until then
// what looks like loss, but may be another numbering, is held back in doubt.
type sequence struct {
	how     numbering
	started bool
	resync  bool // the last message had records that could not be counted
	next    [numNumberings]uint32
	doubts  [numNumberings]uint8
	pending uint32 // records that are lost unless the numbering is another one
	average uint32 // records in a message, in 1/16

	gaps    [openGaps]span
	gapsLen int

	// After a jump back the old place, until the next message tells a
	// restart from one late message.
	jumped bool
	before [numNumberings]uint32

	recent   [recentMessages]uint64 // hashes
	recentAt int
	repeats  int
}

type span struct{ start, end uint32 }

var hashSeed = maphash.MakeSeed()

// assume sets the numbering of an exporter that was recognised, unless its
// messages have shown another one.
func (s *sequence) assume(how numbering) {
	if !s.started || s.how == numberedRecords {
		s.change(how)
	}
}

// duplicate reports whether the datagram is one that came before: the same
// bytes, and so the same sequence number and export time.
func (s *sequence) duplicate(msg []byte) bool {
	if s.how == unnumbered {
		return false
	}
	h := maphash.Bytes(hashSeed, msg)
	if slices.Contains(s.recent[:], h) {
		if s.repeats++; s.repeats >= sameAgain {
			// Not a network that doubles datagrams, but an exporter
			// that repeats itself.
			s.change(unnumbered)
		}
		return true
	}
	s.repeats = 0
	s.recent[s.recentAt] = h
	s.recentAt = (s.recentAt + 1) % recentMessages
	return false
}

// place is where a message stands in each numbering: it covers
// [start, next).
type place struct {
	start, next [numNumberings]uint32
}

func placeOf(number, flows, options uint32) (p place) {
	p.start[numberedRecords], p.next[numberedRecords] = number, number+flows+options
	p.start[numberedAfter], p.next[numberedAfter] = number-flows, number
	p.start[numberedFlows], p.next[numberedFlows] = number, number+flows
	p.start[numberedMessages], p.next[numberedMessages] = number, number+1
	p.start[unnumbered], p.next[unnumbered] = number, number
	return p
}

// observe takes in the number of a message with the given data records.
// uncounted says that it had more, of which the number is not known.
func (s *sequence) observe(number, flows, options uint32, uncounted bool, c *Counters) {
	p, records := placeOf(number, flows, options), flows+options
	if !s.started {
		s.started = true
		s.advance(p, uncounted)
		return
	}
	s.measure(records, uncounted)
	if s.how == unnumbered {
		s.reconsider(p)
		s.advance(p, uncounted)
		return
	}
	diff := int32(p.start[s.how] - s.next[s.how])
	if diff < 0 && records == 0 && !uncounted {
		// Templates alone, which do not move the count of records.
		if p.start[numberedMessages] == s.next[numberedMessages] {
			s.next[numberedMessages]++
		}
		return
	}
	if blind := s.resync && s.how != numberedAfter || uncounted && s.how == numberedAfter; blind && diff >= 0 && s.how != numberedMessages {
		// What is missing are the records that could not be counted,
		// of the message before or of this one.
		s.restarted(c)
		if diff < maxGap {
			c.NoTemplateRecords += uint64(diff)
		}
		s.advance(p, uncounted)
		return
	}
	explained, changed := s.doubt(p, diff, uncounted)
	if changed {
		s.advance(p, uncounted)
		return
	}
	if s.pending > 0 && s.doubts == ([numNumberings]uint8{}) {
		s.missed(s.pending, c)
		s.pending = 0
	}
	if s.jumped && diff != 0 {
		if back := int32(p.start[s.how] - s.before[s.how]); back >= 0 && back < maxGap {
			// Back where it was: what jumped was one late message.
			c.Reordered++
			s.jumped, s.next, diff = false, s.before, back
		}
	}
	s.restarted(c)

	switch {
	case diff == 0:
	case explained:
		if diff > 0 && diff < maxGap {
			s.pending += uint32(diff)
		}
	case diff >= maxGap:
		s.jumped = true
		s.restarted(c)
	case diff > 0:
		s.missed(uint32(diff), c)
		s.open(span{s.next[s.how], p.start[s.how]})
	case s.fill(span{p.start[s.how], p.next[s.how]}, records, c):
		return // late: the place in the sequence stays
	default:
		s.jumped, s.before = true, s.next
	}
	s.advance(p, uncounted)
}

// advance goes to the end of a message.
func (s *sequence) advance(p place, uncounted bool) {
	s.next, s.resync = p.next, uncounted
}

// restarted counts a jump, by now known to have been no late message, as a
// restart of the exporter.
func (s *sequence) restarted(c *Counters) {
	if s.jumped {
		s.jumped = false
		s.gapsLen = 0
		c.Restarts++
	}
}

// doubt keeps count of what only other numberings explain. explained says that
// one does so for this message; changed, that it is the one from now on.
func (s *sequence) doubt(p place, diff int32, uncounted bool) (explained, changed bool) {
	for h := range numNumberings {
		switch {
		case h == s.how:
		case p.start[h] != s.next[h] || s.resync || uncounted:
			s.doubts[h] = 0
		case diff != 0:
			explained = true
			s.doubts[h]++
			if s.doubts[h] >= mindChanged {
				s.change(h)
				return true, true
			}
		}
	}
	return explained, false
}

// change goes over to another numbering. What was in doubt was not lost.
func (s *sequence) change(to numbering) {
	s.how = to
	s.pending, s.gapsLen, s.jumped, s.repeats = 0, 0, false, 0
	s.doubts = [numNumberings]uint8{}
}

// measure keeps the moving average of records in a message.
func (s *sequence) measure(n uint32, uncounted bool) {
	if uncounted || n == 0 || n > 1<<16 {
		return
	}
	if s.average == 0 {
		s.average = n * 16
	}
	s.average = s.average - s.average/16 + n
}

// reconsider goes back to RFC 7011 when an exporter that seemed unnumbered
// counts after all.
func (s *sequence) reconsider(p place) {
	const h = numberedRecords
	if p.start[h] == p.next[h] || p.start[h] != s.next[h] {
		s.doubts[h] = 0
	} else if s.doubts[h]++; s.doubts[h] >= sameAgain {
		s.change(h)
	}
}

// missed counts a gap of n, in what the exporter counts. How many messages
// that was, or how many records, follows from the average.
func (s *sequence) missed(n uint32, c *Counters) {
	average := max(uint64(s.average), 1)
	if s.how == numberedMessages {
		c.MissedMessages += uint64(n)
		c.MissedRecords += uint64(n) * average / 16
		return
	}
	c.MissedRecords += uint64(n)
	c.MissedMessages += min(uint64(n), max(1, (uint64(n)*16+average/2)/average))
}

// open remembers a gap that late messages can fill.
func (s *sequence) open(gap span) {
	if s.gapsLen == openGaps {
		copy(s.gaps[:], s.gaps[1:])
		s.gapsLen--
	}
	s.gaps[s.gapsLen] = gap
	s.gapsLen++
}

// fill takes a late message out of the gap that it left, if there is one.
func (s *sequence) fill(m span, records uint32, c *Counters) bool {
	for i, g := range s.gaps[:s.gapsLen] {
		if m.start == m.end || int32(m.start-g.start) < 0 || int32(g.end-m.end) < 0 {
			continue
		}
		c.Reordered++
		c.FilledRecords += uint64(records)
		c.FilledMessages++
		s.gapsLen--
		copy(s.gaps[i:], s.gaps[i+1:s.gapsLen+1])
		if g.start != m.start {
			s.open(span{g.start, m.start})
		}
		if m.end != g.end {
			s.open(span{m.end, g.end})
		}
		return true
	}
	return false
}
