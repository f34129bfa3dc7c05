-- +goose NO TRANSACTION
-- +goose Up

-- What exporters call their interfaces and VRFs, from options data. Small, and
-- apart from flows: names come later than the records they are for, and change.
-- In a cluster every node has all of it, so that it joins with anything.
--
-- ReplacingMergeTree: the newest name of a number stays. Readers use the view.
CREATE TABLE IF NOT EXISTS {{table "exporter_name_rows"}} {{onCluster}}
(
    time     DateTime64(3, 'UTC')   COMMENT 'when the collector found the name',
    exporter IPv6,
    domain   UInt32                 COMMENT 'observation domain id',
    kind     LowCardinality(String) COMMENT 'interface or vrf',
    id       UInt32                 COMMENT 'as in_if, out_if and vrf_id of flows',
    name     String
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" "time"}}
ORDER BY (exporter, domain, kind, id)
COMMENT 'names that exporters give to their interfaces and VRFs';

CREATE VIEW IF NOT EXISTS {{table "exporter_names"}} {{onCluster}} AS
SELECT {{text "r.exporter"}} AS exporter, r.domain AS domain, r.kind AS kind, r.id AS id, r.name AS name, r.time AS time, r.exporter AS exporter_ip
FROM {{table "exporter_name_rows"}} AS r FINAL;
