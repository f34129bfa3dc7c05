package ipfix

import (
	"encoding/binary"
	"slices"
	"testing"

	"cordon/schema"
)

// numbered gives n data messages with the numbers that an exporter of the
// given habit would put into them. sizes are the records of each in turn; an
// options record goes with every fifth message.
func numbered(how numbering, n int, start uint32, sizes ...int) [][]byte {
	w := newWriter(7, testExport)
	tmpl, opts := w.template(256, pair), w.optionsTemplate(300, 1, pair)
	seq := start
	var msgs [][]byte
	for i := range n {
		flows := sizes[i%len(sizes)]
		sets := [][]byte{}
		if i == 0 {
			sets = append(sets, tmpl, opts)
		}
		var body []byte
		for k := range flows {
			body = append(body, 10, byte(i>>8), byte(i), byte(k), 10, 0, 0, 1)
		}
		if flows > 0 {
			sets = append(sets, set(256, body))
		}
		options := 0
		if i%5 == 0 {
			options = 1
			sets = append(sets, set(300, ab))
		}
		w.export = testExport + uint32(i/10)
		w.sequence = seq
		switch how {
		case numberedRecords:
			seq += uint32(flows + options)
		case numberedFlows:
			seq += uint32(flows)
		case numberedAfter:
			seq += uint32(flows)
			w.sequence = seq
		case numberedMessages:
			seq++
		}
		msgs = append(msgs, w.message(sets...))
	}
	return msgs
}

// receive decodes messages and returns the counters, and how the exporter is
// taken to number.
func receive(t *testing.T, src Source, msgs ...[]byte) (Counters, string, records) {
	t.Helper()
	d := New(Config{})
	var got records
	for _, m := range msgs {
		if err := d.Message(src, m, testRecv, &got); err != nil {
			t.Error(err)
		}
	}
	st := d.Stats()
	return st.Counters, st.Sources[0].Domains[0].Numbering, got
}

func without(msgs [][]byte, drop ...int) (rest [][]byte) {
	for i, m := range msgs {
		if !slices.Contains(drop, i) {
			rest = append(rest, m)
		}
	}
	return rest
}

// TestNoFalseLoss: whatever habit an exporter has, a stream without loss shows
// none, at any start of the sequence numbers.
func TestNoFalseLoss(t *testing.T) {
	for how := range numNumberings {
		for _, sizes := range [][]int{{20}, {1}, {3, 17, 9, 9, 1}, {5, 0, 7}, {33, 33, 2}} {
			for _, start := range []uint32{0, 12345, 1<<32 - 50} {
				c, as, _ := receive(t, testSource, numbered(how, 60, start, sizes...)...)
				if c.MissedRecords+c.MissedMessages+c.Restarts+c.Reordered+c.Duplicates > 0 {
					t.Errorf("%s, sizes %v, start %d (taken as %s): missed %d records, %d messages, %d restarts, %d late, %d doubled",
						how, sizes, start, as, c.MissedRecords, c.MissedMessages, c.Restarts, c.Reordered, c.Duplicates)
				}
			}
		}
	}
}

// TestLoss: what is missing is counted, in every numbering.
func TestLoss(t *testing.T) {
	for how := range unnumbered {
		sizes := []int{20, 11, 20, 20, 13}
		msgs := numbered(how, 100, 1000, sizes...)
		drop := []int{50, 51, 77} // 20, 11 and 20 records, and the options record of message 50
		c, as, _ := receive(t, testSource, without(msgs, drop...)...)
		if as != how.String() {
			t.Errorf("%s taken as %s", how, as)
		}
		messages, records := c.Lost()
		want := uint64(51)
		if how == numberedRecords {
			want++
		}
		if how == numberedMessages {
			// As many as three messages have on average.
			want = records
			if records < 45 || records > 60 {
				t.Errorf("%s: %d records lost", how, records)
			}
		}
		if records != want || messages != 3 || c.Restarts+c.Reordered+c.Duplicates > 0 {
			t.Errorf("%s: lost %d messages and %d records, want 3 and %d; %d restarts, %d late, %d doubled", how, messages, records, want, c.Restarts, c.Reordered, c.Duplicates)
		}
	}
}

// TestLossEarly: a gap shows at once where no other numbering explains it.
func TestLossEarly(t *testing.T) {
	msgs := numbered(numberedRecords, 3, 0, 20)
	c, _, _ := receive(t, testSource, without(msgs, 1)...)
	if c.MissedRecords != 20 || c.MissedMessages != 1 {
		t.Errorf("missed %d records, %d messages", c.MissedRecords, c.MissedMessages)
	}
}

// TestDuplicates: a datagram that comes twice is decoded once.
func TestDuplicates(t *testing.T) {
	for how := range numNumberings {
		msgs := numbered(how, 60, 7, 20, 3, 11)
		doubled := slices.Clone(msgs[:30])
		doubled = append(doubled, msgs[29], msgs[25], msgs[10])
		doubled = append(doubled, msgs[30:]...)
		c, _, got := receive(t, testSource, doubled...)
		whole, _, want := receive(t, testSource, msgs...)
		if how == unnumbered {
			// Its number says nothing, so what looks the same may be
			// another flow.
			continue
		}
		if c.Duplicates != 3 || c.Flows != whole.Flows || !slices.Equal(addrs(got), addrs(want)) {
			t.Errorf("%s: %d duplicates, %d flows of %d", how, c.Duplicates, c.Flows, whole.Flows)
		}
		if c.MissedRecords+c.Restarts+c.Reordered > 0 {
			t.Errorf("%s: missed %d records, %d restarts, %d late", how, c.MissedRecords, c.Restarts, c.Reordered)
		}
	}
}

// TestRepeats: an exporter that sends the same datagram again and again does
// not number its messages, and is believed after a few.
func TestRepeats(t *testing.T) {
	msgs := numbered(numberedRecords, 2, 0, 20)
	stream := slices.Concat(msgs[:1], slices.Repeat(msgs[1:], 1000))
	c, as, got := receive(t, testSource, stream...)
	if as != unnumbered.String() || len(got) < 20*980 || int(c.Flows) != len(got) {
		t.Errorf("%d records of %d, numbering %s", len(got), 20*1001, as)
	}
}

// TestReordered: a message that comes late fills the gap that it left.
func TestReordered(t *testing.T) {
	for how := range unnumbered {
		msgs := numbered(how, 100, 1<<32-300, 20, 3, 11)
		swapped := slices.Clone(msgs)
		swapped[50], swapped[51] = swapped[51], swapped[50]
		// One that is late by more.
		late := swapped[70]
		copy(swapped[70:], swapped[71:76])
		swapped[75] = late
		c, _, got := receive(t, testSource, swapped...)
		messages, records := c.Lost()
		if c.Reordered != 2 || messages != 0 || (records != 0 && how != numberedMessages) || c.Restarts+c.Duplicates > 0 || len(got) != int(c.Flows) {
			t.Errorf("%s: %d late, lost %d messages and %d records, %d restarts, %d doubled", how, c.Reordered, messages, records, c.Restarts, c.Duplicates)
		}
	}
}

// TestLateStranger: a message that is late, but not out of a gap that is
// remembered, is no restart.
func TestLateStranger(t *testing.T) {
	msgs := numbered(numberedRecords, 60, 500, 20, 3)
	w := newWriter(7, testExport)
	w.sequence = binary.BigEndian.Uint32(msgs[10][8:])
	templates := w.message(w.template(256, pair), w.optionsTemplate(300, 1, pair))
	c, _, _ := receive(t, testSource, slices.Concat([][]byte{templates}, msgs[10:40], msgs[5:6], msgs[40:])...)
	if c.Restarts != 0 || c.Reordered != 1 || c.MissedRecords != 0 {
		t.Errorf("%d restarts, %d late, missed %d", c.Restarts, c.Reordered, c.MissedRecords)
	}
}

// TestLossInDoubt: loss that could be another numbering is counted as soon as
// it is seen not to be.
func TestLossInDoubt(t *testing.T) {
	w := newWriter(7, testExport)
	w.sequence = 100
	message := func(n int) []byte { return w.counted(n, w.template(256, pair), set(256, slices.Repeat(ab, n))) }
	first := message(10)
	w.sequence += 10 // lost
	second := message(20)
	third := message(7)
	for n, want := range []uint64{0, 0, 10} {
		c, as, _ := receive(t, testSource, [][]byte{first, second, third}[:n+1]...)
		if c.MissedRecords != want || as != numberedRecords.String() {
			t.Errorf("after %d messages: missed %d, want %d (%s)", n+1, c.MissedRecords, want, as)
		}
	}
}

// TestRestart: an exporter that begins to count anew has lost nothing.
func TestRestart(t *testing.T) {
	for how := range unnumbered {
		first, second := numbered(how, 40, 5000, 20, 3), numbered(how, 40, 0, 7, 20, 20)
		c, _, _ := receive(t, testSource, slices.Concat(first, second)...)
		if c.Restarts != 1 || c.MissedRecords != 0 || c.Reordered+c.Duplicates > 0 {
			t.Errorf("%s: %d restarts, missed %d, %d late, %d doubled", how, c.Restarts, c.MissedRecords, c.Reordered, c.Duplicates)
		}
	}
	// Beginning anew at a random number, far ahead.
	c, _, _ := receive(t, testSource, slices.Concat(numbered(numberedRecords, 10, 0, 20), numbered(numberedRecords, 10, 1<<30, 7))...)
	if c.Restarts != 1 || c.MissedRecords != 0 {
		t.Errorf("far ahead: %d restarts, missed %d", c.Restarts, c.MissedRecords)
	}
}

// TestTemplatesOutOfOrder: a message of templates alone moves no count, with
// whatever number it comes.
func TestTemplatesOutOfOrder(t *testing.T) {
	msgs := numbered(numberedRecords, 40, 500, 20, 3)
	w := newWriter(7, testExport)
	var stream [][]byte
	for i, m := range msgs {
		stream = append(stream, m)
		if i > 3 {
			w.sequence = binary.BigEndian.Uint32(msgs[i-i%4][8:])
			w.export++
			stream = append(stream, w.message(w.template(256, pair)))
		}
	}
	c, as, _ := receive(t, testSource, stream...)
	if c.MissedRecords+c.Restarts+c.Reordered > 0 || as != numberedRecords.String() {
		t.Errorf("missed %d, %d restarts, %d late, taken as %s", c.MissedRecords, c.Restarts, c.Reordered, as)
	}
}

// TestUncounted: while records cannot be counted no loss is reported, but the
// sequence numbers tell how many records there were.
func TestUncounted(t *testing.T) {
	w := newWriter(7, testExport)
	tmpl := w.template(256, pair)
	var msgs [][]byte
	for i := range 10 {
		sets := [][]byte{set(256, slices.Repeat(ab, 3)), set(999, slices.Repeat(ab, 5))}
		if i == 0 {
			sets = append([][]byte{tmpl}, sets...)
		}
		msgs = append(msgs, w.counted(8, sets...))
	}
	msgs = append(msgs, w.counted(3, set(256, slices.Repeat(ab, 3))))
	c, _, _ := receive(t, testSource, msgs...)
	if c.MissedRecords != 0 || c.Restarts != 0 || c.NoTemplateRecords != 50 {
		t.Errorf("missed %d, %d restarts, %d records without template", c.MissedRecords, c.Restarts, c.NoTemplateRecords)
	}
}

// TestSoftflowd: softflowd counts through the message; that is no loss, and
// what is lost is counted all the same.
func TestSoftflowd(t *testing.T) {
	for _, c := range streamCases(t) {
		if c.Name != "softflowd-v10-6" {
			continue
		}
		msgs := c.messages(t)
		counters, as, all := receive(t, testSource, msgs...)
		if counters.MissedRecords != 0 || as != numberedAfter.String() {
			t.Errorf("missed %d, taken as %s", counters.MissedRecords, as)
		}
		counters, _, rest := receive(t, testSource, without(msgs, 4)...)
		if lost := len(all) - len(rest); int(counters.MissedRecords) != lost || counters.MissedMessages != 1 {
			t.Errorf("missed %d records in %d messages, want %d in 1", counters.MissedRecords, counters.MissedMessages, lost)
		}
	}
}

// TestSourcesApart: what one source or domain does is nothing to another.
func TestSourcesApart(t *testing.T) {
	msgs := numbered(numberedRecords, 20, 0, 20)
	d := New(Config{})
	var got records
	for _, m := range msgs {
		for _, src := range []Source{testSource, udpSource("192.0.2.1:4740"), udpSource("[2001:db8::1]:4739"), {Addr: testSource.Addr, Transport: TCP, Session: 1}, {Transport: File, Session: 1}} {
			if err := d.Message(src, m, testRecv, &got); err != nil {
				t.Fatal(err)
			}
		}
	}
	st := d.Stats()
	if len(st.Sources) != 5 || st.MissedRecords+st.Duplicates+st.Restarts > 0 || len(got) != 5*20*20 {
		t.Errorf("%d sources, missed %d, %d doubled, %d restarts, %d records", len(st.Sources), st.MissedRecords, st.Duplicates, st.Restarts, len(got))
	}
	if want := schema.Addr16(testSource.Addr.Addr()); got[0].Exporter != want {
		t.Errorf("exporter %v", got[0].Exporter)
	}
}
