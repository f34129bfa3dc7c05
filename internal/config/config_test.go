package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
)

type settings struct {
	DataDir string `mapstructure:"data_dir"`
	NATS    struct {
		URL      string `mapstructure:"url"`
		MaxBytes int64  `mapstructure:"max_bytes"`
	} `mapstructure:"nats"`
	Collector struct {
		Seal  time.Duration  `mapstructure:"seal_after"`
		Allow []netip.Prefix `mapstructure:"allow"`
		UDP   []string       `mapstructure:"udp"`
	} `mapstructure:"collector"`
}

func defaults() (s settings) {
	s.DataDir = "data"
	s.NATS.MaxBytes = 1 << 20
	s.Collector.Seal = time.Second
	s.Collector.UDP = []string{":4739"}
	return s
}

func load(t *testing.T, yaml string, env map[string]string, args ...string) (settings, *Loader, error) {
	t.Helper()
	for k, v := range env {
		t.Setenv(k, v)
	}
	l, err := NewLoader(defaults())
	if err != nil {
		t.Fatal(err)
	}
	fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
	fs.String("data-dir", "", "")
	l.BindFlag("data_dir", fs.Lookup("data-dir"))
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.ReadFile(file, true); err != nil {
		return settings{}, l, err
	}
	var s settings
	err = l.Load(&s)
	return s, l, err
}

func TestPrecedence(t *testing.T) {
	const file = "data_dir: from-file\nnats:\n  url: nats://file:4222\n  max_bytes: 2GiB\ncollector:\n  seal_after: 3s\n  allow: [10.0.0.0/8, '2001:db8::/32', 192.0.2.7]\n"
	got, l, err := load(t, file, map[string]string{"CORDON_NATS_URL": "nats://env:4222", "CORDON_COLLECTOR_UDP": ":1,:2"}, "--data-dir", "from-flag")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.DataDir = "from-flag"
	want.NATS.URL = "nats://env:4222"
	want.NATS.MaxBytes = 2 << 30
	want.Collector.Seal = 3 * time.Second
	want.Collector.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("192.0.2.7/32")}
	want.Collector.UDP = []string{":1", ":2"}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
		t.Fatal(d)
	}
	for key, want := range map[string]string{
		"data_dir": "flag --data-dir", "nats.url": "environment CORDON_NATS_URL",
		"collector.seal_after": "c.yaml:6",
	} {
		if got := l.Source(key); !strings.HasSuffix(got, want) {
			t.Errorf("source of %s = %q, want %q", key, got, want)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, tc := range []struct{ name, yaml, want string }{
		{"unknown key", "nats:\n  urll: x\n", "c.yaml:2: unknown key nats.urll; did you mean nats.url?"},
		{"unknown section", "colector:\n  seal_after: 1s\n", "c.yaml:1: unknown key colector; did you mean collector?"},
		{"wrong type", "\ncollector:\n  seal_after: soon\n", `c.yaml:3: collector.seal_after: "soon" is not a duration, such as`},
		{"bad prefix", "collector:\n  allow: [10.0.0.300/8]\n", `c.yaml:2: collector.allow[0]: "10.0.0.300/8" is neither a prefix`},
		{"bad size", "nats:\n  max_bytes: lots\n", `c.yaml:2: nats.max_bytes: "lots" is not a whole number, nor a size`},
		{"not a mapping", "- a\n", "c.yaml:1: the file must be a mapping"},
		{"broken YAML", "a: [\n", "c.yaml:1: "},
		{"broken YAML further on", "nats:\n  url: x\n url: y\n", "c.yaml:2: "},
		{"a number without a unit", "collector:\n  seal_after: 5\n", `c.yaml:2: collector.seal_after: "5" has no unit: write 5s, 5m, 5h or 5d`},
		{"a fraction without a unit", "collector:\n  seal_after: 0.5\n", `"0.5" has no unit`},
		{"a text without a unit", "collector:\n  seal_after: '60'\n", `"60" has no unit`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := load(t, tc.yaml, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %q does not contain %q", err, tc.want)
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "17": 17, "1KiB": 1024, "2 MiB": 2 << 20, "3GB": 3e9, "-1": -1} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "1 potato", "99999999999TiB"} {
		if n, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, n)
		}
	}
}
