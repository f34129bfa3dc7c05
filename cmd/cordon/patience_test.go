package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cordon/internal/bus"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// breakingServer breaks the first connections that ask for a statement, as a
// server does that is killed.
type breakingServer struct {
	*httptest.Server
	mu     sync.Mutex
	breaks int    // Connections still to break.
	begun  string // Bytes sent before a connection breaks.
	seen   []string
}

func newBreakingServer(t *testing.T, breaks int, begun string) *breakingServer {
	b := &breakingServer{breaks: breaks, begun: begun}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 1<<10)
		n, _ := r.Body.Read(body)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.seen = append(b.seen, string(body[:n]))
		if b.breaks == 0 {
			fmt.Fprint(w, "the answer")
			return
		}
		b.breaks--
		if b.begun != "" {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, b.begun)
			w.(http.Flusher).Flush()
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// testPatience counts what is said.
func testPatience(limit time.Duration, said *[]string) *patience {
	return &patience{limit: limit, say: func(_ time.Duration, err error) { *said = append(*said, err.Error()) }}
}

// patientClient is an HTTP client as clickhouse-go makes one of the options.
func patientClient(t *testing.T, p *patience, address func() string) *http.Client {
	var opts clickhouse.Options
	patientOptions(&opts, p, address)
	rt, err := opts.TransportFunc(&http.Transport{})
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: rt}
}

func TestRepeatedStatements(t *testing.T) {
	for _, tc := range []struct {
		statement string
		repeated  bool
	}{
		{"SELECT 1", true},
		{"\n -- why\n /* and how */ (select 1)", true},
		{"WITH 1 AS x SELECT x", true},
		{"SHOW TABLES", true},
		{"CREATE TABLE IF NOT EXISTS t (a UInt8) ENGINE = Memory", true},
		{"DROP TABLE IF EXISTS t", true},
		{"INSERT INTO t SELECT 1", false},
		{"WITH 1 AS x INSERT INTO t SELECT x", false},
		{"CREATE TABLE t (a UInt8) ENGINE = Memory", false},
		{"ALTER TABLE t UPDATE a = a + 1 WHERE 1", false},
		{"SELECTED", false},
		{"", false},
	} {
		for _, begun := range []string{"", "half of the an"} {
			var said []string
			s := newBreakingServer(t, 2, begun)
			c := patientClient(t, testPatience(time.Minute, &said), nil)
			resp, err := c.Post(s.URL, "text/plain", strings.NewReader(tc.statement))
			var text string
			if err == nil {
				b := make([]byte, 100)
				n, _ := resp.Body.Read(b)
				text = string(b[:n])
				resp.Body.Close()
			}
			if got := text == "the answer"; got != tc.repeated {
				t.Errorf("%q, broken after %q: answer %q, error %v; repeated should be %v", tc.statement, begun, text, err, tc.repeated)
			}
			if want := map[bool]int{true: 3, false: 1}[tc.repeated]; len(s.seen) != want {
				t.Errorf("%q, broken after %q: asked %d times, want %d", tc.statement, begun, len(s.seen), want)
			}
			if want := map[bool]int{true: 1, false: 0}[tc.repeated]; len(said) != want {
				t.Errorf("%q: %d lines said, want %d: %q", tc.statement, len(said), want, said)
			}
		}
	}
}

// An insert, too, is sent once a connection can be made, to where the server
// listens by then.
func TestConnectingIsTriedAgain(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	s := newBreakingServer(t, 0, "")
	var said []string
	asked := 0
	c := patientClient(t, testPatience(time.Minute, &said), func() string {
		if asked++; asked < 3 {
			return ""
		}
		return s.Listener.Addr().String()
	})
	resp, err := c.Post("http://"+gone.Addr().String(), "text/plain", strings.NewReader("INSERT INTO t VALUES (1)"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(said) != 1 || !strings.Contains(said[0], "refused") || len(s.seen) != 1 {
		t.Errorf("said %q, sent %q", said, s.seen)
	}
	said = nil
	c = patientClient(t, testPatience(0, &said), nil)
	if _, err := c.Post("http://"+gone.Addr().String(), "text/plain", strings.NewReader("SELECT 1")); !errors.Is(err, syscall.ECONNREFUSED) || len(said) > 0 {
		t.Errorf("without patience: %v, said %q", err, said)
	}
}

func TestWhatPasses(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nats.ErrNoServers, true},
		{fmt.Errorf("stream: %w", nats.ErrTimeout), true},
		{fmt.Errorf("%w: %w", bus.ErrUnreachable, refused), true},
		{jetstream.ErrJetStreamNotEnabled, true},
		{nats.ErrAuthorization, false},
		{nats.ErrAuthExpired, false},
		{errors.New("parse: invalid port"), false},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, false},
		{bus.ErrUnreachable, false},
		{jetstream.ErrStreamNotFound, false},
	} {
		if got := bus.Passing(tc.err); got != tc.want {
			t.Errorf("bus.Passing(%v) = %v", tc.err, got)
		}
	}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{refused, true},
		{fmt.Errorf("ping: %w", syscall.ECONNRESET), true},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, false},
		{&clickhouse.Exception{Code: 516}, false},
		{errors.New("x509: certificate signed by unknown authority"), false},
	} {
		if got := connectionLost(tc.err); got != tc.want {
			t.Errorf("connectionLost(%v) = %v", tc.err, got)
		}
	}
}
