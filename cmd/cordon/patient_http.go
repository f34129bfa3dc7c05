package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// patientOptions lets connections to ClickHouse be tried again, and statements
// that may run twice be repeated when the connection breaks under them. Where
// address is given, it tells where the server listens now.
func patientOptions(opts *clickhouse.Options, p *patience, address func() string) {
	opts.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) {
		t.DialContext = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			dialer := net.Dialer{Timeout: max(p.limit, 5*time.Second)}
			err = p.try(ctx, connectionLost, func() error {
				if address != nil {
					if now := address(); now != "" {
						addr = now
					}
				}
				conn, err = dialer.DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		}
		return &repeater{t, p}, nil
	}
}

// repeater repeats a request whose connection breaks before the beginning of the
// answer is there, if its statement may run twice.
type repeater struct {
	next http.RoundTripper
	p    *patience
}

// RoundTrip implements [http.RoundTripper].
func (r *repeater) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if !repeatable(req) {
		return r.next.RoundTrip(req)
	}
	err = r.p.try(req.Context(), broken, func() error {
		body, err := req.GetBody()
		if err != nil {
			return err
		}
		again := req.Clone(req.Context())
		again.Body = body
		if resp, err = r.next.RoundTrip(again); err != nil {
			return err
		}
		return beginBody(resp)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// broken is connectionLost without the attempts to connect, which have had their
// time.
func broken(err error) bool {
	if op, ok := asOpError(err); ok && op.Op == "dial" {
		return false
	}
	return connectionLost(err) || err.Error() == "http: server closed idle connection"
}

// repeatableSQL is how statements begin that may run twice: they read, or leave
// things alone that are as they should be.
var (
	repeatableSQL = regexp.MustCompile(`(?is)^(\s|\(|--[^\n]*\n|/\*.*?\*/)*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|(CREATE (TABLE|DATABASE|VIEW)|DROP (TABLE|DATABASE|VIEW)) IF (NOT )?EXISTS|CREATE OR REPLACE VIEW)\b`)
	insertSQL     = regexp.MustCompile(`(?i)\bINSERT\s+INTO\b`)
)

// statementLooked is how much of a request is looked at.
const statementLooked = 64 << 10

func repeatable(req *http.Request) bool {
	if req.GetBody == nil || req.URL.Query().Has("query") {
		return false // such as an insert, whose data is read once
	}
	body, err := req.GetBody()
	if err != nil {
		return false
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, statementLooked))
	return err == nil && repeatableSQL.Match(text) && !insertSQL.Match(text)
}

// bodyBegin is how much of an answer is read before it is passed on: until then
// the request can be repeated.
const bodyBegin = 64 << 10

// beginBody reads the beginning of the body, or all of it if it is short.
func beginBody(resp *http.Response) error {
	begin := make([]byte, 0, 4<<10)
	for len(begin) < bodyBegin {
		if len(begin) == cap(begin) {
			begin = append(begin, 0)[:len(begin)]
		}
		n, err := resp.Body.Read(begin[len(begin):min(cap(begin), bodyBegin)])
		begin = begin[:len(begin)+n]
		switch {
		case err == io.EOF:
			resp.Body = &begunBody{begin: begin, rest: resp.Body, ended: true}
			return nil
		case err != nil:
			resp.Body.Close()
			return err
		}
	}
	resp.Body = &begunBody{begin: begin, rest: resp.Body}
	return nil
}

// begunBody is a body whose beginning was read.
type begunBody struct {
	begin []byte
	rest  io.ReadCloser
	ended bool
}

func (b *begunBody) Read(p []byte) (n int, err error) {
	if len(b.begin) > 0 {
		n = copy(p, b.begin)
		b.begin = b.begin[n:]
		return n, nil
	}
	if b.ended {
		return 0, io.EOF
	}
	return b.rest.Read(p)
}

func (b *begunBody) Close() error { return b.rest.Close() }
