package clickhousehttp

import (
	"cordon/internal/chdb"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of HTTP sessions, as in ClickHouse.
const (
	defaultSessionTimeout = 60 * time.Second
	maxSessionTimeout     = time.Hour
	maxSessions           = 256
)

// sessions keeps the connections of requests with a session_id, so that their
// temporary tables and SET outlive the request.
type sessions struct {
	mu     sync.Mutex
	byID   map[string]*session
	closed bool
}

type session struct {
	conn  *chdb.Connection
	busy  bool
	timer *time.Timer
}

func (s *sessions) init() { s.byID = map[string]*session{} }

// take returns the session's connection for one request.
func (s *sessions) take(e *chdb.Engine, q *request) (*chdb.Connection, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ses := s.byID[q.session]
	switch {
	case s.closed:
		return nil, nil, errors.New("the server is shutting down")
	case ses != nil && ses.busy:
		return nil, nil, &chdb.Exception{Code: codeSessionIsLocked, Name: "SESSION_IS_LOCKED", Message: "Session " + q.session + " is locked by a concurrent client"}
	case ses == nil && q.sessionCheck:
		return nil, nil, &chdb.Exception{Code: codeSessionNotFound, Name: "SESSION_NOT_FOUND", Message: "Session " + q.session + " not found"}
	case ses == nil && len(s.byID) >= maxSessions:
		return nil, nil, &chdb.Exception{Code: codeTooManySimultaneous, Name: "TOO_MANY_SIMULTANEOUS_QUERIES", Message: "too many sessions"}
	case ses == nil:
		conn, err := e.Open()
		if err != nil {
			return nil, nil, err
		}
		ses = &session{conn: conn}
		s.byID[q.session] = ses
	}
	ses.busy = true
	if ses.timer != nil {
		ses.timer.Stop()
	}
	return ses.conn, func() { s.putBack(ses, q) }, nil
}

// putBack takes the request's own settings off the session and starts the
// clock on it.
func (s *sessions) putBack(ses *session, q *request) {
	reset := []string{"log_comment", "max_query_size"}
	for _, set := range q.settings {
		reset = append(reset, set.name)
	}
	err := ses.conn.Exec("SET " + strings.Join(reset, " = DEFAULT, ") + " = DEFAULT")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[q.session] != ses {
		return
	}
	if err != nil || q.readOnly || s.closed {
		// readonly cannot be taken back; such a session is of one request.
		delete(s.byID, q.session)
		ses.conn.Close()
		return
	}
	ses.busy = false
	ses.timer = time.AfterFunc(q.sessionTimeout, func() { s.expire(q.session, ses) })
}

func (s *sessions) expire(id string, ses *session) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[id] == ses && !ses.busy {
		delete(s.byID, id)
		ses.conn.Close()
	}
}

// closeAll ends the sessions; no request may be running.
func (s *sessions) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for id, ses := range s.byID {
		if ses.timer != nil {
			ses.timer.Stop()
		}
		ses.conn.Close()
		delete(s.byID, id)
	}
}

func sessionTimeout(s string) (time.Duration, error) {
	if s == "" {
		return defaultSessionTimeout, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	d := time.Duration(n) * time.Second
	if err != nil || d > maxSessionTimeout {
		return 0, badRequest("session_timeout=%q is not a number of seconds up to %d", s, int(maxSessionTimeout/time.Second))
	}
	return d, nil
}
