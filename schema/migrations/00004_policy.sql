-- +goose NO TRANSACTION
-- +goose Up

-- Small tables that whole answers are written to, once and as one insert. In a
-- cluster every node has all of them (no shard in their path), so that they
-- join with anything.
--
-- ReplacingMergeTree: writing the same again, after a failure or by a second
-- recommender, leaves one copy. Readers use the views, which read FINAL; the
-- tables are small.

-- Group prefixes by the file that they were loaded from. A file is known by
-- the hash of its contents.
CREATE TABLE IF NOT EXISTS {{table "group_prefixes"}} {{onCluster}}
(
    file_id  String                 COMMENT 'hash of the groups file',
    loaded   DateTime64(3, 'UTC')   COMMENT 'when this file was loaded last',
    category LowCardinality(String),
    `group`  LowCardinality(String),
    prefix   String                 COMMENT 'CIDR notation'
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" "loaded"}}
ORDER BY (file_id, category, `group`, prefix)
COMMENT 'every groups file that was loaded';

-- The groups file loaded last.
CREATE VIEW IF NOT EXISTS {{table "groups"}} {{onCluster}} AS
SELECT category, `group`, prefix, file_id, loaded
FROM {{table "group_prefixes"}} FINAL
WHERE file_id = (SELECT argMax(g.file_id, (g.loaded, g.file_id)) FROM {{table "group_prefixes"}} AS g);

-- A proposal's id is the hash of its document, so a row never changes.
CREATE TABLE IF NOT EXISTS {{table "proposal_documents"}} {{onCluster}}
(
    id          String                  COMMENT 'sha256 of the document',
    created     DateTime64(3, 'UTC')    COMMENT 'when it was computed first',
    vrf         LowCardinality(String),
    window_from DateTime64(6, 'UTC'),
    window_to   DateTime64(6, 'UTC'),
    categories  Array(String)           COMMENT 'selected, in order of precedence',
    rules       UInt32,
    lower_bound UInt32                  COMMENT 'no sound and complete rule set has fewer rules',
    optimal     Bool,
    cells       UInt64,
    sessions    UInt64                  COMMENT 'in the window',
    included    UInt64                  COMMENT 'permitted by the rules',
    document    String COMMENT 'JSON, as published' CODEC(ZSTD(6))
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" ""}}
ORDER BY (vrf, id)
COMMENT 'policy proposals';

CREATE VIEW IF NOT EXISTS {{table "proposals"}} {{onCluster}} AS
SELECT id, created, vrf, window_from, window_to, categories, rules, lower_bound, optimal, cells, sessions, included, document
FROM {{table "proposal_documents"}} FINAL;

CREATE TABLE IF NOT EXISTS {{table "proposal_rule_rows"}} {{onCluster}}
(
    proposal        String                  COMMENT 'id of the proposal',
    ordinal         UInt32                  COMMENT 'position in the document, from 0',
    id              String,
    name            String,
    action          LowCardinality(String),
    sources         Array(String)           COMMENT 'group:NAME, ip:PREFIX or any',
    destinations    Array(String)           COMMENT 'group:NAME, ip:PREFIX or any',
    services        Array(String),
    sessions        UInt64                  COMMENT 'evidence',
    flows           UInt64                  COMMENT 'evidence',
    bytes           UInt64                  COMMENT 'evidence, both directions',
    clients         UInt64                  COMMENT 'evidence',
    servers         UInt64                  COMMENT 'evidence',
    first_seen      DateTime64(6, 'UTC')    COMMENT 'evidence',
    last_seen       DateTime64(6, 'UTC')    COMMENT 'evidence',
    permitted_pairs UInt64,
    observed_pairs  UInt64
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" ""}}
ORDER BY (proposal, ordinal)
COMMENT 'rules of policy proposals';

CREATE VIEW IF NOT EXISTS {{table "proposal_rules"}} {{onCluster}} AS
SELECT proposal, ordinal, id, name, action, sources, destinations, services,
    sessions, flows, bytes, clients, servers, first_seen, last_seen, permitted_pairs, observed_pairs
FROM {{table "proposal_rule_rows"}} FINAL;
