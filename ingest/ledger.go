package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// record says which batches of flows form a group. Once it is in stream
// GROUPS, their sessions are inserted together, with the record's id as
// deduplication token, or never.
type record struct {
	ID      string   `json:"id"`
	Batches []member `json:"batches"`

	seq  uint64     // sequence in stream GROUPS
	redo sync.Mutex // held while the group is inserted anew
	in   bool       // its sessions are in; guarded by redo
}

// member is a batch of a group.
type member struct {
	ID  string `json:"id"`
	Seq uint64 `json:"seq"` // sequence in stream FLOWS
}

// newRecord gives the record of batches.
func newRecord(batches []held) *record {
	r := &record{ID: "group-" + nuid.Next()}
	for _, h := range batches {
		r.Batches = append(r.Batches, member{ID: h.sealed.ID, Seq: h.seq})
	}
	return r
}

// ledger is this ingester's copy of stream GROUPS, where ingesters agree on
// which batch is in which group.
//
// A record is appended only by someone who has read all earlier ones, which
// JetStream checks, and only if none of them names one of its batches. So a
// batch is in one group at most, whatever is delivered twice, to whomever.
type ledger struct {
	js     jetstream.JetStream
	stream jetstream.Stream

	appending sync.Mutex // held while a record is appended, or others' are read

	mu      sync.Mutex // guards what follows; taken after appending
	last    uint64     // sequence of the last record read
	epoch   uint64     // counts the times that records were removed unread
	records []*record  // sorted by sequence
	groupOf map[string]*record
	held    map[string]bool // batches that this ingester has in hand
}

var (
	// errTaken: a batch is in another group already.
	errTaken = errors.New("a batch is in another group")
	// errMissed: records were removed before they were read, which may have
	// named a batch.
	errMissed = errors.New("records of groups were removed unread")
)

// openLedger reads the stream.
func openLedger(ctx context.Context, js jetstream.JetStream) (*ledger, error) {
	stream, err := js.Stream(ctx, bus.StreamGroups)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
	}
	l := &ledger{js: js, stream: stream, groupOf: make(map[string]*record), held: make(map[string]bool)}
	return l, l.catchUp(ctx)
}

// hold notes that a batch is in hand, and reports false if it is already:
// JetStream gave its message twice.
func (l *ledger) hold(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[id] {
		return false
	}
	l.held[id] = true
	return true
}

func (l *ledger) release(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, id)
}

// find gives the group of a batch, as far as records were read, or nil.
func (l *ledger) find(id string) *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.groupOf[id]
}

// now is the epoch: it changes when records were removed unread.
func (l *ledger) now() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// catchUp reads the records that others appended.
func (l *ledger) catchUp(ctx context.Context) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	return l.readNew(ctx)
}

// readNew does so while nothing is appended here, so that the stream cannot seem
// to be behind.
func (l *ledger) readNew(ctx context.Context) error {
	info, err := l.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := info.State.FirstSeq; l.last+1 < first || info.State.LastSeq < l.last {
		// Removed unread, or the stream is another one.
		l.epoch++
		l.last = max(first, 1) - 1
	}
	if info.State.LastSeq-l.last > manyRecords {
		return l.readMany(ctx, info.State.LastSeq)
	}
	for l.last < info.State.LastSeq {
		msg, err := l.stream.GetMsg(ctx, l.last+1)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			l.epoch++
			l.last++
		case err != nil:
			return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
		default:
			if err := l.read(msg.Sequence, msg.Data); err != nil {
				return err
			}
		}
	}
	return nil
}

// manyRecords are read faster through a consumer than one by one.
const manyRecords = 32

// readMany reads the records up to a sequence. The lock is held.
func (l *ledger) readMany(ctx context.Context, upTo uint64) error {
	reader, err := l.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: l.last + 1, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
	}
	for l.last < upTo {
		messages, err := reader.Fetch(int(min(upTo-l.last, 1000)), jetstream.FetchContext(ctx))
		if err != nil {
			return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
		}
		before := l.last
		for msg := range messages.Messages() {
			md, err := msg.Metadata()
			if err != nil {
				return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
			}
			if err := l.read(md.Sequence.Stream, msg.Data()); err != nil {
				return err
			}
		}
		if err := messages.Error(); err != nil {
			return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
		}
		if l.last == before {
			return fmt.Errorf("stream %s: no record after %d within the time given", bus.StreamGroups, l.last)
		}
	}
	return nil
}

// read takes a record in. The lock is held.
func (l *ledger) read(seq uint64, data []byte) error {
	if seq > l.last+1 {
		l.epoch++
	}
	r := &record{seq: seq}
	if err := json.Unmarshal(data, r); err != nil {
		return fmt.Errorf("message %d of stream %s is no record of a group: %w", seq, bus.StreamGroups, err)
	}
	l.note(r)
	return nil
}

func (l *ledger) note(r *record) {
	l.last = r.seq
	l.records = append(l.records, r)
	for _, b := range r.Batches {
		l.groupOf[b.ID] = r
	}
}

// append records that batches form a group, of which the first was taken in
// hand in this epoch. It returns errTaken or errMissed where that must not be;
// after any other error it may be recorded or not, and is to be tried again
// with the same record.
func (l *ledger) append(ctx context.Context, r *record, epoch uint64) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	data, err := json.Marshal(r)
	if err != nil {
		panic("BUG: record of a group: " + err.Error())
	}
	for {
		last, there, err := l.check(r, epoch)
		if there || err != nil {
			return err
		}
		ack, err := l.js.Publish(ctx, bus.SubjectGroups, data, jetstream.WithExpectLastSequence(last))
		if err == nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			r.seq = ack.Sequence
			l.note(r)
			return nil
		}
		// Others were first, or the answer is lost.
		if err := l.readNew(ctx); err != nil {
			return err
		}
		if now, there, _ := l.check(r, epoch); now == last && !there {
			return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
		}
	}
}

// check tells whether a record is there already, and why it cannot be.
func (l *ledger) check(r *record, epoch uint64) (last uint64, there bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range r.Batches {
		if in := l.groupOf[b.ID]; in != nil && in.ID == r.ID {
			return l.last, true, nil // the answer of an earlier try was lost
		} else if in != nil {
			return l.last, false, errTaken
		}
	}
	if epoch != l.epoch {
		return l.last, false, errMissed
	}
	return l.last, false, nil
}

// keptBatches is how many batches the records left by trim name at least: as
// far back as ClickHouse knows an insert again.
const keptBatches = schema.DeduplicationWindow

// trim removes old records, but none of a group that may not be in yet: floor
// is the sequence in stream FLOWS up to which all messages are acknowledged,
// newest that of its last message. Records of an earlier stream FLOWS, made anew
// since, may be beyond both.
func (l *ledger) trim(ctx context.Context, floor, newest uint64) error {
	upTo := l.forget(floor, newest, keptBatches)
	if upTo == 0 {
		return nil
	}
	if err := l.stream.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return fmt.Errorf("stream %s: %w", bus.StreamGroups, err)
	}
	return nil
}

// forget gives the sequence of the last record that may go, or 0.
func (l *ledger) forget(floor, newest uint64, keep int) (upTo uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.records) && len(l.groupOf) > keep {
		r := l.records[n]
		if slices.ContainsFunc(r.Batches, func(b member) bool { return b.Seq > floor && b.Seq <= newest }) {
			break
		}
		for _, b := range r.Batches {
			delete(l.groupOf, b.ID)
		}
		upTo = r.seq
		n++
	}
	l.records = slices.Delete(l.records, 0, n)
	return upTo
}
