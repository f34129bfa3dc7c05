package collector

import (
	"sync"

	"cordon/collector/ipfix"
)

// streamIntake is the [streamSink] of a collector.
type streamIntake struct {
	*lane
	c *Collector
}

// closed implements [streamSink].
func (s streamIntake) closed(src ipfix.Source) {
	s.c.ended.add(s.decoder.EndSession(src))
}

// endedSessions keeps the final statistics of sessions until they are written.
type endedSessions struct {
	mu   sync.Mutex
	list []ipfix.SourceStats
}

func (e *endedSessions) add(st ipfix.SourceStats) {
	if st.Counters == (ipfix.Counters{}) {
		return // a connection that never sent a message
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, st)
}

func (e *endedSessions) take() []ipfix.SourceStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.list
	e.list = nil
	return list
}
