package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// cordon up reads the sources of groups.file at their intervals: what changed is in the table with its times, and on
// NATS. A snapshot that is empty or cannot be read changes nothing, and says so.
func TestGroupsRefresh(t *testing.T) {
	folder, dir := t.TempDir(), t.TempDir()
	hosts, groups := filepath.Join(folder, "hosts.csv"), filepath.Join(folder, "groups.yaml")
	write := func(path, text string) {
		t.Helper()
		// A rename, so that nobody reads half of it.
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(hosts, "ip,role\n10.0.0.1,web\n10.0.0.2,web\n")
	write(groups, "categories: [{name: role, groups: [{name: api, prefixes: [10.0.8.8]}]}]\nsources:\n"+
		"  - {name: cmdb, kind: file, address: "+hosts+", interval: 1s, categories: [{name: role, label: role}]}\n")
	p, a := up(t, dir, "CORDON_GROUPS_FILE="+groups)
	memberships := func(want string) {
		t.Helper()
		eventually(t, patience, "memberships", func() error {
			got, err := a.query("SELECT prefix, `group`, valid_from > '1971-01-01', valid_until < '2199-01-01' FROM memberships ORDER BY ALL FORMAT CSV")
			if err != nil {
				return err
			}
			if got != want {
				return fmt.Errorf("they are\n%s\nwant\n%s", got, want)
			}
			return nil
		})
	}
	memberships("\"10.0.0.1/32\",\"web\",0,0\n\"10.0.0.2/32\",\"web\",0,0")

	nc, err := nats.Connect(a.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	messages, err := nc.SubscribeSync("groups.changes")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	type change struct {
		Source, Problem string
		Came, Went      int
		Changes         []struct{ Group, Prefix string }
	}
	next := func() (c change) {
		t.Helper()
		m, err := messages.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, &c); err != nil {
			t.Fatalf("%v: %s", err, m.Data)
		}
		return c
	}
	write(hosts, "ip,role\n10.0.0.1,web\n10.0.0.2,job\n")
	c := next()
	if c.Came == 2 { // The first snapshot is said once its rows are stored, which may be after the subscription.
		c = next()
	}
	if c.Source != "cmdb" || c.Problem != "" || c.Came != 1 || c.Went != 1 || len(c.Changes) != 2 || c.Changes[1].Group != "job" || c.Changes[1].Prefix != "10.0.0.2/32" {
		t.Errorf("the message of a change is %+v", c)
	}
	moved := "\"10.0.0.1/32\",\"web\",0,0\n\"10.0.0.2/32\",\"job\",1,0\n\"10.0.0.2/32\",\"web\",0,1"
	memberships(moved)

	for _, text := range []string{"", "no such column\n1\n"} {
		write(hosts, text)
		for c := next(); ; c = next() {
			if c.Problem == "" || c.Came != 0 || c.Went != 0 {
				t.Errorf("the message of a snapshot that changes nothing is %+v", c)
			}
			if strings.Contains(c.Problem, "empty") == (text == "") {
				break
			}
		}
		memberships(moved)
	}
	for name, want := range map[string]uint64{"memberships": 2, "came_total": 3, "went_total": 1} {
		if got := a.metrics(t).sum(`cordon_groups_` + name); got != want {
			t.Errorf("cordon_groups_%s is %d, want %d", name, got, want)
		}
	}
	// The history outlives the process, and what comes back continues it.
	p.kill()
	write(hosts, "ip,role\n10.0.0.1,web\n10.0.0.2,job\n")
	_, a = up(t, dir, "CORDON_GROUPS_FILE="+groups)
	eventually(t, patience, "a snapshot by the second process", func() error {
		if n := a.metrics(t).sum("cordon_groups_memberships"); n != 2 {
			return fmt.Errorf("%d memberships", n)
		}
		return nil
	})
	memberships(moved)
}
