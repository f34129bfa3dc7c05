-- Folding of flow records into rows of sessions_hourly, in SQL. What package
-- schema does in Go is tested against this.
SELECT
    toStartOfMonth(received_sane) AS month,
    known::Bool AS decided,
    toStartOfHour(least(start_sane, end_sane)) AS hour,
    vrf,
    if(turned, src_ip, dst_ip) AS server,
    proto,
    if(turned, s_port, d_port) AS port,
    itype AS icmp_type,
    icode AS icmp_code,
    if(turned, dst_ip, src_ip) AS client,
    multiIf(known AND NOT (proto = 17 AND port = 69), 0, turned, d_port, s_port) AS client_port,
    exporter,
    min(least(start_sane, end_sane)) AS first_seen,
    max(greatest(start_sane, end_sane)) AS last_seen,
    sum(if(turned, rev_packets, packets)) AS client_packets,
    sum(if(turned, rev_bytes, bytes)) AS client_bytes,
    sum(if(turned, packets, rev_packets)) AS server_packets,
    sum(if(turned, bytes, rev_bytes)) AS server_bytes,
    sumIf(records, kind = 1) AS complete,
    sumIf(records, kind = 2) AS half_open,
    sumIf(records, kind = 3) AS unanswered,
    sumIf(records, kind = 4) AS requests,
    sumIf(records, kind = 5) AS replies,
    sumIf(records, kind = 6) AS denied,
    groupBitOr(if(turned, rev_tcp_flags, tcp_flags)) AS client_flags,
    groupBitOr(if(turned, tcp_flags, rev_tcp_flags)) AS server_flags,
    groupBitOr(side) AS sides,
    max(evidence) AS basis,
    max(sample) AS sampling,
    egress,
    import
FROM
(
    SELECT
        -- The hosts at the ends: the source as observed, the destination after
        -- NAT; of both families, the IPv6 pair.
        if(post_dst_ip = toIPv6('::'), f.dst_ip, post_dst_ip) AS after,
        if(post_dst_port = 0, f.dst_port, post_dst_port) AS after_port,
        startsWith(IPv6NumToString(f.src_ip), '::ffff:') AS from4,
        startsWith(IPv6NumToString(after), '::ffff:') AS to4,
        if(from4 AND NOT to4 AND post_src_ip != toIPv6('::'), post_src_ip, f.src_ip) AS src_ip,
        if(to4 AND NOT from4, f.dst_ip, after) AS dst_ip,
        if(from4 AND NOT to4 AND post_src_port != 0, post_src_port, f.src_port) AS src_port,
        if(to4 AND NOT from4, f.dst_port, after_port) AS dst_port,
        -- Later fragments have no ports, and so no direction.
        if(proto IN (6, 17, 33, 132, 136) AND src_port = 0 AND dst_port = 0, 'unknown', toString(f.direction)) AS direction,
        (flow_direction = 'egress' OR flow_direction = 'unknown' AND in_if = 0 AND out_if != 0)::Bool AS egress,
        least(greatest(received, toDateTime64('2000-01-01 00:00:00', 6, 'UTC')), toDateTime64('2100-01-01 00:00:00', 6, 'UTC')) AS received_sane,
        vrf, exporter, import, proto,
        packets, bytes, rev_packets, rev_bytes, tcp_flags, rev_tcp_flags, sampling AS sample, count AS records,
        direction != 'unknown' AS known,
        if(known, basis::UInt8, 0) AS evidence,
        if(proto IN (6, 17, 33, 132, 136), src_port, 0) AS s_port,
        if(proto IN (6, 17, 33, 132, 136), dst_port, 0) AS d_port,
        -- The source is the server, or stands in for it.
        multiIf(direction = 'reverse', 1, direction = 'forward', 0, s_port != d_port, s_port < d_port, src_ip < dst_ip) AS turned,
        -- 256 * protocol + type: ICMP and ICMPv6 number their types apart. A
        -- reply's code says nothing about the request.
        multiIf(proto NOT IN (1, 58), 0, direction != 'reverse', icmp_type,
            transform(256 * proto + icmp_type, {replies}, {requests}, icmp_type))::UInt8 AS itype,
        multiIf(proto NOT IN (1, 58), 0, direction != 'reverse', icmp_code, 256 * proto + icmp_type IN {replies}, 0, icmp_code) AS icode,
        start_time BETWEEN '2000-01-01 00:00:00' AND received_sane + INTERVAL 1 DAY AS start_ok,
        end_time BETWEEN '2000-01-01 00:00:00' AND received_sane + INTERVAL 1 DAY AS end_ok,
        multiIf(start_ok, start_time, end_ok, end_time, received_sane) AS start_sane,
        multiIf(end_ok, end_time, start_ok, start_time, received_sane) AS end_sane,
        multiIf(action = 'dropped', 0, completeness = 'both-ways' AND packets + bytes > 0 AND rev_packets + rev_bytes > 0, 3,
            completeness != 'one-way', 0, turned, 2, 1)::UInt8 AS side,
        -- Nothing but RST (0x04), with or without ACK (0x10) and ECN, is a refusal.
        proto = 6 AND bitAnd(tcp_flags, 0xffff - 0x1d0) = 0x04 AS reset,
        proto = 6 AND bitAnd(rev_tcp_flags, 0xffff - 0x1d0) = 0x04 AS rev_reset,
        -- TCP that shows no connection, whosever flags it has; see neverOpened.
        bitOr(tcp_flags, rev_tcp_flags) AS union_flags,
        packets <= records AND rev_packets <= records AS one_each,
        packets <= 3 * records AND rev_packets <= 3 * records AS few_each,
        bytes != 0 AND rev_bytes != 0 AS counted,
        intDiv(bytes, greatest(packets, 1)) AS size,
        intDiv(rev_bytes, greatest(rev_packets, 1)) AS rev_size,
        if(from4, 0, 20) AS longer,
        multiIf(
            direction = 'forward', size <= 84 + longer AND rev_size <= 68 + longer,
            direction = 'reverse', size <= 68 + longer AND rev_size <= 84 + longer,
            greatest(size, rev_size) <= 84 + longer AND least(size, rev_size) <= 68 + longer) AS bare,
        proto = 6 AND (packets = 0 OR size < 128) AND (rev_packets = 0 OR rev_size < 128) AND multiIf(
            sampling > 1, bitAnd(union_flags, 0xffff - 0x1d0) = 0x04 AND few_each,
            tcp_flags != 0 AND rev_tcp_flags != 0 AND tcp_flags != rev_tcp_flags,
                bitAnd(tcp_flags, 0x12) = 0x02 AND bitAnd(rev_tcp_flags, 0x04) != 0 OR bitAnd(rev_tcp_flags, 0x12) = 0x02 AND bitAnd(tcp_flags, 0x04) != 0,
            union_flags = 0, one_each AND counted AND end_reason != 2 AND bare,
            bitAnd(union_flags, 0x10) = 0, few_each OR counted OR bitAnd(union_flags, 0x04) != 0,
            bitAnd(union_flags, 0x04) = 0, 0,
            one_each, 1,
            bitAnd(union_flags, 0x09) != 0, 0,
            bitAnd(union_flags, 0x02) != 0 OR few_each) AS never_opened,
        -- 1 complete, 2 half_open, 3 unanswered, 4 requests, 5 replies, 6 denied.
        multiIf(
            action = 'dropped', 6,
            completeness = 'unknowable', 1,
            -- The server sent packets, more than a refusal. Where the server
            -- is not known, that goes for both sides.
            completeness = 'both-ways', 2 - multiIf(
                never_opened, 0,
                -- Flags that stand alone may be those of both sides.
                direction = 'forward', if(rev_reset AND tcp_flags != 0, 0, rev_packets + rev_bytes > 0),
                direction = 'reverse', if(reset AND rev_tcp_flags != 0, 0, packets + bytes > 0),
                if(reset AND rev_tcp_flags != 0, 0, packets + bytes > 0) * if(rev_reset AND tcp_flags != 0, 0, rev_packets + rev_bytes > 0)),
            -- One-way from here on. The client's reset may end anything.
            reset, if(direction = 'forward', 4, 3),
            -- Who sends ACK has been answered.
            bitAnd(if(proto = 6, tcp_flags, 0), 0x10) != 0, 1,
            turned, 5,
            -- A SYN of the client that no ACK of its own followed. Where
            -- packets are sampled, the ACK may have been missed.
            bitAnd(if(proto = 6, tcp_flags, 0), 0x02) != 0, if(sampling <= 1, 3, 4),
            4)::UInt8 AS kind
    FROM {db}.flows AS f
)
GROUP BY month, decided, hour, vrf, server, proto, port, icmp_type, icmp_code, client, client_port, exporter, egress, import
