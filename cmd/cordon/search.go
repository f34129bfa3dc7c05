package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"cordon/recommender"
)

// search is the part of a run that an interrupt cuts short instead of ending the run.
type search struct {
	interrupt chan struct{} // closed by an interrupt during the search
	running   atomic.Bool
	said      bool
	stop      func() bool
	cancel    context.CancelFunc
	line      *progressLine
	stderr    io.Writer
}

// searchUntilInterrupted gives the context of the run: it ends with the one that it was given, except while a search is
// running. Then the search ends instead, and the run goes on with what it found.
func (a *app) searchUntilInterrupted(ctx context.Context) (context.Context, *search) {
	s := &search{interrupt: make(chan struct{}), stderr: a.stderr}
	if isTerminal(a.stderr) {
		s.line = &progressLine{w: a.stderr, every: 100 * time.Millisecond}
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.stop = context.AfterFunc(ctx, func() {
		if s.running.Load() {
			close(s.interrupt)
		} else {
			cancel()
		}
	})
	return run, s
}

func (s *search) end() {
	s.stop()
	s.cancel()
}

// progress follows the search, on a terminal with a line that says how far it has come.
func (s *search) progress(p recommender.Progress) {
	s.running.Store(!p.Done)
	if s.line != nil {
		s.line.show(searchText(p), p.Done)
	}
	select {
	case <-s.interrupt:
		if p.Done && !s.said {
			s.said = true
			fmt.Fprintln(s.stderr, "cordon: interrupted; the rules found so far follow, perhaps not the fewest. Interrupt again to end without them")
		}
	default:
	}
}

func searchText(p recommender.Progress) string {
	text := fmt.Sprintf("VRF %s, %d cells", p.VRF, p.Cells)
	if p.Boxes > 0 {
		text += fmt.Sprintf(": %d rules, at least %d needed", p.Boxes, p.LowerBound)
	}
	if p.Waiting > 0 {
		text += fmt.Sprintf(", %d parts to go", p.Waiting)
	}
	return text
}

// progressLine is one line of a terminal that is written anew.
type progressLine struct {
	w     io.Writer
	every time.Duration
	shown time.Time
}

// show replaces the line, at most once in a while, or removes it.
func (l *progressLine) show(text string, last bool) {
	switch {
	case last:
		fmt.Fprint(l.w, "\r\033[K")
	case time.Since(l.shown) >= l.every:
		l.shown = time.Now()
		fmt.Fprintf(l.w, "\r\033[K%s", text)
	}
}
