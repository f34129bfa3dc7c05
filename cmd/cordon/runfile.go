package main

import (
	"cordon/internal/clickhousehttp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// runFile, in the data folder, tells other commands where the servers of a
// running `cordon up` are. It is stale when nothing answers there.
const runFile = "up.json"

// running is the contents of the run file.
type running struct {
	PID        int      `json:"pid"`
	NATS       string   `json:"nats"`                 // URL
	HTTP       string   `json:"http,omitempty"`       // address, empty for none
	HTTPS      bool     `json:"https,omitempty"`      // whether HTTP speaks TLS
	ClickHouse string   `json:"clickhouse,omitempty"` // address of the HTTP interface, empty for none
	UDP        []string `json:"udp,omitempty"`        // addresses of the IPFIX listeners
	TCP        []string `json:"tcp,omitempty"`
	TLS        []string `json:"tls,omitempty"`
}

func writeRunFile(dir string, r running) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, runFile), append(data, '\n'), 0o600)
}

func readRunFile(dir string) (running, error) {
	var r running
	data, err := os.ReadFile(filepath.Join(dir, runFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("no `cordon up` runs on %s", dir)
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, runFile), err)
	}
	return r, nil
}

// runningAddress is where the engine of a data folder listens now, or "".
func runningAddress(dir string) string {
	_, opts, err := clickhousehttp.Running(clickhouseDir(dir))
	if err != nil || opts == nil {
		return ""
	}
	return opts.Addr[0]
}

// isRunning says whether a process has the engine of a data folder.
func isRunning(dir string) bool {
	pid, _, err := clickhousehttp.Running(clickhouseDir(dir))
	return err == nil && pid != 0
}

// isStarting says whether a process has the engine of a data folder that does not
// listen yet.
func isStarting(dir string) bool {
	pid, opts, err := clickhousehttp.Running(clickhouseDir(dir))
	return err == nil && pid != 0 && opts == nil
}
