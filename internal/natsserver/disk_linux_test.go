package natsserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestDiskFull fills a small disk under JetStream and frees it: what was
// acknowledged is there, and publishing works again without a new connection.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=150m"); err != nil {
		t.Skipf("a small disk cannot be made (it takes root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	n, err := Start(Config{Dir: filepath.Join(dir, "nats")})
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
	// The limit is far above the size of the disk, which reserves nothing.
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxBytes: 4 << 30}); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 1<<20)
	acknowledged := 0
	publish := func() error {
		_, err := js.Publish(t.Context(), "s", message)
		if err == nil {
			acknowledged++
		}
		return err
	}
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(message)
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for range 3 {
		if publish() != nil {
			break
		}
	}
	waitFor(t, "the full disk to be noticed", func() bool { return n.Trouble() != nil })
	if msg := n.Trouble().Error(); !strings.Contains(msg, dir) || !strings.Contains(msg, "full") {
		t.Errorf("trouble does not name the full disk and its folder: %s", msg)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "NATS to go on", func() bool { return n.Trouble() == nil })
	waitFor(t, "a message to be taken", func() bool { return publish() == nil })
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got < uint64(acknowledged) {
		t.Errorf("%d messages are stored of %d acknowledged", got, acknowledged)
	}
}

// waitFor waits until a condition holds.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain: ", what)
		}
	}
}
