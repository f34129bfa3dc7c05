package collector

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sealed gathers what a sealer gives.
type sealed struct {
	mu      sync.Mutex
	batches []schema.Sealed
}

func (s *sealed) out(b batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, b.Sealed)
}

func (s *sealed) rows() (list []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		list = append(list, b.Rows)
	}
	return list
}

func (s *sealed) records(t interface{ Fatal(...any) }) (list []uint64) {
	for _, b := range s.batches {
		var rows schema.Batch
		if err := rows.Open(b.Payload); err != nil {
			t.Fatal(err)
		}
		for i := range rows.Len() {
			list = append(list, rows.Record(i).Bytes)
		}
	}
	return list
}

func limit(n int) func() int { return func() int { return n } }

func TestSealerRows(t *testing.T) {
	var got sealed
	s := newSealer(BatchConfig{MaxRows: 100, MaxBytes: schema.MaxPayload, MaxAge: time.Hour}, newIDs(), limit(schema.MaxPayload), got.out)
	e := newExporter(1)
	for i := range 250 {
		r := e.want(loopback, i)
		s.append(&r)
	}
	s.close()
	if d := gocmp.Diff([]int{100, 100, 50}, got.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if d := gocmp.Diff(upTo(250), got.records(t)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}

func TestSealerAge(t *testing.T) {
	var got sealed
	s := newSealer(BatchConfig{MaxRows: 100, MaxBytes: schema.MaxPayload, MaxAge: time.Second}, newIDs(), limit(schema.MaxPayload), got.out)
	e := newExporter(1)
	r := e.want(loopback, 0)
	s.append(&r)
	now := time.Now()
	s.tick(now)
	if n := s.cur.Len(); n != 1 {
		t.Fatalf("%d records open before the time", n)
	}
	s.tick(now.Add(1100 * time.Millisecond))
	eventually(t, "the batch is sealed", func() bool { return slices.Equal(got.rows(), []int{1}) })
	s.tick(now.Add(time.Hour))
	s.close()
	if d := gocmp.Diff([]int{1}, got.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

// TestSealerKeepsBelowTheLimit seals records whose size changes from batch to
// batch: every payload fits, nothing is lost, and ids are unique.
func TestSealerKeepsBelowTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(8<<10, 64<<10).Draw(t, "limit")
		noise := rapid.SliceOfN(rapid.Bool(), 1, 6).Draw(t, "noise")
		seed := rapid.Uint64().Draw(t, "seed")
		var got sealed
		s := newSealer(BatchConfig{MaxRows: schema.MaxRows, MaxBytes: schema.MaxPayload, MaxAge: time.Hour}, newIDs(), limit(most), got.out)
		rng, e, n := rand.New(rand.NewPCG(seed, 1)), newExporter(1), 0
		for _, wild := range noise {
			for range 1500 {
				r := e.want(loopback, n)
				if wild {
					r.Start, r.End, r.Packets = rng.Int64(), rng.Int64(), rng.Uint64()
					r.L2Segment = rng.Uint64()
				}
				s.append(&r)
				n++
			}
		}
		s.close()
		ids := make(map[string]bool)
		for _, b := range got.batches {
			if len(b.Payload) > most {
				t.Fatalf("payload of %d bytes, limit %d", len(b.Payload), most)
			}
			ids[b.ID] = true
		}
		if len(ids) != len(got.batches) {
			t.Fatalf("%d ids for %d batches", len(ids), len(got.batches))
		}
		if d := gocmp.Diff(upTo(n), got.records(t)); d != "" {
			t.Fatalf("records (-want +got):\n%.500s", d)
		}
	})
}

// TestSealerLearnsTheSize says how full batches are and how rarely they are
// compressed twice.
func TestSealerLearnsTheSize(t *testing.T) {
	var got sealed
	const most = 64 << 10
	s := newSealer(DefaultConfig().Batch, newIDs(), limit(most), got.out)
	rng, e := rand.New(rand.NewPCG(1, 1)), newExporter(1)
	for i := range 200_000 {
		r := e.want(loopback, i)
		r.Packets, r.Start = rng.Uint64N(1000), r.Start-rng.Int64N(60e6)
		s.append(&r)
	}
	s.close()
	if n := s.splits.Load(); n > 1 {
		t.Errorf("%d batches were too large", n)
	}
	for i, b := range got.batches {
		if i > 10 && i < len(got.batches)-1 && len(b.Payload) < most*3/4 {
			t.Errorf("batch %d of %d has %d bytes of %d", i, len(got.batches), len(b.Payload), most)
		}
	}
}

func TestSealerDoesNotAllocatePerRecord(t *testing.T) {
	s := newSealer(DefaultConfig().Batch, newIDs(), limit(schema.MaxPayload), func(b batch) { payloads.put(b.Payload) })
	defer s.close()
	e := newExporter(1)
	r := e.want(loopback, 1)
	fill := func() {
		for range schema.MaxRows {
			s.append(&r)
		}
	}
	fill()
	fill()
	if n := testing.AllocsPerRun(5, fill); n > schema.MaxRows/1000 {
		t.Errorf("%v allocations for %d records", n, schema.MaxRows)
	}
}
