package ipfix

import (
	"slices"
	"testing"
)

// received is when the tests receive what exporters sent: after all of it.
const received = 1_800_000_000 * second

// TestExporters decodes what real exporters sent and compares the counts with
// those on which independent decoders agree.
func TestExporters(t *testing.T) {
	for i, c := range streamCases(t) {
		if slices.ContainsFunc(streamCases(t)[:i], func(o streamCase) bool { return o.Name == c.Name }) {
			c.Name += " again"
		}
		t.Run(c.Name, func(t *testing.T) {
			var got records
			d := New(Config{})
			for _, m := range c.messages(t) {
				if err := d.Message(testSource, m, received, &got); err != nil {
					t.Log(err)
				}
			}
			d.Expire(received + 3600*second)
			st := d.Stats()
			want := c.DataRecords
			if c.Name == "issue_14370" {
				want = 2 // the other decoders lose the second set
			}
			if int(st.Records) != want {
				t.Errorf("%d data records, want %d", st.Records, want)
			}
			if int(st.OptionsRecords) != c.OptionsRecords {
				t.Errorf("%d options records, want %d", st.OptionsRecords, c.OptionsRecords)
			}
			if st.Records != st.Flows+st.Errors[ReasonNotFlow] || int(st.Flows) != len(got) {
				t.Errorf("%d records, but %d flows, %d in the sink and %d that are no flows", st.Records, st.Flows, len(got), st.Errors[ReasonNotFlow])
			}
		})
	}
}
