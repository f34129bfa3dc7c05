package cover

import "context"

// meter counts work in steps (about one cell looked up each) against a budget, so that a result
// depends on the budget and never on the clock. Only a context that ends makes it stop earlier.
type meter struct {
	ctx   context.Context
	used  int64
	limit int64
	poll  int64
	ended bool
}

const pollEvery = 1 << 16

// spend counts n steps and reports whether there is budget left.
func (m *meter) spend(n int64) bool {
	m.used += n
	if m.used >= m.poll {
		m.poll = m.used + pollEvery
		if m.ctx.Err() != nil {
			m.ended = true
		}
	}
	return m.used < m.limit && !m.ended
}

func (m *meter) ok() bool { return m.spend(0) }

// part runs f with a budget of at most n more steps, within the budget that is there.
func (m *meter) part(n int64, f func()) {
	outer := m.limit
	m.limit = min(m.limit, m.used+n)
	f()
	m.limit = outer
}
