package recommender

import (
	"context"
	"fmt"
	"time"

	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// StoredRuleNames reads the names that people gave to rules.
func StoredRuleNames(ctx context.Context, conn driver.Conn) (policy.RuleNames, error) {
	rows, err := conn.Query(ctx, "SELECT rule, name FROM rule_names")
	if err != nil {
		return nil, fmt.Errorf("names of rules: %w", err)
	}
	defer rows.Close()
	out := policy.RuleNames{}
	for rows.Next() {
		var rule, name string
		if err := rows.Scan(&rule, &name); err != nil {
			return nil, err
		}
		out[rule] = name
	}
	return out, rows.Err()
}

// StoreRuleName keeps a name for a rule, instead of the one that it may have.
func StoreRuleName(ctx context.Context, conn driver.Conn, rule, name string) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO rule_name_rows (rule, name, changed)")
	if err != nil {
		return err
	}
	defer batch.Close()
	if err := batch.Append(rule, name, time.Now().UTC()); err != nil {
		return err
	}
	return batch.Send()
}
