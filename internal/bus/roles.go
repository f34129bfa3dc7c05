package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
)

// SubjectStatus is where every process of Cordon answers who asks how it is
// getting on. Answers are compressed with Zstandard.
const SubjectStatus = "cordon.status"

// How long answers may take. Nobody knows how many processes there are: after
// an answer, others have a moment more.
const (
	firstAnswer = 2 * time.Second
	moreAnswers = 300 * time.Millisecond
)

var (
	answerWriter, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	answerReader, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
)

// AnswerStatus answers on [SubjectStatus] until stop is called. It asks answer
// for a document, and again with short set where the document was too large
// for a message.
func (b *Bus) AnswerStatus(answer func(short bool) ([]byte, error)) (stop func(), err error) {
	sub, err := b.NC.Subscribe(SubjectStatus, func(m *nats.Msg) {
		for _, short := range []bool{false, true} {
			doc, err := answer(short)
			if err != nil {
				return
			}
			if packed := answerWriter.EncodeAll(doc, nil); int64(len(packed)) <= b.NC.MaxPayload() {
				// Who asked notices that there is no answer.
				_ = m.Respond(packed)
				return
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("answer on %s: %w", SubjectStatus, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// AskStatus asks all processes of Cordon on this NATS and gives their answers,
// in the order in which they came.
func (b *Bus) AskStatus(ctx context.Context) (answers [][]byte, err error) {
	inbox := b.NC.NewRespInbox()
	sub, err := b.NC.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask on %s: %w", SubjectStatus, err)
	}
	defer sub.Unsubscribe()
	if err := b.NC.PublishRequest(SubjectStatus, inbox, nil); err != nil {
		return nil, fmt.Errorf("ask on %s: %w", SubjectStatus, err)
	}
	for wait := firstAnswer; ; wait = moreAnswers {
		m, err := nextWithin(ctx, sub, wait)
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return answers, nil // nobody more, or nobody at all
		case err != nil:
			return answers, fmt.Errorf("answers on %s: %w", SubjectStatus, err)
		}
		doc, err := answerReader.DecodeAll(m.Data, nil)
		if err != nil {
			return answers, fmt.Errorf("an answer on %s is not Zstandard: %w", SubjectStatus, err)
		}
		answers = append(answers, doc)
	}
}

func nextWithin(ctx context.Context, sub *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}
