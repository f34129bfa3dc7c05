package natsserver

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cordon/internal/killtest"
)

func TestMain(m *testing.M) {
	killtest.Main(map[string]killtest.Open{"nats": func(dir string) (func(batch int) error, error) {
		ctx := context.Background()
		n, err := Start(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		nc, err := nats.Connect("", n.InProcess())
		if err != nil {
			return nil, err
		}
		js, err := jetstream.New(nc)
		if err != nil {
			return nil, err
		}
		if _, err := js.CreateOrUpdateStream(ctx, victimStream); err != nil {
			return nil, err
		}
		return func(batch int) error {
			_, err := js.Publish(ctx, "v.x", make([]byte, 10_000), jetstream.WithMsgID(strconv.Itoa(batch)))
			return err
		}, nil
	}})
	os.Exit(m.Run())
}

var victimStream = jetstream.StreamConfig{Name: "V", Subjects: []string{"v.>"}, Storage: jetstream.FileStorage, Duplicates: time.Hour}

// TestKilled kills the process while it publishes, again and again, and counts:
// what was acknowledged is there once, and what is sent again is there once.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	from := 0
	for range 3 {
		last := killtest.After(t, "nats", dir, from, 3000)
		n := start(t, Config{Dir: dir})
		nc, err := nats.Connect("", n.InProcess())
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		for batch := last - 20; batch <= last+1; batch++ {
			if _, err := js.Publish(t.Context(), "v.x", nil, jetstream.WithMsgID(strconv.Itoa(batch))); err != nil {
				t.Fatal(err)
			}
		}
		s, err := js.Stream(t.Context(), "V")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().State.Msgs; got != uint64(last+2) {
			t.Errorf("%d messages, want %d", got, last+2)
		}
		nc.Close()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		from = last + 2
	}
}
