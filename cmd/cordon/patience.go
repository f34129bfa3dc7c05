package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"cordon/internal/bus"
	"cordon/internal/datafolder"
)

// patience tries again what fails because a server is away or starting, for a
// bounded time, and says so once for each outage.
type patience struct {
	limit time.Duration
	say   func(limit time.Duration, err error)
	// coming says that the server is on its way, so that the time has not begun
	// to run; nil for never.
	coming func() bool

	mu    sync.Mutex
	tries int // tries that go on; one may be inside another
	said  bool
}

// Pauses between attempts, and by how much a server that is starting prolongs
// the time.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = time.Second
	mostComing = 8
)

// try calls attempt until it succeeds, fails for a reason that does not pass, or
// the time is over.
func (p *patience) try(ctx context.Context, passes func(error) bool, attempt func() error) error {
	p.enter(1)
	defer p.enter(-1)
	began, first := time.Now(), time.Now()
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := attempt()
		if err == nil || ctx.Err() != nil || !passes(err) {
			return err
		}
		if p.isComing(first) {
			began = time.Now()
		}
		if time.Since(began) >= p.limit {
			return err
		}
		p.note(err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// isComing says whether the server is on its way, since not too long ago.
func (p *patience) isComing(since time.Time) bool {
	return p.coming != nil && time.Since(since) < mostComing*p.limit && p.coming()
}

// note says once that there is something to wait for.
func (p *patience) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.said {
		p.say(p.limit, err)
	}
	p.said = true
}

// enter counts the tries that go on; after the last one the outage is over.
func (p *patience) enter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tries += n; p.tries == 0 {
		p.said = false
	}
}

// wait is the patience of a command, which says on standard error what does not
// answer.
func (a *app) wait(server string) *patience {
	return &patience{limit: a.settings.ConnectTimeout, say: func(limit time.Duration, err error) {
		fmt.Fprintf(a.stderr, "cordon: %s does not answer; trying again for up to %v (connect_timeout): %v\n", server, limit, err)
	}}
}

// connectionLost says whether a connection could not be made or broke. What the
// server answered is not of that kind, nor is a certificate that was refused.
func connectionLost(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	op, ok := asOpError(err)
	return ok && (op.Op == "dial" || op.Op == "read" || op.Op == "write")
}

func asOpError(err error) (op *net.OpError, ok bool) {
	ok = errors.As(err, &op)
	return op, ok
}

// connectBus connects to NATS and makes the streams. The configuration is asked
// for anew at each attempt, since a server that was started again may listen
// elsewhere; its error, too, is one that may pass.
func connectBus(ctx context.Context, p *patience, config func() (bus.Config, error)) (b *bus.Bus, err error) {
	var unknown error
	err = p.try(ctx, func(err error) bool { return err == unknown || bus.Passing(err) }, func() error {
		cfg, err := config()
		if err != nil {
			unknown = unreachable(err)
			return unknown
		}
		if b, err = bus.Connect(cfg); err != nil {
			return unreachable(err)
		}
		if err = b.EnsureStreams(ctx); err != nil {
			b.Close()
			if bus.Passing(err) {
				err = unreachable(err)
			}
		}
		return err
	})
	return b, err
}

// inUse says that another process runs the server of the data folder and may
// give it up, or tell where it listens, in a moment.
func inUse(err error) bool {
	var use *datafolder.InUseError
	return errors.As(err, &use)
}

// takenByCommand says that a command which runs for a while has the folder.
func takenByCommand(err error) bool {
	var use *datafolder.InUseError
	return errors.As(err, &use) && use.By != ""
}
