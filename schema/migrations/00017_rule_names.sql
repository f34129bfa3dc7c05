-- +goose NO TRANSACTION
-- +goose Up

-- The names that people gave to rules. They stay with the id of a rule, which follows from what it permits, so that the
-- same rule has its name in every proposal. In a cluster every node has all of them.
--
-- ReplacingMergeTree: the newest name of a rule stays. Readers use the view.
CREATE TABLE IF NOT EXISTS {{table "rule_name_rows"}} {{onCluster}}
(
    rule    String                COMMENT 'id of the rule',
    name    String                COMMENT 'empty where it was taken back',
    changed DateTime64(3, 'UTC')
)
ENGINE = {{engineEverywhere "ReplacingMergeTree" "changed"}}
ORDER BY rule
COMMENT 'names that people gave to rules';

CREATE VIEW IF NOT EXISTS {{table "rule_names"}} {{onCluster}} AS
SELECT rule, name, changed
FROM {{table "rule_name_rows"}} FINAL
WHERE name != '';
