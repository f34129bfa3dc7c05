// Package status gathers what a running Cordon knows of itself, finds out why
// there may be no data, and prints both for a person.
package status

import (
	"context"
	"errors"
	"time"

	"cordon/collector"
	"cordon/ingest"
	"cordon/internal/bus"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go/jetstream"
)

// Document is the status of one process and of the servers it uses. Parts
// that the process does not have are nil.
type Document struct {
	Version string    `json:"version"`
	Role    string    `json:"role,omitempty"` // up, collect, ingest or serve
	Host    string    `json:"host,omitempty"`
	ID      string    `json:"id,omitempty"`  // identifies the process
	PID     int       `json:"pid,omitempty"` // zero where no process runs, only its data is there
	Started time.Time `json:"started,omitzero"`
	Taken   time.Time `json:"taken"`

	Collector *collector.Status `json:"collector,omitempty"`
	Stream    *Stream           `json:"stream,omitempty"`
	Ingest    *ingest.Status    `json:"ingest,omitempty"`
	Store     *Store            `json:"store,omitempty"`

	// Disks are those of the folders that the process writes to.
	Disks []Disk `json:"disks,omitempty"`

	// Roles are the other processes of Cordon that answered over NATS. They
	// have no parts Stream, Store and Roles.
	Roles []*Document `json:"roles,omitempty"`
	// External says that NATS or ClickHouse is a server of its own, so that
	// the roles may run elsewhere.
	External bool `json:"external,omitempty"`
}

// Disk is the disk of a folder.
type Disk struct {
	Folder string `json:"folder"`
	Holds  string `json:"holds"` // NATS, ClickHouse or spool
	Free   uint64 `json:"freeBytes"`
	Full   bool   `json:"full"` // nothing can be relied on to be written
}

// Stream is what lies in NATS between collectors and ingesters.
type Stream struct {
	Error     string `json:"error,omitempty"` // why the rest is unknown
	Batches   uint64 `json:"batches"`         // Batches that wait to be inserted.
	Bytes     uint64 `json:"bytes"`
	Limit     int64  `json:"limit"`     // bytes at which publishers are refused
	Ingesters int    `json:"ingesters"` // pull requests that wait for batches
	Dead      uint64 `json:"dead"`      // messages in FLOWS_DEAD

	Unacknowledged int     `json:"unacknowledged"`          // batches that ingesters have in hand
	OldestSeconds  float64 `json:"oldestSeconds,omitempty"` // age of the oldest batch
	// IdleSeconds is how long ago the last batch was acknowledged, that is,
	// stored; nil for never.
	IdleSeconds *float64 `json:"idleSeconds,omitempty"`
}

// Store is what lies in ClickHouse.
type Store struct {
	Error        string    `json:"error,omitempty"` // why the rest is unknown
	Flows        uint64    `json:"flows"`           // rows of table flows
	Bytes        uint64    `json:"bytes"`           // size of all tables on disk
	OldestFlow   time.Time `json:"oldestFlow,omitzero"`
	NewestFlow   time.Time `json:"newestFlow,omitzero"`   // the exporters' clocks say so
	LastReceived time.Time `json:"lastReceived,omitzero"` // the collectors' clocks say so
	Exporters    uint64    `json:"exporters"`

	// OneWay are the exporters of which no session was stored in both
	// directions: nobody can tell whether theirs were answered.
	OneWay []string `json:"oneWay,omitempty"`
}

// AddStream looks at the streams.
func (d *Document) AddStream(ctx context.Context, b *bus.Bus) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	s := new(Stream)
	d.Stream = s
	flows, err := b.JS.Stream(ctx, bus.StreamFlows)
	if err != nil {
		s.Error = err.Error()
		return
	}
	info := flows.CachedInfo()
	s.Batches, s.Bytes, s.Limit = info.State.Msgs, info.State.Bytes, info.Config.MaxBytes
	if s.Batches > 0 {
		s.OldestSeconds = info.TimeStamp.Sub(info.State.FirstTime).Seconds()
	}
	consumer, err := flows.Consumer(ctx, bus.ConsumerIngest)
	switch {
	case err == nil:
		info := consumer.CachedInfo()
		s.Ingesters, s.Unacknowledged = info.NumWaiting, info.NumAckPending
		if last := info.AckFloor.Last; last != nil {
			idle := info.TimeStamp.Sub(*last).Seconds()
			s.IdleSeconds = &idle
		}
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		s.Error = err.Error()
	}
	if dead, err := b.JS.Stream(ctx, bus.StreamDead); err == nil {
		s.Dead = dead.CachedInfo().State.Msgs
	}
}

// AddStore looks at the tables.
func (d *Document) AddStore(ctx context.Context, conn driver.Conn) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := new(Store)
	d.Store = s
	err := conn.QueryRow(ctx, `SELECT
		count(), toUnixTimestamp64Micro(min(start_time)), toUnixTimestamp64Micro(max(end_time)), toUnixTimestamp64Micro(max(received)), uniqExact(exporter),
		(SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND active)
		FROM flows`).Scan(&s.Flows, micros{&s.OldestFlow}, micros{&s.NewestFlow}, micros{&s.LastReceived}, &s.Exporters, &s.Bytes)
	if err == nil {
		// On a store so large that this takes too long, it is left out.
		if err = s.readOneWay(ctx, conn); errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = nil
		}
	}
	if err != nil {
		s.Error = err.Error()
	}
	if s.Flows == 0 {
		s.OldestFlow, s.NewestFlow, s.LastReceived = time.Time{}, time.Time{}, time.Time{}
	}
}

// readOneWay finds the exporters that view sessions knows nothing of the
// answers of: over the last day stored they have one-way records, not both ways
// of any session, and no record that has both.
//
// The directions of a session may lie in rows not merged yet; looking for them
// is the costly part, and done for the exporters in question only.
func (s *Store) readOneWay(ctx context.Context, conn driver.Conn) error {
	return conn.QueryRow(ctx, `WITH
		(SELECT max(hour) FROM sessions_hourly) - INTERVAL 1 DAY AS day,
		suspects AS
		(
			SELECT exporter FROM sessions_hourly WHERE hour >= day AND exporter != toIPv6('::')
			GROUP BY exporter
			HAVING max(sides) IN (1, 2) AND countIf(half_open > 0 OR sides = 0 AND complete > 0) = 0
		)
		SELECT arraySort(groupArray(replaceOne(toString(exporter), '::ffff:', ''))) FROM suspects
		WHERE exporter NOT IN
		(
			SELECT exporter FROM sessions_hourly
			WHERE hour >= day AND exporter IN (SELECT exporter FROM suspects)
			GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
			HAVING groupBitOr(sides) = 3
		)`).Scan(&s.OneWay)
}

// micros scans Unix microseconds into a time.
type micros struct{ t *time.Time }

// Scan implements sql.Scanner.
func (m micros) Scan(v any) error {
	us, ok := v.(int64)
	if !ok {
		return errors.New("not a number of microseconds")
	}
	*m.t = time.UnixMicro(us).UTC()
	return nil
}
