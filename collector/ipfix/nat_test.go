package ipfix

import (
	"testing"

	"cordon/internal/iana"
)

// A record that logs that a translation began or ended (RFC 8158) is no flow,
// however many addresses it has. It is counted as such.
func TestNATEventsAreNoFlows(t *testing.T) {
	event := append(ends(iana.TCP, 40000, 443), num(230, 1, 4), bin(225, 9, 9, 9, 9), bin(226, 9, 9, 9, 8), num(227, 2, 1), num(228, 2, 2), num(323, 8, testExport*1000))
	flow := append(ends(iana.TCP, 40000, 443), num(230, 1, 4), bin(225, 9, 9, 9, 9), num(2, 8, 3))
	for _, c := range []struct {
		name   string
		values []value
		flows  int
	}{{"an event", event, 0}, {"a flow", flow, 1}} {
		w := newWriter(7, testExport)
		var got records
		d := New(Config{})
		template, data := encode(w, 256, c.values)
		if err := d.Message(testSource, w.message(template, data), testRecv, &got); err != nil {
			t.Error(err)
		}
		if st := d.Stats(); len(got) != c.flows || st.Records != 1 || st.Errors[ReasonNotFlow] != uint64(1-c.flows) {
			t.Errorf("%s: %d flows of %d records, %d are none", c.name, len(got), st.Records, st.Errors[ReasonNotFlow])
		}
	}
}
