package bus_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"cordon/internal/bus"
	"cordon/internal/natsserver"
)

// Every process that listens answers, with a document of any size up to what
// NATS takes compressed; where nobody listens there is no answer, at once.
func TestAskStatus(t *testing.T) {
	n, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	connect := func() *bus.Bus {
		b, err := bus.Connect(bus.Config{URL: n.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	asker := connect()
	if got, err := asker.AskStatus(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("%d answers where nobody listens, %v", len(got), err)
	}
	noise := make([]byte, 80<<10) // cannot be compressed
	random := rand.NewChaCha8([32]byte{})
	random.Read(noise)
	var want []string
	for i, doc := range [][]byte{[]byte("small"), bytes.Repeat([]byte("exporter "), 100_000), noise} {
		b := connect()
		stop, err := b.AnswerStatus(func(short bool) ([]byte, error) {
			if short {
				return fmt.Appendf(nil, "short %d", i), nil
			}
			return doc, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		if err := b.NC.Flush(); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			doc = []byte("short 2")
		}
		want = append(want, string(doc))
	}
	got, err := asker.AskStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, a := range got {
		texts = append(texts, string(a))
	}
	slices.Sort(texts)
	slices.Sort(want)
	if !slices.Equal(texts, want) {
		t.Errorf("%d answers, want %d", len(texts), len(want))
	}
}
