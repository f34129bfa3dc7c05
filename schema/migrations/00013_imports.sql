-- +goose NO TRANSACTION
-- +goose Up

-- The imports of files, each a row that changes its state. In a cluster every
-- node has all of them.
--
-- ReplacingMergeTree: the newest state of an import stays. Readers use the view.
-- The instance is part of the key so that two imports which took the same number
-- at the same time see each other, and one takes another number.
CREATE TABLE IF NOT EXISTS {{table "import_rows"}} {{onCluster}}
(
    id         UInt32                COMMENT 'number of the import, as in column import of flows and sessions_hourly',
    instance   String                COMMENT 'as column collector of exporter_stats; the batches'' ids begin with it',
    state      Enum8('started' = 1, 'done' = 2, 'undoing' = 3, 'undone' = 4, 'forgotten' = 5),
    file       String                COMMENT 'name of the file as it was given; empty where another import had the same number first',
    digest     String                COMMENT 'SHA-256 of the file''s contents, decompressed',
    records    UInt64                COMMENT 'flow records read',
    bad_rows   UInt64                COMMENT 'rows that were passed over on request',
    process    String                COMMENT 'host and process id of whoever imports or takes back',
    started    DateTime64(3, 'UTC'),
    changed    DateTime64(3, 'UTC')  COMMENT 'when the state was written last; a running import writes it again and again',
    version    UInt64                COMMENT 'counts the writes of this row'
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" "version"}}
ORDER BY (id, instance)
COMMENT 'imports of files';

CREATE VIEW IF NOT EXISTS {{table "imports"}} {{onCluster}} AS
SELECT id, state, file, digest, records, bad_rows, started, changed, process, instance
FROM {{table "import_rows"}} FINAL
WHERE file != '';
