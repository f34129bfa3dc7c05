package collector

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"cordon/schema"

	"github.com/nats-io/nuid"
)

// ids gives batches their ids: an instance, random for each start of a
// process, and a counter.
type ids struct {
	instance string
	n        atomic.Uint64
}

func newIDs() *ids { return &ids{instance: nuid.Next()} }

func (g *ids) next() string { return fmt.Sprintf("%s-%08d", g.instance, g.n.Add(1)) }

const (
	// sealBuffers is how many batches a sealer has: one that is filled, one
	// that is compressed, and one between them that evens out the pace.
	sealBuffers = 3
	// assumedPerRow is the size in bytes of a compressed record before the
	// first batch has shown what it is.
	assumedPerRow = 40
	// typicalRows is how many records a batch needs for its size to say
	// something about the next one's: in a smaller one the names of the
	// columns weigh too much.
	typicalRows = 1024
)

// sealer gathers records into batches and seals each as soon as it meets one
// of the limits of [BatchConfig]. Compression runs on a goroutine of its own,
// which also calls out; out owns what it is given. The methods are for one
// goroutine at a time.
type sealer struct {
	cfg   BatchConfig
	ids   *ids
	limit func() int // most bytes that a payload may have now
	out   func(batch)

	cur    *schema.Batch
	opened time.Time // time of the first record of cur
	target int       // records at which cur is handed over

	full chan filled
	free chan *schema.Batch
	done chan struct{}

	sealing atomic.Int64 // records handed over for compression that out has not had yet
	perRow  atomic.Int64 // expected bytes of a compressed record
	splits  atomic.Uint64
	stalled atomic.Int64 // nanoseconds that append has waited for compression
}

// filled is a batch on its way to compression.
type filled struct {
	rows   *schema.Batch
	opened time.Time
}

// batch is a sealed batch on its way to NATS.
type batch struct {
	schema.Sealed
	opened time.Time // time of the first record
}

func newSealer(cfg BatchConfig, ids *ids, limit func() int, out func(batch)) *sealer {
	s := &sealer{
		cfg: cfg, ids: ids, limit: limit, out: out,
		cur:  new(schema.Batch),
		full: make(chan filled, sealBuffers),
		free: make(chan *schema.Batch, sealBuffers),
		done: make(chan struct{}),
	}
	s.perRow.Store(assumedPerRow)
	s.aim()
	for range sealBuffers - 1 {
		s.free <- new(schema.Batch)
	}
	go s.compress()
	return s
}

// aim sets the number of records at which the payload is expected to be just
// below its limit.
func (s *sealer) aim() {
	fits := int64(s.limit()) * 31 / 32 / s.perRow.Load()
	s.target = int(min(max(fits, 1), int64(s.cfg.MaxRows)))
	s.cur.Grow(s.target)
}

// append adds a copy of r.
func (s *sealer) append(r *schema.Record) {
	if s.cur.Len() == 0 {
		s.opened = time.Now()
	}
	s.cur.Append(r)
	if s.cur.Len() >= s.target {
		s.flush()
	}
}

// tick hands the batch over if it is old enough.
func (s *sealer) tick(now time.Time) {
	if s.cur.Len() > 0 && now.Sub(s.opened) >= s.cfg.MaxAge {
		s.flush()
	}
}

// flush hands over what there is. It waits while compression is behind.
func (s *sealer) flush() {
	if s.cur.Len() == 0 {
		return
	}
	s.sealing.Add(int64(s.cur.Len()))
	s.full <- filled{s.cur, s.opened}
	select {
	case s.cur = <-s.free:
	default:
		start := time.Now()
		s.cur = <-s.free
		s.stalled.Add(int64(time.Since(start)))
	}
	s.aim()
}

// close seals what there is and returns when out has had it. The sealer is
// of no use after that.
func (s *sealer) close() {
	s.flush()
	close(s.full)
	<-s.done
}

func (s *sealer) compress() {
	defer close(s.done)
	for f := range s.full {
		n := f.rows.Len()
		s.seal(f)
		s.sealing.Add(-int64(n))
		f.rows.Reset()
		s.free <- f.rows
	}
}

func (s *sealer) seal(f filled) {
	payload, err := f.rows.Seal(payloads.get(), s.limit())
	if errors.Is(err, schema.ErrTooLarge) {
		payloads.put(payload)
		s.splits.Add(1)
		s.learn(s.perRow.Load() * 5 / 4)
		first, second := f.rows.Split()
		s.seal(filled{first, f.opened})
		s.seal(filled{second, f.opened})
		return
	}
	if err != nil {
		// LZ4 into memory has no way to fail.
		panic("BUG: seal a batch: " + err.Error())
	}
	if n := f.rows.Len(); n >= typicalRows {
		s.learn(int64(len(payload)/n) + 1)
	}
	s.out(batch{
		Sealed: schema.Sealed{ID: s.ids.next(), Table: schema.TableFlows, Rows: f.rows.Len(), Needs: f.rows.Needs(), Payload: payload},
		opened: f.opened,
	})
}

// learn follows the size of a record: up at once, since a batch that is too
// large is compressed twice, and slowly down.
func (s *sealer) learn(observed int64) {
	if old := s.perRow.Load(); observed < old {
		observed = (7*old + observed) / 8
	}
	s.perRow.Store(max(observed, 1))
}

// payloads keeps the buffers of published payloads for the next ones.
var payloads = make(payloadPool, 16)

type payloadPool chan []byte

func (p payloadPool) get() []byte {
	select {
	case b := <-p:
		return b[:0]
	default:
		return nil
	}
}

func (p payloadPool) put(b []byte) {
	if cap(b) == 0 {
		return
	}
	select {
	case p <- b:
	default:
	}
}
