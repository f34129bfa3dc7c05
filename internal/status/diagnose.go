package status

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"sort"
	"strings"
	"time"

	"cordon/collector"
	"cordon/collector/ipfix"
)

// Severity says how much a finding matters.
type Severity string

// The severities.
const (
	OK      Severity = "ok"
	Note    Severity = "note"
	Warning Severity = "warning" // something is lost or late
	Problem Severity = "problem" // nothing gets through here
)

// Finding is one answer to "why is there no data", and what to do about it.
type Finding struct {
	Severity Severity `json:"severity"`
	Part     string   `json:"part"` // collector, nats, ingest, store
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy,omitempty"`
}

// lateAfter is how far a clock may be off before it is worth saying.
const lateAfter = 5 * time.Minute

// Diagnose follows a record's way from the exporter to the store and says
// where it gets stuck or lost. It never returns nothing.
func (d *Document) Diagnose() []Finding {
	var f findings
	if d.Collector != nil {
		f.receiving(d.Collector, d.Taken.Sub(d.Started))
		f.decoding(d.Collector)
		f.publishing(&d.Collector.Publisher)
	}
	if d.Stream != nil {
		f.streaming(d.Stream, d.Ingest != nil)
	}
	if d.Ingest != nil {
		f.ingesting(d)
	}
	if d.Store != nil {
		f.storing(d)
	}
	if d.PID == 0 {
		f.add(Note, "collector", "no `cordon up` runs on this data folder; this is what it has stored", "start one: cordon up")
	}
	if len(f) == 0 {
		f.add(OK, "all", "everything that came in was stored", "")
	}
	return f
}

type findings []Finding

func (f *findings) add(s Severity, part, text, remedy string) {
	*f = append(*f, Finding{s, part, text, remedy})
}

// receiving is about sockets: nothing came, or it was refused or dropped
// before decoding.
func (f *findings) receiving(c *collector.Status, up time.Duration) {
	if c.Ready != "ok" {
		f.add(Problem, "collector", "not ready: "+c.Ready, "see the log")
	}
	var messages, drops uint64
	var addrs, ports []string
	for _, l := range c.Listeners {
		messages += l.Messages
		drops += l.KernelDrops
		addrs = append(addrs, l.Transport+" "+l.Address)
		if _, port, err := net.SplitHostPort(l.Address); err == nil && !slices.Contains(ports, "port "+port) {
			ports = append(ports, "port "+port)
		}
	}
	switch {
	case len(c.Listeners) == 0:
		f.add(Problem, "collector", "no listener is configured", "set collector.udp.listen or collector.tcp.listen")
	case messages == 0 && c.Denied.Total == 0:
		f.add(Problem, "collector", fmt.Sprintf("nothing has been received in %v on %s", up.Round(time.Second), strings.Join(addrs, ", ")),
			"point an exporter here (docs/exporters.md); check the way with: tcpdump -ni any "+strings.Join(ports, " or "))
	}
	if c.Denied.Total > 0 {
		f.add(pick(messages == 0, Problem, Warning), "collector",
			fmt.Sprintf("%d datagrams and connections came from outside the allow-list%s", c.Denied.Total, someAddrs(c)), "add the exporters to collector.allow")
	}
	if drops > 0 {
		f.add(Warning, "collector", fmt.Sprintf("the kernel dropped %d datagrams because the receive buffer was full", drops),
			"raise net.core.rmem_max and collector.udp.receive_buffer, or collector.udp.sockets where there are cores to spare")
	}
}

// decoding is about what came but is no flow record.
func (f *findings) decoding(c *collector.Status) {
	var messages, flows, waiting, noTemplate, options, lost uint64
	var lossy []string
	for _, e := range c.Exporters {
		messages += e.Messages
		flows += e.Flows
		waiting += uint64(e.WaitingSets)
		noTemplate += e.NoTemplateSets
		options += e.OptionsRecords
		if e.LostRecords > 0 || e.LostMessages > 0 {
			lost += e.LostRecords
			lossy = append(lossy, e.Exporter.String())
		}
		if skew := e.ClockBehind; skew > lateAfter || skew < -lateAfter {
			f.add(Warning, "collector", fmt.Sprintf("the clock of exporter %s is %v %s: its sessions may lie outside a window such as --last 1h",
				e.Exporter, skew.Abs().Round(time.Second), pick(skew > 0, "behind", "ahead")), "set the exporter's clock (NTP)")
		}
	}
	if messages > 0 && flows == 0 {
		switch {
		case waiting+noTemplate > 0:
			f.add(Problem, "collector", "data has come, but its templates have not: exporters send them at intervals, MSS monitor nodes once an hour",
				"wait, or shorten the exporter's template interval")
		case len(c.Errors) > 0:
			f.add(Problem, "collector", "data has come, but none of it could be decoded: "+byReason(c.Errors), "send IPFIX (version 10); NetFlow and sFlow are not decoded")
		case options > 0:
			f.add(Problem, "collector", "only options records have come, no flow records", "enable flow records on the exporter")
		default:
			f.add(Problem, "collector", "messages have come, but no data records in them", "is the exporter's cache timeout long? It exports flows when they end or time out")
		}
	} else {
		if noTemplate > 0 {
			f.add(Warning, "collector", fmt.Sprintf("%d sets were given up because their template did not come in time", noTemplate), "shorten the exporter's template interval")
		} else if waiting > 0 {
			f.add(Note, "collector", fmt.Sprintf("%d sets wait for their template", waiting), "")
		}
		f.odd(c.Errors)
	}
	if len(lossy) > 0 {
		f.add(Warning, "collector", fmt.Sprintf("sequence numbers say that %d records were lost on the way from %s", lost, strings.Join(lossy, ", ")),
			"look for drops on the path; TCP export loses nothing")
	}
	if c.Decoder.Evicted > 0 {
		f.add(Warning, "collector", fmt.Sprintf("%d exporters were forgotten because there were too many", c.Decoder.Evicted), "set collector.allow; sources can be forged")
	}
}

// odd is about what could not be used while the rest was.
func (f *findings) odd(errors map[string]uint64) {
	failed := maps.Clone(errors)
	times, notFlow := ipfix.ReasonImplausibleTime.String(), ipfix.ReasonNotFlow.String()
	if n := failed[times]; n > 0 {
		f.add(Warning, "collector", fmt.Sprintf("%d flows ended after they were exported; they are kept, and moved to end then", n),
			"look at the exporters' clocks")
	}
	if n := failed[notFlow]; n > 0 {
		f.add(Note, "collector", fmt.Sprintf("%d records have no source and destination IP address, and are left out", n), "")
	}
	delete(failed, times)
	delete(failed, notFlow)
	delete(failed, ipfix.ReasonNoTemplate.String()) // has a finding of its own
	if len(failed) > 0 {
		f.add(Warning, "collector", "some of what came could not be decoded: "+byReason(failed), "see the log for exporters and details")
	}
}

// publishing is about batches on their way to NATS.
func (f *findings) publishing(p *collector.PublisherStatus) {
	if p.Away != "" {
		f.add(Problem, "nats", fmt.Sprintf("batches cannot be published since %s: %s; %d wait in memory, %d on disk",
			p.Since.Format(time.RFC3339), p.Away, p.QueuedBatches, p.SpooledBatches), "bring NATS back; what waits is published then")
	}
	if p.Dropped.Records > 0 {
		f.add(Warning, "nats", fmt.Sprintf("%d records were dropped because the queue was full", p.Dropped.Records), "raise collector.queue.memory or collector.queue.disk")
	}
	if p.SpoolError != "" {
		f.add(Warning, "nats", "the spool folder fails: "+p.SpoolError, "look at the disk under data_dir")
	}
	if p.Damaged > 0 {
		f.add(Warning, "nats", fmt.Sprintf("%d spooled batches were damaged and set aside", p.Damaged), "look at the disk under data_dir")
	}
}

// streaming is about batches in NATS.
func (f *findings) streaming(s *Stream, here bool) {
	if s.Error != "" {
		f.add(Problem, "nats", "the stream cannot be looked at: "+s.Error, "is NATS up, with JetStream?")
		return
	}
	if s.Batches > 0 && s.Ingesters == 0 && !here {
		f.add(Problem, "ingest", fmt.Sprintf("%d batches wait and no ingester asks for them", s.Batches), "start one: cordon ingest")
	}
	if s.Limit > 0 && s.Bytes > uint64(s.Limit)/10*9 {
		f.add(Warning, "nats", fmt.Sprintf("stream FLOWS is %d%% full; publishers are refused when it is full", s.Bytes*100/uint64(s.Limit)), "start more ingesters, or raise nats.max_bytes")
	}
	if s.Dead > 0 {
		f.add(Warning, "ingest", fmt.Sprintf("%d messages could not be inserted and lie in stream FLOWS_DEAD, each with its reason", s.Dead), "nats stream view FLOWS_DEAD")
	}
}

// storing is about what lies in the tables.
func (f *findings) storing(d *Document) {
	s := d.Store
	for _, e := range s.OneWay {
		f.add(Note, "store", fmt.Sprintf("exporter %s shows one direction only: completeness of its sessions is unknown, and unknown counts as complete", e),
			"export both directions, or bidirectional flows (RFC 5103), where the exporter can")
	}
	switch {
	case s.Error != "":
		f.add(Problem, "store", "the store cannot be read: "+s.Error, "is ClickHouse up? `cordon migrate` creates the tables")
	case s.Flows == 0 && d.Collector != nil && d.Collector.Publisher.Published.Records > 0:
		f.add(Problem, "store", fmt.Sprintf("%d records were published, but none is stored yet", d.Collector.Publisher.Published.Records), "see ingest above")
	case s.Flows == 0:
		f.add(Note, "store", "the store is empty", "")
	case d.Taken.Sub(s.NewestFlow) > time.Hour:
		f.add(Note, "store", fmt.Sprintf("the newest flow ended at %s: a window such as --last 1h is empty", s.NewestFlow.Format(time.RFC3339)), "use --since, or no window at all")
	}
}

func pick[T any](c bool, a, b T) T {
	if c {
		return a
	}
	return b
}

// byReason lists counts, the largest first.
func byReason(m map[string]uint64) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if m[keys[i]] != m[keys[j]] {
			return m[keys[i]] > m[keys[j]]
		}
		return keys[i] < keys[j]
	})
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s (%d)", k, m[k])
	}
	return strings.Join(keys, ", ")
}

// someAddrs names a few of the exporters that were refused.
func someAddrs(c *collector.Status) string {
	addrs := make([]string, 0, len(c.Denied.Exporters))
	for a := range c.Denied.Exporters {
		addrs = append(addrs, a.String())
	}
	if len(addrs) == 0 {
		return ""
	}
	sort.Strings(addrs)
	more := ""
	if len(addrs) > 5 {
		addrs, more = addrs[:5], " and others"
	}
	return ": " + strings.Join(addrs, ", ") + more
}

// ingesting is about batches on their way into ClickHouse.
func (f *findings) ingesting(d *Document) {
	i := d.Ingest
	if i.Error != "" {
		f.add(Problem, "ingest", "batches are not inserted: "+i.Error, "bring the server back; batches wait in the stream and are tried again")
	}
	if i.DeadLetters > 0 && d.Stream == nil {
		f.add(Warning, "ingest", fmt.Sprintf("%d messages could not be inserted", i.DeadLetters), "nats stream view FLOWS_DEAD")
	}
	if i.Delay > 30 {
		f.add(Warning, "ingest", fmt.Sprintf("records are stored %.0f s after they were received; %d batches wait", i.Delay, i.Pending), "start more ingesters, or give ClickHouse more room")
	}
}
