package watch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events                    *prometheus.CounterVec // labelled by vrf and type
	sessions, attempts        *prometheus.GaugeVec   // labelled by policy
	unused                    *prometheus.GaugeVec   // labelled by policy
	policies                  prometheus.Gauge
	failures                  prometheus.Counter
	lookSeconds, lastLook     prometheus.Gauge
	delivered, refused, tries prometheus.Counter
	waiting                   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "cordon", Subsystem: "watch", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "cordon", Subsystem: "watch", Name: name, Help: help})
	}
	vec := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "cordon", Subsystem: "watch", Name: name, Help: help}, []string{"policy"})
	}
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "cordon", Subsystem: "watch", Name: "events_total",
			Help: "Events published on drift.<vrf> by this process."}, []string{"vrf", "type"}),
		sessions:    vec("outside_sessions", "Sessions that were answered and that the policy does not permit, at the last look."),
		attempts:    vec("outside_attempts", "Half-open and denied sessions that the policy does not permit, at the last look."),
		unused:      vec("unused_rules", "Rules without traffic for watch.unused_after, at the last look."),
		policies:    gauge("policies", "Policies that are watched."),
		failures:    counter("failed_looks_total", "Looks at the sessions that failed."),
		lookSeconds: gauge("look_seconds", "How long the last look at changed sessions took."),
		lastLook:    gauge("last_look_timestamp_seconds", "When changed sessions were last looked at."),
		delivered:   counter("webhook_delivered_total", "Events that the webhook took."),
		refused:     counter("webhook_refused_total", "Events that the webhook refused for good, and that were left out."),
		tries:       counter("webhook_failed_tries_total", "Requests to the webhook that failed and are tried again."),
		waiting:     gauge("webhook_waiting", "Events that the webhook has not taken yet."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.events, m.sessions, m.attempts, m.unused, m.policies, m.failures, m.lookSeconds, m.lastLook, m.delivered, m.refused, m.tries, m.waiting} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// forget drops what is known of policies, of which some may no longer be in force.
func (m *metrics) forget() {
	m.sessions.Reset()
	m.attempts.Reset()
	m.unused.Reset()
}

func (m *metrics) outside(policy string, s *Seen) {
	m.sessions.WithLabelValues(policy).Set(float64(s.Sessions))
	m.attempts.WithLabelValues(policy).Set(float64(s.Attempts))
}

func (m *metrics) looked(began time.Time) {
	m.lookSeconds.Set(time.Since(began).Seconds())
	m.lastLook.Set(float64(time.Now().UnixMilli()) / 1000)
}
