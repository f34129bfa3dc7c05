//lint:file-ignore SA1019 The boards are in the classic form, which people import and provisioning reads.

// Command boards writes the dashboards of deployments/grafana/boards, as the JSON that Grafana imports.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// folder is where the boards are kept, from the root of the repository.
var folder = filepath.Join("deployments", "grafana", "boards")

// all are the boards by the names of their files.
var all = map[string]func() *board{
	"collection.json": collection,
	"sessions.json":   sessions,
	"policy.json":     policy,
}

func main() {
	for name, made := range all {
		data, err := text(made())
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), data, 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "boards: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// text is a board as it stands in its file.
func text(b *board) ([]byte, error) {
	built, err := b.dashboard.Build()
	if err != nil {
		return nil, err
	}
	nameRows(&built)
	data, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// nameRows gives the rows ids that no panel has.
func nameRows(d *dashboard.Dashboard) {
	for i := range d.Panels {
		if row := d.Panels[i].RowPanel; row != nil {
			row.Id = uint32(1000 + i)
		}
	}
}
