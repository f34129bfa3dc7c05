package ipfix

import (
	"bytes"
	"encoding/binary"
	"io"
	"path/filepath"
	"testing"

	"cordon/internal/iana"
)

// seeds are messages to begin with: bad ones by hand, and some of exporters.
func seeds(f *testing.F) (streams [][][]byte) {
	w := newWriter(7, testExport)
	template, data := encode(w, 256, append(ends(iana.TCP, 1, 2), num(150, 4, 1), num(21, 4, 5), text4(236, "blue"), num(48, 1, 1)))
	streams = append(streams,
		[][]byte{w.message(template, data)},
		[][]byte{w.message(data), w.message(template)},
		[][]byte{w.message(w.optionsTemplate(300, 1, []field{ie(48, 1), ie(34, 4), ie(82, variable)}), set(300, []byte{1, 0, 0, 0, 9, 2, 'a', 'b'}))},
		[][]byte{w.message(w.template(256, []field{ie(291, variable), ie(8, 0)}), set(256, make([]byte, 20)))},
		[][]byte{w.message(set(2, []byte{0, 2, 0, 0}), set(3, []byte{0, 3, 0, 0}))},
		numbered(numberedAfter, 5, 3, 2),
	)
	files, _ := filepath.Glob(filepath.Join(sharedIPFIX, "hostile", "*.hex"))
	for _, file := range files {
		streams = append(streams, hexMessages(f, file))
	}
	files, _ = filepath.Glob(filepath.Join(sharedIPFIX, "*.*"))
	for _, file := range files {
		if filepath.Ext(file) == ".json" {
			continue
		}
		msgs := messages(f, file)
		streams = append(streams, msgs[:min(4, len(msgs))])
	}
	return streams
}

// pack joins messages for a fuzz input, each behind its length; unpack is its
// opposite for any input.
func pack(msgs [][]byte) (b []byte) {
	for _, m := range msgs {
		b = binary.BigEndian.AppendUint16(b, uint16(len(m)))
		b = append(b, m...)
	}
	return b
}

func unpack(b []byte) (msgs [][]byte) {
	for len(b) >= 2 {
		n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
		msgs = append(msgs, b[2:2+n])
		b = b[2+n:]
	}
	return msgs
}

// FuzzMessage: whatever arrives, the Decoder stays within its bounds, every
// record is given to the sink or counted with a reason, and nothing is left
// when the sources are gone.
func FuzzMessage(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(pack(s), false)
		f.Add(pack(s), true)
	}
	f.Fuzz(func(t *testing.T, input []byte, stream bool) {
		cfg := Config{MaxSources: 4, MaxTemplates: 50, MaxFields: 200, MaxDomains: 4, MaxStateBytes: 256 << 10, MaxTotalStateBytes: 512 << 10, MaxWaitingBytes: 4 << 10, MaxTotalWaiting: 8 << 10}
		d := New(cfg)
		src := testSource
		if stream {
			src = Source{Addr: testSource.Addr, Transport: TCP, Session: 1}
		}
		var got records
		size := 0
		for i, m := range unpack(input) {
			before := bytes.Clone(m)
			d.Message(src, m, testRecv+int64(i), &got)
			if !bytes.Equal(m, before) {
				t.Fatal("the message was written to")
			}
			size += len(m)
		}
		d.Expire(testRecv + 1<<20)
		st := d.Stats()
		if st.StateBytes > cfg.MaxTotalStateBytes || st.WaitingBytes > cfg.MaxTotalWaiting || st.StateBytes < 0 || st.WaitingBytes < 0 {
			t.Errorf("%d bytes of state, %d waiting", st.StateBytes, st.WaitingBytes)
		}
		if st.Records != st.Flows+st.Errors[ReasonNotFlow] || int(st.Flows) != len(got) || len(got) > size {
			t.Errorf("%d records, %d flows, %d in the sink, of %d bytes", st.Records, st.Flows, len(got), size)
		}
		if m, r := st.Lost(); m > 1<<48 || r > 1<<48 {
			t.Errorf("lost %d messages, %d records", m, r)
		}
		for i, r := range got {
			if r.Start < 0 || r.End < r.Start || r.End > testRecv+day+1<<20 || r.Domain == 0 && r.Exporter == ([16]byte{}) {
				t.Errorf("record %d: %+v", i, r)
			}
		}
		var saved bytes.Buffer
		if err := d.Save(&saved); err != nil {
			t.Error(err)
		}
		if err := New(cfg).Load(&saved); err != nil {
			t.Errorf("what was saved cannot be loaded: %v", err)
		}
		d.EndSession(src)
		if st := d.Stats(); st.StateBytes != 0 || st.WaitingBytes != 0 || len(st.Sources) != 0 {
			t.Errorf("left behind: %d sources, %d bytes of state, %d waiting", len(st.Sources), st.StateBytes, st.WaitingBytes)
		}
	})
}

// FuzzFramer: a stream is cut into the same messages in any chunks, and all
// its bytes but the last, unfinished ones are in one.
func FuzzFramer(f *testing.F) {
	for _, s := range seeds(f) {
		var stream []byte
		for _, m := range s {
			stream = append(stream, m...)
		}
		f.Add(stream, uint16(7))
	}
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint16) {
		whole, err := framed(bytes.NewReader(stream))
		parts, err2 := framed(&chunks{data: stream, sizes: []int{int(chunk)%700 + 1}})
		if len(whole) != len(parts) || err.Error() != err2.Error() {
			t.Errorf("%d messages, %v; in chunks %d, %v", len(whole), err, len(parts), err2)
		}
		n := 0
		for i, m := range whole {
			if !bytes.Equal(m, stream[n:n+len(m)]) || !bytes.Equal(m, parts[i]) {
				t.Fatalf("message %d is not that of the stream", i)
			}
			n += len(m)
		}
		if err == io.EOF && n != len(stream) {
			t.Errorf("%d bytes of %d", n, len(stream))
		}
	})
}

// FuzzLoad: no file, not even one with a right checksum, does harm.
func FuzzLoad(f *testing.F) {
	var file bytes.Buffer
	if err := taught(f).Save(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes(), false)
	f.Add([]byte(`{"exporter":"192.0.2.1:1","domain":1,"systemInit":-5,"initBound":9,"templates":[{"id":256,"fields":"00080004000c0004001600040015ffff"}]}`+"\n"), true)
	f.Add([]byte(`{"exporter":"192.0.2.1:1","sampling":[{"kind":200,"id":1,"rate":2}],"vrfs":{"1":"x"}}`+"\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		if sign {
			data = signed(string(data))
		}
		d := New(Config{MaxTotalStateBytes: 1 << 20})
		if err := d.Load(bytes.NewReader(data)); err != nil {
			if st := d.Stats(); len(st.Sources) != 0 {
				t.Errorf("%v, but %d sources were loaded", err, len(st.Sources))
			}
			return
		}
		if st := d.Stats(); st.StateBytes > 1<<20 {
			t.Errorf("%d bytes", st.StateBytes)
		}
		w := newWriter(1, testExport)
		var got records
		d.Message(udpSource("192.0.2.1:1"), w.message(set(256, make([]byte, 300))), testRecv, &got)
		for _, r := range got {
			if r.Start < 0 || r.End < r.Start {
				t.Errorf("%+v", r)
			}
		}
	})
}
