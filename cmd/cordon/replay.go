package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"cordon/collector/flowfile"
	"cordon/collector/replay"
	"cordon/schema"

	"github.com/spf13/cobra"
)

func (a *app) replayCommand() *cobra.Command {
	var cfg replay.Config
	var from string
	c := &cobra.Command{
		Use:   "replay FILE --to HOST:PORT",
		Short: "Be a monitor node: export a file's flows as IPFIX",
		Long: `Exports the flow records of a file as IPFIX, in the templates of a monitor node:
one record for each direction, or with --biflow one for both (RFC 5103).

` + fileFormats,
		Example: "  cordon replay flows.csv --to 127.0.0.1:4739 --rate 1000",
		Args:    oneArgument("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cfg.To == "" {
				return usagef("--to HOST:PORT says where the collector is")
			}
			if _, port, err := net.SplitHostPort(cfg.To); err != nil || port == "" {
				return usagef("--to %q: not HOST:PORT, such as 127.0.0.1:4739", cfg.To)
			}
			if cfg.Transport != "udp" && cfg.Transport != "tcp" {
				return usagef("--transport %q: use udp or tcp", cfg.Transport)
			}
			if cfg.Rate < 0 {
				return usagef("--rate %v: must not be negative", cfg.Rate)
			}
			if from != "" {
				addr, err := netip.ParseAddr(from)
				if err != nil {
					return usagef("--source %q: not an address", from)
				}
				cfg.From = addr
			}
			return a.replay(cmd.Context(), args[0], cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.To, "to", "", "host:port of the collector (required)")
	f.StringVar(&cfg.Transport, "transport", "udp", "udp or tcp")
	f.Float64Var(&cfg.Rate, "rate", 0, "records a second (default: no limit)")
	f.BoolVar(&cfg.Biflow, "biflow", false, "both directions in one record")
	f.Uint32Var(&cfg.Domain, "domain", 1, "observation domain id")
	f.Uint32Var(&cfg.Sampling, "sampling", 0, "announce that one packet in so many was looked at")
	f.StringVar(&from, "source", "", "local address to send from, such as 127.0.0.2")
	return c
}

func (a *app) replay(ctx context.Context, file string, cfg replay.Config) (err error) {
	r, err := flowfile.Open(file)
	if err != nil {
		return usageError(err)
	}
	defer r.Close()
	e, err := replay.Dial(ctx, cfg)
	if err != nil {
		return unreachable(err)
	}
	bad := 0
	for {
		var rec schema.Record
		err := r.Next(&rec)
		var row *flowfile.RowError
		switch {
		case errors.Is(err, io.EOF):
			if err := errors.Join(e.Flush(ctx), e.Close()); err != nil {
				return unreachable(err)
			}
			s := e.Stats()
			fmt.Fprintf(a.stdout, "%d records in %d messages sent to %s\n", s.Records, s.Messages, cfg.To)
			if bad > 0 {
				return usagef("%d rows were left out; the first ones are named above", bad)
			}
			return nil
		case errors.As(err, &row):
			if bad++; bad <= shownRowErrors {
				fmt.Fprintf(a.stderr, "cordon: %v\n", err)
			}
			continue
		case err != nil:
			return errors.Join(err, e.Close())
		}
		if err := e.Export(ctx, &rec); err != nil {
			return unreachable(errors.Join(err, e.Close()))
		}
	}
}
