package ipfix

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// Logs in JSON name what logs in text name.
func TestReasonAndTransportInJSONLogs(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Warn("bad", "reason", ReasonNoTemplate, "transport", TLS)
	if got, want := out.String(), `"reason":"no-template","transport":"tls"`; !strings.Contains(got, want) {
		t.Errorf("log line %q, want %s in it", got, want)
	}
}
