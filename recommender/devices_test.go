package recommender

import (
	"bytes"
	"testing"

	"cordon/categories"
	"cordon/collector/replay/lab"
	"cordon/recommender/policy"
	"cordon/recommender/target/eos"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// asConfig writes a proposal as a configuration of EOS and reads it.
func asConfig(t *testing.T, file *categories.File, p *policy.Proposal) (*eos.Config, []byte) {
	t.Helper()
	addresses, err := policy.NewAddresses(file, p.Categories)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	written, err := eos.Write(&out, []eos.Document{{Policy: p.Policy(), Set: addresses.Set, Proposed: true}}, eos.Options{Services: file.Services})
	if err != nil || len(written.Gaps) > 0 {
		t.Fatal(err, written.Gaps)
	}
	c, err := eos.Parse("switch.cfg", out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return c, out.Bytes()
}

// closesLoop takes a proposal to a device and back: written for EOS and read as policy in force, it leaves nothing to
// propose, and each of its sessions is permitted already; written again it is the same bytes. The lines of its matches
// are those that its summary promises.
func closesLoop(t *testing.T, conn driver.Conn, file *categories.File, s Settings, p *policy.Proposal) {
	t.Helper()
	c, text := asConfig(t, file, p)
	if again := c.Write(); !bytes.Equal(again, text) {
		t.Errorf("written again it is %d bytes, and was %d", len(again), len(text))
	}
	lines := 0
	for _, price := range c.Prices() {
		lines += price.Lines
	}
	if lines != p.Summary.EOSLines {
		t.Errorf("the matches have %d lines, and the summary says %d", lines, p.Summary.EOSLines)
	}
	s.Existing = c.Policies()
	left, err := Generate(t.Context(), conn, s, file)
	if err != nil || len(left) != 1 {
		t.Fatal(len(left), err)
	}
	var already uint64
	for _, u := range left[0].Unproposed {
		if u.Reason == policy.AlreadyPermitted {
			already += u.Sessions
		}
	}
	if len(left[0].Rules) != 0 || already != p.Summary.Included || already == 0 {
		t.Errorf("%d rules are proposed beside it; %d sessions are permitted already, and the proposal has %d", len(left[0].Rules), already, p.Summary.Included)
	}
	t.Logf("%d rules, %d lines, %d sessions permitted already", len(p.Rules), lines, already)
}

// The lab's proposal comes back from a device whole.
func TestLabOnDevice(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, lab.Groups)
	insert(t, conn, labRecords(lab.Nodes(1, base)...))
	got, err := Generate(t.Context(), conn, Settings{}, file)
	if err != nil || len(got) != 1 {
		t.Fatal(len(got), err)
	}
	closesLoop(t, conn, file, Settings{}, &got[0])
}
