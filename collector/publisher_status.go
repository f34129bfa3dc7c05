package collector

import (
	"time"

	"cordon/schema"
)

// PublisherStatus says what waits for NATS and what became of the rest.
// Counts are since the start of the process.
type PublisherStatus struct {
	// Away is why batches cannot be published at the moment; empty if they
	// can. Since is when that began.
	Away  string    `json:"away,omitempty"`
	Since time.Time `json:"since,omitzero"`

	QueuedBatches int   `json:"queuedBatches"` // batches in memory, those in flight included
	QueuedBytes   int64 `json:"queuedBytes"`
	QueueLimit    int64 `json:"queueLimit"`
	InFlight      int   `json:"inFlight"`

	SpooledBatches int   `json:"spooledBatches"` // batches on disk
	SpooledBytes   int64 `json:"spooledBytes"`
	SpoolLimit     int64 `json:"spoolLimit"` // zero without a data folder

	Published  Volume `json:"published"`  // acknowledged
	Duplicates uint64 `json:"duplicates"` // published batches that JetStream knew already
	Retries    uint64 `json:"retries"`    // publishes that failed and are made again
	Spooled    Volume `json:"spooled"`    // written to disk
	SpoolError string `json:"spoolError,omitempty"`

	Dropped Volume `json:"dropped"` // found the queue full, or left at the end with no disk to go to
	Damaged uint64 `json:"damaged"` // spooled batches that could not be read back
}

// Volume counts what is in batches. Statistics and names of exporters travel in
// batches of their own; their rows are no flow records.
type Volume struct {
	Batches    uint64 `json:"batches"` // memory and disk together
	Records    uint64 `json:"records"` // flow records
	Statistics uint64 `json:"statistics,omitempty"`
	Bytes      uint64 `json:"bytes"` // memory and disk together
}

func (v *Volume) add(s *schema.Sealed) {
	v.Batches++
	if s.Table == schema.TableFlows {
		v.Records += uint64(s.Rows)
	} else {
		v.Statistics += uint64(s.Rows)
	}
	v.Bytes += uint64(len(s.Payload))
}

// report lets others see what run knows now.
func (p *publisher) report() {
	st := p.status
	st.Away, st.Since, st.SpoolLimit = p.link.why, p.link.since, p.spoolLimit()
	if p.spool != nil {
		st.SpooledBatches, st.SpooledBytes = p.spool.len(), p.spool.bytes
	}
	p.reported.Store(&st)
}

// spoolLimit is zero without a data folder.
func (p *publisher) spoolLimit() int64 {
	if p.spool == nil {
		return 0
	}
	return p.cfg.Disk
}

// snapshot gives what run has reported, and what the queue holds now.
func (p *publisher) snapshot() PublisherStatus {
	st := *p.reported.Load()
	p.queue.fill(&st)
	return st
}
