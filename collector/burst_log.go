package collector

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Limits of a burstLog.
const (
	burstSize   = 3
	burstWindow = time.Minute
	burstKeys   = 1024 // (exporter, reason) pairs told apart
)

// burstLog logs what an exporter can cause many times: for each exporter and
// reason a few lines a minute, then how many more there were.
type burstLog struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[burstKey]*burst
}

type burstKey struct {
	exporter netip.Addr
	reason   string
}

type burst struct {
	since      time.Time
	logged     int
	suppressed int
}

func newBurstLog(log *slog.Logger) *burstLog {
	return &burstLog{log: log, seen: make(map[burstKey]*burst)}
}

// warn logs msg, unless there were too many of this exporter and reason
// within the minute. args are slog attributes.
func (l *burstLog) warn(now time.Time, exporter netip.Addr, reason, msg string, args ...any) {
	if !l.admit(now, exporter, reason) {
		return
	}
	attrs := []any{"reason", reason}
	if exporter.IsValid() {
		attrs = append(attrs, "exporter", exporter)
	}
	l.log.Log(context.Background(), slog.LevelWarn, msg, append(attrs, args...)...)
}

func (l *burstLog) admit(now time.Time, exporter netip.Addr, reason string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := burstKey{exporter, reason}
	b := l.seen[key]
	if b == nil {
		if len(l.seen) >= burstKeys {
			// Forged source addresses must not grow the map: from here on,
			// new exporters share one entry for each reason.
			key.exporter = netip.Addr{}
			b = l.seen[key]
		}
		if b == nil {
			b = &burst{since: now}
			l.seen[key] = b
		}
	}
	if b.logged < burstSize {
		b.logged++
		return true
	}
	b.suppressed++
	return false
}

// flush ends the windows that are over, and says what was suppressed in them.
func (l *burstLog) flush(now time.Time) {
	type ended struct {
		burstKey
		suppressed int
	}
	var over []ended
	l.mu.Lock()
	for k, b := range l.seen {
		if now.Sub(b.since) < burstWindow {
			continue
		}
		if b.suppressed > 0 {
			over = append(over, ended{k, b.suppressed})
		}
		delete(l.seen, k)
	}
	l.mu.Unlock()
	for _, e := range over {
		attrs := []any{"reason", e.reason, "suppressed", e.suppressed, "within", burstWindow}
		if e.exporter.IsValid() {
			attrs = append(attrs, "exporter", e.exporter)
		}
		l.log.Warn("more of the same was not logged", attrs...)
	}
}
