package ingest

import "sync"

// attempts counts, for each batch that ClickHouse refuses, the tries that speak
// against the batch: those where ClickHouse says that it cannot read it, and
// those between which another batch was inserted.
type attempts struct {
	mu      sync.Mutex
	inserts uint64
	refused map[string]refusal
}

type refusal struct {
	tries uint64
	at    uint64 // value of inserts at the last counted try
}

func (a *attempts) inserted(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inserts++
	delete(a.refused, id)
}

// refuse records a refusal and returns how many count. Certain ones do in any
// case.
func (a *attempts) refuse(id string, certain bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, seen := a.refused[id]
	if certain || !seen || r.at != a.inserts {
		r = refusal{tries: r.tries + 1, at: a.inserts}
		if a.refused == nil {
			a.refused = make(map[string]refusal)
		}
		a.refused[id] = r
	}
	return int(r.tries)
}

func (a *attempts) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.refused, id)
}
