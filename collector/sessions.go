package collector

import (
	"sync"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"
)

// streamIntake is the [streamSink] of a collector.
type streamIntake struct {
	*lane
	c *Collector
}

// broken implements [streamSink].
func (s streamIntake) broken(src ipfix.Source, bad *ipfix.Error) {
	now := time.Now()
	s.decoder.Refuse(src, bad.Reason, schema.Micros(now))
	bad.Source = src
	s.warn(now, "closed a connection: what came is not IPFIX", bad)
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
