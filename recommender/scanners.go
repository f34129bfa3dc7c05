package recommender

import (
	"context"
	"fmt"
	"net/netip"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/internal/sqltext"
)

// What tells a scanner from a busy client, beside the number of its targets.
const (
	// scanHours is how many hours with sessions a window needs before "not seen
	// again" says anything: monitoring that comes by every hour has then come again.
	scanHours = 24
	// scanPorts is how many ports one-off targets need: a backup of all hosts
	// that ran once looks like a sweep of one port, but for its size.
	scanPorts = 4
	// What an attempt of TCP that came to nothing sends at most: its SYN, and
	// another one or a RST. A SYN has up to 100 octets, over IPv6 and with all
	// options.
	attemptPackets, attemptOctets = 2, 100
)

// scanner is a client that scans.
//
// A target is a (server, protocol, port) of a protocol with ports; multicast and broadcast
// addresses, which answer nobody, are none. It is fruitless for a client in either of two cases:
//
//   - unanswered: all its flows were half-open or dropped, or TCP answered
//     with nothing but RST;
//   - one-off: whether it was answered cannot be told, it was used in one hour
//     only, by any client, and its address is not public.
//
// A client scans if more than half of its targets are fruitless and there are
// many of them (Settings.ScannerTargets): so many unanswered, or so many one-off
// that began in one hour, on scanPorts ports or more, or on any but attempts:
// TCP of no more packets and octets than it takes to knock. One-off targets count
// only where the VRF has scanHours hours with sessions in the window or more.
//
// Breadth alone makes no scanner: what is answered, or comes again, is
// fruitful, however many targets there are. So monitoring, resolvers, proxies
// and time servers are none.
type scanner struct{ targets, fruitless uint64 }

// clientOf is a client of a VRF.
type clientOf struct {
	vrf    string
	client netip.Addr // unmapped
}

// findScanners makes the run's table of scanners of a window and remembers them.
// Every session of the window counts, half-open ones among them.
func (r *run) findScanners(ctx context.Context, w window) (uint64, error) {
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("scanners")+` (
		vrf LowCardinality(String), client IPv6, targets UInt64, fruitless UInt64
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return 0, err
	}
	window, where, args := r.sessionsIn(w)
	if where == "" {
		where = "WHERE 1"
	}
	if err := r.conn.Exec(ctx, sqltext.Named(`INSERT INTO {scanners}
WITH
    targets AS
    (
        SELECT vrf, client_ip AS client, server_ip AS server, proto, port, toStartOfHour(first_seen) AS began, active_hours,
            complete = 0 AND half_open + denied > 0 OR proto = {tcp} AND bitOr(server_flags, 16) = 20 AS unanswered,
            NOT unanswered AND server_packets = 0 AS unknown,
            -- The last hour that anyone used it in is the first.
            unknown AND max(arrayMax(active_hours)) OVER target = min(arrayMin(active_hours)) OVER target AS once,
            -- Sampling would leave packets out; without octets, packets are a default.
            proto = {tcp} AND sampling <= 1 AND bitAnd(client_flags, 16) = 0 AND client_bytes > 0
                AND client_packets <= {attempt_packets} * flows AND client_bytes <= {attempt_octets} * client_packets AS attempt
        FROM {sessions}
        {where} AND {has_ports} AND NOT ({never_answers})
        WINDOW target AS (PARTITION BY vrf, server_ip, proto, port)
    ),
    by_hour AS
    (
        SELECT vrf, client, count() AS targets, countIf(unanswered) AS unanswered,
            countIf(once AND known.1 != {public}) AS one_off,
            countIf(once AND attempt AND known.1 != {public}) AS attempts,
            uniqExactIf((proto, port), once AND known.1 != {public}) AS ports
        FROM ({looked_up})
        GROUP BY vrf, client, began
    )
SELECT vrf, client, sum(h.targets) AS targets,
    sum(unanswered) + if(vrf IN (SELECT vrf FROM targets GROUP BY vrf HAVING uniqExactArray(active_hours) >= {scan_hours}), sum(one_off), 0) AS fruitless
FROM by_hour AS h
GROUP BY vrf, client
HAVING 2 * fruitless > targets AND
    (sum(unanswered) >= {many} OR fruitless > sum(unanswered) AND max(if(ports >= {scan_ports}, one_off, attempts)) >= {many})`, sqltext.Values{
		"scanners": r.table("scanners"), "sessions": window, "where": where,
		"looked_up": r.lookUp("SELECT * FROM targets", "server", "known", "kind"),
		"tcp":       iana.TCP, "public": int(categories.Public), "has_ports": hasPorts("proto"), "never_answers": neverAnswers("server_ip"),
		"many": r.plan.settings.ScannerTargets, "scan_hours": scanHours, "scan_ports": scanPorts,
		"attempt_packets": attemptPackets, "attempt_octets": attemptOctets,
	}), args...); err != nil {
		return 0, err
	}
	var rows []struct {
		VRF       string     `ch:"vrf"`
		Client    netip.Addr `ch:"client"`
		Targets   uint64     `ch:"targets"`
		Fruitless uint64     `ch:"fruitless"`
	}
	if err := r.conn.Select(ctx, &rows, "SELECT vrf, client, targets, fruitless FROM "+r.table("scanners")); err != nil {
		return 0, err
	}
	r.scanners = make(map[clientOf]scanner, len(rows))
	for _, s := range rows {
		r.scanners[clientOf{s.VRF, s.Client.Unmap()}] = scanner{s.Targets, s.Fruitless}
	}
	return uint64(len(rows)), nil
}

// note says what makes a client a scanner.
func (s scanner) note() string {
	return fmt.Sprintf("%d of the client's %d targets were never answered, or used only once", s.fruitless, s.targets)
}

// hasPorts is the condition that a column's protocol has ports.
func hasPorts(column string) string { return sqltext.ProtocolIn(column, iana.HasPorts) }

// hasClient is the condition that a column's protocol has a client and a
// server, which a rule must not mistake for each other. Between the ends of a
// tunnel (GRE, ESP) there is neither, and a rule permits both ways.
func hasClient(column string) string {
	return sqltext.ProtocolIn(column, func(proto uint8) bool {
		return (categories.Service{Proto: proto}).Kind() != categories.KindProtocol
	})
}
