package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/nats-io/nats.go"
)

// A damaged batch, and one that an upgrade made readable, are listed and sent again beside a running `cordon up`: the first comes
// back, the second is stored once, however often it is sent. What is left is listed and deleted when nothing runs.
func TestDeadLetters(t *testing.T) {
	dir := t.TempDir()
	p, a := up(t, dir, "CORDON_NATS_DUPLICATES=1s")
	nc, err := nats.Connect(a.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	headers := func(id string) nats.Header {
		return nats.Header{"Nats-Msg-Id": {id}, "Cordon-Schema": {fmt.Sprint(schema.Version)}, "Cordon-Table": {"flows"}, "Cordon-Rows": {"1"}}
	}
	if err := nc.PublishMsg(&nats.Msg{Subject: "flows.edge1", Data: []byte("no batch"), Header: headers("damaged-1")}); err != nil {
		t.Fatal(err)
	}
	list := func(env []string, args ...string) (out []bus.DeadLetter) {
		t.Helper()
		d := json.NewDecoder(strings.NewReader(cordon(t, env, append([]string{"dead-letters", "list", "--format", "ndjson"}, args...)...)))
		for d.More() {
			var l bus.DeadLetter
			if err := d.Decode(&l); err != nil {
				t.Fatal(err)
			}
			out = append(out, l)
		}
		return out
	}
	here := []string{"--data-dir", dir}
	await := func(what string, right func(l bus.DeadLetter) bool) {
		t.Helper()
		eventually(t, patience, what, func() error {
			if got := list(nil, here...); len(got) != 1 || !right(got[0]) {
				return fmt.Errorf("listed are %+v", got)
			}
			return nil
		})
	}
	await("the damaged batch to be buried", func(l bus.DeadLetter) bool {
		return l.Sequence == 1 && l.Batch == "damaged-1" && l.Collector == "edge1" && l.Reason == "damaged" && l.Bytes == 8 && l.Error != ""
	})
	// External NATS, seen from another folder.
	if got := list([]string{"CORDON_NATS_URL=" + a.NATS}, "--data-dir", t.TempDir()); len(got) != 1 {
		t.Errorf("from elsewhere %+v are listed", got)
	}
	replay := func(sequence uint64) {
		t.Helper()
		eventually(t, patience, "JetStream to forget the batch", func() error {
			cmd := exec.Command(binary, append(here, "dead-letters", "replay", "--sequence", fmt.Sprint(sequence))...)
			cmd.Env = environment()
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			if got := list(nil, append(here, "--sequence", fmt.Sprint(sequence))...); len(got) != 0 {
				return fmt.Errorf("listed are %+v", got)
			}
			return nil
		})
	}
	replay(1)
	await("the damaged batch to be buried again", func(l bus.DeadLetter) bool { return l.Sequence == 2 && l.Batch == "damaged-1" })

	var batch schema.Batch
	at := schema.Micros(time.Now())
	batch.Append(&schema.Record{Received: at, Start: at, End: at, Src: schema.Addr16(netip.MustParseAddr("10.0.0.1")), Dst: schema.Addr16(netip.MustParseAddr("10.0.0.2")),
		Proto: 6, DstPort: 443, Packets: 1, Bytes: 60, VRF: "default", Direction: schema.Forward, Basis: schema.BasisStated, Count: 1})
	payload, err := batch.Seal(nil, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		h := headers("good-1")
		h.Set(bus.HeaderReason, "refused")
		if err := nc.PublishMsg(&nats.Msg{Subject: "dead.flows", Data: payload, Header: h}); err != nil {
			t.Fatal(err)
		}
		eventually(t, patience, "the letter to stand there", func() error {
			if got := list(nil, here...); len(got) != 2 {
				return fmt.Errorf("listed are %+v", got)
			}
			return nil
		})
		replay(uint64(3 + i))
		eventually(t, patience, "the batch to be stored", func() error {
			if n := a.count(t, "SELECT count() FROM flows"); n != 1 {
				return fmt.Errorf("%d rows", n)
			}
			return nil
		})
	}
	p.stop()
	if n := len(list(nil, here...)); n != 1 {
		t.Errorf("%d letters are listed where nothing runs", n)
	}
	cordon(t, nil, append(here, "dead-letters", "drop", "--all")...)
	if got := list(nil, here...); len(got) != 0 {
		t.Errorf("after drop %+v are listed", got)
	}
}
