package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"cordon/internal/bus"
	"cordon/internal/status"
	"cordon/internal/text"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
)

func (a *app) statusCommand() *cobra.Command {
	var format string
	var ready bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Exporters, rates, loss, queues, rows stored, and why there is no data",
		Long: `Follows a record's way from the socket to the table: what was received, decoded,
lost, published, inserted and stored, and where it gets stuck. Findings come first.

It asks the process on the data folder, or at http.listen; with external servers
also every other role that answers over NATS, the stream, and ClickHouse itself.
The exit code is 1 where a finding is a problem, and 3 where nothing answers at all.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ready {
				return a.ready(cmd.Context())
			}
			return a.status(cmd.Context(), format)
		},
	}
	c.Flags().BoolVar(&ready, "ready", false, "ask only whether every part of the running process can do its work, as /readyz: exit code 0, 1, or 3 where none runs")
	c.Flags().StringVarP(&format, "format", "f", "text", "text or json")
	return c
}

func (a *app) status(ctx context.Context, format string) error {
	if format != "text" && format != "json" {
		return usagef("--format %q: use text or json", format)
	}
	d, err := a.findStatus(ctx)
	if d == nil {
		return err
	}
	found := d.Diagnose()
	if format == "text" {
		if err := d.Text(a.stdout, terminalWidth(a.stdout)); err != nil {
			return err
		}
	} else {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(struct {
			*status.Document
			Findings []status.Finding `json:"findings"`
		}{d, found}); err != nil {
			return err
		}
	}
	if n := status.Problems(found); err == nil && n > 0 {
		return fmt.Errorf("status: %s", text.Count(n, "problem"))
	}
	return err
}

// findStatus takes the status from a running process if there is one, and looks
// at the external servers itself where that process does not see them. The
// document may come with an error: it says what could be found out.
func (a *app) findStatus(ctx context.Context) (*status.Document, error) {
	d, err := a.runningStatus(ctx)
	if err != nil {
		a.log.Debug("no running process", "err", err)
		if !a.rolesApart() {
			return a.restingStatus(ctx)
		}
		d = &status.Document{Version: buildVersion(), Taken: time.Now(), External: true}
	}
	if d.Store == nil && a.settings.ClickHouse.DSN != "" {
		if err := a.addExternalStore(ctx, d); err != nil {
			return nil, err
		}
	}
	if d.Stream == nil && a.settings.NATS.URL != "" {
		a.addExternalBus(ctx, d)
	}
	if d.PID == 0 && len(d.Roles) == 0 && d.Stream != nil && d.Stream.Error != "" && (d.Store == nil || d.Store.Error != "") {
		return d, unreachable(errors.New("status: nothing answers, neither a process of Cordon nor NATS nor ClickHouse"))
	}
	return d, nil
}

// rolesApart says whether the data folder holds no embedded server that could
// be opened: both servers are external, or NATS is and the folder has no tables.
func (a *app) rolesApart() bool {
	if a.settings.NATS.URL == "" {
		return false
	}
	if a.settings.ClickHouse.DSN != "" {
		return true
	}
	_, err := os.Stat(clickhouseDir(a.settings.DataDir))
	return errors.Is(err, fs.ErrNotExist)
}

// addExternalStore looks into the ClickHouse that the settings name. That it
// does not answer goes into the document.
func (a *app) addExternalStore(ctx context.Context, d *status.Document) error {
	opts, err := a.settings.ClickHouse.external()
	if err != nil {
		return err
	}
	opts.Auth.Database = database
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	defer conn.Close()
	d.AddStore(ctx, conn)
	return nil
}

// addExternalBus looks at the streams in the NATS that the settings name, and
// asks the roles there.
func (a *app) addExternalBus(ctx context.Context, d *status.Document) {
	b, err := bus.Connect(a.settings.bus(a.log))
	if err != nil {
		d.Stream = &status.Stream{Error: err.Error()}
		return
	}
	defer b.Close()
	if err := d.AddRoles(ctx, b); err != nil {
		a.log.Debug("ask the roles how they are", "err", err)
	}
	d.AddStream(ctx, b)
}

// runningStatus asks the process that runs on the data folder, or the one at
// http.listen.
func (a *app) runningStatus(ctx context.Context) (*status.Document, error) {
	_, _, err := a.runningHTTP()
	if err != nil && a.settings.NATS.URL == "" && a.settings.ClickHouse.DSN == "" {
		return nil, fmt.Errorf("no run file: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	resp, err := a.askProcess(ctx, "/api/v1/status")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Request.URL, resp.Status)
	}
	d := new(status.Document)
	if err := json.NewDecoder(resp.Body).Decode(d); err != nil {
		return nil, fmt.Errorf("%s: %w", resp.Request.URL, err)
	}
	return d, nil
}

// runningHTTP is the address of the process on the data folder, else http.listen
// with an error that says why; https says whether TLS is spoken there.
func (a *app) runningHTTP() (addr string, https bool, err error) {
	run, err := readRunFile(a.settings.DataDir)
	if err != nil || run.HTTP == "" {
		_, noTLS := webCertificate(a.settings.HTTP.WebConfig)
		return a.settings.HTTP.Listen, noTLS == nil, err
	}
	return run.HTTP, run.HTTPS, nil
}

// ready asks /readyz, for health checks that bring no HTTP client.
func (a *app) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := a.askProcess(ctx, "/readyz")
	if wrong, ok := errors.AsType[*codeError](err); ok {
		return wrong
	}
	if err != nil {
		return unreachable(fmt.Errorf("no process of Cordon answers: %w", err))
	}
	defer resp.Body.Close()
	if _, err := io.Copy(a.stdout, resp.Body); err != nil {
		return fmt.Errorf("%s: %w", resp.Request.URL, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s: %s", resp.Request.URL, resp.Status)
	}
	return nil
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
