package clickhousehttp

import (
	"bytes"
	"cordon/internal/chdb"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxQueryText bounds the text of a query that is not an insert's data.
const (
	maxQueryText        = 64 << 20
	maxQueryTextOutside = 1 << 20
)

// request is a query as the HTTP interface received it.
type request struct {
	access   access
	command  bool   // the request is from outside, by a command that a person runs
	id       string // the client's query_id, or one of ours
	sql      string
	insert   *insertHead // set where the data is in body
	body     *spool      // data of an insert
	external []externalTable
	params   []chdb.Param
	settings []setting
	readOnly bool // GET
	database string
	format   string // the format where the text names none

	protocolVersion int // client_protocol_version
	compress        string
	encoding        string // Content-Encoding of the answer
	waitEnd         bool

	session        string
	sessionCheck   bool
	sessionTimeout time.Duration
}

// setting is a ClickHouse setting with its value as text.
type setting struct{ name, value string }

// externalTable is a table sent along with a query, for its duration.
type externalTable struct {
	name, format, structure string
	data                    *spool
}

// Parameters of the HTTP interface that are not settings.
var reservedParams = map[string]bool{
	"query": true, "query_id": true, "database": true, "default_format": true, "user": true, "password": true,
	"quota_key": true, "stacktrace": true, "session_id": true, "session_check": true, "session_timeout": true,
	"compress": true, "decompress": true, "client_protocol_version": true,
	"buffer_size": true, "wait_end_of_query": true, "enable_http_compression": true, "role": true, "close_session": true,
	"network_compression_method": true, "network_zstd_compression_level": true, "http_zlib_compression_level": true,
	"add_http_cors_header": true, "send_progress_in_http_headers": true, "http_headers_progress_interval_ms": true,
	"cancel_http_readonly_queries_on_client_close": true, "http_native_compression_disable_checksumming_on_decompress": true,
	// Inserts are synchronous, which is what a client may rely on either way.
	"async_insert": true, "wait_for_async_insert": true,
}

// parseRequest reads a request up to where its query can run. On an error the
// request, as far as it was read, may be nil.
func (c *Server) parseRequest(r *http.Request) (_ *request, err error) {
	v := r.URL.Query()
	q := &request{id: v.Get("query_id"), readOnly: r.Method != http.MethodPost}
	if q.id == "" {
		q.id = newQueryID()
	}
	if q.access, q.command, err = c.authenticate(r); err != nil {
		return q, err
	}
	q.database = firstOf(v.Get("database"), r.Header.Get("X-ClickHouse-Database"))
	q.format = firstOf(v.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated")
	if s := v.Get("client_protocol_version"); s != "" {
		if q.protocolVersion, err = strconv.Atoi(s); err != nil || q.protocolVersion < 0 {
			return q, badRequest("client_protocol_version=%q is not a number", s)
		}
	}
	if isTrue(v.Get("compress")) {
		q.compress = firstOf(strings.ToUpper(v.Get("network_compression_method")), "LZ4")
	}
	if isTrue(v.Get("enable_http_compression")) {
		q.encoding = acceptedEncoding(r.Header.Get("Accept-Encoding"))
	}
	q.waitEnd = isTrue(v.Get("wait_end_of_query"))
	if q.session = v.Get("session_id"); q.session != "" {
		q.sessionCheck = isTrue(v.Get("session_check"))
		if q.sessionTimeout, err = sessionTimeout(v.Get("session_timeout")); err != nil {
			return q, err
		}
	}
	defer func() {
		if err != nil {
			q.close()
		}
	}()
	if err := q.readParams(v); err != nil {
		return q, err
	}
	return q, q.readBody(r, v, c.dir)
}

// readParams takes query parameters and settings from the URL.
func (q *request) readParams(v url.Values) error {
	for _, name := range sortedKeys(v) {
		value := v.Get(name)
		switch {
		case strings.HasPrefix(name, "param_"):
			q.params = append(q.params, chdb.Param{Name: name[len("param_"):], Value: value})
		case reservedParams[name], strings.HasSuffix(name, "_format") && v.Has(strings.TrimSuffix(name, "_format")+"_structure"),
			strings.HasSuffix(name, "_structure"), strings.HasSuffix(name, "_types"):
		case !isIdentifier(name):
			return badRequest("parameter %q is not the name of a setting", name)
		default:
			q.settings = append(q.settings, setting{name, value})
		}
	}
	return nil
}

// readBody takes the text of the query, and the data of an insert, from the URL
// and the body.
func (q *request) readBody(r *http.Request, v url.Values, dir string) error {
	q.sql = v.Get("query")
	if media := r.Header.Get("Content-Type"); strings.HasPrefix(media, "multipart/form-data") {
		return q.readMultipart(r, v, dir)
	}
	body, err := decodeBody(r.Body, r.Header.Get("Content-Encoding"), isTrue(v.Get("decompress")))
	if err != nil {
		return err
	}
	defer body.Close()
	if q.access == accessOutside { // an insert from outside is refused as it is
		return q.readText(body, maxQueryTextOutside)
	}
	if head, ok := parseInsert(q.sql); ok {
		return q.readInsert(head, body, dir)
	}
	// An insert in the body may be much longer than a query may be: look at its
	// beginning first.
	start := make([]byte, 64<<10)
	n, err := io.ReadFull(body, start)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return badRequest("reading the body: %v", err)
	}
	begun := &request{sql: q.sql}
	begun.addText(string(start[:n]))
	if head, ok := parseInsert(begun.sql); ok {
		q.sql = begun.sql
		return q.readInsert(head, body, dir)
	}
	if err := q.readText(io.MultiReader(bytes.NewReader(start[:n]), body), maxQueryText); err != nil {
		return err
	}
	if head, ok := parseInsert(q.sql); ok { // this insert has an unusually long head
		return q.readInsert(head, http.NoBody, dir)
	}
	return nil
}

// addText puts more text behind that of the URL.
func (q *request) addText(text string) {
	if q.sql != "" && text != "" {
		q.sql += "\n"
	}
	q.sql += text
}

// readText takes the whole body as text, up to a limit in bytes.
func (q *request) readText(body io.Reader, limit int64) error {
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return badRequest("reading the body: %v", err)
	}
	q.addText(string(text))
	if int64(len(q.sql)) > limit {
		return &chdb.Exception{Code: codeSyntaxError, Name: "QUERY_IS_TOO_LARGE", Message: fmt.Sprintf("the text of the query exceeds %d bytes", limit)}
	}
	if strings.TrimSpace(q.sql) == "" {
		return &chdb.Exception{Code: codeSyntaxError, Name: "SYNTAX_ERROR", Message: "Syntax error: the query is empty"}
	}
	return nil
}

// readInsert gathers the data of an insert: what follows its head in the text,
// then the body.
func (q *request) readInsert(head insertHead, body io.Reader, dir string) error {
	s, err := newSpool(dir)
	if err != nil {
		return err
	}
	q.insert, q.body = &head, s
	if _, err := io.WriteString(s, q.sql[head.data:]); err != nil {
		return err
	}
	if _, err := io.Copy(s, body); err != nil {
		return badRequest("reading the data of the insert: %v", err)
	}
	return nil
}

// readMultipart takes the query and external tables from a form.
func (q *request) readMultipart(r *http.Request, v url.Values, dir string) error {
	form, err := r.MultipartReader()
	if err != nil {
		return badRequest("multipart form: %v", err)
	}
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return badRequest("multipart form: %v", err)
		}
		name := part.FormName()
		if name == "query" {
			text, err := io.ReadAll(io.LimitReader(part, maxQueryText))
			if err != nil {
				return badRequest("multipart form, query: %v", err)
			}
			q.sql += string(text)
			continue
		}
		if q.access == accessOutside {
			return &chdb.Exception{Code: codeReadonly, Name: "READONLY", Message: "external tables are not available to read-only access"}
		}
		t := externalTable{name: name, format: firstOf(v.Get(name+"_format"), "TabSeparated"), structure: v.Get(name + "_structure")}
		if t.structure == "" || !isIdentifier(name) || !isIdentifier(t.format) {
			return badRequest("external table %q needs a name, a parameter %s_structure and a format", name, name)
		}
		if t.data, err = newSpool(dir); err != nil {
			return err
		}
		q.external = append(q.external, t)
		if _, err := io.Copy(t.data, part); err != nil {
			return badRequest("external table %s: %v", name, err)
		}
	}
}

func (q *request) close() {
	if q.body != nil {
		q.body.close()
	}
	for _, t := range q.external {
		t.data.close()
	}
}

func badRequest(format string, args ...any) error {
	return &chdb.Exception{Code: chdb.CodeBadArguments, Name: "BAD_ARGUMENTS", Message: fmt.Sprintf(format, args...)}
}

func errReadOnly(what string) error {
	return &chdb.Exception{Code: codeReadonly, Name: "READONLY",
		Message: "Cannot execute query in readonly mode: " + what + " is not for access from outside"}
}

func isTrue(s string) bool { return s == "1" || s == "true" }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func sortedKeys(v url.Values) []string {
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// isIdentifier tells whether s can stand in SQL without quotes.
func isIdentifier(s string) bool {
	for i, c := range []byte(s) {
		if !(c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' && i > 0) {
			return false
		}
	}
	return s != ""
}
