package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/internal/natsserver"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// withStreams opens the embedded streams of a data folder for f.
func withStreams(t *testing.T, dir string, f func(*bus.Bus)) {
	t.Helper()
	n, err := natsserver.Start(natsserver.Config{Dir: filepath.Join(dir, "nats"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	cfg := bus.DefaultConfig()
	cfg.URL, cfg.Options = n.URL(), []nats.Option{n.InProcess()}
	cfg.Duplicates = 100 * time.Millisecond
	b, err := bus.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	f(b)
}

// letterText is a dead letter in short.
func letterText(d *bus.DeadLetter) string {
	return fmt.Sprintf("%d %s %s %s %s %d %d", d.Sequence, d.Batch, d.Reason, d.Collector, d.Table, d.Rows, d.Bytes)
}

// TestDeadLetters lists, sends again and deletes dead letters of a data folder on which nothing runs.
func TestDeadLetters(t *testing.T) {
	dir := t.TempDir()
	withStreams(t, dir, func(b *bus.Bus) {
		for i, reason := range []string{"damaged", "refused", "damaged", "refused"} {
			m := nats.NewMsg(bus.SubjectDead + ".flows")
			m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("batch%d", i+1))
			m.Header.Set("Cordon-Table", "flows")
			m.Header.Set("Cordon-Rows", "7")
			m.Header.Set(bus.HeaderReason, reason)
			m.Header.Set(bus.HeaderError, "it says, with a comma")
			if i > 0 { // the first is of an older version
				m.Header.Set(bus.HeaderSubject, "flows.edge1")
			}
			m.Data = []byte("12345")
			if _, err := b.JS.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	})
	call := func(want int, args ...string) (letters []string, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		args = append([]string{"dead-letters", "--data-dir", dir, "--log-level", "error"}, args...)
		if code := run(t.Context(), append(args, "--format", "ndjson"), strings.NewReader(""), &out, &errs); code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s", args, code, want, errs.String())
		}
		d := json.NewDecoder(&out)
		for d.More() {
			var l bus.DeadLetter
			if err := d.Decode(&l); err != nil {
				t.Fatal(err)
			}
			if time.Since(l.Buried) > time.Hour || l.Error != "it says, with a comma" {
				t.Errorf("%+v", l)
			}
			letters = append(letters, letterText(&l))
		}
		return letters, errs.String()
	}
	all := []string{"1 batch1 damaged  flows 7 5", "2 batch2 refused edge1 flows 7 5", "3 batch3 damaged edge1 flows 7 5", "4 batch4 refused edge1 flows 7 5"}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"list"}, all},
		{[]string{"list", "--reason", "refused"}, []string{all[1], all[3]}},
		{[]string{"list", "--reason", "refused,damaged", "--sequence", "2-3"}, all[1:3]},
		{[]string{"list", "--sequence", "4,1"}, []string{all[0], all[3]}},
		{[]string{"list", "--older-than", "1h"}, nil},
		{[]string{"list", "--newer-than", "1h"}, all},
		{[]string{"replay", "--dry-run"}, all},
		{[]string{"drop", "--all", "--dry-run"}, all},
		{[]string{"replay", "--sequence", "1-2"}, all[:2]},
		{[]string{"replay", "--sequence", "1-2"}, nil},
		{[]string{"drop", "--reason", "refused"}, all[3:]},
		{[]string{"list"}, all[2:3]},
		{[]string{"drop", "--all"}, all[2:3]},
		{[]string{"list"}, nil},
	} {
		if got, stderr := call(exitDone, c.args...); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%v gives %q, want %q\n%s", c.args, got, c.want, stderr)
		}
	}
	withStreams(t, dir, func(b *bus.Bus) {
		s, err := b.JS.Stream(t.Context(), bus.StreamFlows)
		if err != nil {
			t.Fatal(err)
		}
		for i, subject := range []string{"flows.replay", "flows.edge1"} {
			m, err := s.GetMsg(t.Context(), uint64(i+1))
			if err != nil {
				t.Fatal(err)
			}
			if m.Subject != subject || string(m.Data) != "12345" || m.Header.Get(jetstream.MsgIDHeader) != fmt.Sprintf("batch%d", i+1) {
				t.Errorf("message %d is %s %q %v", i+1, m.Subject, m.Data, m.Header)
			}
		}
	})
}

// TestRememberedDeadLetterStays: JetStream would drop a batch that it had a moment ago.
func TestRememberedDeadLetterStays(t *testing.T) {
	dir := t.TempDir()
	withStreams(t, dir, func(b *bus.Bus) {
		if _, err := b.JS.UpdateStream(t.Context(), jetstream.StreamConfig{Name: bus.StreamFlows, Subjects: []string{"flows.>"}, Retention: jetstream.WorkQueuePolicy,
			Discard: jetstream.DiscardNew, MaxBytes: 4 << 30, Storage: jetstream.FileStorage, Duplicates: time.Hour}); err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{"flows.edge1", "dead.flows"} {
			m := nats.NewMsg(subject)
			m.Header.Set(jetstream.MsgIDHeader, "batch1")
			m.Header.Set(bus.HeaderSubject, "flows.edge1")
			if _, err := b.JS.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	})
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"dead-letters", "replay", "--data-dir", dir, "--log-level", "error"}, strings.NewReader(""), &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "1 of 1 stay") || !strings.Contains(errs.String(), "0 sent again") {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
	out.Reset()
	if code := run(t.Context(), []string{"dead-letters", "list", "--data-dir", dir}, strings.NewReader(""), &out, &errs); code != exitDone || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("exit code %d, %q", code, out.String())
	}
}
