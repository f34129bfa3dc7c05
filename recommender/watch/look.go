package watch

import (
	"context"
	"fmt"
	"time"

	"cordon/internal/sqltext"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Seen is what a look at the sessions of one policy found.
type Seen struct {
	// Sessions and Attempts are how many of the window are outside the policy.
	Sessions, Attempts uint64
	VRFs               []SeenVRF
}

// SeenVRF is what was seen in one VRF.
type SeenVRF struct {
	VRF    string
	Newest time.Time      // the last record
	Days   []time.Time    // those on which something was seen, in order
	Uses   []simulate.Use // one for each rule of the policy
	Late   bool           // sessions came for the time that the policy was made of
}

// looker looks at the sessions.
type looker interface {
	// fingerprint gives a text that is another one whenever sessions came or went.
	fingerprint(ctx context.Context) (string, error)
	// look calls f with each session and attempt that is outside a policy and has a record since it was made.
	look(ctx context.Context, p *Policy, f func(*simulate.Outside) error) (*Seen, error)
}

// store looks at the sessions in ClickHouse.
type store struct{ conn driver.Conn }

func (s store) fingerprint(ctx context.Context) (string, error) {
	var n, flows, packets, bytes uint64
	// Sums stay the same when parts are merged.
	if err := s.conn.QueryRow(ctx, `SELECT uniqExact(hour), sum(complete + half_open + unanswered + requests + replies + denied), sum(client_packets) + sum(server_packets), sum(client_bytes) + sum(server_bytes)
		FROM sessions_hourly`).Scan(&n, &flows, &packets, &bytes); err != nil {
		return "", fmt.Errorf("ClickHouse: what is stored: %w", err)
	}
	return fmt.Sprint(n, flows, packets, bytes), nil
}

// look replays from the beginning of the window that the policy was made of: who is the client of a session, and
// whether it was answered, may rest on any of its records.
func (s store) look(ctx context.Context, p *Policy, f func(*simulate.Outside) error) (_ *Seen, err error) {
	r, err := simulate.New(ctx, s.conn, simulate.Settings{Since: p.From, VRF: p.VRF, Scope: p.Scope, Groups: p.Groups, Categories: p.Categories, WithoutHosts: true}, p.Candidate, nil)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := r.Close(ctx); closed != nil && err == nil {
			err = fmt.Errorf("ClickHouse: drop the tables of the replay: %w", closed)
		}
	}()
	sum := &r.Result.Summary
	out := &Seen{Sessions: sum.Denied + sum.AnswersDenied + sum.Uncertain, Attempts: sum.AttemptsDenied + sum.AttemptsUncertain}
	uses := ownUses(r.Uses(), p)
	since := p.Since
	late := false
	if p.Judged > 0 {
		ended, err := r.Ended(ctx, p.VRF, p.Since)
		if err != nil {
			return nil, err
		}
		if late = ended > p.Judged; late {
			since = p.From
		}
	}
	for _, vrf := range r.VRFs() {
		v := SeenVRF{VRF: vrf, Newest: r.Newest(vrf), Late: late, Uses: uses}
		if v.Days, err = s.days(ctx, vrf); err != nil {
			return nil, err
		}
		out.VRFs = append(out.VRFs, v)
	}
	return out, r.Outside(ctx, since, f)
}

// ownUses gives those of the rules of the policy itself.
func ownUses(all []simulate.Use, p *Policy) (out []simulate.Use) {
	for _, u := range all {
		if p.Own < 0 && !p.Candidate.Documents[u.Document].Beside || u.Document == p.Own {
			out = append(out, u)
		}
	}
	return out
}

// days lists the days on which something was seen in a VRF.
func (s store) days(ctx context.Context, vrf string) (out []time.Time, err error) {
	err = s.conn.QueryRow(ctx, "SELECT arraySort(groupUniqArray(toStartOfDay(hour, 'UTC'))) FROM sessions_hourly WHERE vrf = "+sqltext.Text(vrf)).Scan(&out)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: days with data: %w", err)
	}
	return out, nil
}
