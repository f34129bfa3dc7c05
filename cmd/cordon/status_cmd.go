package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"cordon/internal/status"

	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "status",
		Short: "Exporters, rates, loss, queues, rows stored, and why there is no data",
		Long: `Follows a record's way from the socket to the table: what was received, decoded,
lost, published, inserted and stored, and where it gets stuck. Findings come first.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), format) },
	}
	c.Flags().StringVarP(&format, "format", "f", "text", "text or json")
	return c
}

func (a *app) status(ctx context.Context, format string) error {
	if format != "text" && format != "json" {
		return usagef("--format %q: use text or json", format)
	}
	d, err := a.runningStatus(ctx)
	if err != nil {
		a.log.Debug("no running process", "err", err)
		if d, err = a.restingStatus(ctx); err != nil {
			return err
		}
	}
	if format == "text" {
		return d.Text(a.stdout)
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		*status.Document
		Findings []status.Finding `json:"findings"`
	}{d, d.Diagnose()})
}

// runningStatus asks the process that runs on the data folder, or the one at
// http.listen.
func (a *app) runningStatus(ctx context.Context) (*status.Document, error) {
	addr := a.settings.HTTP.Listen
	if run, err := readRunFile(a.settings.DataDir); err == nil && run.HTTP != "" {
		addr = run.HTTP
	} else if a.settings.NATS.URL == "" || a.settings.ClickHouse.DSN == "" {
		return nil, fmt.Errorf("no run file: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/v1/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	d := new(status.Document)
	if err := json.NewDecoder(resp.Body).Decode(d); err != nil {
		return nil, fmt.Errorf("%s: %w", req.URL, err)
	}
	return d, nil
}

// restingStatus looks at the servers alone.
func (a *app) restingStatus(ctx context.Context) (*status.Document, error) {
	st, err := a.openStore(ctx, storeNeeds{bus: true})
	if err != nil {
		return nil, err
	}
	defer st.close()
	d := &status.Document{Version: buildVersion(), Taken: time.Now()}
	d.AddStream(ctx, st.Bus)
	d.AddStore(ctx, st.Conn)
	return d, nil
}
