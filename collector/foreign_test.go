package collector

import (
	"encoding/binary"
	"testing"

	"cordon/collector/ipfix"
)

// What exporters of other protocols send is counted under their address and
// the protocol's name, over every transport, beside IPFIX of the same or of
// others.
func TestForeignProtocolsByExporter(t *testing.T) {
	b := startNATS(t).connect()
	c := start(t, testConfig(), Deps{Bus: b})
	payload := func(head ...uint32) (b []byte) {
		for _, w := range head {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		return append(b, make([]byte, 48)...)
	}
	v5, v9, sflow := payload(5<<16|1), payload(9<<16|1), payload(5, 1)
	udp := dial(t, "udp", c.address("udp"))
	for _, msg := range [][]byte{v5, v5, v9, sflow} {
		send(t, udp, msg)
	}
	for _, msg := range [][]byte{v9, v5} {
		tcp := dial(t, "tcp", c.address("tcp"))
		send(t, tcp, msg)
		closedByPeer(t, tcp)
	}
	counted := func(transport string, r ipfix.Reason) (n uint64) {
		for _, e := range c.Status().Exporters {
			if e.Transport == transport && e.Exporter == loopback {
				n += e.Errors[r.String()]
			}
		}
		return n
	}
	for _, want := range []struct {
		transport string
		reason    ipfix.Reason
		n         uint64
	}{
		{"udp", ipfix.ReasonNetFlow5, 2}, {"udp", ipfix.ReasonNetFlow9, 1}, {"udp", ipfix.ReasonSFlow, 1},
		{"tcp", ipfix.ReasonNetFlow9, 1}, {"tcp", ipfix.ReasonNetFlow5, 1},
	} {
		eventually(t, want.transport+" "+want.reason.Protocol()+" is counted", func() bool { return counted(want.transport, want.reason) == want.n })
	}
	if n := c.log.count("an exporter sends NetFlow v9"); n != 2 && n != 3 {
		t.Errorf("%d log lines name NetFlow v9, want one for each transport", n)
	}

	e := newExporter(1)
	conn := dial(t, "tcp", c.address("tcp"))
	send(t, conn, e.template(), e.data(0, 20))
	c.published(20)
	if st := c.Status(); st.Publisher.Published.Records != 20 || st.Records != 20 {
		t.Errorf("%d records published of %d decoded, want 20: rows of statistics are no records", st.Publisher.Published.Records, st.Records)
	}
}
