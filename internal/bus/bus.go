// Package bus is Cordon's use of NATS: the streams, their subjects, and how
// a batch becomes a message and a message a batch again.
//
// Stream FLOWS is a work queue: a message stays until an ingester has
// acknowledged it, and a full stream refuses new messages instead of dropping
// old ones, so that what does not fit is seen and counted by its collector.
// Anyone may watch the traffic with a plain subscription to flows.>.
package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"cordon/schema"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names of the streams, their subjects and the ingesters' durable consumer.
const (
	StreamFlows     = "FLOWS"
	StreamDead      = "FLOWS_DEAD"
	StreamGroups    = "GROUPS"
	StreamProposals = "PROPOSALS"
	StreamDrift     = "DRIFT"

	SubjectFlows     = "flows" // flows.<collector instance>
	SubjectDead      = "dead"  // dead.flows
	SubjectGroups    = "groups"
	SubjectProposals = "proposals" // proposals.<vrf>
	SubjectDrift     = "drift"     // drift.<vrf>

	// SubjectGroupChanges has what sources of groups changed, one message for each snapshot with a change. No stream keeps it: table
	// memberships is what remains.
	SubjectGroupChanges = "groups.changes"

	ConsumerIngest  = "ingest"
	ConsumerWebhook = "webhook" // Its stream is DRIFT.

	// HeaderReason, HeaderError: why a message is in FLOWS_DEAD. HeaderSubject: its
	// subject in FLOWS, which names the collector.
	HeaderReason  = "Cordon-Reason"
	HeaderError   = "Cordon-Error"
	HeaderSubject = "Cordon-Subject"
)

// Config says how to reach NATS and how large the streams may grow.
type Config struct {
	// URL names one server or several, comma-separated: nats://host:4222.
	URL string
	// Name of the connection, shown by the server's monitoring.
	Name string
	// Credentials is a .creds file; empty for none.
	Credentials string
	// Options are added to the connection's; an embedded server passes its
	// in-process transport here.
	Options []nats.Option

	// Replicas of the streams; 1 for a single server.
	Replicas int
	// MaxBytes of stream FLOWS. A publisher sees an error beyond it.
	MaxBytes int64
	// Duplicates is how long JetStream remembers message ids.
	Duplicates time.Duration

	Log *slog.Logger
}

// DefaultConfig is right for one server.
func DefaultConfig() Config {
	return Config{Replicas: 1, MaxBytes: 4 << 30, Duplicates: 10 * time.Minute, Name: "cordon"}
}

// Bus is a connection to NATS with JetStream.
type Bus struct {
	NC  *nats.Conn
	JS  jetstream.JetStream
	cfg Config
}

// Connect connects, and goes on trying to reconnect for as long as the
// process lives if the connection is lost later. The first connection must
// succeed; [ErrUnreachable] says that no server answered.
func Connect(cfg Config) (*Bus, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		// While the server is away a publish fails at once: batches wait in
		// the collector's own bounded queue, not in the client.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("NATS connection lost; reconnecting", "server", Redact(cfg.URL), "err", hide(err, cfg.URL))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("NATS connection restored", "server", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn("NATS", "err", err) }),
	}
	if cfg.Credentials != "" {
		opts = append(opts, nats.UserCredentials(cfg.Credentials))
	}
	nc, err := nats.Connect(cfg.URL, append(opts, cfg.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("%w: NATS at %s: %w (is the server up, and nats.url right?)", ErrUnreachable, Redact(cfg.URL), hide(err, cfg.URL))
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("NATS at %s: JetStream: %w", Redact(cfg.URL), err)
	}
	return &Bus{NC: nc, JS: js, cfg: cfg}, nil
}

// ErrUnreachable says that no NATS server answered.
var ErrUnreachable = errors.New("cannot reach NATS")

// Passing says of an error of [Connect] or [Bus.EnsureStreams] that it may pass
// by itself, since the server is away or starting: no connection, no answer, no
// leader. A refused login or certificate does not pass.
func Passing(err error) bool {
	for _, e := range []error{
		nats.ErrNoServers, nats.ErrTimeout, nats.ErrConnectionClosed, nats.ErrDisconnected, nats.ErrStaleConnection,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabled,
		io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "dial" || op.Op == "read" || op.Op == "write"
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == 503
}

// EnsureStreams creates the streams, or brings them to this configuration.
func (b *Bus) EnsureStreams(ctx context.Context) error {
	for _, c := range []jetstream.StreamConfig{
		{
			Name: StreamFlows, Description: "sealed batches of flow records on their way to ClickHouse",
			Subjects: []string{SubjectFlows + ".>"}, Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxBytes: b.cfg.MaxBytes, Storage: jetstream.FileStorage,
			Duplicates: b.cfg.Duplicates, Replicas: b.cfg.Replicas,
		},
		{
			Name: StreamDead, Description: "messages that could not be inserted, each with its reason",
			Subjects: []string{SubjectDead + ".>"}, Discard: jetstream.DiscardOld,
			// A batch that was sent again and is refused again, under the same id, must not be taken for a duplicate and lost.
			// This is the shortest window that there is.
			Duplicates: 100 * time.Millisecond,
			MaxBytes:   min(b.cfg.MaxBytes, 1<<30), MaxAge: 30 * 24 * time.Hour, Storage: jetstream.FileStorage, Replicas: b.cfg.Replicas,
		},
		{
			// Without a record sessions cannot be inserted, and none may go
			// before its time: a full stream refuses new ones.
			Name: StreamGroups, Description: "which batches' sessions are inserted together, for the ingesters",
			Subjects: []string{SubjectGroups}, Discard: jetstream.DiscardNew,
			MaxBytes: min(b.cfg.MaxBytes, 64<<20), Storage: jetstream.FileStorage, Replicas: b.cfg.Replicas,
		},
		{
			Name: StreamProposals, Description: "policy proposals, a subject for each VRF",
			Subjects: []string{SubjectProposals + ".>"}, Discard: jetstream.DiscardOld,
			MaxMsgsPerSubject: 100, MaxBytes: min(b.cfg.MaxBytes, 1<<30), Storage: jetstream.FileStorage, Replicas: b.cfg.Replicas,
		},
		{
			// What stands here was said; see package watch.
			Name: StreamDrift, Description: "what is outside the policies in force, a subject for each VRF",
			Subjects: []string{SubjectDrift + ".>"}, Discard: jetstream.DiscardOld,
			MaxBytes: min(b.cfg.MaxBytes, 256<<20), Storage: jetstream.FileStorage, Replicas: b.cfg.Replicas,
		},
	} {
		if _, err := b.JS.CreateOrUpdateStream(ctx, c); err != nil {
			return b.refused(c, err)
		}
	}
	return nil
}

// Codes of JetStream's API: what the server may use is less than a stream's limit.
const (
	codeInsufficientResources = 10023
	codeNoStorage             = 10047
	codeNoAccountStorage      = 10002
)

// refused says why a stream is not made. JetStream counts the limit of a stream
// against what the server may use in all.
func (b *Bus) refused(c jetstream.StreamConfig, err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == codeNoStorage || api.ErrorCode == codeInsufficientResources || api.ErrorCode == codeNoAccountStorage) {
		return fmt.Errorf("stream %s: NATS at %s lets JetStream use less in its store folder (max_file_store there) than the %d MiB that this stream may grow to: lower nats.max_bytes, or give the server more: %w",
			c.Name, Redact(b.cfg.URL), c.MaxBytes>>20, err)
	}
	return fmt.Errorf("stream %s: %w", c.Name, err)
}

// Message gives the NATS message of a sealed batch from a collector instance.
func Message(instance string, s *schema.Sealed) *nats.Msg {
	m := nats.NewMsg(SubjectFlows + "." + Token(instance))
	m.Header.Set(jetstream.MsgIDHeader, s.ID)
	for k, v := range s.Headers() {
		m.Header.Set(k, v)
	}
	m.Data = s.Payload
	return m
}

// Batch gives the sealed batch that a message carries.
func Batch(h nats.Header, data []byte) (*schema.Sealed, error) {
	return schema.SealedFrom(h.Get(jetstream.MsgIDHeader), h.Get, data)
}

// Token makes text fit for one token of a subject: what has a meaning to
// NATS, or is not printable ASCII, becomes an underscore.
func Token(s string) string {
	if s == "" {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '.' || r == '*' || r == '>' {
			return '_'
		}
		return r
	}, s)
}

// Close ends the connection. What was published and acknowledged is safe.
func (b *Bus) Close() { b.NC.Close() }

// Pending counts the batches that the ingesters have not acknowledged yet:
// waiting in stream FLOWS, or delivered and being inserted.
func (b *Bus) Pending(ctx context.Context) (uint64, error) {
	s, err := b.JS.Stream(ctx, StreamFlows)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", StreamFlows, err)
	}
	return s.CachedInfo().State.Msgs, nil
}

// Last gives the sequence of the last batch published so far.
func (b *Bus) Last(ctx context.Context) (uint64, error) {
	s, err := b.JS.Stream(ctx, StreamFlows)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", StreamFlows, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

// Settled says whether the ingesters have acknowledged, or given up, all batches
// up to a sequence.
func (b *Bus) Settled(ctx context.Context, upTo uint64) (bool, error) {
	s, err := b.JS.Stream(ctx, StreamFlows)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", StreamFlows, err)
	}
	state := s.CachedInfo().State
	return state.Msgs == 0 || state.FirstSeq > upTo, nil
}

// ErrTooLarge says that the server takes no message as large as a document.
var ErrTooLarge = errors.New("larger than NATS takes in a message (max_payload)")

// proposalHeaders is more than the headers of a proposal's message take.
const proposalHeaders = 1024

// PublishProposal publishes a proposal document on proposals.<vrf>. The same
// document twice is one message. The error may be [ErrTooLarge].
func (b *Bus) PublishProposal(ctx context.Context, vrf, id string, document []byte) error {
	if most := b.NC.MaxPayload(); int64(len(document))+proposalHeaders > most {
		return fmt.Errorf("proposal for VRF %s, %d bytes: %w: %d", vrf, len(document), ErrTooLarge, most)
	}
	m := nats.NewMsg(SubjectProposals + "." + Token(vrf))
	m.Data = document
	if _, err := b.JS.PublishMsg(ctx, m, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("publish the proposal on %s: %w", m.Subject, err)
	}
	return nil
}
