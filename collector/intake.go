package collector

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"cordon/collector/direction"
	"cordon/collector/ipfix"
	"cordon/schema"
)

// intake takes messages from the listeners, decodes them and gives the
// records their direction. Each UDP socket has a lane of its own, so that
// sockets do not wait for each other; the connections of all stream
// listeners share one.
type intake struct {
	decoder   *ipfix.Decoder
	direction *direction.Rules
	admission *admission
	bursts    *burstLog
}

// lane is what one goroutine at a time does: decode, and fill a batch.
type lane struct {
	*intake

	mu     sync.Mutex
	sealer *sealer
}

// Append implements [ipfix.Sink].
func (l *lane) Append(r *schema.Record) {
	l.direction.Infer(r)
	l.sealer.append(r)
}

// datagrams decodes what a UDP socket has read.
func (l *lane) datagrams(got []datagram, now time.Time) {
	received := schema.Micros(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range got {
		d := &got[i]
		if !l.admission.admit(d.from.Addr()) {
			l.bursts.warn(now, d.from.Addr(), "not-allowed", "dropped a datagram: the exporter is not in collector.allow")
			continue
		}
		src := ipfix.Source{Addr: d.from, Transport: ipfix.UDP}
		if err := l.decoder.Message(src, d.data, received, l); err != nil {
			l.report(now, err)
		}
	}
}

// allowed implements [streamSink].
func (l *lane) allowed(exporter netip.Addr) bool {
	if l.admission.admit(exporter) {
		return true
	}
	l.bursts.warn(time.Now(), exporter, "not-allowed", "refused a connection: the exporter is not in collector.allow")
	return false
}

// message implements [streamSink].
func (l *lane) message(src ipfix.Source, msg []byte) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.decoder.Message(src, msg, schema.Micros(now), l); err != nil {
		l.report(now, err)
	}
}

// report logs the first problem of a message.
func (l *lane) report(now time.Time, err error) {
	var bad *ipfix.Error
	if !errors.As(err, &bad) {
		l.bursts.warn(now, netip.Addr{}, "decode", "IPFIX", "err", err)
		return
	}
	l.warn(now, "a set of an IPFIX message was not decoded", bad)
}

// warn logs what is wrong with a message or stream, or the protocol that came
// in its place.
func (l *lane) warn(now time.Time, what string, bad *ipfix.Error) {
	if !l.bursts.admit(now, bad.Source.Addr.Addr(), bad.Reason.String()) {
		return
	}
	if p := bad.Reason.Protocol(); p != "" {
		what = "an exporter sends " + p + ", which is not decoded: set it to IPFIX (version 10)"
	}
	l.bursts.log.Warn(what, "reason", bad.Reason, "exporter", bad.Source.Addr.Addr(),
		"port", bad.Source.Addr.Port(), "transport", bad.Source.Transport, "domain", bad.Domain, "template", bad.Template, "detail", bad.Detail)
}

// tick seals the batch if it is old enough.
func (l *lane) tick(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealer.tick(now)
}

// close seals and hands over what there is.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealer.close()
}
