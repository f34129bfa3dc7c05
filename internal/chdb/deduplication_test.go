package chdb

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRepairDeduplication(t *testing.T) {
	data := t.TempDir()
	table := filepath.Join(data, "store", "abc", "abcdef")
	for _, dir := range []string{"deduplication_logs", "20261120_1_4_1", "20261120_6_6_0_9", "tmp_insert_20261120_7_7_0", "detached", "20261121-1_1_1_0"} {
		if err := os.MkdirAll(filepath.Join(table, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(table, "deduplication_logs", "deduplication_log_1.txt")
	const (
		merged   = "1\t20261120_2_2_0\t20261120_a\n"
		mutated  = "1\t20261120_6_6_0\t20261120_b\n"
		other    = "1\t20261121-1_1_1_0\t20261121-1_c\n"
		lost     = "1\t20261120_7_7_0\t20261120_d\n" // its folder never got its name
		elsewise = "2\t20261120_9_9_0\t20261120_e\n"
		cut      = "1\t20261120_1_1_0\t2026"
	)
	write := func(s string) {
		if err := os.WriteFile(log, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(merged + mutated + lost + other + elsewise + cut)
	for _, want := range []int{2, 0} {
		n, err := RepairDeduplication(data)
		if err != nil || n != want {
			t.Fatalf("%d entries removed, %v; want %d", n, err, want)
		}
		got, err := os.ReadFile(log)
		if err != nil || string(got) != merged+mutated+other+elsewise {
			t.Fatalf("the log is %q, %v", got, err)
		}
	}
}
