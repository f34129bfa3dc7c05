-- +goose NO TRANSACTION
-- +goose Up

-- What NAT makes of the ends of a record. `flows` keeps what was dialled beside
-- it; a session has the hosts at its ends (see Record.Ends of package schema).
ALTER TABLE {{local "flows"}} {{onCluster}}
    ADD COLUMN IF NOT EXISTS post_src_ip   IPv6   COMMENT 'source after NAT (IE 225, 281), IPv4 mapped; :: where it stays',
    ADD COLUMN IF NOT EXISTS post_dst_ip   IPv6   COMMENT 'destination after NAT (IE 226, 282), IPv4 mapped; :: where it stays',
    ADD COLUMN IF NOT EXISTS post_src_port UInt16 COMMENT 'source port after NAT (IE 227); 0 where it stays',
    ADD COLUMN IF NOT EXISTS post_dst_port UInt16 COMMENT 'destination port after NAT (IE 228); 0 where it stays';
{{alsoDistributed "flows" "ADD COLUMN IF NOT EXISTS post_src_ip IPv6, ADD COLUMN IF NOT EXISTS post_dst_ip IPv6, ADD COLUMN IF NOT EXISTS post_src_port UInt16, ADD COLUMN IF NOT EXISTS post_dst_port UInt16"}}

-- One exporter may meter a flow where its packets enter and again where they
-- leave. In the key, since the views take the most that one place saw.
ALTER TABLE {{local "sessions_hourly"}} {{onCluster}}
    ADD COLUMN IF NOT EXISTS egress Bool COMMENT 'metered where packets leave the exporter',
    MODIFY ORDER BY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour, egress);
{{alsoDistributed "sessions_hourly" "ADD COLUMN IF NOT EXISTS egress Bool"}}
ALTER TABLE {{local "sessions_hourly"}} {{onCluster}} COMMENT COLUMN client_port 'where undecided, and of TFTP (udp/69), else 0';
