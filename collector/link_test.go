package collector

import (
	"errors"
	"testing"
	"time"
)

// TestLink walks through the table of type link.
func TestLink(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	lost := errors.New("lost")
	fail := func(l *link, now time.Time) { l.failed(now, lost) }
	acknowledge := func(l *link, _ time.Time) { l.acknowledged() }
	connect := func(l *link, _ time.Time) { l.connected() }
	stop := func(l *link, now time.Time) { l.close(now, "the stop took too long") }
	nothing := func(*link, time.Time) {}
	up := link{}
	resting := link{state: linkResting, why: "refused", since: start, pause: retryFirst, retryAt: start.Add(retryFirst)}
	probing := resting
	probing.state = linkProbing
	for _, c := range []struct {
		name  string
		from  link
		after time.Duration
		event func(*link, time.Time)
		state linkState
		fly   int
		away  string
	}{
		{"up, acknowledged", up, 0, acknowledge, linkUp, 9, ""},
		{"up, connected", up, 0, connect, linkUp, 9, ""},
		{"up, failed", up, 0, fail, linkResting, 0, "lost"},
		{"up, closed", up, 0, stop, linkClosed, 0, "the stop took too long"},
		{"resting, in the pause", resting, retryFirst - 1, nothing, linkResting, 0, "refused"},
		{"resting, the pause is over", resting, retryFirst, nothing, linkProbing, 1, "refused"},
		{"resting, connected", resting, 0, connect, linkProbing, 1, "refused"},
		{"resting, acknowledged", resting, 0, acknowledge, linkUp, 9, ""},
		{"resting, failed", resting, 0, fail, linkResting, 0, "lost"},
		{"resting, closed", resting, time.Hour, stop, linkClosed, 0, "refused"},
		{"probing, acknowledged", probing, 0, acknowledge, linkUp, 9, ""},
		{"probing, failed", probing, time.Hour, fail, linkResting, 0, "lost"},
		{"probing, closed", probing, 0, stop, linkClosed, 0, "refused"},
	} {
		l, now := c.from, start.Add(c.after)
		c.event(&l, now)
		fly := l.mayFly(now, 9)
		if l.state != c.state || fly != c.fly || l.why != c.away || l.down() != (c.away != "") {
			t.Errorf("%s: state %d, %d in flight, away %q; want %d, %d, %q", c.name, l.state, fly, l.why, c.state, c.fly, c.away)
		}
	}

	var l link
	if !l.failed(start, lost) || l.failed(start.Add(time.Second), lost) {
		t.Error("NATS is away twice")
	}
	for range 10 {
		l.failed(start, lost)
	}
	if l.pause != retryMost {
		t.Errorf("the pause is %v in the end, want %v", l.pause, retryMost)
	}
	if since, was := l.acknowledged(); !was || !since.Equal(start) {
		t.Errorf("NATS was away since %v: %v; want %v", since, was, start)
	}
	if l.failed(start, lost); l.pause != retryFirst {
		t.Errorf("the first pause is %v after an outage, want %v", l.pause, retryFirst)
	}
}
