-- +goose NO TRANSACTION
-- +goose Up

-- What people did with proposals, a row for each change. In a cluster every node has all of them. A proposal without a
-- row is a draft.
CREATE TABLE IF NOT EXISTS {{table "proposal_state_rows"}} {{onCluster}}
(
    proposal String                  COMMENT 'id of the proposal',
    changed  DateTime64(6, 'UTC'),
    state    LowCardinality(String)  COMMENT 'draft, reviewed, submitted, in-force, superseded, archived or deleted',
    person   String                  COMMENT 'who changed it',
    note     String
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" ""}}
ORDER BY (proposal, changed, state)
COMMENT 'the life of policy proposals';

-- The states of proposals in order of time; the last one of each holds.
CREATE VIEW IF NOT EXISTS {{table "proposal_states"}} {{onCluster}} AS
SELECT proposal, changed, state, person, note
FROM {{table "proposal_state_rows"}} FINAL;
