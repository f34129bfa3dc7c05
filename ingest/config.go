package ingest

import (
	"fmt"
	"time"
)

// Config configures an [Ingester]. Its keys stand under "ingest" in
// cordon.yaml.
type Config struct {
	// Inserts is how many inserts run at a time.
	Inserts int `mapstructure:"inserts"`
	// SessionsWait is how long the sessions of a batch may wait for those of
	// others after its rows are visible: inserted together they cost less. Where
	// batches are further apart than that, none waits.
	SessionsWait time.Duration `mapstructure:"sessions_wait"`
	// AckWait is how long JetStream waits for the acknowledgement of a batch
	// before it gives the batch to another ingester. A batch that is being
	// worked on is not taken away; this is the pause after a crash.
	AckWait time.Duration `mapstructure:"ack_wait"`
	// MaxAckPending is how many batches all ingesters together may have at a
	// time.
	MaxAckPending int `mapstructure:"max_ack_pending"`
	// MaxAttempts is how often a batch is tried that ClickHouse says it cannot
	// read, or that it refuses while it takes others.
	MaxAttempts int `mapstructure:"max_attempts"`
	// RetryMin and RetryMax bound the pause between tries.
	RetryMin time.Duration `mapstructure:"retry_min"`
	RetryMax time.Duration `mapstructure:"retry_max"`
	// InsertTimeout ends an insert that does not return. The same batch is
	// then tried again, which its token makes safe.
	InsertTimeout time.Duration `mapstructure:"insert_timeout"`
	// StopTimeout is how long a stop waits for the inserts that run.
	StopTimeout time.Duration `mapstructure:"stop_timeout"`
	// InsertQuorum is ClickHouse's insert_quorum for replicated tables: a
	// number of replicas or "auto" for the majority. Empty acknowledges a
	// batch once one replica has it; with a quorum, losing that replica for
	// good loses nothing.
	InsertQuorum string `mapstructure:"insert_quorum"`
}

// DefaultConfig is right for one machine.
func DefaultConfig() Config {
	return Config{
		Inserts:       2,
		SessionsWait:  time.Second,
		AckWait:       15 * time.Second,
		MaxAckPending: 256,
		MaxAttempts:   5,
		RetryMin:      100 * time.Millisecond,
		RetryMax:      10 * time.Second,
		InsertTimeout: 2 * time.Minute,
		StopTimeout:   20 * time.Second,
	}
}

// Validate says which field is wrong and what it may be.
func (c Config) Validate() error {
	switch {
	case c.Inserts < 1 || c.Inserts > 64:
		return fmt.Errorf("ingest.inserts is %d: give 1 to 64", c.Inserts)
	case c.SessionsWait < 0 || c.SessionsWait > time.Minute:
		return fmt.Errorf("ingest.sessions_wait is %v: give 0 to 1m", c.SessionsWait)
	case c.AckWait < time.Second:
		return fmt.Errorf("ingest.ack_wait is %v: give at least 1s", c.AckWait)
	case c.MaxAckPending < c.Inserts:
		return fmt.Errorf("ingest.max_ack_pending is %d: give at least ingest.inserts (%d)", c.MaxAckPending, c.Inserts)
	case c.MaxAttempts < 1:
		return fmt.Errorf("ingest.max_attempts is %d: give at least 1", c.MaxAttempts)
	case c.RetryMin <= 0 || c.RetryMax < c.RetryMin:
		return fmt.Errorf("ingest.retry_min is %v and ingest.retry_max %v: give 0 < retry_min <= retry_max", c.RetryMin, c.RetryMax)
	case c.InsertTimeout <= 0:
		return fmt.Errorf("ingest.insert_timeout is %v: give more than 0", c.InsertTimeout)
	case c.StopTimeout <= 0:
		return fmt.Errorf("ingest.stop_timeout is %v: give more than 0", c.StopTimeout)
	}
	return nil
}
