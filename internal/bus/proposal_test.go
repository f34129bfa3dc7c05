package bus_test

import (
	"errors"
	"testing"

	"cordon/internal/bus"
	"cordon/internal/natsserver"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A proposal that no message can hold is refused before it is sent, and one that just fits gets through.
func TestLargestProposal(t *testing.T) {
	n, err := natsserver.Start(natsserver.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	nc, err := nats.Connect("", n.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: bus.StreamProposals, Subjects: []string{bus.SubjectProposals + ".>"}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bus.Bus{NC: nc, JS: js}
	largest := 0
	for size := 62 << 10; size <= 66<<10; size += 128 {
		switch err := b.PublishProposal(t.Context(), "default", string(rune('a'+size/128%64)), make([]byte, size)); {
		case err == nil:
			largest = size
		case errors.Is(err, nats.ErrMaxPayload) || !errors.Is(err, bus.ErrTooLarge):
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
	if largest < 62<<10 || largest > 64<<10 {
		t.Errorf("the largest that got through has %d bytes", largest)
	}
	if m, err := stream.GetLastMsgForSubject(t.Context(), bus.SubjectProposals+".default"); err != nil || len(m.Data) != largest {
		t.Errorf("%v, %d bytes, want %d", err, len(m.Data), largest)
	}
}
