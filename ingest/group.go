package ingest

import (
	"sync"
	"time"

	"cordon/schema"

	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of a group, for memory's sake: some 100 MB for the largest. A group of
// sixteen batches has two thirds of the sessions of the batches one by one where
// hosts are many, a quarter where they are few.
const (
	maxGroupBatches  = 16
	maxGroupSessions = 128 << 10
)

// held is a batch whose message this ingester has in hand.
type held struct {
	msg     jetstream.Msg
	sealed  *schema.Sealed
	seq     uint64        // sequence in stream FLOWS
	epoch   uint64        // the ledger's epoch before the message was asked for
	delay   time.Duration // time from receipt until its rows were in
	release func()        // ends what keeps the message here
}

// group is batches of flows whose sessions are inserted together.
type group struct {
	batches  []held
	sessions schema.Sessions
}

// groups gathers batches into an open group, and closes it when it is full or
// when its time has come.
type groups struct {
	// wait is the least time between two groups that are not full.
	wait time.Duration
	// finish settles a closed group: records it, inserts its sessions,
	// acknowledges its messages.
	finish func(*group)

	// rooms has a value for each group open or being finished, which bounds
	// how far flows can be ahead of sessions.
	rooms chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	open   *group
	closed time.Time // time at which the last group was closed
	free   []*group  // groups whose memory is used again
}

func newGroups(wait time.Duration, rooms int, finish func(*group)) *groups {
	return &groups{wait: wait, finish: finish, rooms: make(chan struct{}, rooms)}
}

// add folds a batch into the open group. It blocks while there is no room for
// another group.
func (g *groups) add(h held, insert *schema.Insert) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		// Whoever needs the lock meanwhile would wait for room as well; what
		// makes room does not need it.
		g.rooms <- struct{}{}
		g.open = g.take()
		g.closeLater(g.open)
	}
	g.open.sessions.Add(insert)
	g.open.batches = append(g.open.batches, h)
	if len(g.open.batches) >= maxGroupBatches || g.open.sessions.Len() >= maxGroupSessions {
		g.close()
	}
}

// closeLater closes a group once the wait since the last one is over: at once
// where batches are few.
func (g *groups) closeLater(open *group) {
	time.AfterFunc(time.Until(g.closed.Add(g.wait)), func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.open == open {
			g.close()
		}
	})
}

// close lets the open group be finished in the background. The lock is held.
func (g *groups) close() {
	closed := g.open
	g.open, g.closed = nil, time.Now()
	g.wg.Go(func() {
		g.finish(closed)
		<-g.rooms
		g.mu.Lock()
		defer g.mu.Unlock()
		clear(closed.batches)
		closed.batches = closed.batches[:0]
		closed.sessions.Reset()
		g.free = append(g.free, closed)
	})
}

// take gives an empty group. The lock is held.
func (g *groups) take() *group {
	if n := len(g.free); n > 0 {
		last := g.free[n-1]
		g.free = g.free[:n-1]
		return last
	}
	return new(group)
}

// drain closes the open group and waits for all to be finished. Nothing is
// added any more.
func (g *groups) drain() {
	g.mu.Lock()
	if g.open != nil {
		g.close()
	}
	g.mu.Unlock()
	g.wg.Wait()
}
