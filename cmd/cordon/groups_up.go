package main

import (
	"context"
	"time"

	"cordon/categories"
	"cordon/internal/memberships"

	"github.com/prometheus/client_golang/prometheus"
)

// groupsMetrics count what sources of groups say, each by source.
type groupsMetrics struct {
	members, last *prometheus.GaugeVec
	came, went    *prometheus.CounterVec
	failed        *prometheus.CounterVec
}

func newGroupsMetrics(r prometheus.Registerer) *groupsMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "cordon", Subsystem: "groups", Name: name, Help: help}, []string{"source"})
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "cordon", Subsystem: "groups", Name: name, Help: help}, []string{"source"})
	}
	m := &groupsMetrics{
		members: gauge("memberships", "Memberships of the source at the last snapshot that was taken."),
		last:    gauge("last_snapshot_timestamp_seconds", "When the last snapshot was taken."),
		came:    counter("came_total", "Memberships that began."),
		went:    counter("went_total", "Memberships that ended."),
		failed:  counter("failed_snapshots_total", "Snapshots that failed or could not be trusted, and changed nothing."),
	}
	r.MustRegister(m.members, m.last, m.came, m.went, m.failed)
	return m
}

// refreshGroups reads the sources of the groups file into the store, each at its interval. What fails is said, changes nothing and is tried
// at the next interval. The file itself is read anew each time.
func (n *node) refreshGroups(ctx context.Context) error {
	const pause = time.Minute // Longest pause between looks at the groups file.
	m, due := newGroupsMetrics(n.reg), map[string]time.Time{}
	told := map[string]string{} // What was said last of a source that changes nothing.
	unread := ""
	for {
		next := time.Now().Add(pause)
		list, err := sourcesOf(n.app.settings.Groups.File, "")
		if once(&unread, err) {
			n.app.log.Warn("groups.file cannot be read; what is known of its sources still holds", "err", err)
		}
		for i := range list {
			s := &list[i]
			if now := time.Now(); !due[s.Name].After(now) {
				told[s.Name] = n.refreshSource(ctx, s, now, m, told[s.Name])
				due[s.Name] = now.Add(s.Interval)
			}
			if due[s.Name].Before(next) {
				next = due[s.Name]
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
	}
}

// once reports whether an error is to be said: one that is as it was said last is not. It remembers the error, or that there is none.
func once(last *string, err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	said := text == *last
	*last = text
	return err != nil && !said
}

// refreshSource refreshes one source. A source may be away, or empty, for days: what is wrong with it is said when it begins and when it
// changes, and counted each time. Told is what was said last, empty where all was well; the result is that for the next time.
func (n *node) refreshSource(ctx context.Context, s *categories.Source, now time.Time, m *groupsMetrics, told string) string {
	change, err := memberships.Refresh(ctx, n.conn, groupSources, s, now, false)
	if ctx.Err() != nil {
		return told
	}
	log := n.app.log.With("part", "groups", "source", s.Name)
	before := told
	say := once(&told, err)
	if err != nil {
		m.failed.WithLabelValues(s.Name).Inc()
		if !say {
			return told
		}
		log.Warn("a source of groups changed nothing; this is said again when it changes", "err", err)
	} else {
		if before != "" {
			log.Info("a source of groups is read again")
		}
		m.members.WithLabelValues(s.Name).Set(float64(change.Now))
		m.last.WithLabelValues(s.Name).Set(float64(change.Taken.Unix()))
		m.came.WithLabelValues(s.Name).Add(float64(len(change.Came)))
		m.went.WithLabelValues(s.Name).Add(float64(len(change.Went)))
		if len(change.Came)+len(change.Went) > 0 {
			log.Info("groups changed", "came", len(change.Came), "went", len(change.Went), "memberships", change.Now)
		}
	}
	if err := publishChange(n.bus, &change, err); err != nil {
		log.Warn("nobody was told of changes of groups", "err", err)
	}
	return told
}
