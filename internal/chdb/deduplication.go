package chdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// RepairDeduplication makes the deduplication logs of a data folder agree with
// the parts that are there. The engine notes an insert's token in the log
// before it gives the part its name: killed between the two, it would take the
// insert, made again, for a duplicate, and its rows would be lost. So the
// entries of parts that no part on disk covers are taken out, as is a line that
// was cut short. The engine must not be running.
//
// Entries of parts that were dropped since go as well, which does no harm:
// nobody repeats an insert that old.
func RepairDeduplication(data string) (removed int, err error) {
	logs, err := filepath.Glob(filepath.Join(data, "store", "*", "*", "deduplication_logs", "deduplication_log_*.txt"))
	if err != nil {
		return 0, err
	}
	for _, name := range logs {
		n, err := repairLog(name)
		if err != nil {
			return removed, fmt.Errorf("deduplication log %s: %w", name, err)
		}
		removed += n
	}
	return removed, nil
}

func repairLog(name string) (removed int, err error) {
	old, err := os.ReadFile(name)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	entries, err := os.ReadDir(filepath.Dir(filepath.Dir(name)))
	if err != nil {
		return 0, err
	}
	parts := map[string][]blockRange{} // keys are partitions
	for _, e := range entries {
		if partition, r, ok := parsePart(e.Name()); ok {
			parts[partition] = append(parts[partition], r)
		}
	}
	kept := make([]byte, 0, len(old))
	for line := range bytes.Lines(old) {
		if line[len(line)-1] != '\n' || !covered(string(line), parts) {
			removed++
			continue
		}
		kept = append(kept, line...)
	}
	if removed == 0 {
		return 0, nil
	}
	tmp := name + ".tmp"
	return removed, errors.Join(os.WriteFile(tmp, kept, 0o644), os.Rename(tmp, name))
}

// covered tells whether a line of the log ("1", part and block id, separated by
// tabs) notes a part whose blocks are on disk. Lines of another form are the
// engine's business and stay.
func covered(line string, parts map[string][]blockRange) bool {
	fields := strings.Split(line, "\t")
	if len(fields) != 3 || fields[0] != "1" {
		return true
	}
	partition, want, ok := parsePart(fields[1])
	if !ok {
		return true
	}
	for _, have := range parts[partition] {
		if have.min <= want.min && want.max <= have.max {
			return true
		}
	}
	return false
}

// blockRange is the numbers of the first and last block in a part.
type blockRange struct{ min, max int64 }

// parsePart reads the name of a part: partition_min_max_level, and _mutation
// where there was one. Folders that are no parts, or not complete (tmp_…), give
// false.
func parsePart(name string) (partition string, r blockRange, ok bool) {
	f := strings.Split(name, "_")
	if len(f) != 4 && len(f) != 5 {
		return "", r, false
	}
	for i, into := range []*int64{&r.min, &r.max, new(int64)} {
		n, err := strconv.ParseInt(f[i+1], 10, 64)
		if err != nil {
			return "", r, false
		}
		*into = n
	}
	return f[0], r, true
}
