package clickhousehttp

import (
	"cordon/internal/datafolder"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Files of Cordon's in the ClickHouse data folder, beside the engine's own
// subfolder data.
const (
	lockFile = "clickhouse.lock" // It names the process that runs the engine, and its HTTP address.
	keyFile  = "clickhouse.key"  // the password for full access, in hex
)

// insideUser is the name that goes with the key.
const insideUser = "cordon"

// ReaderUser, with the same key, is for commands that people run: it may do what
// anyone from outside may, and dashboards do not keep it waiting.
const ReaderUser = "cordon_reader"

func trimLine(s string) string { return strings.TrimRight(s, "\n") }

// readOrMakeKey returns the key of the data folder, making it the first time.
func readOrMakeKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		if key := strings.TrimSpace(string(b)); key != "" {
			return key, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("ClickHouse key: %w", err)
	}
	random := make([]byte, 24)
	rand.Read(random) // never fails
	key := hex.EncodeToString(random)
	if err := writeFile(path, key+"\n"); err != nil {
		return "", fmt.Errorf("ClickHouse key: %w", err)
	}
	return key, nil
}

// Running looks for the process that runs the engine on a data folder. Where
// there is one that listens, it returns its id and the settings with which
// clickhouse-go reaches it with full access; where there is none, nil.
func Running(dir string) (pid int, _ *clickhouse.Options, _ error) {
	holder, err := datafolder.HeldBy(dir, lockFile)
	if holder == nil || holder.Addr == "" || err != nil {
		if holder != nil {
			pid = holder.PID
		}
		return pid, nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return holder.PID, nil, fmt.Errorf("process %d runs ClickHouse on %s, but its key cannot be read: %w", holder.PID, dir, err)
	}
	return holder.PID, &clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{holder.Addr},
		Auth:     clickhouse.Auth{Database: "default", Username: insideUser, Password: strings.TrimSpace(string(key))},
	}, nil
}

// writeFile replaces a file of the data folder that only its owner may read.
func writeFile(path, content string) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
