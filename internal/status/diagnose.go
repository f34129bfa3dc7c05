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
	"cordon/ingest"
	"cordon/internal/text"
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
	Part     string   `json:"part"` // disk, collector, nats, ingest, store
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy,omitempty"`
}

// lateAfter is how far a clock may be off before it is worth saying.
const lateAfter = 5 * time.Minute

// stuckAfter is how long a batch may lie in the stream before it is worth
// saying.
const stuckAfter = 30 * time.Second

// Diagnose follows a record's way from the exporter to the store, through every
// process that answered, and says where it gets stuck or lost. It never returns
// nothing.
func (d *Document) Diagnose() []Finding {
	var f findings
	ingesters := 0
	for _, p := range d.processes() {
		f.where = d.where(p)
		f.disks(p.Disks)
		if c := p.Collector; c != nil {
			f.receiving(c, p.Taken.Sub(p.Started))
			f.foreign(c)
			f.decoding(c)
			f.apart(c)
			f.publishing(&c.Publisher)
		}
		if p.Ingest != nil {
			ingesters++
		}
	}
	f.where = ""
	if d.Stream != nil {
		f.streaming(d.Stream, ingesters, d.resting())
	}
	for _, p := range d.processes() {
		f.where = d.where(p)
		if p.Ingest != nil {
			f.ingesting(p.Ingest, d.Stream == nil)
		}
	}
	f.where = ""
	if d.Stream != nil && !d.resting() {
		f.waiting(d.Stream)
	}
	if d.Store != nil {
		f.storing(d)
	}
	switch {
	case d.PID != 0 || len(d.Roles) > 0:
	case !d.resting():
		f.add(Note, "collector", "no running process of Cordon answers over NATS; this is what the servers hold", "start them: cordon collect, cordon ingest")
	default:
		f.add(Note, "collector", "no `cordon up` runs on this data folder; this is what it has stored", "start one: cordon up")
	}
	if len(f.list) == 0 {
		f.allWell(d)
	}
	return f.list
}

// resting says that the document is about the data folder of a `cordon up` that
// does not run.
func (d *Document) resting() bool { return d.PID == 0 && !d.External && len(d.Roles) == 0 }

// Problems counts the findings that say that nothing gets through.
func Problems(list []Finding) (n int) {
	for _, f := range list {
		if f.Severity == Problem {
			n++
		}
	}
	return n
}

// findings gathers what is found.
type findings struct {
	list  []Finding
	where string // names the process that the next ones are about; empty for the one asked
}

func (f *findings) add(s Severity, part, text, remedy string) {
	f.list = append(f.list, Finding{s, part, text + f.where, remedy})
}

// has says whether a finding of a severity is about a part.
func (f *findings) has(s Severity, part string) bool {
	return slices.ContainsFunc(f.list, func(x Finding) bool { return x.Severity == s && x.Part == part })
}

// allWell says how far the record was followed, and no more than that.
func (f *findings) allWell(d *Document) {
	switch {
	case d.Store == nil && d.Stream == nil:
		f.add(OK, "all", "everything that came in was published", "NATS and ClickHouse were not looked at")
	case d.Store == nil && d.Stream.Batches > 0:
		f.add(OK, "all", "everything that came in was published, and "+batches(d.Stream.Batches)+" of it are on the way into ClickHouse", "to look there as well, set clickhouse.dsn")
	case d.Store == nil:
		f.add(OK, "all", "everything that came in was published and taken by ingesters", "to look into ClickHouse as well, set clickhouse.dsn")
	case d.Stream != nil && d.Stream.Batches > 0:
		f.add(OK, "all", "everything that came in was stored, but for "+batches(d.Stream.Batches)+" on the way", "")
	default:
		f.add(OK, "all", "everything that came in was stored", "")
	}
}

// batches counts batches in words.
func batches[N text.Integer](n N) string { return text.Count(n, "batch", "batches") }

// lowSpace is how many free bytes are worth a warning.
const lowSpace = 1 << 30

// disks is about folders that cannot be written, or soon cannot.
func (f *findings) disks(list []Disk) {
	for _, d := range list {
		switch {
		case d.Full:
			f.add(Problem, "disk", fmt.Sprintf("the disk of %s is full (%d MiB free): %s cannot be written", d.Folder, d.Free>>20, held(d.Holds)),
				"make space on that disk; everything goes on by itself within a minute")
		case d.Free < lowSpace:
			f.add(Warning, "disk", fmt.Sprintf("the disk of %s is nearly full: %d MiB are free for %s", d.Folder, d.Free>>20, held(d.Holds)),
				"make space on that disk, or shorten retention.flows and retention.sessions")
		}
	}
}

// held names what a folder holds, as a sentence needs it.
func held(what string) string {
	if what == "spool" {
		return "the spool"
	}
	return "what " + what + " stores"
}

// receiving is about sockets: nothing came, or it was refused or dropped
// before decoding.
func (f *findings) receiving(c *collector.Status, up time.Duration) {
	if c.Ready != "ok" {
		f.add(Problem, "collector", "not ready: "+c.Ready, "see the log")
	}
	var messages, drops, broken uint64
	var addrs, ports []string
	for _, l := range c.Listeners {
		messages += l.Messages
		broken += l.Broken
		drops += l.KernelDrops
		addrs = append(addrs, l.Transport+" "+l.Address)
		if _, port, err := net.SplitHostPort(l.Address); err == nil && !slices.Contains(ports, "port "+port) {
			ports = append(ports, "port "+port)
		}
	}
	switch {
	case len(c.Listeners) == 0:
		f.add(Problem, "collector", "no listener is configured", "set collector.udp.listen or collector.tcp.listen")
	case messages == 0 && c.Denied.Total == 0 && broken > 0 && len(c.Errors) == 0:
		f.add(Problem, "collector", fmt.Sprintf("%s ended before a message came: the TLS handshake failed", text.Count(broken, "connection")), "see the log; collector.tls.client_ca says which certificates are accepted")
	case messages == 0 && c.Denied.Total == 0 && len(c.Errors) == 0:
		f.add(Problem, "collector", fmt.Sprintf("nothing has been received in %v on %s", up.Round(time.Second), strings.Join(addrs, ", ")),
			"point an exporter here (docs/exporters.md); check the way with: tcpdump -ni any "+strings.Join(ports, " or "))
	}
	if c.Denied.Total > 0 {
		f.add(pick(messages == 0, Problem, Warning), "collector",
			fmt.Sprintf("%s came from outside the allow-list%s", text.Count(c.Denied.Total, "datagram or connection", "datagrams and connections"), someAddrs(c)), "add the exporters to collector.allow")
	}
	if drops > 0 {
		f.add(Warning, "collector", fmt.Sprintf("the kernel dropped %s because the receive buffer was full", text.Count(drops, "datagram")),
			"raise net.core.rmem_max and collector.udp.receive_buffer, or collector.udp.sockets where there are cores to spare")
	}
}

// foreign names the exporters that send another protocol: with the right
// setting on the exporter they are heard.
func (f *findings) foreign(c *collector.Status) {
	var flows uint64
	sent := make(map[ipfix.Reason]uint64)
	senders := make(map[ipfix.Reason][]string)
	for _, e := range c.Exporters {
		flows += e.Flows
		for _, r := range ipfix.Reasons() {
			n := e.Errors[r.String()]
			if n == 0 || r.Protocol() == "" {
				continue
			}
			sent[r] += n
			who := "others"
			if e.Exporter.IsValid() {
				who = e.Exporter.String()
			}
			who += " (" + e.Transport + ", " + text.Number(n) + ")"
			senders[r] = append(senders[r], who)
		}
	}
	for _, r := range ipfix.Reasons() {
		who := senders[r]
		if len(who) == 0 {
			continue
		}
		f.add(pick(flows == 0, Problem, Warning), "collector", fmt.Sprintf("%s, which is not decoded, comes from %s: %s",
			r.Protocol(), pick(len(who) == 1, "an exporter", "exporters"), text.List(who, 10)),
			"set the export format of these exporters to IPFIX (version 10); docs/exporters.md says how, and what to do with those that cannot")
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
	unused := notForeign(c.Errors)
	if flows == 0 && (messages > 0 || len(unused) > 0) {
		switch {
		case waiting+noTemplate > 0:
			f.add(Problem, "collector", "data has come, but its templates have not: exporters send them at intervals, MSS monitor nodes once an hour",
				"wait, or shorten the exporter's template interval")
		case len(unused) > 0:
			f.add(Problem, "collector", "data has come, but none of it could be decoded: "+byReason(unused), "send IPFIX (version 10); the log names the exporters")
		case options > 0:
			f.add(Problem, "collector", "only options records have come, no flow records", "enable flow records on the exporter")
		default:
			f.add(Problem, "collector", "messages have come, but no data records in them", "is the exporter's cache timeout long? It exports flows when they end or time out")
		}
	} else {
		if noTemplate > 0 {
			f.add(Warning, "collector", fmt.Sprintf("%s given up because their template did not come in time", were(noTemplate, "set")), "shorten the exporter's template interval")
		} else if waiting > 0 {
			f.add(Note, "collector", fmt.Sprintf("%s waiting for their template", are(waiting, "set")), "")
		}
		f.odd(unused)
	}
	if len(lossy) > 0 {
		f.add(Warning, "collector", fmt.Sprintf("sequence numbers say that %s lost on the way from %s", were(lost, "record"), text.List(lossy, 10)),
			"look for drops on the path; TCP export loses nothing")
	}
	if c.Decoder.Evicted > 0 {
		f.add(Warning, "collector", fmt.Sprintf("%s forgotten because there were too many", were(c.Decoder.Evicted, "exporter")), "set collector.allow; sources can be forged")
	}
}

// apart is about what one address sends from several ports, or for several
// exporters.
func (f *findings) apart(c *collector.Status) {
	for _, e := range c.Exporters {
		if len(e.Elsewhere) > 0 {
			t := e.Elsewhere[0]
			more := ""
			if n := len(e.Elsewhere); n > 1 {
				more = fmt.Sprintf(", and so with %s", text.Count(n-1, "more template"))
			}
			f.add(Warning, "collector", fmt.Sprintf("exporter %s sends data of template %d (observation domain %d) from port %d, but has announced that template from %s port %d%s: a template is good for the port it came from (RFC 7011, section 8)",
				e.Exporter, t.Template, e.Domain, t.Port, t.Transport, t.Announced, more),
				"let the exporter send templates and data from one port, or over one TCP connection")
		}
		if e.Names {
			f.add(Note, "collector", fmt.Sprintf("%s sends records that name several exporters, and is not a mediator: they count as its own", e.Exporter),
				"add it to collector.mediators if it passes on what other exporters send")
		}
	}
}

// notForeign gives the counts of everything but other protocols.
func notForeign(errors map[string]uint64) map[string]uint64 {
	rest := maps.Clone(errors)
	for _, r := range ipfix.Reasons() {
		if r.Protocol() != "" {
			delete(rest, r.String())
		}
	}
	return rest
}

// were and are count things as the subject of a sentence.
func were[N text.Integer](n N, noun string, plural ...string) string {
	return text.Count(n, noun, plural...) + pick(n == 1, " was", " were")
}

func are[N text.Integer](n N, noun string, plural ...string) string {
	return text.Count(n, noun, plural...) + pick(n == 1, " is", " are")
}

// odd is about what could not be used while the rest was.
func (f *findings) odd(errors map[string]uint64) {
	failed := maps.Clone(errors)
	times, notFlow := ipfix.ReasonImplausibleTime.String(), ipfix.ReasonNotFlow.String()
	if n := failed[times]; n > 0 {
		f.add(Warning, "collector", fmt.Sprintf("%s ended after the time of export; what ends late is kept, and moved to end then", text.Count(n, "flow")),
			"look at the exporters' clocks")
	}
	if n := failed[notFlow]; n > 0 {
		f.add(Note, "collector", fmt.Sprintf("%s left out for want of a source and destination IP address", were(n, "record")), "")
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
		f.add(Problem, "nats", fmt.Sprintf("batches cannot be published since %s: %s; %s wait in memory, %s on disk",
			p.Since.Format(time.RFC3339), p.Away, text.Number(p.QueuedBatches), text.Number(p.SpooledBatches)), "bring NATS back; what waits is published then")
	}
	if p.Dropped.Records > 0 {
		f.add(Warning, "nats", fmt.Sprintf("%s dropped because the queue was full", were(p.Dropped.Records, "record")), "raise collector.queue.memory or collector.queue.disk")
	}
	if p.SpoolError != "" {
		f.add(Warning, "nats", "the spool folder fails: "+p.SpoolError, "look at the disk under data_dir")
	}
	if p.Damaged > 0 {
		f.add(Warning, "nats", fmt.Sprintf("%s damaged and set aside", were(p.Damaged, "spooled batch", "spooled batches")), "look at the disk under data_dir")
	}
}

// askedAfter is how long a batch may lie in the stream with no ingester asking
// for it: ingesters ask again and again, with gaps.
const askedAfter = 3 * time.Second

// streaming is about batches in NATS. ingesters is how many answered; resting
// says that none is expected to.
func (f *findings) streaming(s *Stream, ingesters int, resting bool) {
	if s.Error != "" {
		f.add(Problem, "nats", "the stream cannot be looked at: "+s.Error, "is NATS up, with JetStream?")
		return
	}
	switch {
	case s.Batches == 0:
	case resting:
		f.add(Note, "ingest", fmt.Sprintf("%s waiting in the stream for the next start", are(s.Batches, "batch", "batches")), "cordon up")
	case s.Ingesters == 0 && ingesters == 0 && (s.Unacknowledged == 0 || s.idle()) && (s.OldestSeconds == 0 || s.older(askedAfter)):
		f.add(Problem, "ingest", fmt.Sprintf("%s waiting in the stream, and no ingester asks for them", are(s.Batches, "batch", "batches")), "start one: cordon ingest")
	}
	if s.Limit > 0 && s.Bytes > uint64(s.Limit)/10*9 {
		f.add(Warning, "nats", fmt.Sprintf("stream FLOWS is %d%% full; publishers are refused when it is full", s.Bytes*100/uint64(s.Limit)), "start more ingesters, or raise nats.max_bytes")
	}
	if s.Dead > 0 {
		f.add(Warning, "ingest", fmt.Sprintf("%s in stream FLOWS_DEAD, each with its reason, and could not be inserted", are(s.Dead, "message")), "cordon dead-letters list")
	}
}

// older says whether a batch lies in the stream for so long.
func (s *Stream) older(than time.Duration) bool { return s.OldestSeconds > than.Seconds() }

// idle says whether no batch was stored for a while.
func (s *Stream) idle() bool { return s.IdleSeconds == nil || *s.IdleSeconds > stuckAfter.Seconds() }

// waiting is about batches that lie in the stream for too long, where nothing
// yet found says why.
func (f *findings) waiting(s *Stream) {
	if s.Error != "" || !s.older(stuckAfter) || f.has(Problem, "ingest") {
		return
	}
	oldest := (time.Duration(s.OldestSeconds) * time.Second).String()
	if !s.idle() {
		if !f.has(Warning, "ingest") {
			f.add(Warning, "ingest", fmt.Sprintf("ingest is behind: %s waiting in the stream, the oldest for %s", are(s.Batches, "batch", "batches"), oldest), "start more ingesters, or give ClickHouse more room")
		}
		return
	}
	last := "none was ever stored"
	if s.IdleSeconds != nil {
		last = fmt.Sprintf("the last one was stored %s ago", (time.Duration(*s.IdleSeconds) * time.Second))
	}
	f.add(Problem, "ingest", fmt.Sprintf("nothing is being stored: %s waiting in the stream, the oldest for %s; %s", are(s.Batches, "batch", "batches"), oldest, last),
		"is ClickHouse up? The log of `cordon ingest` says what it waits for")
}

// storing is about what lies in the tables.
func (f *findings) storing(d *Document) {
	s := d.Store
	for _, e := range s.OneWay {
		f.add(Note, "store", fmt.Sprintf("exporter %s shows one direction only: its TCP sessions are judged by their flags, and whether any other was answered is unknown, which counts as complete", e),
			"export both directions, or bidirectional flows (RFC 5103), where the exporter can")
	}
	switch {
	case s.Error != "":
		f.add(Problem, "store", "the store cannot be read: "+s.Error, "is ClickHouse up? `cordon migrate` creates the tables")
	case s.Flows == 0 && d.published() > 0 && d.Stream != nil && d.Stream.Batches > 0 && !d.Stream.older(stuckAfter):
		f.add(Note, "store", fmt.Sprintf("%s published and on the way; none is stored yet", were(d.published(), "record")), "")
	case s.Flows == 0 && d.published() > 0:
		f.add(Problem, "store", fmt.Sprintf("%s published, but none is stored", were(d.published(), "record")), "see ingest above")
	case s.Flows == 0:
		f.add(Note, "store", "the store is empty", "")
	case d.Taken.Sub(s.NewestFlow) > time.Hour:
		f.add(Note, "store", fmt.Sprintf("the newest flow ended at %s: a window such as --last 1h is empty", s.NewestFlow.Format(time.RFC3339)), "use --since, or no window at all")
	}
}

// published counts the flow records that the collectors have published.
func (d *Document) published() (n uint64) {
	for _, p := range d.processes() {
		if p.Collector != nil {
			n += p.Collector.Publisher.Published.Records
		}
	}
	return n
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
		keys[i] = fmt.Sprintf("%s (%s)", k, text.Number(m[k]))
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

// ingesting is about batches on their way into ClickHouse. alone says that the
// stream was not looked at.
func (f *findings) ingesting(i *ingest.Status, alone bool) {
	if i.Error != "" {
		f.add(Problem, "ingest", "batches are not inserted: "+i.Error, "bring the server back; batches wait in the stream and are tried again")
	}
	if i.DeadLetters > 0 && alone {
		f.add(Warning, "ingest", fmt.Sprintf("%s moved to FLOWS_DEAD, since they could not be inserted", were(i.DeadLetters, "message")), "cordon dead-letters list")
	}
	if i.Delay > stuckAfter.Seconds() && i.Pending > 0 {
		f.add(Warning, "ingest", fmt.Sprintf("records are stored %s s after they were received; %s waiting", text.Number(int(i.Delay)), are(i.Pending, "batch", "batches")), "start more ingesters, or give ClickHouse more room")
	}
}
