package clickhousehttp

import (
	"io"
	"net/http"
	"sync"
)

// inProcess is an http.RoundTripper that calls a handler in place of a server,
// so that requests of this process take no socket and are not written out.
type inProcess struct{ handler http.Handler }

func (t *inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context()) // the handler may change headers
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, pipe := io.Pipe()
	w := &pipeResponse{request: req, header: http.Header{}, body: body, pipe: pipe, ready: make(chan *http.Response, 1)}
	go func() {
		defer r.Body.Close()
		defer func() {
			// As with a server, an aborted response ends the connection.
			if p := recover(); p != nil {
				if p != http.ErrAbortHandler {
					panic(p)
				}
				w.WriteHeader(http.StatusInternalServerError)
				pipe.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			w.finish()
		}()
		t.handler.ServeHTTP(w, r)
	}()
	select {
	case resp := <-w.ready:
		return resp, nil
	case <-req.Context().Done():
		body.CloseWithError(req.Context().Err())
		return nil, req.Context().Err()
	}
}

// pipeResponse is the http.ResponseWriter of inProcess.
type pipeResponse struct {
	request *http.Request
	header  http.Header
	body    *io.PipeReader
	pipe    *io.PipeWriter
	ready   chan *http.Response
	once    sync.Once
}

func (w *pipeResponse) Header() http.Header { return w.header }

func (w *pipeResponse) WriteHeader(status int) { w.respond(status, -1) }

func (w *pipeResponse) respond(status int, length int64) {
	w.once.Do(func() {
		w.ready <- &http.Response{
			Status: http.StatusText(status), StatusCode: status,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: w.header.Clone(), Body: w.body, ContentLength: length, Request: w.request,
		}
	})
}

func (w *pipeResponse) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}

// finish ends the response; without a write it is known to be empty.
func (w *pipeResponse) finish() {
	w.respond(http.StatusOK, 0)
	w.pipe.Close()
}
