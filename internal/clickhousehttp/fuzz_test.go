package clickhousehttp

import (
	"bufio"
	"bytes"
	"cordon/internal/sqltext"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzRequest reads requests as outside and inside may send them. Whatever
// comes, there is a request or an exception, and none from outside is an insert.
func FuzzRequest(f *testing.F) {
	f.Add("query=SELECT+1", "", "", "")
	f.Add("user=cordon&password=key&query=INSERT+INTO+t+FORMAT+CSV&decompress=1", "", "gzip", "1,2")
	f.Add("database=x&param_a=1&client_protocol_version=54460&session_id=s&session_timeout=9", "text/plain", "zstd", "SELECT {a:UInt8}")
	f.Add("t_structure=a+UInt8&t_format=CSV", "multipart/form-data; boundary=b", "", "--b\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\n1\r\n--b--\r\n")
	f.Add("", "", "lz4", "INSERT INTO t VALUES (1)")
	c := &Server{key: "key", dir: f.TempDir()}
	f.Fuzz(func(t *testing.T, query, media, encoding, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", media)
		r.Header.Set("Content-Encoding", encoding)
		q, err := c.parseRequest(r)
		if err != nil {
			return
		}
		defer q.close()
		if q.access == accessOutside && (q.insert != nil || q.body != nil || q.external != nil) {
			t.Fatalf("data from outside: %+v", q)
		}
		if q.insert != nil && (q.insert.data > len(q.sql) || q.insert.target == "" || q.insert.format == "") {
			t.Fatalf("insert %+v of %q", q.insert, q.sql)
		}
		for _, s := range q.settings {
			if !isIdentifier(s.name) {
				t.Fatalf("setting %q", s.name)
			}
		}
	})
}

// FuzzLexer splits any text: tokens follow each other, hold no blank outside
// quotes, and cover everything that is neither blank nor comment.
func FuzzLexer(f *testing.F) {
	for _, s := range []string{"SELECT 'a\\'b' -- c\n, `x``y`, $t$ ; $t$ /* /* */ */ FORMAT CSV", "INSERT INTO t VALUES (1)", "'", "/*", "$$", "\\", "# x"} {
		f.Add(s)
	}
	c := &Server{refused: map[string]bool{"file": true}}
	f.Fuzz(func(t *testing.T, sql string) {
		l := lexer{sql: sql}
		for end := 0; ; {
			tok := l.next()
			if tok.start < end || tok.end < tok.start || tok.end > len(sql) {
				t.Fatalf("token %+v after %d in %q", tok, end, sql)
			}
			if tok.kind == tokenEnd {
				break
			}
			if tok.end == tok.start {
				t.Fatalf("empty token %+v in %q", tok, sql)
			}
			end = tok.end
		}
		parseInsert(sql)
		explicitFormat(sql)
		if err := c.checkReading(sql, nil); err == nil && strings.HasPrefix(strings.ToUpper(sql), "INSERT") {
			t.Fatalf("%q passes as reading", sql)
		}
		// A literal holds what it quotes.
		l = lexer{sql: sqltext.Text(sql)}
		if tok := l.next(); tok.kind != tokenString || tok.end != len(l.sql) {
			t.Fatalf("literal %q", l.sql)
		}
		l = lexer{sql: sqltext.Name(sql)}
		if tok := l.next(); tok.kind != tokenQuoted || tok.end != len(l.sql) || identifierText(l.sql) != sql {
			t.Fatalf("identifier %q is %q", l.sql, identifierText(l.sql))
		}
	})
}

// FuzzNativeRevision copies any stream: at revision 0 what comes out is what
// went in, as far as it was read.
func FuzzNativeRevision(f *testing.F) {
	f.Add([]byte("\x01\x02\x01a\x05UInt8\x07\x08"))
	f.Add([]byte("\x01\x01\x01a\x16LowCardinality(String)\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01x\x01\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x01\x01a\x17Map(String, Array(UUID))\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x01\x00\x01a\x1eTuple(a Enum8('x, (' = 1), b T)"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out, with bytes.Buffer
		w := bufio.NewWriter(&out)
		err := nativeRevision(w, bufio.NewReader(bytes.NewReader(in)), 0)
		w.Flush()
		if !minimalNumbers(in) {
			return
		}
		if err == nil && !bytes.Equal(in, out.Bytes()) || !bytes.HasPrefix(in, out.Bytes()) {
			t.Fatalf("%q became %q, error %v", in, out.Bytes(), err)
		}
		w = bufio.NewWriter(&with)
		if err2 := nativeRevision(w, bufio.NewReader(bytes.NewReader(in)), revisionCustomSerialization); (err == nil) != (err2 == nil) {
			t.Fatalf("errors %v and %v", err, err2)
		}
	})
}

// minimalNumbers tells whether a stream is free of numbers written longer than
// they need be, which come out shorter.
func minimalNumbers(in []byte) bool {
	for i := 1; i < len(in); i++ {
		if in[i] == 0 && in[i-1] >= 0x80 {
			return false
		}
	}
	return true
}

// FuzzBody decodes any body.
func FuzzBody(f *testing.F) {
	f.Add([]byte("1,2\n"), "", false)
	f.Add([]byte("\x1f\x8b"), "gzip", true)
	f.Add(make([]byte, 40), "", true)
	f.Fuzz(func(t *testing.T, in []byte, encoding string, frames bool) {
		r, err := decodeBody(io.NopCloser(bytes.NewReader(in)), encoding, frames)
		if err != nil {
			return
		}
		defer r.Close()
		out, err := io.ReadAll(io.LimitReader(r, 64<<20))
		if err == nil && encoding == "" && !frames && !bytes.Equal(in, out) {
			t.Fatalf("%q became %q", in, out)
		}
	})
}
