package collector

import "time"

// Waits between attempts while NATS refuses or does not answer.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// linkState says what the publisher may do with NATS.
type linkState uint8

const (
	linkUp      linkState = iota // NATS takes batches: as many are sent as may be in flight
	linkResting                  // the last attempt failed: nothing is sent until the pause is over
	linkProbing                  // one batch at a time is tried
	linkClosed                   // the collector stops and gives up: nothing is sent any more
)

// link is the state of the way to NATS, as the publisher's own goroutine sees it
// from what becomes of batches and from what the connection tells.
//
//	state             event                          next      action of the publisher
//	up                a batch is acknowledged        up        lets go of the batch
//	up                a publish fails, or the        resting   keeps the batch, logs why, moves what
//	                  connection is lost                       waits in memory to the spool
//	resting           the pause is over, or the      probing   sends one batch
//	                  connection is back
//	resting, probing  a batch is acknowledged        up        logs since when NATS was away
//	resting, probing  a publish fails, or the        resting   keeps the batch; the pause is twice
//	                  connection is lost                       the one before, up to retryMost
//	up, resting,      the stop takes too long, or    closed    waits for what is in flight, spools
//	probing           the connection ends in a stop            the rest or counts it as dropped
//
// While it is not up, the status has the reason in Away.
type link struct {
	state   linkState
	why     string    // NATS takes no batches; empty while it is up
	since   time.Time // beginning of that state
	pause   time.Duration
	retryAt time.Time // end of the pause, while it is resting
}

// down says whether batches that wait are better kept on disk.
func (l *link) down() bool { return l.state != linkUp }

// failed notes why NATS does not take batches. It reports whether it did before.
func (l *link) failed(now time.Time, err error) (first bool) {
	if first = l.state == linkUp; first {
		l.since = now
	}
	l.state, l.why = linkResting, err.Error()
	l.pause = min(max(2*l.pause, retryFirst), retryMost)
	l.retryAt = now.Add(l.pause)
	return first
}

// acknowledged notes that NATS has taken a batch. It reports whether NATS was
// away, and since when.
func (l *link) acknowledged() (since time.Time, wasDown bool) {
	since, wasDown = l.since, l.down()
	*l = link{}
	return since, wasDown
}

// connected ends a pause: the connection is back.
func (l *link) connected() {
	if l.state == linkResting {
		l.state, l.retryAt = linkProbing, time.Time{}
	}
}

// close ends the sending, for a reason that counts if NATS was not away before.
func (l *link) close(now time.Time, why string) {
	if l.state == linkUp {
		l.why, l.since = why, now
	}
	l.state = linkClosed
}

// mayFly gives how many batches may be in flight now, of most.
func (l *link) mayFly(now time.Time, most int) int {
	if l.state == linkResting && !now.Before(l.retryAt) {
		l.state = linkProbing
	}
	switch l.state {
	case linkUp:
		return most
	case linkProbing:
		return 1
	}
	return 0
}
