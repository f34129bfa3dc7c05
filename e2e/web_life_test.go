package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"cordon/collector/replay/lab"
)

// gauge reads a number of /metrics.
func (x *explored) gauge(t *testing.T, name string) float64 {
	t.Helper()
	_, text := x.ask(t, "GET", "/metrics", "")
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in /metrics", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// leftTables counts the tables of views and of runs.
func (x *explored) leftTables(t *testing.T) int {
	t.Helper()
	text, err := x.query("SELECT count() FROM system.tables WHERE database = 'cordon' AND match(name, '^(view|recommend)_')")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// visit opens a page as a browser does, and leaves it: every other time before it has its answers.
func (x *explored) visit(client *http.Client, n int) error {
	paths := []string{"/matrix", "/api/v1/sessions?limit=5", "/assets/app.js", "/api/v1/events", "/api/v1/matrix", "/proposals/" + x.id, "/api/v1/hours?host=10.100.99.50", "/api/v1/refused?limit=5"}
	path := paths[n%len(paths)]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+x.HTTP+path, nil)
	if err != nil {
		return err
	}
	if n/len(paths)%2 == 1 {
		time.AfterFunc(time.Millisecond, cancel)
	}
	resp, err := client.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	if path == "/api/v1/events" {
		firstEvents(resp.Body)
		return nil
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// testIngestBeside sends records while pages are read: every one is stored.
func (x *explored) testIngestBeside(t *testing.T, read func()) {
	t.Helper()
	flows := func() uint64 {
		text, err := x.query("SELECT count() FROM flows")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := flows()
	var reading sync.WaitGroup
	reading.Go(read)
	var sent uint64
	for seed := range uint64(3) {
		sent += x.export(t, lab.Nodes(seed+10, time.Now().Add(-lab.Duration)))
	}
	reading.Wait()
	eventually(t, patience, "the records that came while pages were read", func() error {
		if n := flows() - before; n != sent || sent == 0 {
			return fmt.Errorf("%d of %d are stored", n, sent)
		}
		return nil
	})
}

// Pages that were opened and closed leave nothing behind, and neither does a process that is killed; a page that is open
// meanwhile goes on when the server is back.
func (x *explored) testLife(t *testing.T) {
	pages := 160
	if os.Getenv("CORDON_WEB_ALL") != "" {
		pages = 1000
	}
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	open := func(pages int) {
		var workers sync.WaitGroup
		for w := range 8 {
			workers.Go(func() {
				for n := w; n < pages; n += 8 {
					if err := x.visit(client, n/8*7+n); err != nil {
						t.Error(err)
					}
				}
			})
		}
		workers.Wait()
		transport.CloseIdleConnections()
	}
	open(64) // warms up: the views are made, and the engine has whatever it keeps for so many queries at once
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	goroutines, files, tables := x.gauge(t, "go_goroutines"), x.gauge(t, "process_open_fds"), x.leftTables(t)
	x.testIngestBeside(t, func() { open(pages) })
	// The engine keeps some files more at times, however many pages there were; of a thousand pages a leak of one kind of
	// page would be 125.
	slack := 24 + float64(pages)/16
	eventually(t, patience, "what the pages opened to be closed", func() error {
		g, f, n := x.gauge(t, "go_goroutines"), x.gauge(t, "process_open_fds"), x.leftTables(t)
		if g > goroutines+slack || f > files+slack || n > tables+2 {
			return fmt.Errorf("%.0f goroutines, %.0f open files and %d tables, before %.0f, %.0f and %d", g, f, n, goroutines, files, tables)
		}
		return nil
	})
	if tables == 0 {
		t.Error("no view was made, so a kill can leave none")
	}
	x.process.kill()
	_, x.addresses = up(x.t, x.dir, "CORDON_HTTP_LISTEN="+x.HTTP, "CORDON_HTTP_TOKENS="+x.tokens)
	eventually(t, patience, "the views of the process that was killed to go", func() error {
		if n := x.leftTables(t); n > 0 {
			return fmt.Errorf("%d tables", n)
		}
		return nil
	})
}
