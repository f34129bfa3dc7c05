package collector

import (
	"net/netip"
	"testing"

	"cordon/schema"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// wants gives the records first to first+n-1 of an exporter on loopback.
func wants(e *exporter, first, n int) []schema.Record {
	list := make([]schema.Record, n)
	for i := range list {
		list[i] = e.want(loopback, first+i)
	}
	return list
}

func TestUDPReachesTheStream(t *testing.T) {
	b := startNATS(t).connect()
	c := start(t, testConfig(), Deps{Bus: b})
	e, conn := newExporter(5), c.udp()
	send(t, conn, e.template())
	for i := range 50 {
		send(t, conn, e.data(20*i, 20))
	}
	c.published(1000)
	if err := c.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	sameRecords(t, readStream(t, b).records, wants(e, 0, 1000))
}
