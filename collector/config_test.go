package collector

import (
	"strings"
	"testing"
	"time"

	"cordon/collector/ipfix"
)

func TestDefaultConfigIsValid(t *testing.T) {
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	if got := ipfix.Config(cfg.Decoder); got != ipfix.DefaultConfig() {
		t.Errorf("decoder %+v", got)
	}
}

func TestConfigErrorsNameTheKey(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.UDP.Listen = []string{":4739", ":99999"} }, `collector.udp.listen: ":99999" is not an address to listen on`},
		{func(c *Config) { c.TCP.Listen = []string{"4739"} }, `collector.tcp.listen: "4739" is not`},
		{func(c *Config) { c.TLS.Listen = []string{"::1:4740"} }, `collector.tls.listen: "::1:4740" is not`},
		{func(c *Config) { c.UDP.Sockets = 0 }, "collector.udp.sockets is 0; it must be from 1 to 64"},
		{func(c *Config) { c.UDP.ReceiveBuffer = 1 }, "collector.udp.receive_buffer"},
		{func(c *Config) { c.TCP.MaxConnections = -1 }, "collector.tcp.max_connections"},
		{func(c *Config) { c.TCP.IdleTimeout = 0 }, "collector.tcp.idle_timeout is 0s; it must be at least 1s"},
		{func(c *Config) { c.TLS.Cert = "cert.pem" }, "collector.tls"},
		{func(c *Config) { c.TLS.ClientCA = "ca.pem" }, "collector.tls: client_ca"},
		{func(c *Config) { c.Batch.MaxRows = 1 << 20 }, "collector.batch.max_rows"},
		{func(c *Config) { c.Batch.MaxBytes = 2 << 20 }, "collector.batch.max_bytes"},
		{func(c *Config) { c.Batch.MaxAge = 0 }, "collector.batch.max_age"},
		{func(c *Config) { c.Queue.Memory = 1 }, "collector.queue.memory"},
		{func(c *Config) { c.Queue.InFlight = 0 }, "collector.queue.in_flight"},
		{func(c *Config) { c.Queue.AckTimeout = time.Microsecond }, "collector.queue.ack_timeout"},
		{func(c *Config) { c.StatsInterval = 0 }, "collector.stats_interval"},
		{func(c *Config) { c.Direction.Ephemeral = []string{"60000-"} }, `collector.direction.ephemeral: "60000-"`},
		{func(c *Config) { c.Direction.Ephemeral = []string{"70000-80000"} }, "collector.direction.ephemeral"},
		{func(c *Config) { c.Direction.Ephemeral = []string{"9-8"} }, "collector.direction"},
		{func(c *Config) { c.Direction.Services = []string{"tcp/x"} }, "collector.direction.services"},
	} {
		cfg := DefaultConfig()
		tt.change(&cfg)
		if _, err := New(cfg, Deps{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %q does not say %q", err, tt.want)
		}
	}
}
