package loadtest

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"
)

// receiver is a UDP socket that keeps what arrives.
type receiver struct {
	conn *net.UDPConn
	buf  []byte
}

func listen(t testing.TB) *receiver {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &receiver{conn: conn, buf: make([]byte, 1<<16)}
}

func (r *receiver) addr() string { return r.conn.LocalAddr().String() }

// next gives the next datagram and who sent it.
func (r *receiver) next(t testing.TB) ([]byte, netip.AddrPort) {
	t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, from, err := r.conn.ReadFromUDPAddrPort(r.buf)
	if err != nil {
		t.Fatal(err)
	}
	return r.buf[:n], from
}

// sink keeps flow records.
type sink []schema.Record

func (s *sink) Append(r *schema.Record) { *s = append(*s, *r) }

func TestLoad(t *testing.T) {
	in := listen(t)
	in.conn.SetReadBuffer(4 << 20)
	sources := []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")}
	const records = 2013 // 100 datagrams and one of 13: all fit into a small receive buffer
	g, err := New(context.Background(), Config{To: in.addr(), Sources: sources, Records: records, Rate: 20_000, Domain: 9})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	done := make(chan Stats)
	go func() {
		st, err := g.Run(context.Background())
		if err != nil {
			t.Error(err)
		}
		done <- st
	}()
	var got sink
	d := ipfix.New(ipfix.Config{})
	from := map[netip.AddrPort]bool{}
	for len(got) < records {
		msg, src := in.next(t)
		from[src] = true
		if err := d.Message(ipfix.Source{Addr: src}, msg, schema.Micros(time.Now()), &got); err != nil {
			t.Fatal(err)
		}
	}
	st := <-done
	if st.Records != records || len(got) != records || st.Datagrams != 101 || st.Bytes != 100*1400+20+13*69 {
		t.Errorf("%+v, received %d records", st, len(got))
	}
	if st.Elapsed < 90*time.Millisecond {
		t.Errorf("%d records at 20,000/s in %v", records, st.Elapsed)
	}
	if c := d.Stats(); c.MissedMessages > 0 || c.Restarts > 0 || c.Duplicates > 0 || c.Reordered > 0 {
		t.Errorf("sequence numbers are wrong: %+v", c.Counters)
	}
	for _, l := range g.Local() {
		if !from[l] {
			t.Errorf("nothing came from %v", l)
		}
	}
	// Until the context ends.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g.cfg.Records, g.cfg.Rate = 0, 1000
	go func() {
		if st, err := g.Run(ctx); err != nil || st.Records == 0 {
			t.Errorf("%+v %v", st, err)
		}
		close(done)
	}()
	in.next(t)
	cancel()
	<-done
}

func BenchmarkLoad(b *testing.B) {
	in := listen(b)
	g, err := New(context.Background(), Config{To: in.addr(), Records: 1_000_000})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	b.ReportAllocs()
	var n uint64
	for b.Loop() {
		st, err := g.Run(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		n += st.Records
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
