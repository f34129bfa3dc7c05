package flowfile

import (
	"strconv"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/schema"
)

// parseOwn reads a column that only Cordon's own output has.
func parseOwn(rec *schema.Record, col column, text string) (ok bool) {
	switch col {
	case completeness:
		rec.Completeness, ok = map[string]schema.Completeness{"one-way": schema.OneWay, "both-ways": schema.BothWays, "unknowable": schema.Unknowable}[text]
	case client:
		rec.Direction, ok = map[string]schema.Direction{"unknown": schema.DirectionUnknown, "forward": schema.Forward, "reverse": schema.Reverse}[text]
		if rec.Direction != schema.DirectionUnknown {
			rec.Basis = schema.BasisStated
		}
	case service:
		return parseService(rec, text)
	case state:
		switch text {
		case "complete":
			rec.Completeness, ok = schema.Unknowable, true
		case "half-open":
			rec.Completeness, ok = schema.BothWays, true
		case "denied":
			rec.Action, ok = schema.Dropped, true
		}
	}
	return ok
}

// parseService reads tcp/443, icmp/8 or gre.
func parseService(rec *schema.Record, text string) bool {
	name, number, _ := strings.Cut(text, "/")
	p, err := categories.ParseProtocol(name)
	if err != nil {
		return false
	}
	rec.Proto = p
	if number == "" {
		return !iana.HasPorts(p) && !iana.IsICMP(p)
	}
	n, err := strconv.ParseUint(number, 10, 16)
	switch {
	case err != nil:
		return false
	case iana.IsICMP(p) && n <= 255:
		rec.ICMPType = uint8(n)
	case iana.HasPorts(p):
		rec.DstPort = uint16(n)
	default:
		return false
	}
	return true
}

// finishSession makes a record of a session, whose client is known. Whatever the
// server of a half-open one sent was no answer.
func finishSession(rec *schema.Record) {
	rec.Direction, rec.Basis = schema.Forward, schema.BasisStated
	if rec.Completeness == schema.BothWays {
		rec.RevPackets, rec.RevBytes = 0, 0
	}
}
