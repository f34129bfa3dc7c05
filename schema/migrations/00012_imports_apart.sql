-- +goose NO TRANSACTION
-- +goose Up

-- Rows know the import that brought them, so that one import can be taken back.
-- In sessions_hourly the number is the last part of the sorting key: the sums
-- of different imports are never merged, and the views, which group by
-- exporter, add them up as before. What exporters sent has number 0.
ALTER TABLE {{local "flows"}} {{onCluster}}
    ADD COLUMN IF NOT EXISTS import UInt32 COMMENT 'number of the import, see view imports; 0 for what exporters sent';
{{alsoDistributed "flows" "ADD COLUMN IF NOT EXISTS import UInt32"}}

ALTER TABLE {{local "sessions_hourly"}} {{onCluster}}
    ADD COLUMN IF NOT EXISTS import UInt32 COMMENT 'number of the import, see view imports; 0 for what exporters sent',
    MODIFY ORDER BY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour, egress, import);
{{alsoDistributed "sessions_hourly" "ADD COLUMN IF NOT EXISTS import UInt32"}}
