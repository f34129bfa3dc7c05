package clickhousehttp

import (
	"context"
	"cordon/internal/chdb"
	"fmt"
	"time"
)

// queue lets a number of queries run at a time. More wait their turn, in the
// order in which they came, up to a number and for a time.
type queue struct {
	running  chan struct{} // one for each query that runs
	waiting  chan struct{} // one for each query that waits
	patience time.Duration // 0: as long as the request lasts
}

func newQueue(running, waiting int, patience time.Duration) *queue {
	return &queue{make(chan struct{}, running), make(chan struct{}, waiting), patience}
}

// enter waits for a turn; leave ends it.
func (q *queue) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-q.running }
	select {
	case q.running <- struct{}{}:
		return leave, nil
	default:
	}
	select {
	case q.waiting <- struct{}{}:
		defer func() { <-q.waiting }()
	default:
		return nil, q.full(fmt.Sprintf("%d more wait already", cap(q.waiting)))
	}
	var late <-chan time.Time
	if q.patience > 0 {
		timer := time.NewTimer(q.patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case q.running <- struct{}{}:
		return leave, nil
	case <-late:
		return nil, q.full(fmt.Sprintf("waited %v for a turn", q.patience))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *queue) full(why string) error {
	return &chdb.Exception{Code: codeTooManySimultaneous, Name: "TOO_MANY_SIMULTANEOUS_QUERIES",
		Message: fmt.Sprintf("Too many simultaneous queries. Maximum: %d (setting sql.max_queries); %s", cap(q.running), why)}
}
