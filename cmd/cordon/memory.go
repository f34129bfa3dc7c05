package main

import (
	"errors"
	"fmt"
	"runtime/debug"

	"cordon/internal/config"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// memoryBound is what --max-memory allows the process in bytes; 0 means no bound.
type memoryBound int64

const (
	// engineIdle is what ClickHouse's library and its threads have resident without any data, which its account leaves out.
	engineIdle = 288 << 20
	// leastWithEngine is the least that --max-memory takes where the command runs ClickHouse itself.
	leastWithEngine memoryBound = 512 << 20
	// leastMemory is the least that --max-memory takes: less is a forgotten unit.
	leastMemory memoryBound = 1 << 20
	// codeMemoryLimit is ClickHouse's MEMORY_LIMIT_EXCEEDED.
	codeMemoryLimit = 241
)

// parseMemory reads --max-memory; an empty text is no bound.
func parseMemory(text string) (memoryBound, error) {
	if text == "" {
		return 0, nil
	}
	n, err := config.ParseSize(text)
	switch b := memoryBound(n); {
	case err != nil:
		return 0, usagef("--max-memory: %w", err)
	case b <= 0:
		return 0, usagef("--max-memory: %q is not above zero", text)
	case b < leastMemory:
		return 0, usagef("--max-memory: %q is %d bytes, and the search needs at least 1MiB: give a unit, such as 512MiB or 2GiB", text, n)
	default:
		return b, nil
	}
}

// search is what the search for few rules may allocate: the same wherever ClickHouse runs, since it may decide which rules are found.
// Without a bound it is the default of the search.
func (b memoryBound) search() int64 { return int64(b) / 8 }

// engine is what an embedded ClickHouse may take by its own account.
func (b memoryBound) engine() int64 { return (int64(b) - engineIdle) / 2 }

// apply has the Go part of the process keep to the bound, beside an engine of its own or alone.
func (b memoryBound) apply(withEngine bool) error {
	switch {
	case b == 0:
	case !withEngine:
		debug.SetMemoryLimit(int64(b) - int64(b)/8)
	case b < leastWithEngine:
		return usagef("--max-memory: %d MiB are not enough: this command runs ClickHouse itself, and both together take %d MiB at least", b>>20, leastWithEngine>>20)
	default:
		debug.SetMemoryLimit(int64(b) - engineIdle - b.engine())
	}
	return nil
}

// explain adds what to do to an error of a ClickHouse that ran out of what the bound left it.
func (b memoryBound) explain(err error) error {
	var e *clickhouse.Exception
	if b > 0 && errors.As(err, &e) && e.Code == codeMemoryLimit {
		return fmt.Errorf("--max-memory of %d MiB does not suffice for these sessions; give more, or a shorter window: %w", b>>20, err)
	}
	return err
}
