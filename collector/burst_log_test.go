package collector

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"
)

func TestBurstLog(t *testing.T) {
	out := new(logBuffer)
	l := newBurstLog(slog.New(slog.NewTextHandler(out, nil)))
	now := time.Now()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 10 {
		l.warn(now, a, "version", "bad")
	}
	l.warn(now, a, "truncated", "bad")
	l.warn(now, b, "version", "bad")
	if n := out.count("msg=bad"); n != burstSize+2 {
		t.Errorf("%d lines, want %d:\n%s", n, burstSize+2, out)
	}
	l.flush(now.Add(burstWindow / 2))
	if n := out.count("suppressed"); n != 0 {
		t.Errorf("%d summaries before the window is over", n)
	}
	l.flush(now.Add(burstWindow))
	if n := out.count("reason=version suppressed=7 within=1m0s exporter=192.0.2.1"); n != 1 {
		t.Errorf("%d summaries, want 1:\n%s", n, out)
	}
	l.warn(now.Add(burstWindow), a, "version", "bad")
	if n := out.count("msg=bad"); n != burstSize+3 {
		t.Errorf("after the window %d lines, want %d", n, burstSize+3)
	}
}

func TestBurstLogIsBounded(t *testing.T) {
	out := new(logBuffer)
	l := newBurstLog(slog.New(slog.NewTextHandler(out, nil)))
	now := time.Now()
	for i := range 3 * burstKeys {
		l.warn(now, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), "version", "bad")
	}
	if n := len(l.seen); n > burstKeys+1 {
		t.Errorf("%d entries", n)
	}
	if n := out.count("msg=bad"); n != burstKeys+burstSize {
		t.Errorf("%d lines", n)
	}
}
