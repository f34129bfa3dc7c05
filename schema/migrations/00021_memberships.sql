-- +goose NO TRANSACTION
-- +goose Up

-- What sources of groups said that addresses are, and when. In a cluster every node has all of it.
--
-- ReplacingMergeTree: a membership that ended is written again with its end. Readers use the view.
CREATE TABLE IF NOT EXISTS {{table "membership_rows"}} {{onCluster}}
(
    source      LowCardinality(String) COMMENT 'name of the source in the groups file',
    category    LowCardinality(String),
    `group`     LowCardinality(String),
    vrf         LowCardinality(String) COMMENT 'empty: in every VRF',
    prefix      String                 COMMENT 'address with its length',
    valid_from  DateTime64(6, 'UTC')   COMMENT '1970: since before the source was first read',
    valid_until DateTime64(6, 'UTC')   COMMENT 'first moment that no longer counts; 2200: still so',
    ref         String                 COMMENT 'name that the source has for the object',
    written     DateTime64(6, 'UTC')
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" "written"}}
ORDER BY (source, category, `group`, vrf, prefix, valid_from)
COMMENT 'what sources of groups said that addresses are';

CREATE VIEW IF NOT EXISTS {{table "memberships"}} {{onCluster}} AS
SELECT prefix, vrf, category, `group`, valid_from, valid_until, source, ref
FROM {{table "membership_rows"}} FINAL;

-- The last time that each source was read (problem is empty), and the last time that it could not be.
CREATE TABLE IF NOT EXISTS {{table "membership_source_rows"}} {{onCluster}}
(
    source  String,
    failed  Bool,
    taken   DateTime64(6, 'UTC'),
    members UInt64 COMMENT 'memberships that the source gave',
    problem String COMMENT 'why nothing was taken from it'
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" "taken"}}
ORDER BY (source, failed)
COMMENT 'when sources of groups were read';

CREATE VIEW IF NOT EXISTS {{table "membership_sources"}} {{onCluster}} AS
SELECT source, failed, taken, members, problem
FROM {{table "membership_source_rows"}} FINAL;
