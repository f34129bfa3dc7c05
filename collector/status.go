package collector

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"
)

// Status is a snapshot of a [Collector], for people. Counts are since the
// start.
type Status struct {
	Instance  string            `json:"instance"` // starts the id of every batch
	Started   time.Time         `json:"started,omitzero"`
	Ready     string            `json:"ready"` // "ok", or why it is not
	Listeners []ListenerStatus  `json:"listeners"`
	Denied    DeniedStatus      `json:"denied"`  // senders outside the allow-list
	Records   uint64            `json:"records"` // flow records decoded
	Exporters []ExporterStatus  `json:"exporters"`
	Errors    map[string]uint64 `json:"errors,omitempty"` // Errors counts errors of all exporters by reason.
	Decoder   DecoderStatus     `json:"decoder"`
	Sealer    SealerStatus      `json:"sealer"`
	Publisher PublisherStatus   `json:"publisher"`
}

// ListenerStatus is about one UDP socket, or one TCP or TLS listener.
type ListenerStatus struct {
	Transport string `json:"transport"`
	Address   string `json:"address"`
	Messages  uint64 `json:"messages"` // datagrams, or messages in streams
	Bytes     uint64 `json:"bytes"`

	KernelDrops   uint64 `json:"kernelDrops,omitempty"`   // datagrams that found the receive buffer full
	ReceiveBuffer int    `json:"receiveBuffer,omitempty"` // bytes

	Connections int    `json:"connections,omitempty"` // open now
	Accepted    uint64 `json:"accepted,omitempty"`
	Refused     uint64 `json:"refused,omitempty"` // there were too many
	Broken      uint64 `json:"broken,omitempty"`  // bytes that were not IPFIX, or not TLS
}

// ExporterStatus is about one exporter's observation domain.
type ExporterStatus struct {
	Exporter  netip.Addr `json:"exporter,omitzero"` // absent for those beyond the number that is kept apart
	Transport string     `json:"transport"`
	Domain    uint32     `json:"domain"`
	Software  string     `json:"software,omitempty"` // a guess
	Name      string     `json:"name,omitempty"`     // the name that the exporter gives itself in options data

	Messages       uint64 `json:"messages"`
	Bytes          uint64 `json:"bytes"`
	Records        uint64 `json:"records"`
	Flows          uint64 `json:"flows"`
	OptionsRecords uint64 `json:"optionsRecords,omitempty"`
	LostMessages   uint64 `json:"lostMessages,omitempty"`
	LostRecords    uint64 `json:"lostRecords,omitempty"`
	Duplicates     uint64 `json:"duplicates,omitempty"`
	Reordered      uint64 `json:"reordered,omitempty"`
	Restarts       uint64 `json:"restarts,omitempty"`

	Templates      int    `json:"templates"`
	WaitingSets    int    `json:"waitingSets,omitempty"`    // data that waits for its template
	NoTemplateSets uint64 `json:"noTemplateSets,omitempty"` // data given up for want of a template
	Sampling       uint32 `json:"sampling,omitempty"`

	// SamplingUnknown says that some records are sampled at a rate that nobody knows.
	SamplingUnknown bool `json:"samplingUnknown,omitempty"`

	Interfaces int `json:"interfaces,omitempty"` // known by name
	VRFs       int `json:"vrfs,omitempty"`       // known by name

	// Mediator is the sender that passes this exporter's records on; Names says
	// that the records name several exporters, while the sender is no mediator.
	Mediator netip.Addr `json:"mediator,omitzero"`
	Names    bool       `json:"namesOthers,omitempty"`
	// Elsewhere are templates that the address has announced from another port
	// than that of the data.
	Elsewhere []Elsewhere `json:"templatesElsewhere,omitempty"`

	LastMessage time.Time         `json:"lastMessage,omitzero"`
	ClockBehind time.Duration     `json:"clockBehind,omitempty"` // nanoseconds, transmission included
	Errors      map[string]uint64 `json:"errors,omitempty"`      // Errors counts errors by reason.
}

// DecoderStatus says how much the decoder remembers.
type DecoderStatus struct {
	Sources      int    `json:"sources"`
	Evicted      uint64 `json:"evicted"` // sources forgotten because there were too many
	StateBytes   int64  `json:"stateBytes"`
	WaitingBytes int64  `json:"waitingBytes"`
}

// SealerStatus is about the batches that are filled.
type SealerStatus struct {
	OpenRecords int           `json:"openRecords"` // records that the publisher does not have yet
	Splits      uint64        `json:"splits"`      // batches that turned out too large, and were sealed in parts
	Stalled     time.Duration `json:"stalled"`     // nanoseconds that receiving has waited for compression
}

// Status takes a snapshot.
func (c *Collector) Status() Status {
	st := Status{Instance: c.ids.instance, Ready: "ok", Denied: c.intake.admission.snapshot()}
	if err := c.Ready(); err != nil {
		st.Ready = err.Error()
	}
	d := c.updateAccount()
	st.Decoder = DecoderStatus{Sources: len(d.Sources), Evicted: d.Evicted, StateBytes: d.StateBytes, WaitingBytes: d.WaitingBytes}
	st.Exporters = c.account.exporters()
	st.Errors = make(map[string]uint64)
	for i := range st.Exporters {
		st.Records += st.Exporters[i].Flows
		for reason, n := range st.Exporters[i].Errors {
			st.Errors[reason] += n
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	st.Started = c.started
	if c.publisher == nil {
		return st
	}
	for _, s := range c.udp {
		st.Listeners = append(st.Listeners, s.status())
	}
	for _, l := range c.streams {
		st.Listeners = append(st.Listeners, l.status())
	}
	for _, l := range c.lanes {
		l.status(&st.Sealer)
	}
	// In the order in which records move, so that one on its way is counted here or there: decoder, sealers, publisher.
	st.Publisher = c.publisher.snapshot()
	return st
}

// updateAccount brings the account up to now.
func (c *Collector) updateAccount() ipfix.Stats {
	c.looking.Lock() // Two snapshots have to be counted in their order.
	defer c.looking.Unlock()
	ended := c.ended.take()
	d := c.intake.decoder.Stats()
	c.account.update(d.Sources, ended)
	return d
}

func (s *udpSocket) status() ListenerStatus {
	return ListenerStatus{
		Transport: ipfix.UDP.String(), Address: s.address,
		Messages: s.datagrams.Load(), Bytes: s.bytes.Load(),
		KernelDrops: s.drops(), ReceiveBuffer: s.buffer,
	}
}

func (l *streamListener) status() ListenerStatus {
	return ListenerStatus{
		Transport: l.transport.String(), Address: l.ln.Addr().String(),
		Messages: l.messages.Load(), Bytes: l.bytes.Load(),
		Connections: l.connections(), Accepted: l.accepted.Load(), Refused: l.refused.Load(), Broken: l.broken.Load(),
	}
}

func (l *lane) status(st *SealerStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	st.OpenRecords += l.sealer.cur.Len() + int(l.sealer.sealing.Load())
	st.Splits += l.sealer.splits.Load()
	st.Stalled += time.Duration(l.sealer.stalled.Load())
}

// exporters lists the tallies, by exporter.
func (a *account) exporters() []ExporterStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]ExporterStatus, 0, len(a.tallies))
	for k, t := range a.tallies {
		e := ExporterStatus{
			Exporter: k.exporter, Transport: k.transport.String(), Domain: k.domain, Software: t.software, Name: t.name,
			Messages: t.Messages, Bytes: t.Bytes, Records: t.Records, Flows: t.Flows, OptionsRecords: t.OptionsRecords,
			LostMessages: t.lost.messages, LostRecords: t.lost.records,
			Duplicates: t.Duplicates, Reordered: t.Reordered, Restarts: t.Restarts,
			Templates: t.templates, WaitingSets: t.waiting, NoTemplateSets: t.NoTemplateSets,
			Interfaces: t.interfaces, VRFs: t.vrfs, Mediator: t.mediator, Names: t.names, Elsewhere: slices.Clone(t.elsewhere),
			ClockBehind: time.Duration(t.skew) * time.Microsecond,
		}
		if t.sampling == schema.SamplingUnknown {
			e.SamplingUnknown = true
		} else {
			e.Sampling = t.sampling
		}
		if t.lastMessage != 0 {
			e.LastMessage = schema.Time(t.lastMessage)
		}
		for r, n := range t.Errors {
			if n > 0 {
				if e.Errors == nil {
					e.Errors = make(map[string]uint64)
				}
				e.Errors[ipfix.Reason(r).String()] = n
			}
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b ExporterStatus) int {
		return cmp.Or(a.Exporter.Compare(b.Exporter), cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Domain, b.Domain))
	})
	return list
}
