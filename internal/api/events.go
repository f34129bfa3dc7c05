package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"cordon/recommender"

	"github.com/danielgtaylor/huma/v2"
)

// lookEvery is how often status and proposals are looked at while somebody listens.
const lookEvery = 3 * time.Second

// news is what every stream of events tells: the last document of each kind. Status and proposals are looked at once for all who
// listen, and by nobody where nobody does.
type news struct {
	api *API

	mu       sync.Mutex
	parts    map[string]part
	version  uint64
	changed  chan struct{} // closed at the next change
	watchers int
	stop     context.CancelFunc // It ends the looking; nil for none.
	looking  sync.WaitGroup
	ended    chan struct{}
	once     sync.Once
}

// part is the last document of a kind.
type part struct {
	data    []byte
	version uint64
}

// kinds are the events of a stream, in the order in which a new one tells them.
var kinds = []string{"status", "proposals", "jobs"}

func newNews(a *API) *news {
	return &news{api: a, parts: map[string]part{}, changed: make(chan struct{}), ended: make(chan struct{})}
}

// tell keeps a document, and wakes the streams where it is another one.
func (n *news) tell(kind string, document any) {
	data, err := json.Marshal(document)
	if err != nil {
		n.api.deps.Log.Warn("an event cannot be told", "event", kind, "err", err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if bytes.Equal(n.parts[kind].data, data) {
		return
	}
	n.version++
	n.parts[kind] = part{data, n.version}
	close(n.changed)
	n.changed = make(chan struct{})
}

// since gives what is newer than a version, and what is closed at the next change.
func (n *news) since(version uint64) (out map[string][]byte, now uint64, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out = map[string][]byte{}
	for kind, p := range n.parts {
		if p.version > version {
			out[kind] = p.data
		}
	}
	return out, n.version, n.changed
}

// watch has status and proposals looked at until who watches leaves.
func (n *news) watch() (leave func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watchers++; n.watchers == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		n.stop = cancel
		n.looking.Go(func() { n.look(ctx) })
	}
	return sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.watchers--; n.watchers == 0 {
			n.stop()
		}
	})
}

func (n *news) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		n.tell("status", n.api.deps.Status(ctx))
		if list, err := recommender.List(ctx, n.api.deps.Conn, "", 20); err == nil {
			n.tell("proposals", map[string]any{"proposals": append([]recommender.Stored{}, list...)})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// close ends every stream.
func (n *news) close() {
	n.once.Do(func() { close(n.ended) })
	n.mu.Lock()
	if n.stop != nil {
		n.stop()
	}
	n.mu.Unlock()
	n.looking.Wait()
}

// events is a stream of status, proposals and jobs: each when it begins, and again when it changes.
func (a *API) events(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(h huma.Context) {
		leave := a.news.watch()
		defer leave()
		h.SetHeader("Content-Type", "text/event-stream")
		w := h.BodyWriter()
		flush := func() {
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}
		fmt.Fprint(w, "retry: 2000\n\n")
		flush()
		beat := time.NewTicker(heartbeat)
		defer beat.Stop()
		version := uint64(0)
		for {
			parts, now, changed := a.news.since(version)
			version = now
			for _, kind := range kinds {
				if data, ok := parts[kind]; ok {
					fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
				}
			}
			flush()
			select {
			case <-changed:
			case <-beat.C:
				fmt.Fprint(w, ": still here\n\n")
			case <-a.news.ended:
				return
			case <-ctx.Done():
				return
			}
		}
	}}, nil
}
