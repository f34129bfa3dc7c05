package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestEndpoints(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "cordon_test_total", Help: "x"}, func() float64 { return 7 }))
	var down error
	s := &Server{deps: Deps{
		Log: slog.New(slog.DiscardHandler), Gatherer: reg,
		Ready:  map[string]func() error{"collector": func() error { return nil }, "nats": func() error { return down }},
		Status: func(context.Context) any { return map[string]int{"rows": 3} },
	}}
	for _, tc := range []struct {
		path string
		down error
		code int
		body string
	}{
		{"/healthz", nil, 200, "ok\n"},
		{"/readyz", nil, 200, "collector: ok\nnats: ok\n"},
		{"/readyz", errors.New("no server at nats://x"), 503, "collector: ok\nnats: no server at nats://x\n"},
		{"/metrics", nil, 200, "cordon_test_total 7\n"},
		{"/api/v1/status", nil, 200, "{\n  \"rows\": 3\n}\n"},
		{"/nothing", nil, 404, "404 page not found\n"},
	} {
		down = tc.down
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, tc.path, nil))
		body, _ := io.ReadAll(w.Result().Body)
		if w.Code != tc.code || !strings.HasSuffix(string(body), tc.body) {
			t.Errorf("GET %s: %d %q, want %d %q", tc.path, w.Code, body, tc.code, tc.body)
		}
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	s, err := New(Config{Listen: "127.0.0.1:0"}, Deps{Log: slog.New(slog.DiscardHandler), Gatherer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Listen: s.Addr().String()}, Deps{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "http.listen") {
		t.Fatalf("a taken port gives %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	resp, err := http.Get("http://" + s.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
