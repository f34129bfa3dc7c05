package ingest

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// outageLog says once that ClickHouse cannot be reached, again every minute
// while that lasts, and once that it is back.
type outageLog struct {
	log    *slog.Logger
	server string

	mu     sync.Mutex
	err    error
	since  time.Time
	logged time.Time
	failed int
}

const outageRepeat = time.Minute

func (o *outageLog) failure(now time.Time, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.since, o.failed = now, 0
	}
	o.err = err
	o.failed++
	if now.Sub(o.logged) >= outageRepeat {
		o.logged = now
		o.log.Warn("ClickHouse takes no batches; they wait in the stream", "server", o.server, "since", o.since.UTC().Format(time.RFC3339), "failed", o.failed, "err", err)
	}
}

func (o *outageLog) success(now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return
	}
	o.log.Info("ClickHouse takes batches again", "server", o.server, "after", now.Sub(o.since).Round(time.Millisecond), "failed", o.failed)
	o.err, o.logged = nil, time.Time{}
}

func (o *outageLog) current() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return nil
	}
	return fmt.Errorf("%s takes no batches since %s: %w", o.server, o.since.UTC().Format(time.RFC3339), o.err)
}
