package embedded

import (
	"net"
	"testing"
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
