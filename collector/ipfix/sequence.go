package ipfix

import "hash/maphash"

// numbering is what the sequence numbers of an exporter count.
type numbering uint8

// The numberings. RFC 7011, section 3.1: the sequence number is the count of
// all data records, those of options included, sent before this message.
const (
	numberedRecords numbering = iota // RFC 7011
	numberedAfter                    // flow records up to and with this message (softflowd)
	numberedFlows                    // flow records before this message, options left out
	numberedMessages                 // messages (as in NetFlow version 9)
	unnumbered                       // the number says nothing
	numNumberings
)

var numberingNames = [numNumberings]string{
	"records (RFC 7011)", "records, this message included", "flow records", "messages", "none",
}

func (n numbering) String() string { return numberingNames[n] }

const (
	recentMessages = 64      // among which duplicates are found
	openGaps       = 16      // that late messages can fill
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
		s.how = how
		s.doubts = [numNumberings]uint8{}
		s.pending = 0
	}
}

// duplicate reports whether the datagram is one that came before.
func (s *sequence) duplicate(number uint32, msg []byte) bool {
	if s.how == unnumbered {
		return false
	}
	h := maphash.Bytes(hashSeed, msg)
	if s.started && (number != s.next[numberedRecords] || s.how != numberedRecords) {
		for _, r := range s.recent {
			if r == h {
				if s.repeats++; s.repeats >= sameAgain {
					// Not a network that doubles datagrams, but
					// an exporter that repeats itself.
					s.how = unnumbered
				}
				return true
			}
		}
	}
	s.repeats = 0
	s.recent[s.recentAt] = h
	s.recentAt = (s.recentAt + 1) % recentMessages
	return false
}

// observe takes in the number of a message with the given data records.
// uncounted says that it had more, of which the number is not known.
func (s *sequence) observe(number, flows, options uint32, uncounted bool, c *Counters) {
	var start, next [numNumberings]uint32
	start[numberedRecords], next[numberedRecords] = number, number+flows+options
	start[numberedFlows], next[numberedFlows] = number, number+flows
	start[numberedAfter], next[numberedAfter] = number-flows, number
	start[numberedMessages], next[numberedMessages] = number, number+1
	start[unnumbered], next[unnumbered] = number, number

	defer func(first bool) {
		if first {
			s.next, s.resync, s.started = next, uncounted, true
		}
	}(!s.started)
	if !s.started {
		return
	}
	s.measure(next[s.how]-start[s.how], uncounted)

	if s.how == unnumbered {
		s.next = next
		return
	}
	how := s.how
	diff := int32(start[how] - s.next[how])

	// Records that could not be counted are in the gap up to this message,
	// or in this message itself.
	blind := s.resync
	if how == numberedAfter {
		blind = uncounted
	}
	if how != numberedMessages && blind && diff >= 0 {
		if diff < 1<<16 {
			c.NoTemplateRecords += uint64(diff)
		}
		s.next, s.resync = next, uncounted
		return
	}
	if how == numberedMessages {
		blind = false
	}

	explained := false // by another numbering
	for h := range numNumberings {
		switch {
		case h == how:
		case start[h] != s.next[h] || s.resync || uncounted:
			s.doubts[h] = 0
		case diff != 0:
			explained = true
			if s.doubts[h]++; s.doubts[h] >= mindChanged {
				s.how, s.pending, s.gapsLen, s.jumped = h, 0, 0, false
				s.doubts = [numNumberings]uint8{}
				s.next, s.resync = next, uncounted
				return
			}
		}
	}
	if s.pending > 0 && s.doubts == ([numNumberings]uint8{}) {
		s.missed(s.pending, c)
		s.pending = 0
	}

	if s.jumped && diff != 0 && int32(start[how]-s.before[how]) >= 0 && int32(start[how]-s.before[how]) < maxGap {
		// Back where it was: what jumped was one late message.
		s.jumped = false
		c.Reordered++
		s.next = s.before
		diff = int32(start[how] - s.next[how])
	} else if s.jumped {
		s.jumped = false
		c.Restarts++
		s.gapsLen = 0
	}

	switch {
	case diff == 0:
	case explained:
		if diff > 0 && diff < maxGap {
			s.pending += uint32(diff)
		}
	case diff >= maxGap:
		c.Restarts++
		s.gapsLen = 0
	case diff > 0:
		s.missed(uint32(diff), c)
		if s.gapsLen == openGaps {
			copy(s.gaps[:], s.gaps[1:])
			s.gapsLen--
		}
		s.gaps[s.gapsLen] = span{s.next[how], start[how]}
		s.gapsLen++
	default:
		if s.fill(start[how], next[how], c) {
			return // late: the place in the sequence stays
		}
		s.jumped, s.before = true, s.next
	}
	s.next, s.resync = next, uncounted
}

// measure keeps the moving average of records in a message.
func (s *sequence) measure(n uint32, uncounted bool) {
	if uncounted || n == 0 || n > 1<<16 {
		return
	}
	if s.average == 0 {
		s.average = n * 16
	}
	s.average += n - s.average/16
}

// missed counts a gap. How many messages it was follows from how many records
// messages have on average.
func (s *sequence) missed(n uint32, c *Counters) {
	c.MissedRecords += uint64(n)
	c.MissedMessages += s.messages(n)
}

func (s *sequence) messages(n uint32) uint64 {
	if s.average == 0 {
		return 1
	}
	return max(1, (uint64(n)*16+uint64(s.average)/2)/uint64(s.average))
}

// fill closes the gap, or the part of one, that a late message covers.
func (s *sequence) fill(start, end uint32, c *Counters) bool {
	for i := range s.gaps[:s.gapsLen] {
		g := &s.gaps[i]
		if int32(start-g.start) < 0 || int32(g.end-end) < 0 || start == end {
			continue
		}
		c.Reordered++
		c.FilledRecords += uint64(end - start)
		c.FilledMessages = min(c.FilledMessages+1, c.MissedMessages)
		rest := span{end, g.end}
		g.end = start
		if g.start == g.end {
			*g = rest
		} else if rest.start != rest.end && s.gapsLen < openGaps {
			s.gaps[s.gapsLen] = rest
			s.gapsLen++
		}
		if g.start == g.end {
			copy(s.gaps[i:], s.gaps[i+1:s.gapsLen])
			s.gapsLen--
		}
		return true
	}
	return false
}
