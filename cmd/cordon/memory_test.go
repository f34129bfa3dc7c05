package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func TestMemoryBound(t *testing.T) {
	for text, want := range map[string]memoryBound{"": 0, "512MiB": 512 << 20, "2GiB": 2 << 30} {
		if got, err := parseMemory(text); got != want || err != nil {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "10", "lots", "1KiB"} {
		if _, err := parseMemory(text); err == nil || !strings.HasPrefix(err.Error(), "--max-memory: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
	// What is handed out is not more than there is.
	for _, b := range []memoryBound{leastWithEngine, 1 << 30, 4 << 30} {
		if parts := engineIdle + 2*b.engine(); parts > int64(b) || b.search() > b.engine() {
			t.Errorf("%d bytes: parts of %d, the search takes %d", b, parts, b.search())
		}
	}
	var wrong *codeError
	if err := (leastWithEngine - 1).apply(true); !errors.As(err, &wrong) || wrong.code != exitUsage {
		t.Errorf("too little for ClickHouse: %v", err)
	}
	out := fmt.Errorf("classify: %w", &clickhouse.Exception{Code: codeMemoryLimit, Message: "memory limit exceeded"})
	if err := memoryBound(1 << 30).explain(out); !errors.Is(err, out) || !strings.Contains(err.Error(), "--max-memory of 1024 MiB does not suffice") {
		t.Error(err)
	}
	if err := memoryBound(0).explain(out); err != out {
		t.Error(err)
	}
}
