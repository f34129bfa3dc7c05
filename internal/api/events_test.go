package api

import (
	"log/slog"
	"testing"

	"cordon/internal/sessions"
)

// A stream is told of what changed since it was told last, and of nothing that stayed as it was.
func TestNews(t *testing.T) {
	n := newNews(&API{deps: Deps{Log: slog.New(slog.DiscardHandler)}})
	n.tell("jobs", []int{1})
	n.tell("proposals", []int{2})
	parts, version, changed := n.since(0)
	if string(parts["jobs"]) != "[1]" || string(parts["proposals"]) != "[2]" || len(parts) != 2 {
		t.Fatalf("a new stream is told %q", parts)
	}
	n.tell("jobs", []int{1})
	select {
	case <-changed:
		t.Error("a document that stayed as it was woke the stream")
	default:
	}
	n.tell("jobs", []int{3})
	select {
	case <-changed:
	default:
		t.Error("a document that changed woke nobody")
	}
	if parts, _, _ = n.since(version); string(parts["jobs"]) != "[3]" || len(parts) != 1 {
		t.Errorf("after the change the stream is told %q", parts)
	}
	n.tell("broken", func() {}) // it cannot be written, and must not end the process
	n.close()
	n.close()
	select {
	case <-n.ended:
	default:
		t.Error("streams go on after the end")
	}
}

// What comes from outside stays a text in a statement, whatever it holds.
func TestInline(t *testing.T) {
	q := sessions.Query{SQL: "SELECT 1 WHERE vrf = {p0:String} AND x = {p1:String}", Parameters: map[string]string{"p0": `a' OR '1' = '1`, "p1": `{p0:String}\`}}
	for range 20 { // parameters come in no order
		have := inline(q)
		if want := `SELECT 1 WHERE vrf = 'a\' OR \'1\' = \'1' AND x = '{p0:String}\\'`; have != want {
			t.Fatalf("%s, want %s", have, want)
		}
	}
}
