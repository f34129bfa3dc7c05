package collector

import (
	"slices"
	"sync"

	"cordon/schema"
)

// queue keeps batches in memory, up to a limit, until they are released. A batch
// in flight still counts: it may come back. It is safe for concurrent use.
type queue struct {
	limit int64 // bytes of payloads

	mu      sync.Mutex
	waiting []batch       // oldest first
	batches int           // waiting or in flight
	bytes   int64         // their size
	dropped Volume        // batches that will not be published
	room    chan struct{} // closed, and made anew, when memory is given back
	closed  bool          // takes nothing any more
}

func newQueue(limit int64) *queue { return &queue{limit: limit, room: make(chan struct{})} }

// put takes a batch if there is room for it. If not it gives a channel that is
// closed when there may be.
func (q *queue) put(b batch) (room <-chan struct{}, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+int64(len(b.Payload)) > q.limit {
		return q.room, false
	}
	q.waiting = append(q.waiting, b)
	q.batches++
	q.bytes += int64(len(b.Payload))
	return nil, true
}

// take gives the oldest batch that waits. It counts until release.
func (q *queue) take() (batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return batch{}, false
	}
	b := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return b, true
}

// putBack returns a batch that was taken, to be the next.
func (q *queue) putBack(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.Insert(q.waiting, 0, b)
}

// release gives back the memory of a batch that was taken.
func (q *queue) release(size int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches--
	q.bytes -= size
	close(q.room)
	q.room = make(chan struct{})
}

// drop counts a batch that will not be published. It releases no memory.
func (q *queue) drop(b *schema.Sealed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped.add(b)
}

// dropAll counts all that waits as dropped, and forgets it.
func (q *queue) dropAll() (batches int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batches = len(q.waiting)
	for i := range q.waiting {
		q.dropped.add(&q.waiting[i].Sealed)
	}
	q.waiting, q.batches, q.bytes = nil, 0, 0
	return batches
}

// close ends the taking of batches.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// left says whether the queue takes no more, and how many batches wait.
func (q *queue) left() (closed bool, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed, len(q.waiting)
}

// fill puts what the queue holds into a status.
func (q *queue) fill(st *PublisherStatus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	st.QueuedBatches, st.QueuedBytes, st.QueueLimit, st.Dropped = q.batches, q.bytes, q.limit, q.dropped
}
