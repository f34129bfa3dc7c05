package categories

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestServiceString(t *testing.T) {
	for _, tc := range []struct {
		service Service
		want    string
	}{
		{NewService(6, 443, 9), "tcp/443"},
		{NewService(17, 0, 9), "udp/0"},
		{NewService(1, 443, 8), "icmp/8"},
		{NewService(58, 0, 128), "ipv6-icmp/128"},
		{NewService(47, 443, 8), "gre"},
		{NewService(132, 2905, 0), "sctp/2905"},
		{NewService(33, 1, 0), "dccp/1"},
		{NewService(136, 1, 0), "udplite/1"},
		{NewService(0, 0, 0), "hopopt"},
		{NewService(200, 5, 5), "200"},
	} {
		if got := tc.service.String(); got != tc.want {
			t.Errorf("%#v is %q, want %q", tc.service, got, tc.want)
		}
		if got, err := ParseService(tc.want); err != nil || got != tc.service {
			t.Errorf("ParseService(%q) = %#v, %v; want %#v", tc.want, got, err, tc.service)
		}
	}
	var s Service
	if err := json.Unmarshal([]byte(`"TCP/22"`), &s); err != nil || s != (Service{6, 22}) {
		t.Errorf("JSON: got %v, %v", s, err)
	}
	if text, err := json.Marshal(s); err != nil || string(text) != `"tcp/22"` {
		t.Errorf("JSON: got %s, %v", text, err)
	}
}

func TestParseServiceTerm(t *testing.T) {
	for text, want := range map[string]ServiceTerm{
		"tcp/443":       {6, 443, 443},
		"6/443":         {6, 443, 443},
		"TCP/1024-2048": {6, 1024, 2048},
		"udp":           {17, 0, 65535},
		"udp/0-65535":   {17, 0, 65535},
		"icmp":          {1, 0, 255},
		"icmp/8":        {1, 8, 8},
		"icmp6/128-129": {58, 128, 129},
		"gre":           {47, 0, 0},
		"47":            {47, 0, 0},
		"a/n":           {107, 0, 0},
		"tcp/5-5":       {6, 5, 5},
	} {
		if got, err := ParseServiceTerm(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":            "unknown protocol",
		"/":           "unknown protocol",
		"foo/1":       "unknown protocol",
		"https":       "unknown protocol",
		"tcp/":        "the port must be a number from 0 to 65535",
		"tcp/65536":   "the port must be a number from 0 to 65535",
		"tcp/-1":      "the port must be",
		"tcp/+1":      "the port must be",
		"tcp/1-":      "the port must be",
		"tcp/1-2-3":   "the port must be",
		"tcp/80,443":  "the port must be",
		"tcp/https":   "the port must be",
		"tcp/443/1":   "the port must be",
		"tcp/ 1":      "the port must be",
		"tcp/9-1":     "backwards, write tcp/1-9",
		"icmp/256":    "the type must be a number from 0 to 255",
		"gre/1":       "has no ports, write gre alone",
		"tcp/1\n2":    "the port must be",
		"tcp/99999-1": "the port must be",
	} {
		if got, err := ParseServiceTerm(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v; want an error with %q", text, got, err, want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error of several lines: %v", text, err)
		}
	}
	for _, text := range []string{"tcp", "icmp", "tcp/1-2"} {
		if s, err := ParseService(text); err == nil || !strings.Contains(err.Error(), "is a range") {
			t.Errorf("ParseService(%q) = %v, %v; want an error", text, s, err)
		}
	}
}

func drawTerm(t *rapid.T) ServiceTerm {
	proto := rapid.SampledFrom([]uint8{0, 1, 6, 17, 33, 47, 58, 132, 136, 200}).Draw(t, "proto")
	limit := maxPort(proto)
	lo := rapid.Uint16Range(0, limit).Draw(t, "lo")
	return ServiceTerm{proto, lo, rapid.Uint16Range(lo, limit).Draw(t, "hi")}
}

func TestServiceTermProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTerm(t), drawTerm(t)
		if got, err := ParseServiceTerm(a.String()); err != nil || got != a {
			t.Fatalf("%v is written %q and read as %v, %v", a, a.String(), got, err)
		}
		s := Service{b.Proto, b.Lo}
		if got, err := ParseService(s.String()); err != nil || got != s {
			t.Fatalf("%#v is written %q and read as %v, %v", s, s.String(), got, err)
		}
		if !s.Term().Matches(s) || s.Term().Size() != 1 || !b.Matches(s) {
			t.Fatalf("%v: its term is %v, and %v holds it", s, s.Term(), b)
		}
		if a.Matches(s) && !a.Overlaps(b) {
			t.Fatalf("%v and %v share %v but do not overlap", a, b, s)
		}
		if a.Overlaps(b) != b.Overlaps(a) || a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%v and %v", a, b)
		}
	})
}

func TestServiceNames(t *testing.T) {
	term := func(texts ...string) (out []ServiceTerm) {
		for _, text := range texts {
			parsed, err := ParseServiceTerm(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, parsed)
		}
		return out
	}
	n := NewServiceNames([]NamedService{
		{Name: "anything", Match: term("tcp")},
		{Name: "DNS", Match: term("udp/53", "tcp/53")},
		{Name: "resolver", Match: term("udp/53")},
		{Name: "high", Match: term("tcp/1000-2000")},
		{Name: "tunnel", Match: term("gre", "icmp")},
	})
	for text, want := range map[string][2]string{
		"udp/53":   {"DNS", "DNS"},
		"tcp/53":   {"DNS", "DNS"},
		"tcp/1433": {"high", "high"},
		"tcp/443":  {"anything", "anything"},
		"udp/123":  {"", "ntp"},
		"udp/9":    {"", "discard"},
		"udp/4567": {"", "udp/4567"},
		"gre":      {"tunnel", "tunnel"},
		"icmp/8":   {"tunnel", "tunnel"},
		"esp":      {"", "esp"},
	} {
		s, err := ParseService(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{n.Lookup(s), n.Name(s)}; got != want {
			t.Errorf("%s is called %q, want %q", text, got, want)
		}
	}
	if got := new(ServiceNames).Name(Service{6, 22}); got != "ssh" {
		t.Errorf("tcp/22 is called %q without a file", got)
	}
}
