package ipfix

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cordon/schema"
)

// addrs lists the records as "source>destination".
func addrs(got records) (s []string) {
	for _, r := range got {
		s = append(s, schema.Addr(r.Src).String()+">"+schema.Addr(r.Dst).String())
	}
	return s
}

// outcome is what a stream of messages comes to.
type outcome struct {
	flows   []string
	options uint64
	reasons map[Reason]uint64
}

func (o outcome) String() string {
	return fmt.Sprintf("flows %v, %d options records, %v", o.flows, o.options, o.reasons)
}

// decode feeds messages to a new Decoder.
func decode(t *testing.T, src Source, msgs ...[]byte) outcome {
	t.Helper()
	d := New(Config{})
	var got records
	for _, m := range msgs {
		before := d.Stats()
		err := d.Message(src, m, received, &got)
		after := d.Stats()
		failed := before.Errors
		failed[ReasonNotFlow], failed[ReasonImplausibleTime] = after.Errors[ReasonNotFlow], after.Errors[ReasonImplausibleTime]
		if failed != after.Errors && err == nil {
			t.Errorf("counted a problem, but returned no error: %v", reasons(&after.Counters))
		}
		if err != nil && !strings.Contains(err.Error(), src.String()) {
			t.Errorf("error without the exporter: %v", err)
		}
	}
	d.Expire(received + 3600*second)
	st := d.Stats()
	if st.Records != st.Flows+st.Errors[ReasonNotFlow] || int(st.Flows) != len(got) || st.WaitingBytes != 0 {
		t.Errorf("%d records, %d flows, %d given, %d bytes still waiting", st.Records, st.Flows, len(got), st.WaitingBytes)
	}
	return outcome{addrs(got), st.OptionsRecords, reasons(&st.Counters)}
}

// TestSharedHostile goes through the streams of bad messages. Each one's
// outcome follows from its bytes.
func TestSharedHostile(t *testing.T) {
	needShared(t)
	ab := "10.0.0.1>10.0.0.2"
	three := []string{ab, ab, ab}
	want := map[string]outcome{
		"01-empty.hex":                    {reasons: map[Reason]uint64{ReasonShortMessage: 1}},
		"03-length-lt-16.hex":             {reasons: map[Reason]uint64{ReasonMessageLength: 1}},
		"05-version9-header.hex":          {reasons: map[Reason]uint64{ReasonNetFlow9: 1}},
		"07-reserved-set-beside-good.hex": {flows: three, reasons: map[Reason]uint64{ReasonReservedSet: 1}},
		"09-two-stray-bytes.hex":          {flows: three, reasons: map[Reason]uint64{ReasonTrailingBytes: 1}},
		// The definition that is cut short ends the one before.
		"11-truncated-template-after-good.hex": {reasons: map[Reason]uint64{ReasonTemplateCut: 1, ReasonNoTemplate: 1}},
		// Over UDP a withdrawal is ignored.
		"13-withdraw-one-then-data.hex": {flows: []string{ab}, reasons: map[Reason]uint64{ReasonWithdrawal: 1}},
		// First six records of one address, then one of the new template.
		"15-redefine-in-one-message.hex": {flows: []string{"0.0.0.0>0.0.0.0"}, reasons: map[Reason]uint64{ReasonNotFlow: 6}},
		"17-varlen-past-end.hex":         {reasons: map[Reason]uint64{ReasonRecordCut: 1}},
		"19-fieldcount-65535.hex":        {reasons: map[Reason]uint64{ReasonTemplateCut: 1}},
		"21-options-scope-0.hex":         {reasons: map[Reason]uint64{ReasonTemplateScope: 1}},
		// A 16-byte flowStartMicroseconds: the record has no addresses.
		"23-micro-16-bytes.hex":      {reasons: map[Reason]uint64{ReasonFieldLength: 1, ReasonNotFlow: 1}},
		"25-set-length-3.hex":        {reasons: map[Reason]uint64{ReasonSetLength: 1}},
		"27-same-id-two-domains.hex": {flows: []string{ab, ab, ab, "::>::"}},
	}
	files, err := filepath.Glob(filepath.Join(sharedIPFIX, "hostile", "*.hex"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		t.Run(name, func(t *testing.T) {
			got := decode(t, testSource, hexMessages(t, f)...)
			w, ok := want[name]
			if !ok {
				t.Fatalf("a new file; its outcome is %v", got)
			}
			if got.String() != w.String() {
				t.Errorf("got  %v\nwant %v", got, w)
			}
		})
	}
}

var (
	pair   = []field{ie(8, 4), ie(12, 4)} // source and destination address
	ab     = []byte{10, 0, 0, 1, 10, 0, 0, 2}
	cd     = []byte{10, 0, 0, 3, 10, 0, 0, 4}
	abFlow = "10.0.0.1>10.0.0.2"
	cdFlow = "10.0.0.3>10.0.0.4"
)

func cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// patch returns b with the 16-bit number at an offset replaced.
func patch(b []byte, at int, v uint16) []byte {
	b = slices.Clone(b)
	b[at], b[at+1] = byte(v>>8), byte(v)
	return b
}

// TestHostile goes through what can be wrong in a message, with good records
// beside it.
func TestHostile(t *testing.T) {
	w := newWriter(7, 1_700_000_000)
	tmpl := w.template(256, pair)
	good := w.message(tmpl, set(256, cat(ab, cd)))
	templates := w.message(tmpl)
	data := func(b ...[]byte) []byte { return w.message(set(256, cat(b...))) }
	raw := func(id uint16, count uint16, rest ...byte) []byte {
		return cat([]byte{byte(id >> 8), byte(id), byte(count >> 8), byte(count)}, rest)
	}
	both := []string{abFlow, cdFlow}
	tcp := Source{Addr: testSource.Addr, Transport: TCP, Session: 1}
	structured := []field{ie(8, 4), ie(291, variable), ie(12, 4), ie(293, variable)}
	long := make([]byte, 300)

	for _, c := range []struct {
		name string
		src  Source
		msgs [][]byte
		want outcome
	}{
		{"good", testSource, [][]byte{good}, outcome{flows: both}},
		{"length past the end of the datagram", testSource, [][]byte{patch(good, 2, uint16(len(good)+20))},
			outcome{flows: both, reasons: map[Reason]uint64{ReasonTruncated: 1}}},
		{"datagram cut short amid a record", testSource, [][]byte{good[:len(good)-3]},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTruncated: 1}}},
		{"datagram cut short amid a set header", testSource, [][]byte{cat(patch(good, 2, uint16(len(good)+12)), []byte{1, 0, 0})},
			outcome{flows: both, reasons: map[Reason]uint64{ReasonTruncated: 1, ReasonTrailingBytes: 1}}},
		{"two messages in a datagram", testSource, [][]byte{cat(good, data(ab))}, outcome{flows: []string{abFlow, cdFlow, abFlow}}},
		{"a message and rubbish", testSource, [][]byte{cat(good, []byte("rubbish of some length"))},
			outcome{flows: both, reasons: map[Reason]uint64{ReasonTrailingBytes: 1}}},
		{"length two bytes short", testSource, [][]byte{patch(good, 2, uint16(len(good)-2))},
			outcome{flows: both, reasons: map[Reason]uint64{ReasonMessageLength: 1}}},
		{"length without the last set", testSource, [][]byte{patch(good, 2, uint16(len(templates)))},
			outcome{flows: both, reasons: map[Reason]uint64{ReasonMessageLength: 1}}},
		{"length 15", testSource, [][]byte{patch(good, 2, 15), good}, outcome{flows: both, reasons: map[Reason]uint64{ReasonMessageLength: 1}}},
		{"header cut", testSource, [][]byte{good[:15], good}, outcome{flows: both, reasons: map[Reason]uint64{ReasonShortMessage: 1}}},
		{"only a header", testSource, [][]byte{w.message()}, outcome{}},
		{"set past the end", testSource, [][]byte{cat(patch(w.message(tmpl, set(256, ab)), 2, uint16(len(templates)+12+8)), patch(set(256, ab), 2, 99)[:8])},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonSetLength: 1}}},
		{"set length 0", testSource, [][]byte{w.message(tmpl, set(256, ab), []byte{1, 0, 0, 0}, set(256, cd))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonSetLength: 1}}},
		{"set length 0xffff", testSource, [][]byte{w.message(tmpl, set(256, ab), []byte{1, 0, 0xff, 0xff}, set(256, cd))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonSetLength: 1}}},
		{"sets 0, 1, 4 and 255", testSource, [][]byte{w.message(tmpl, set(0, ab), set(1, ab), set(4, ab), set(255, ab), set(256, cd))},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonReservedSet: 4}}},
		{"empty sets", testSource, [][]byte{w.message(set(2, nil), set(3, nil), tmpl, set(256, nil), set(256, ab))}, outcome{flows: both[:1]}},
		{"template id 255", testSource, [][]byte{w.message(set(2, cat(raw(255, 1, 0, 8, 0, 4), tmpl[4:])), set(256, ab))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateID: 1}}},
		{"template cut after a good one", testSource, [][]byte{w.message(set(2, cat(tmpl[4:], raw(257, 2, 0, 8, 0, 4))), set(256, ab))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateCut: 1}}},
		{"enterprise number cut", testSource, [][]byte{templates, w.message(set(2, raw(256, 1, 0x80, 8, 0, 4, 0, 0))), data(ab)},
			outcome{reasons: map[Reason]uint64{ReasonTemplateCut: 1, ReasonNoTemplate: 1}}},
		{"template set padding", testSource, [][]byte{w.message(set(2, cat(tmpl[4:], []byte{0, 0})), set(256, ab)), w.message(set(2, cat(tmpl[4:], make([]byte, 6))), set(256, cd))},
			outcome{flows: both}},
		{"65535 fields", testSource, [][]byte{templates, w.message(set(2, raw(256, 0xffff))), data(ab)},
			outcome{reasons: map[Reason]uint64{ReasonTemplateCut: 1, ReasonNoTemplate: 1}}},
		{"more fields than allowed", testSource, [][]byte{templates, w.message(w.template(256, slices.Repeat(pair, 600))), data(ab)},
			outcome{reasons: map[Reason]uint64{ReasonTemplateTooLong: 1, ReasonNoTemplate: 1}}},
		{"record longer than any message", testSource, [][]byte{templates, w.message(w.template(256, []field{ie(82, 40000), ie(83, 40000)})), data(ab)},
			outcome{reasons: map[Reason]uint64{ReasonTemplateTooLong: 1, ReasonNoTemplate: 1}}},
		{"template of no bytes", testSource, [][]byte{templates, w.message(w.template(256, []field{ie(8, 0), ie(12, 0)})), data(ab)},
			outcome{reasons: map[Reason]uint64{ReasonTemplateEmpty: 1, ReasonNoTemplate: 1}}},
		{"fields of no bytes", testSource, [][]byte{w.message(w.template(256, []field{ie(1, 0), ie(8, 4), ie(150, 0), ie(12, 4)}), set(256, cat(ab, cd)))},
			outcome{flows: both}},
		{"only variable fields, of no bytes", testSource, [][]byte{w.message(w.template(256, []field{ie(82, variable), ie(83, variable)}), set(256, make([]byte, 64)))},
			outcome{reasons: map[Reason]uint64{ReasonNotFlow: 32}}},
		{"same template again", testSource, [][]byte{templates, templates, data(ab)}, outcome{flows: both[:1]}},
		{"redefinition between data", testSource, [][]byte{w.message(tmpl, set(256, ab), w.template(256, []field{ie(12, 4), ie(8, 4)}), set(256, ab))},
			outcome{flows: []string{abFlow, "10.0.0.2>10.0.0.1"}}},
		{"template becomes an options template", testSource, [][]byte{w.message(tmpl, set(256, ab), w.optionsTemplate(256, 1, pair), set(256, ab))},
			outcome{flows: both[:1], options: 1}},

		{"withdrawal over UDP", testSource, [][]byte{templates, w.message(set(2, raw(256, 0))), data(ab)},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonWithdrawal: 1}}},
		{"withdrawal over TCP", tcp, [][]byte{templates, data(ab), w.message(set(2, raw(256, 0))), data(cd)},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonNoTemplate: 1}}},
		{"withdrawal and definition in one set", tcp, [][]byte{templates, w.message(set(2, cat(raw(256, 0), tmpl[4:]))), data(cd)}, outcome{flows: both[1:]}},
		{"withdrawal of a template that is not known", tcp, [][]byte{templates, w.message(set(2, raw(999, 0))), data(ab)},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonWithdrawal: 1}}},
		{"withdrawal of all templates", tcp, [][]byte{w.message(tmpl, w.optionsTemplate(300, 1, pair)), w.message(set(2, raw(2, 0))), w.message(set(256, ab), set(300, ab))},
			outcome{options: 1, reasons: map[Reason]uint64{ReasonNoTemplate: 1}}},
		{"withdrawal of all options templates", tcp, [][]byte{w.message(tmpl, w.optionsTemplate(300, 1, pair)), w.message(set(3, raw(3, 0))), w.message(set(256, ab), set(300, ab))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonNoTemplate: 1}}},
		{"withdrawal in a set of the other kind", tcp, [][]byte{templates, w.message(set(3, raw(256, 0))), data(ab)},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonWithdrawal: 1}}},

		{"options without scope", testSource, [][]byte{w.message(w.optionsTemplate(300, 0, pair), tmpl, set(256, ab))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateScope: 1}}},
		{"options with more scope than fields", testSource, [][]byte{w.message(w.optionsTemplate(300, 3, pair), tmpl, set(256, ab))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateScope: 1}}},
		{"options template cut", testSource, [][]byte{w.message(set(3, raw(300, 2)), tmpl, set(256, ab))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateCut: 1}}},
		{"options data", testSource, [][]byte{w.message(w.optionsTemplate(300, 1, pair), set(300, cat(ab, cd)), tmpl, set(256, ab))}, outcome{flows: both[:1], options: 2}},

		{"padding as long as allowed", testSource, [][]byte{w.message(tmpl, set(256, cat(ab, make([]byte, 7)))), data(cd)}, outcome{flows: both}},
		{"padding that is none", testSource, [][]byte{w.message(tmpl, set(256, cat(ab, []byte("padding")))), data(cd)},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonSetPadding: 1}}},
		{"set with less than a record", testSource, [][]byte{w.message(tmpl, set(256, ab[:5]), set(256, cd))},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonRecordCut: 1}}},
		{"variable length past the end", testSource, [][]byte{w.message(w.template(256, []field{ie(8, 4), ie(12, 4), ie(82, variable)}), set(256, cat(ab, []byte{1, 'x'}, cd, []byte{9, 'x'})), set(256, cat(cd, []byte{0})))},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonRecordCut: 1}}},
		{"length of variable length cut", testSource, [][]byte{w.message(w.template(256, []field{ie(8, 4), ie(12, 4), ie(82, variable)}), set(256, cat(ab, []byte{1, 'x'}, cd, []byte{255, 1})))},
			outcome{reasons: map[Reason]uint64{ReasonRecordCut: 1}}},
		{"variable length past the end by one", testSource, [][]byte{w.message(w.template(256, []field{ie(8, 4), ie(12, 4), ie(82, variable)}), set(256, cat(ab, []byte{2, 'x'})), set(256, cat(cd, []byte{0})))},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonRecordCut: 1}}},
		{"fixed field behind it past the end by one", testSource, [][]byte{w.message(w.template(256, []field{ie(82, variable), ie(8, 4), ie(12, 4)}), set(256, cat([]byte{1, 'x'}, ab[:7])), set(256, cat([]byte{0}, cd)))},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonRecordCut: 1}}},
		{"long form of a short length", testSource, [][]byte{w.message(w.template(256, []field{ie(82, variable), ie(8, 4), ie(12, 4)}), set(256, cat([]byte{255, 0, 2, 'x', 'y'}, ab, []byte{255, 1, 44}, long, cd)))},
			outcome{flows: both}},
		{"addresses of variable length", testSource, [][]byte{w.message(w.template(256, []field{ie(8, variable), ie(12, variable)}), set(256, cat([]byte{4}, ab[:4], []byte{4}, ab[4:], []byte{5, 1, 2, 3, 4, 5}, []byte{4}, ab[4:])))},
			outcome{flows: []string{abFlow, "::>10.0.0.2"}, reasons: map[Reason]uint64{ReasonFieldLength: 1}}},
		{"structured data between", testSource, [][]byte{w.message(w.template(256, structured), set(256, cat(ab[:4], []byte{5, 255, 0, 4, 0, 1}, ab[4:], []byte{255, 0, 3, 255, 1, 0}, cd[:4], []byte{0}, cd[4:], []byte{0})))},
			outcome{flows: both}},
		{"addresses of a wrong length", testSource, [][]byte{w.message(w.template(256, []field{ie(8, 3), ie(12, 4)}), set(256, ab[:7]))},
			outcome{reasons: map[Reason]uint64{ReasonFieldLength: 1, ReasonNotFlow: 1}}},
		{"NetFlow version 9 and 5", testSource, [][]byte{patch(good, 0, 9), patch(good, 0, 5), good}, outcome{flows: both, reasons: map[Reason]uint64{ReasonNetFlow9: 1, ReasonNetFlow5: 1}}},
		{"refused definition and data in one message", testSource, [][]byte{w.message(tmpl, set(256, ab), w.optionsTemplate(256, 0, []field{ie(144, 4), ie(41, 4)}), set(256, cd))},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateScope: 1, ReasonNoTemplate: 1}}},
		{"refused, then good again", testSource, [][]byte{templates, w.message(w.optionsTemplate(256, 0, pair)), data(ab), w.message(tmpl, set(256, cd))},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonTemplateScope: 1, ReasonNoTemplate: 1}}},
		{"refused options template, then its options data", testSource, [][]byte{w.message(w.optionsTemplate(300, 1, pair), set(300, ab)), w.message(w.optionsTemplate(300, 3, pair), set(300, ab))},
			outcome{options: 1, reasons: map[Reason]uint64{ReasonTemplateScope: 1, ReasonNoTemplate: 1}}},
		{"data waits for a definition that is refused", testSource, [][]byte{data(ab), w.message(w.optionsTemplate(256, 0, pair)), templates, data(cd)},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonTemplateScope: 1, ReasonNoTemplate: 1}}},
		{"refused definition of another id and domain", testSource, [][]byte{templates, w.message(w.optionsTemplate(257, 0, pair)), newWriter(8, 1_700_000_000).message(w.optionsTemplate(256, 0, pair)), data(ab)},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateScope: 2}}},
		{"repeated definition that is cut short", testSource, [][]byte{templates, w.message(set(2, tmpl[4:len(tmpl)-4])), data(ab)},
			outcome{flows: both[:1], reasons: map[Reason]uint64{ReasonTemplateCut: 1}}},
		{"three odd bytes that align the set", testSource, [][]byte{w.message(w.template(256, append(pair, ie(4, 1))), set(256, cat(ab, []byte{6, 1, 2, 3}))), data(cat(cd, []byte{6, 0}))},
			outcome{flows: both}},
		{"odd bytes that align nothing", testSource, [][]byte{w.message(tmpl, set(256, cat(ab, []byte{1, 2})), set(256, cat(ab, []byte{1, 2, 3, 4})))},
			outcome{reasons: map[Reason]uint64{ReasonSetPadding: 2}}},
		{"options data that does not fit", testSource, [][]byte{w.message(w.optionsTemplate(300, 1, pair), set(300, cat(ab, cd[:7])))},
			outcome{reasons: map[Reason]uint64{ReasonSetPadding: 1}}},
		{"waiting data that does not fit", testSource, [][]byte{data(cat(ab, cd[:7])), w.message(tmpl, set(256, cd))},
			outcome{flows: both[1:], reasons: map[Reason]uint64{ReasonSetPadding: 1}}},
		{"data before its template", testSource, [][]byte{data(ab), w.message(set(256, cd), set(400, ab), tmpl)},
			outcome{flows: both, reasons: map[Reason]uint64{ReasonNoTemplate: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decode(t, c.src, c.msgs...)
			if c.want.reasons == nil {
				c.want.reasons = map[Reason]uint64{}
			}
			if got.String() != c.want.String() {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}
