package api

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cordon/recommender"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Limits bound the views that are kept.
type Limits struct {
	// Max is how many are kept.
	Max int `mapstructure:"max"`
	// MaxAge is after how long a view is made anew.
	MaxAge time.Duration `mapstructure:"max_age"`
	// MaxBytes is what all views together may have in ClickHouse.
	MaxBytes int64 `mapstructure:"max_bytes"`
}

// DefaultLimits suit one machine.
func DefaultLimits() Limits { return Limits{Max: 8, MaxAge: 10 * time.Minute, MaxBytes: 1 << 30} }

// Check says what is wrong with limits. A day is the most for the age: after that other processes take the tables for
// those of a process that was killed.
func (l Limits) Check() error {
	switch {
	case l.Max < 1 || l.Max > 1000:
		return fmt.Errorf("views.max is %d: give 1 to 1000", l.Max)
	case l.MaxAge < time.Second || l.MaxAge > 12*time.Hour:
		return fmt.Errorf("views.max_age is %v: give 1s to 12h", l.MaxAge)
	case l.MaxBytes < 1<<20:
		return fmt.Errorf("views.max_bytes is %d: give at least 1MiB", l.MaxBytes)
	}
	return nil
}

// tables are what a view is made of, by whoever makes it.
type tables struct {
	main  string // name, which needs no quotes
	close func(context.Context) error
	held  any // The maker's own value, given back to it.
}

// view is a table of judged sessions that several requests share. A view is made once, while whoever asked for it waits.
type view struct {
	tables
	key  string
	made time.Time // zero until it is there

	done   chan struct{} // closed when it is made, or failed
	err    error
	bytes  int64
	cancel context.CancelFunc
	users  int // requests that wait for it or read it
	gone   bool
	place  *list.Element
	began  time.Time
	steps  []JobStep // Steps of making it that are done.
}

// views keeps tables of judged sessions.
type views struct {
	conn   driver.Conn
	limits Limits

	mu     sync.Mutex
	known  map[string]*view
	recent *list.List // elements are *view, the least recently used last
	closed bool
	making sync.WaitGroup
}

func newViews(conn driver.Conn, l Limits) *views {
	return &views{conn: conn, limits: l, known: map[string]*view{}, recent: list.New()}
}

// limitError says which bound a view would exceed.
type limitError struct{ setting, text string }

func (e *limitError) Error() string { return e.text }

// errClosing is the error of requests that come while the process stops.
var errClosing = errors.New("the server is stopping")

// get gives the view of a key, and makes it where there is none or an old one. Release it after use. Making ends when all
// who wait for it have gone.
func (v *views) get(ctx context.Context, key string, build func(context.Context) (tables, error)) (_ *view, release func(), err error) {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return nil, nil, errClosing
	}
	w := v.known[key]
	if w != nil && !w.made.IsZero() && time.Since(w.made) > v.limits.MaxAge {
		v.drop(w)
		w = nil
	}
	if w == nil {
		w = &view{key: key, done: make(chan struct{}), began: time.Now()}
		w.place = v.recent.PushFront(w)
		v.known[key] = w
		making, cancel := context.WithCancel(context.WithoutCancel(ctx))
		w.cancel = cancel
		v.making.Go(func() { v.build(making, w, build) })
	}
	w.users++
	v.recent.MoveToFront(w.place)
	v.mu.Unlock()
	release = sync.OnceFunc(func() { v.release(w) })
	select {
	case <-w.done:
		if w.err != nil {
			release()
			return nil, nil, w.err
		}
		return w, release, nil
	case <-ctx.Done():
		release()
		return nil, nil, ctx.Err()
	}
}

// did notes a step of making the view of a key.
func (v *views) did(key string, s recommender.Step) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w := v.known[key]; w != nil {
		w.steps = append(w.steps, JobStep{s.Name, float64(s.Took.Microseconds()) / 1000, s.Rows})
	}
}

// ViewOut tells of a view.
type ViewOut struct {
	Of    string    `json:"of" doc:"What it holds"`
	Began time.Time `json:"began"`
	Made  time.Time `json:"made,omitzero" doc:"Absent while it is being made"`
	Bytes int64     `json:"bytes"`
	Steps []JobStep `json:"steps" doc:"What is done of making it"`
}

// list tells of the views, those that were used last first.
func (v *views) list() []ViewOut {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := []ViewOut{}
	for e := v.recent.Front(); e != nil; e = e.Next() {
		w := e.Value.(*view)
		out = append(out, ViewOut{w.key, w.began.UTC(), w.made.UTC(), w.bytes, append([]JobStep{}, w.steps...)})
		if w.made.IsZero() {
			out[len(out)-1].Made = time.Time{}
		}
	}
	return out
}

func (a *API) viewsKept(context.Context, *struct{}) (*viewsOut, error) {
	out := &viewsOut{}
	out.Body.Views = a.views.list()
	return out, nil
}

type viewsOut struct {
	Body struct {
		Views []ViewOut `json:"views"`
	}
}

func (v *views) build(ctx context.Context, w *view, build func(context.Context) (tables, error)) {
	defer w.cancel()
	made, err := build(ctx)
	var bytes int64
	if err == nil {
		bytes, err = v.size(ctx, made.main)
		if err == nil && bytes > v.limits.MaxBytes {
			err = &limitError{"views.max_bytes", fmt.Sprintf("the sessions of this window take %d bytes as a view, more than views.max_bytes allows (%d): ask for a shorter window, or raise the setting", bytes, v.limits.MaxBytes)}
		}
		if err != nil {
			made.close(ctx)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	w.tables, w.err, w.bytes, w.made = made, err, bytes, time.Now()
	close(w.done)
	if err != nil {
		w.tables.close = nil
		v.drop(w)
		return
	}
	v.evict(w)
	v.collect(w)
}

// size is what a table has on disk.
func (v *views) size(ctx context.Context, table string) (int64, error) {
	var bytes uint64
	err := v.conn.QueryRow(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = ?", table).Scan(&bytes)
	return int64(bytes), err
}

// evict drops what is too much, the least recently used first, but for one view.
func (v *views) evict(keep *view) {
	count, bytes := 0, int64(0)
	for _, w := range v.known {
		count, bytes = count+1, bytes+w.bytes
	}
	for e := v.recent.Back(); e != nil && (count > v.limits.Max || bytes > v.limits.MaxBytes); {
		w := e.Value.(*view)
		e = e.Prev()
		if w == keep || w.made.IsZero() {
			continue
		}
		count, bytes = count-1, bytes-w.bytes
		v.drop(w)
	}
}

// drop forgets a view. Its tables go when nobody reads them any more.
func (v *views) drop(w *view) {
	if w.gone {
		return
	}
	w.gone = true
	v.recent.Remove(w.place)
	if v.known[w.key] == w {
		delete(v.known, w.key)
	}
	v.collect(w)
}

// collect removes the tables of a forgotten view that nobody reads.
func (v *views) collect(w *view) {
	if w.gone && w.users == 0 && w.tables.close != nil {
		closing := w.tables.close
		w.tables.close = nil
		v.making.Go(func() { closing(context.Background()) })
	}
}

func (v *views) release(w *view) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w.users--
	if w.users == 0 && w.made.IsZero() {
		w.cancel()
		v.drop(w) // whoever comes now begins anew
	}
	v.collect(w)
}

// expire drops the views that are too old.
func (v *views) expire() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range v.known {
		if !w.made.IsZero() && time.Since(w.made) > v.limits.MaxAge {
			v.drop(w)
		}
	}
}

// close drops all views, and waits until their tables are gone.
func (v *views) close() {
	v.mu.Lock()
	v.closed = true
	for _, w := range v.known {
		w.cancel()
		v.drop(w)
	}
	v.mu.Unlock()
	v.making.Wait()
}
