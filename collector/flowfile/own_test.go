package flowfile

import (
	"io"
	"strings"
	"testing"

	"cordon/schema"
)

// What Cordon prints, of sessions and of table flows, goes back in.
func TestOwnOutput(t *testing.T) {
	const sessions = `"vrf","client","server","service","state","flows","packets","bytes","client_packets","client_bytes","server_packets","server_bytes","first_seen","last_seen","exporters"
"red","10.0.0.1","10.9.0.1","tcp/80","complete",3,9,900,4,400,5,500,"2026-11-20 08:00:00.250000","2026-11-20 08:00:01.000000","[]"
"red","10.0.0.1","10.9.0.1","tcp/22","half-open",1,2,100,1,60,1,40,"2026-11-20 08:00:00.250000","2026-11-20 08:00:01.000000","[]"
"red","10.0.0.1","10.9.0.1","icmp/8","denied",1,1,60,1,60,0,0,"2026-11-20 08:00:00.250000","2026-11-20 08:00:01.000000","[]"
"red","10.0.0.1","10.9.0.1","gre","complete",1,1,60,1,60,0,0,"2026-11-20 08:00:00.250000","2026-11-20 08:00:01.000000","[]"
`
	var got []schema.Record
	read := func(text string) {
		t.Helper()
		got = nil
		r, err := newReader("s.csv", strings.NewReader(text), 0, importTime, importTime)
		for err == nil {
			var rec schema.Record
			if err = r.Next(&rec); err == nil {
				got = append(got, rec)
			}
		}
		if err != io.EOF {
			t.Fatal(err)
		}
	}
	read(sessions)
	if len(got) != 4 {
		t.Fatalf("%d records", len(got))
	}
	if r := got[0]; r.Proto != 6 || r.DstPort != 80 || r.Direction != schema.Forward || r.Completeness != schema.Unknowable || r.Count != 3 || r.Bytes != 400 || r.RevBytes != 500 ||
		r.VRF != "red" || schema.Time(r.Start).Format("15:04:05.000") != "08:00:00.250" {
		t.Errorf("complete: %+v", r)
	}
	if r := got[1]; r.DstPort != 22 || r.Completeness != schema.BothWays || r.RevPackets != 0 {
		t.Errorf("half-open: %+v", r)
	}
	if r := got[2]; r.Proto != 1 || r.ICMPType != 8 || r.Action != schema.Dropped {
		t.Errorf("denied: %+v", r)
	}
	if r := got[3]; r.Proto != 47 || r.DstPort != 0 {
		t.Errorf("without ports: %+v", r)
	}
	read(`"src_ip","dst_ip","src_port","dst_port","proto","bytes","packets","rev_packets","tcp_flags","start_time","direction","completeness","count"
"::ffff:10.0.0.1","::ffff:10.9.0.1",40000,80,6,300,3,0,2,"2026-11-20 08:00:00.000000","reverse","one-way",3
`)
	if r := got[0]; r.Completeness != schema.OneWay || r.Direction != schema.Reverse || r.Bytes != 300 || r.Count != 3 || schema.Addr(r.Src).String() != "10.0.0.1" {
		t.Errorf("flows: %+v", r)
	}
}
