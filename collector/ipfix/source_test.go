package ipfix

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cordon/internal/iana"
	"cordon/schema"
)

// pairOf is the values of a flow between two hosts.
func pairMessage(w *writer, tmpl bool, n int) []byte {
	sets := [][]byte{set(256, slices.Repeat(ab, n))}
	if tmpl {
		sets = append([][]byte{w.template(256, pair)}, sets...)
	}
	return w.counted(n, sets...)
}

// TestWaiting: data that comes before its template is decoded when that comes,
// with the times of its own message.
func TestWaiting(t *testing.T) {
	w := newWriter(7, testExport)
	tmpl := w.template(256, []field{ie(8, 4), ie(12, 4), ie(158, 4)})
	body := append(slices.Clone(ab), 0, 0, 3, 0xe8) // 1000 us before export
	d := New(Config{WaitFor: 30 * time.Second})
	var got records
	if err := d.Message(testSource, w.counted(2, set(256, slices.Repeat(body, 2))), testRecv, &got); err != nil {
		t.Errorf("data that waits is no error yet: %v", err)
	}
	if st := d.Stats(); len(got) != 0 || st.Sources[0].WaitingSets != 1 || st.WaitingBytes == 0 || st.WaitedSets != 1 {
		t.Fatalf("%d records, %+v", len(got), st)
	}
	w.export += 20
	d.Message(testSource, w.message(tmpl, set(256, body)), testRecv+20*second, &got)
	if len(got) != 3 {
		t.Fatalf("%d records", len(got))
	}
	for i, r := range got {
		export, recv := int64(testTime), int64(testRecv)
		if i == 2 {
			export, recv = export+20*second, recv+20*second
		}
		if r.Start != export-1000 || r.Received != recv || r.Domain != 7 {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	st := d.Stats()
	if st.RecoveredSets != 1 || st.WaitingBytes != 0 || st.NoTemplateSets != 0 || st.MissedRecords != 0 {
		t.Errorf("%+v", st.Counters)
	}
}

// TestWaitingExpires: what waited too long is counted.
func TestWaitingExpires(t *testing.T) {
	w := newWriter(7, testExport)
	d := New(Config{WaitFor: 30 * time.Second})
	var got records
	d.Message(testSource, pairMessage(w, false, 3), testRecv, &got)
	d.Expire(testRecv + 30*second)
	if st := d.Stats(); st.NoTemplateSets != 0 {
		t.Fatal("dropped too early")
	}
	// Either the clock or the next message drops it.
	d.Message(testSource, pairMessage(w, true, 1), testRecv+31*second, &got)
	st := d.Stats()
	if len(got) != 1 || st.NoTemplateSets != 1 || st.NoTemplateBytes != 24 || st.Errors[ReasonNoTemplate] != 1 || st.NoTemplateRecords != 3 || st.WaitingBytes != 0 {
		t.Errorf("%d records, %+v", len(got), st.Counters)
	}
}

// TestWaitingApart: a template is for its own domain only, and for its own id.
func TestWaitingApart(t *testing.T) {
	one, two := newWriter(1, testExport), newWriter(2, testExport)
	d := New(Config{})
	var got records
	d.Message(testSource, one.message(set(256, ab), set(257, cd)), testRecv, &got)
	d.Message(testSource, two.message(set(256, cd)), testRecv, &got)
	for _, c := range []struct {
		msg  []byte
		want string
	}{
		{one.message(one.template(256, pair)), "[10.0.0.1>10.0.0.2]"},
		{two.message(two.template(257, pair)), "[]"},
		{two.message(two.template(256, pair)), "[10.0.0.3>10.0.0.4]"},
		{one.message(one.template(257, pair)), "[10.0.0.3>10.0.0.4]"},
	} {
		got = nil
		d.Message(testSource, c.msg, testRecv, &got)
		if s := fmt.Sprint(addrs(got)); s != c.want {
			t.Errorf("%s, want %s", s, c.want)
		}
	}
}

// TestWithdrawFrees: a session that defines and withdraws for ever stays as
// small as one that does so once.
func TestWithdrawFrees(t *testing.T) {
	src := Source{Addr: testSource.Addr, Transport: TCP, Session: 1}
	d := New(Config{MaxTemplates: 3})
	w := newWriter(7, testExport)
	var size int64
	for i := range 100 {
		for id := range uint16(3) {
			if err := d.Message(src, w.message(w.template(256+id, pair)), testRecv, new(discard)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Message(src, w.message(set(2, []byte{1, 0, 0, 0, 1, 1, 0, 0}), set(2, []byte{0, 2, 0, 0})), testRecv, new(discard)); err != nil {
			t.Fatal(err)
		}
		if st := d.Stats(); i == 0 {
			size = st.StateBytes
		} else if st.StateBytes != size {
			t.Fatalf("%d bytes, %d in the beginning", st.StateBytes, size)
		}
	}
}

// TestWaitingOptions: options data can come before its template, too.
func TestWaitingOptions(t *testing.T) {
	w := newWriter(7, testExport)
	d := New(Config{})
	d.Message(testSource, w.message(set(300, uintBytes(7<<32|50, 8))), testRecv, new(discard))
	d.Message(testSource, w.message(w.optionsTemplate(300, 1, []field{ie(149, 4), ie(34, 4)})), testRecv, new(discard))
	if st := d.Stats().Sources[0].Domains[0]; st.Sampling != 50 || st.OptionsRecords != 1 {
		t.Errorf("%+v", st)
	}
}

// TestWaitingBounds: what does not fit is counted, and the rest is kept.
func TestWaitingBounds(t *testing.T) {
	d := New(Config{MaxWaitingBytes: 4 << 10, MaxTotalWaiting: 10 << 10})
	for i := range 8 {
		w := newWriter(7, testExport)
		src := udpSource(fmt.Sprintf("192.0.2.%d:4739", i+1))
		var failed int
		for range 100 {
			if err := d.Message(src, pairMessage(w, false, 20), testRecv, new(discard)); err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Reason != ReasonNoTemplate || e.Template != 256 || e.Domain != 7 || e.Source != src {
					t.Fatal(err)
				}
				failed++
			}
		}
		st := d.Stats()
		if st.WaitingBytes > 10<<10 || failed < 80 {
			t.Errorf("%d bytes wait, %d refused", st.WaitingBytes, failed)
		}
	}
	st := d.Stats()
	waits := 0
	for _, s := range st.Sources {
		waits += s.WaitingSets
		if s.WaitingBytes > 4<<10 {
			t.Errorf("%s: %d bytes wait", s.Source, s.WaitingBytes)
		}
	}
	if got := st.NoTemplateSets + uint64(waits); got != 800 {
		t.Errorf("%d of 800 sets accounted for", got)
	}
	d.Expire(testRecv + 3600*second)
	if st := d.Stats(); st.WaitingBytes != 0 || st.NoTemplateSets != 800 {
		t.Errorf("%d bytes, %d sets", st.WaitingBytes, st.NoTemplateSets)
	}
}

// TestWaitingFrees: what was decoded waits no more.
func TestWaitingFrees(t *testing.T) {
	d := New(Config{MaxWaitingBytes: 300, MaxTotalWaiting: 300})
	w := newWriter(7, testExport)
	var got records
	for id := range uint16(100) {
		for _, m := range [][]byte{w.counted(2, set(256+id, cat(ab, cd))), w.message(w.template(256+id, pair))} {
			if err := d.Message(testSource, m, testRecv, &got); err != nil {
				t.Fatal(err)
			}
		}
	}
	if st := d.Stats(); len(got) != 200 || st.RecoveredSets != 100 || st.WaitingBytes != 0 || st.Sources[0].WaitingBytes != 0 {
		t.Errorf("%d records, %+v", len(got), st)
	}
}

// TestTemplateLifetime: a UDP template is good until it was not announced for
// its lifetime; that of a session is good as long as the session.
func TestTemplateLifetime(t *testing.T) {
	for _, transport := range []Transport{UDP, TCP} {
		src := Source{Addr: testSource.Addr, Transport: transport}
		w := newWriter(7, testExport)
		d := New(Config{TemplateLifetime: time.Hour})
		var got records
		d.Message(src, pairMessage(w, true, 1), testRecv, &got)
		d.Message(src, pairMessage(w, true, 1), testRecv+3000*second, &got) // announced again
		d.Message(src, pairMessage(w, false, 1), testRecv+6000*second, &got)
		if len(got) != 3 {
			t.Fatalf("%s: %d records", transport, len(got))
		}
		d.Message(src, pairMessage(w, false, 1), testRecv+7000*second, &got)
		want := 3
		if transport == TCP {
			want = 4
		}
		if len(got) != want {
			t.Errorf("%s: %d records, want %d", transport, len(got), want)
		}
		d.Expire(testRecv + 7000*second)
		if n := len(d.Stats().Sources[0].Domains[0].Templates); n != want-3 {
			t.Errorf("%s: %d templates", transport, n)
		}
	}
}

// TestSession: a session ends with all it has.
func TestSession(t *testing.T) {
	src := Source{Addr: testSource.Addr, Transport: TCP, Session: 1}
	w := newWriter(7, testExport)
	d := New(Config{})
	var got records
	d.Message(src, pairMessage(w, true, 2), testRecv, &got)
	d.Message(src, w.message(set(999, ab)), testRecv, &got)
	final := d.EndSession(src)
	if final.Flows != 2 || final.NoTemplateSets != 1 || len(final.Domains) != 1 {
		t.Errorf("%+v", final)
	}
	st := d.Stats()
	if len(st.Sources) != 0 || st.Flows != 2 || st.NoTemplateSets != 1 || st.StateBytes != 0 || st.WaitingBytes != 0 {
		t.Errorf("left behind: %+v", st)
	}
	src.Session = 2
	d.Message(src, pairMessage(w, false, 2), testRecv, &got)
	if len(got) != 2 {
		t.Error("the template of an ended session was used")
	}
	if st := d.EndSession(Source{Session: 9}); st.Messages != 0 {
		t.Errorf("a session that never was: %+v", st)
	}
}

// TestForgedSources: any number of forged sources takes bounded memory, and
// leaves alone the exporter that sends records.
func TestForgedSources(t *testing.T) {
	d := New(Config{MaxSources: 64, MaxTotalStateBytes: 512 << 10})
	w := newWriter(7, testExport)
	var got records
	d.Message(testSource, pairMessage(w, true, 1), testRecv, &got)
	long := slices.Repeat(pair, 100)
	for i := range 2000 {
		src := Source{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}), 1)}
		fw := newWriter(uint32(i), testExport)
		var sets [][]byte
		for id := range uint16(10) {
			sets = append(sets, fw.template(256+id, long))
		}
		d.Message(src, fw.message(sets...), testRecv+int64(i), &got)
		if i%64 == 0 {
			if st := d.Stats(); len(st.Sources) > 64 || st.StateBytes > 512<<10 {
				t.Fatalf("%d sources with %d bytes", len(st.Sources), st.StateBytes)
			}
		}
	}
	d.Message(testSource, pairMessage(w, false, 1), testRecv, &got)
	st := d.Stats()
	if len(got) != 2 || st.Evicted < 1500 {
		t.Errorf("%d records, %d sources forgotten", len(got), st.Evicted)
	}
	if st.Messages != 2002 {
		t.Errorf("%d messages: those of forgotten sources are to be counted", st.Messages)
	}
}

// TestBounds: what one source announces is bounded.
func TestBounds(t *testing.T) {
	d := New(Config{MaxTemplates: 10, MaxDomains: 3, MaxStateBytes: 64 << 10})
	w := newWriter(1, testExport)
	var failed []Reason
	send := func(msg []byte) {
		var e *Error
		if err := d.Message(testSource, msg, testRecv, new(discard)); errors.As(err, &e) {
			failed = append(failed, e.Reason)
		}
	}
	for id := range uint16(12) {
		send(w.message(w.template(256+id, pair)))
	}
	if want := []Reason{ReasonTemplateLimit, ReasonTemplateLimit}; !slices.Equal(failed, want) {
		t.Errorf("templates: %v", failed)
	}
	failed = nil
	for domain := range uint32(5) {
		w.domain = domain + 1
		send(w.message())
	}
	if want := []Reason{ReasonDomainLimit, ReasonDomainLimit}; !slices.Equal(failed, want) {
		t.Errorf("domains: %v", failed)
	}
	// Options data that would fill memory.
	w.domain = 1
	send(w.message(w.optionsTemplate(256, 1, []field{ie(10, 4), ie(82, 64)})))
	for i := range 200 {
		var body []byte
		for k := range 15 {
			body = append(body, uintBytes(uint64(i*15+k+1), 4)...)
			body = append(body, []byte(fmt.Sprintf("%-64d", i))...)
		}
		send(w.counted(15, set(256, body)))
	}
	st := d.Stats()
	if st.StateBytes > 64<<10 || st.OptionsRecords != 3000 || len(st.Sources[0].Domains[0].Interfaces) < 50 || len(st.Sources[0].Domains[0].Interfaces) > 64<<10/maxNameLength {
		t.Errorf("%d bytes, %d options records, %d names", st.StateBytes, st.OptionsRecords, len(st.Sources[0].Domains[0].Interfaces))
	}
}

// TestErrorText names all that a person needs.
func TestErrorText(t *testing.T) {
	w := newWriter(42, testExport)
	err := New(Config{}).Message(testSource, w.message(set(2, []byte{1, 1, 0, 9, 0, 8, 0, 4})), testRecv, new(discard))
	want := "ipfix: exporter udp 192.0.2.1:4739, observation domain 42, template 257: template-cut: 9 fields do not fit in the 4 bytes that the set has left"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	err = New(Config{}).Message(testSource, patch(w.message(), 0, 9), testRecv, new(discard))
	if err == nil || !strings.Contains(err.Error(), "NetFlow v9") {
		t.Error(err)
	}
	seen := make(map[string]bool)
	for _, r := range Reasons() {
		if s := r.String(); s == "" || seen[s] || strings.ContainsAny(s, " _()") {
			t.Errorf("reason %d is called %q", r, s)
		} else {
			seen[s] = true
		}
	}
}

// TestNoAllocation: decoding data of a known template allocates nothing, not
// even with names, options and variable lengths.
func TestNoAllocation(t *testing.T) {
	tmpl, msg := benchMessages()
	w := newWriter(7, testExport)
	rich := append(ends(iana.TCP, 40000, 443), num(48, 1, 3), num(160, 8, testExport*1000-90000), num(22, 4, 1000), num(21, 4, 2000), text4(236, "blue"), text4(82, "Ethernet1"), num(34, 4, 9))
	t2, d2 := encode(w, 256, rich)
	for name, m := range map[string][2][]byte{"fixed": {tmpl, msg}, "variable": {w.message(t2, d2), w.message(d2)}} {
		d := New(Config{})
		var batch schema.Batch
		batch.Grow(schema.MaxRows)
		d.Message(testSource, m[0], testRecv, &batch)
		i := 0
		n := testing.AllocsPerRun(1000, func() {
			i++
			renumber(m[1], i)
			d.Message(testSource, m[1], testRecv, &batch)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a message", name, n)
		}
	}
}

// TestConcurrent uses a Decoder from several goroutines, with sources that
// come, are forgotten and end.
func TestConcurrent(t *testing.T) {
	d := New(Config{MaxSources: 8})
	var wg sync.WaitGroup
	const messages, per = 400, 3
	total := make([]records, 4)
	for g := range total {
		wg.Go(func() {
			for i := range messages {
				// Sources are shared between goroutines.
				src := Source{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 16)}), 1), Transport: Transport(i % 2)}
				w := newWriter(uint32(g), testExport)
				w.sequence = uint32(i * per)
				d.Message(src, pairMessage(w, true, per), testRecv+int64(i), &total[g])
				if i%50 == 0 {
					d.Stats()
					d.Expire(testRecv)
					d.EndSession(src)
				}
			}
		})
	}
	wg.Wait()
	var n int
	for _, r := range total {
		n += len(r)
	}
	st := d.Stats()
	if n != messages*per*4 || st.Flows != uint64(n) || st.Messages != messages*4 || len(st.Sources) > 8 {
		t.Errorf("%d records; %d flows in %d messages of %d sources", n, st.Flows, st.Messages, len(st.Sources))
	}
	for _, s := range st.Sources {
		d.EndSession(s.Source)
	}
	if st := d.Stats(); st.StateBytes != 0 || st.WaitingBytes != 0 {
		t.Errorf("%d bytes of state, %d waiting, of no source", st.StateBytes, st.WaitingBytes)
	}
}
