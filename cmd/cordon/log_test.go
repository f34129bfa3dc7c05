package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestDurationsInLogs(t *testing.T) {
	for format, want := range map[string]string{"text": "timeout=10s", "json": `"timeout":"10s"`} {
		var out bytes.Buffer
		log, err := newLogger(&out, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("stop", "timeout", 10*time.Second)
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q, want %s in it", format, out.String(), want)
		}
	}
}
