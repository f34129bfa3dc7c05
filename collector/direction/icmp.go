package direction

import (
	"cordon/internal/iana"
	"cordon/schema"
)

func byICMP(rec *schema.Record) schema.Direction {
	if _, answers := iana.ICMPRequest(rec.Proto, rec.ICMPType); answers && !multicast(&rec.Dst) {
		return schema.Reverse
	}
	return schema.Forward
}

func multicast(a *[16]byte) bool {
	if a[0] == 0xff {
		return true
	}
	mapped := [12]byte{10: 0xff, 11: 0xff}
	return [12]byte(a[:12]) == mapped && a[12]>>4 == 0xe
}
