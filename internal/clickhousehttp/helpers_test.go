package clickhousehttp

import (
	"cordon/internal/sqltext"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/ext"
)

// listenOnce accepts connections on a free port of loopback, reports them, and
// returns the address.
func listenOnce(t *testing.T, reached chan<- string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reached <- conn.RemoteAddr().String()
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func escapeSQL(s string) string { s = sqltext.Text(s); return s[1 : len(s)-1] }

// newValue returns a pointer to a new value of a type, elem what it points to.
func newValue(t reflect.Type) any { return reflect.New(t).Interface() }

func elem(p any) any { return reflect.ValueOf(p).Elem().Interface() }

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
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

func newExternalTable(name string, values ...uint64) (*ext.Table, error) {
	table, err := ext.NewTable(name, ext.Column("x", "UInt64"))
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if err := table.Append(v); err != nil {
			return nil, err
		}
	}
	return table, nil
}

// residentBytes returns the resident memory of this process.
func residentBytes(t testing.TB) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
