package ingest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"cordon/internal/bus"
)

func recordOf(id string, seqs ...uint64) *record {
	r := &record{ID: id}
	for _, s := range seqs {
		r.Batches = append(r.Batches, member{ID: fmt.Sprintf("b%d", s), Seq: s})
	}
	return r
}

// newLedgerRig has NATS only.
func newLedgerRig(t *testing.T) *rig {
	r := &rig{t: t}
	r.bus = startNATS(t)
	return r
}

// Ingesters that want batches in groups at the same time, each in groups of its
// own, agree on one group for each.
func TestBatchIsInOneGroup(t *testing.T) {
	r := newLedgerRig(t)
	const ingesters, groups, batches = 4, 25, 150
	recorded := make([][]*record, ingesters)
	var wg sync.WaitGroup
	for n := range ingesters {
		l := r.ledger()
		rng := rand.New(rand.NewPCG(4739, uint64(n)))
		wg.Go(func() {
			for g := range groups {
				var seqs []uint64
				for _, s := range rng.Perm(batches)[:3] {
					seqs = append(seqs, uint64(s+1))
				}
				rec := recordOf(fmt.Sprintf("%d-%d", n, g), seqs...)
				switch err := l.append(t.Context(), rec, l.now()); {
				case err == nil:
					recorded[n] = append(recorded[n], rec)
				case !errors.Is(err, errTaken):
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	group := map[string]string{}
	last := r.ledger()
	for n, list := range recorded {
		if len(list) == 0 {
			t.Errorf("ingester %d recorded nothing", n)
		}
		for _, rec := range list {
			for _, b := range rec.Batches {
				if other := group[b.ID]; other != "" {
					t.Errorf("batch %s is in groups %s and %s", b.ID, other, rec.ID)
				}
				group[b.ID] = rec.ID
				if found := last.find(b.ID); found == nil || found.ID != rec.ID {
					t.Errorf("batch %s is in %v by the stream, want %s", b.ID, found, rec.ID)
				}
			}
		}
	}
}

// The answer to an append may be lost, and the append made again.
func TestAppendAgain(t *testing.T) {
	r := newLedgerRig(t)
	rec := recordOf("g", 1, 2)
	if err := r.ledger().append(t.Context(), rec, 0); err != nil {
		t.Fatal(err)
	}
	l := &ledger{js: r.bus.JS, stream: r.ledger().stream, groupOf: map[string]*record{}, held: map[string]bool{}}
	if err := l.append(t.Context(), recordOf("g", 1, 2), 0); err != nil {
		t.Errorf("the same group again: %v", err)
	}
	if got := r.messages(bus.StreamGroups); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
	if err := l.append(t.Context(), recordOf("h", 3, 2), 0); !errors.Is(err, errTaken) {
		t.Errorf("another group with one of its batches: %v, want %v", err, errTaken)
	}
}

// What was removed unread may have named a batch taken in hand before.
func TestRecordsRemovedUnread(t *testing.T) {
	r := newLedgerRig(t)
	late, l := r.ledger(), r.ledger()
	before := late.now()
	for n := range uint64(40) { // more than are read one by one
		if err := l.append(t.Context(), recordOf(fmt.Sprint("g", n), n+1), l.now()); err != nil {
			t.Fatal(err)
		}
	}
	reader := r.ledger()
	for n := range 40 {
		if reader.find(fmt.Sprintf("b%d", n+1)) == nil {
			t.Errorf("batch %d is in no group after all were read", n+1)
		}
	}
	if upTo := l.forget(10, 40, 0); upTo != 10 {
		t.Errorf("records up to %d may go, want 10: later ones have messages that are not acknowledged", upTo)
	}
	if err := l.trim(t.Context(), 30, 40); err != nil {
		t.Fatal(err)
	}
	if got := r.messages(bus.StreamGroups); got != 40 {
		t.Errorf("%d records, want 40: they are kept for a while", got)
	}
	if err := l.stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := late.append(t.Context(), recordOf("late", 7), before); !errors.Is(err, errMissed) {
		t.Errorf("a batch from before: %v, want %v", err, errMissed)
	}
	if err := late.append(t.Context(), recordOf("late", 50), late.now()); err != nil {
		t.Errorf("a batch from after: %v", err)
	}
	if err := l.append(t.Context(), recordOf("other", 51), l.now()); err != nil {
		t.Errorf("one who had read all: %v", err)
	}
}

// Records of a stream FLOWS that was made anew do not stay for ever.
func TestForgetAfterNewStream(t *testing.T) {
	l := &ledger{groupOf: map[string]*record{}}
	for n, seq := range []uint64{1_000_000, 3, 8} {
		rec := recordOf(fmt.Sprint(n), seq)
		rec.seq = uint64(n + 1)
		l.note(rec)
	}
	if upTo := l.forget(5, 10, 0); upTo != 2 {
		t.Errorf("up to %d, want 2: the last one's message is not acknowledged", upTo)
	}
	if l.find("b3") != nil || l.find("b8") == nil {
		t.Error("the ledger does not say so")
	}
}

func TestHold(t *testing.T) {
	l := &ledger{held: map[string]bool{}}
	if !l.hold("a") || l.hold("a") || !l.hold("b") {
		t.Error("a batch is in hand once")
	}
	l.release("a")
	if !l.hold("a") {
		t.Error("a batch that was let go may be held")
	}
}
