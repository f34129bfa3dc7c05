package collector

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cordon/categories"
	"cordon/collector/direction"
	"cordon/collector/ipfix"
	"cordon/schema"
)

// Config configures a [Collector]. Its keys stand under "collector" in
// cordon.yaml.
type Config struct {
	UDP UDPConfig `mapstructure:"udp"`
	TCP TCPConfig `mapstructure:"tcp"`
	TLS TLSConfig `mapstructure:"tls"`

	// Allow lists the prefixes from which exporters may send. Empty means
	// all. What others send is counted and not decoded.
	Allow []netip.Prefix `mapstructure:"allow"`

	// Mediators lists the prefixes of senders whose records may name the exporter
	// that they come from (IE 130, 131, 403 to 405). What others say of that is
	// not believed: they could lay their records to anybody.
	Mediators []netip.Prefix `mapstructure:"mediators"`

	Decoder   DecoderConfig   `mapstructure:"decoder"`
	Direction DirectionConfig `mapstructure:"direction"`
	Batch     BatchConfig     `mapstructure:"batch"`
	Queue     QueueConfig     `mapstructure:"queue"`

	// StatsInterval is how often what happened at each exporter is written
	// to table exporter_stats.
	StatsInterval time.Duration `mapstructure:"stats_interval"`
	// StopTimeout is how long a stop may take: sealing, publishing and
	// waiting for acknowledgements. What is left then goes to disk, where a
	// data folder is set.
	StopTimeout time.Duration `mapstructure:"stop_timeout"`
	// MetricsExporters is how many exporters have metrics of their own.
	// Those of the others are added up under exporter="other".
	MetricsExporters int `mapstructure:"metrics_exporters"`
}

// UDPConfig configures the UDP listeners.
type UDPConfig struct {
	// Listen are the addresses to listen on. An address without a host
	// means IPv4 and IPv6. Empty means none.
	Listen []string `mapstructure:"listen"`
	// Sockets is how many sockets share each address (SO_REUSEPORT). The
	// kernel gives an exporter's datagrams always to the same one.
	Sockets int `mapstructure:"sockets"`
	// ReceiveBuffer is the size in bytes asked of the kernel for each
	// socket's receive buffer.
	ReceiveBuffer int `mapstructure:"receive_buffer"`
}

// TCPConfig configures the TCP listeners.
type TCPConfig struct {
	// Listen are the addresses to listen on. Empty means none.
	Listen []string `mapstructure:"listen"`
	// MaxConnections is how many connections may be open at a time, TLS
	// connections counted apart. One takes about 128 KiB of memory.
	MaxConnections int `mapstructure:"max_connections"`
	// IdleTimeout closes a connection on which nothing has come for so long.
	IdleTimeout time.Duration `mapstructure:"idle_timeout"`
}

// TLSConfig configures the TLS listeners. They are off without a certificate.
// MaxConnections and IdleTimeout are those of TCP.
type TLSConfig struct {
	// Listen are the addresses to listen on.
	Listen []string `mapstructure:"listen"`
	// Cert and Key are PEM files. They are read again when they change.
	Cert string `mapstructure:"cert"`
	Key  string `mapstructure:"key"`
	// ClientCA is a PEM file of authorities. If it is given, an exporter
	// must present a certificate that one of them has signed.
	ClientCA string `mapstructure:"client_ca"`
}

// DecoderConfig is [ipfix.Config] under its keys in cordon.yaml: what the
// decoder may remember, per exporter and in total.
type DecoderConfig struct {
	TemplateLifetime   time.Duration `mapstructure:"template_lifetime"`
	WaitFor            time.Duration `mapstructure:"wait_for"`
	MaxSources         int           `mapstructure:"max_sources"`
	MaxDomains         int           `mapstructure:"max_domains"`
	MaxTemplates       int           `mapstructure:"max_templates"`
	MaxFields          int           `mapstructure:"max_fields"`
	MaxStateBytes      int64         `mapstructure:"max_state_bytes"`
	MaxTotalStateBytes int64         `mapstructure:"max_total_state_bytes"`
	MaxWaitingBytes    int64         `mapstructure:"max_waiting_bytes"`
	MaxTotalWaiting    int64         `mapstructure:"max_total_waiting"`
}

// DirectionConfig is what a site may add to the rules of package direction.
type DirectionConfig struct {
	// Ephemeral are the ranges of ports that clients are given, such as
	// 49152-65535. Empty means IANA's and Linux's.
	Ephemeral []string `mapstructure:"ephemeral"`
	// Services are known services beside the well-known ones, such as
	// tcp/50051. A known port is the server's, even in an ephemeral range.
	Services []string `mapstructure:"services"`
}

// rules gives the direction rules that the configuration describes.
func (c *DirectionConfig) rules() (*direction.Rules, error) {
	var d direction.Config
	for _, text := range c.Ephemeral {
		lo, hi, ok := strings.Cut(text, "-")
		if !ok {
			hi = lo
		}
		l, err := strconv.ParseUint(strings.TrimSpace(lo), 10, 16)
		h, err2 := strconv.ParseUint(strings.TrimSpace(hi), 10, 16)
		if err != nil || err2 != nil {
			return nil, fmt.Errorf("collector.direction.ephemeral: %q is not a range of ports such as 49152-65535", text)
		}
		d.Ephemeral = append(d.Ephemeral, direction.PortRange{Lo: uint16(l), Hi: uint16(h)})
	}
	for _, text := range c.Services {
		term, err := categories.ParseServiceTerm(text)
		if err != nil {
			return nil, fmt.Errorf("collector.direction.services: %w", err)
		}
		d.Services = append(d.Services, term)
	}
	r, err := direction.New(d)
	if err != nil {
		return nil, fmt.Errorf("collector.direction: %w", err)
	}
	return r, nil
}

// BatchConfig says when a batch is sealed: whichever limit is met first.
type BatchConfig struct {
	MaxRows  int           `mapstructure:"max_rows"`  // records, at most [schema.MaxRows]
	MaxBytes int           `mapstructure:"max_bytes"` // compressed, at most [schema.MaxPayload]
	MaxAge   time.Duration `mapstructure:"max_age"`   // age counted from the first record
}

// QueueConfig bounds what waits for NATS.
type QueueConfig struct {
	// Memory is how many bytes of sealed batches may wait in memory.
	Memory int64 `mapstructure:"memory"`
	// Disk is how many bytes may wait in the spool folder, where a data
	// folder is set.
	Disk int64 `mapstructure:"disk"`
	// InFlight is how many batches may be on their way to NATS,
	// unacknowledged.
	InFlight int `mapstructure:"in_flight"`
	// AckTimeout is how long to wait for the acknowledgement of one batch
	// before it is sent again.
	AckTimeout time.Duration `mapstructure:"ack_timeout"`
}

// DefaultConfig listens on the ports that IANA has assigned to IPFIX.
func DefaultConfig() Config {
	return Config{
		UDP:              UDPConfig{Listen: []string{":4739"}, Sockets: 1, ReceiveBuffer: 32 << 20},
		TCP:              TCPConfig{Listen: []string{":4739"}, MaxConnections: 512, IdleTimeout: 2 * time.Hour},
		TLS:              TLSConfig{Listen: []string{":4740"}},
		Mediators:        []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Decoder:          DecoderConfig(ipfix.DefaultConfig()),
		Batch:            BatchConfig{MaxRows: schema.MaxRows, MaxBytes: schema.MaxPayload, MaxAge: time.Second},
		Queue:            QueueConfig{Memory: 128 << 20, Disk: 4 << 30, InFlight: 8, AckTimeout: 10 * time.Second},
		StatsInterval:    10 * time.Second,
		StopTimeout:      10 * time.Second,
		MetricsExporters: 200,
	}
}

// Validate says what is wrong, by key.
func (c *Config) Validate() error {
	return errors.Join(
		checkListen("udp.listen", c.UDP.Listen...),
		checkListen("tcp.listen", c.TCP.Listen...),
		checkListen("tls.listen", c.TLS.Listen...),
		between("udp.sockets", c.UDP.Sockets, 1, 64),
		between("udp.receive_buffer", c.UDP.ReceiveBuffer, 64<<10, 1<<30),
		between("tcp.max_connections", c.TCP.MaxConnections, 1, 1<<16),
		atLeast("tcp.idle_timeout", c.TCP.IdleTimeout, time.Second),
		c.TLS.validate(),
		c.Batch.validate(),
		c.Queue.validate(),
		atLeast("stats_interval", c.StatsInterval, 100*time.Millisecond),
		atLeast("stop_timeout", c.StopTimeout, 0),
		between("metrics_exporters", c.MetricsExporters, 0, 100_000),
	)
}

func (c *TLSConfig) validate() error {
	if (c.Cert == "") != (c.Key == "") {
		return errors.New("collector.tls: cert and key belong together; one of them is missing")
	}
	if c.ClientCA != "" && c.Cert == "" {
		return errors.New("collector.tls: client_ca needs cert and key")
	}
	return nil
}

func (c *BatchConfig) validate() error {
	return errors.Join(
		between("batch.max_rows", c.MaxRows, 1, schema.MaxRows),
		between("batch.max_bytes", c.MaxBytes, 4<<10, schema.MaxPayload),
		atLeast("batch.max_age", c.MaxAge, time.Millisecond),
	)
}

func (c *QueueConfig) validate() error {
	return errors.Join(
		between("queue.memory", c.Memory, schema.MaxPayload, 1<<40),
		between("queue.disk", c.Disk, 0, 1<<50),
		between("queue.in_flight", c.InFlight, 1, 256),
		atLeast("queue.ack_timeout", c.AckTimeout, 10*time.Millisecond),
	)
}

// CheckListen says what is wrong with an address to listen on: a host, which may be
// empty for all addresses, and a port.
func CheckListen(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%q is not an address to listen on, such as :4739, 127.0.0.1:4739 or [::1]:4739", address)
	}
	return nil
}

func checkListen(key string, addresses ...string) error {
	for _, a := range addresses {
		if err := CheckListen(a); err != nil {
			return fmt.Errorf("collector.%s: %w", key, err)
		}
	}
	return nil
}

func between[T int | int64](key string, v, lo, hi T) error {
	if v < lo || v > hi {
		return fmt.Errorf("collector.%s is %d; it must be from %d to %d", key, v, lo, hi)
	}
	return nil
}

func atLeast(key string, v, lo time.Duration) error {
	if v < lo {
		return fmt.Errorf("collector.%s is %v; it must be at least %v", key, v, lo)
	}
	return nil
}
