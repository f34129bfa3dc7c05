package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// DeadLetter is a message of stream FLOWS_DEAD: a batch that could not be inserted.
type DeadLetter struct {
	Sequence  uint64    `json:"sequence"` // sequence in FLOWS_DEAD
	Buried    time.Time `json:"buried"`   // It was moved there then.
	Batch     string    `json:"batch"`    // id
	Collector string    `json:"collector"`
	Table     string    `json:"table"`
	Rows      uint64    `json:"rows"`  // the collector's count; 0 if it gave none
	Bytes     int       `json:"bytes"` // size of the message's data
	Reason    string    `json:"reason"`
	Error     string    `json:"error"`
}

// ErrRemembered says that JetStream still takes a batch for one that it has, since it remembers the ids of messages for a
// while (nats.duplicates).
var ErrRemembered = errors.New("stream " + StreamFlows + " still remembers this batch (nats.duplicates)")

// DeadLetters calls f for each message of stream FLOWS_DEAD, oldest first, as they stand when it is called. Where
// there is no such stream there are none. An error of f ends it.
func (b *Bus) DeadLetters(ctx context.Context, f func(DeadLetter) error) error {
	s, err := b.JS.Stream(ctx, StreamDead)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamDead, err)
	}
	state := s.CachedInfo().State
	for at := state.FirstSeq; state.Msgs > 0 && at <= state.LastSeq; {
		m, err := s.GetMsg(ctx, at, jetstream.WithGetMsgSubject(SubjectDead+".>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stream %s: message %d: %w", StreamDead, at, err)
		}
		if m.Sequence > state.LastSeq {
			return nil
		}
		if err := f(letterOf(m)); err != nil {
			return err
		}
		at = m.Sequence + 1
	}
	return nil
}

func letterOf(m *jetstream.RawStreamMsg) DeadLetter {
	l := DeadLetter{
		Sequence: m.Sequence, Buried: m.Time.UTC(), Bytes: len(m.Data),
		Batch: m.Header.Get(jetstream.MsgIDHeader), Table: m.Header.Get("Cordon-Table"),
		Reason: m.Header.Get(HeaderReason), Error: m.Header.Get(HeaderError),
	}
	l.Rows, _ = strconv.ParseUint(m.Header.Get("Cordon-Rows"), 10, 64) // damaged messages may say anything
	l.Collector, _ = strings.CutPrefix(m.Header.Get(HeaderSubject), SubjectFlows+".")
	return l
}

// Replay sends a dead letter to the ingesters again and takes it out of FLOWS_DEAD. The batch keeps its id, so what
// was stored after all is not stored twice, whatever is killed between the two. The error may be ErrRemembered; the letter
// then stays. A letter that is gone already is no error.
func (b *Bus) Replay(ctx context.Context, sequence uint64) error {
	s, err := b.JS.Stream(ctx, StreamDead)
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamDead, err)
	}
	m, err := s.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %s: message %d: %w", StreamDead, sequence, err)
	}
	subject := m.Header.Get(HeaderSubject)
	if !strings.HasPrefix(subject, SubjectFlows+".") {
		subject = SubjectFlows + ".replay" // buried by an older version
	}
	again := &nats.Msg{Subject: subject, Header: m.Header, Data: m.Data}
	ack, err := b.JS.PublishMsg(ctx, again)
	if err != nil {
		return fmt.Errorf("stream %s: send message %d of %s again: %w", StreamFlows, sequence, StreamDead, err)
	}
	if ack.Duplicate {
		return ErrRemembered
	}
	return b.DropDeadLetter(ctx, sequence)
}

// DropDeadLetter deletes a message of FLOWS_DEAD. One that is gone already is no error.
func (b *Bus) DropDeadLetter(ctx context.Context, sequence uint64) error {
	s, err := b.JS.Stream(ctx, StreamDead)
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamDead, err)
	}
	if err := s.DeleteMsg(ctx, sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("stream %s: delete message %d: %w", StreamDead, sequence, err)
	}
	return nil
}
