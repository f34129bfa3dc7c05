package recommender

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// State is how far people have come with a proposal.
type State string

// The states, in order.
const (
	Draft      State = "draft" // of a proposal that nobody has changed
	Reviewed   State = "reviewed"
	Submitted  State = "submitted" // to whoever changes the network
	InForce    State = "in-force"
	Superseded State = "superseded" // by another one of its VRF and scope
	Archived   State = "archived"
	deleted    State = "deleted"
)

// Change is a step in the life of a proposal.
type Change struct {
	State   State     `json:"state"`
	Changed time.Time `json:"changed"`
	Person  string    `json:"person"`
	Note    string    `json:"note,omitempty"`
}

// StateError says that a proposal cannot become what was asked for.
type StateError struct {
	ID       string
	From, To State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("proposal %s is %s and cannot become %s", e.ID, e.From, e.To)
}

// mayBecome says what each state may be changed to.
var mayBecome = map[State][]State{
	Draft:      {Reviewed, Submitted, InForce, Archived, deleted},
	Reviewed:   {Submitted, InForce, Archived, deleted},
	Submitted:  {Reviewed, InForce, Archived, deleted},
	InForce:    {Superseded, Archived},
	Superseded: {InForce, Archived, deleted},
	Archived:   {Reviewed, InForce, deleted},
}

// States gives the last change of each proposal that somebody has changed.
func States(ctx context.Context, conn driver.Conn) (map[string]Change, error) {
	rows, err := conn.Query(ctx, `SELECT proposal, argMax(state, changed)::String, max(changed), argMax(person, changed), argMax(note, changed)
		FROM proposal_states GROUP BY proposal`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]Change{}
	for rows.Next() {
		var id, state string
		var c Change
		if err := rows.Scan(&id, &state, &c.Changed, &c.Person, &c.Note); err != nil {
			return nil, err
		}
		c.State = State(state)
		if c.State != deleted { // one that was made again is a draft
			out[id] = c
		}
	}
	return out, rows.Err()
}

// SetState changes the state of a proposal. One that comes in force supersedes those of its VRF and scope that are; their ids are
// given. The error is a *StateError where that cannot be.
func SetState(ctx context.Context, conn driver.Conn, p *policy.Proposal, to State, person, note string) (superseded []string, err error) {
	states, err := States(ctx, conn)
	if err != nil {
		return nil, err
	}
	from := Draft
	if c, ok := states[p.ID]; ok {
		from = c.State
	}
	if !slices.Contains(mayBecome[from], to) {
		return nil, &StateError{p.ID, from, to}
	}
	now := time.Now().UTC()
	if to == InForce {
		others, err := InForceProposals(ctx, conn, p.VRF)
		if err != nil {
			return nil, err
		}
		for i := range others {
			if others[i].Scope.String() != p.Scope.String() {
				continue
			}
			if err := addState(ctx, conn, others[i].ID, Change{Superseded, now, person, "by " + p.ID}); err != nil {
				return nil, err
			}
			superseded = append(superseded, others[i].ID)
		}
	}
	return superseded, addState(ctx, conn, p.ID, Change{to, now, person, note})
}

func addState(ctx context.Context, conn driver.Conn, id string, c Change) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO proposal_state_rows (proposal, changed, state, person, note)")
	if err != nil {
		return err
	}
	defer batch.Close()
	if err := batch.Append(id, c.Changed, string(c.State), c.Person, c.Note); err != nil {
		return err
	}
	return batch.Send()
}

// InForceProposals gives the proposals in force of a VRF, or of all if it is empty, in order of VRF and id.
func InForceProposals(ctx context.Context, conn driver.Conn, vrf string) ([]policy.Proposal, error) {
	states, err := States(ctx, conn)
	if err != nil {
		return nil, err
	}
	var ids []string
	for id, c := range states {
		if c.State == InForce {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var out []policy.Proposal
	for _, id := range ids {
		p, err := Get(ctx, conn, id)
		if err != nil {
			return nil, err
		}
		if vrf == "" || p.VRF == vrf {
			out = append(out, *p)
		}
	}
	slices.SortStableFunc(out, func(a, b policy.Proposal) int {
		if a.VRF < b.VRF {
			return -1
		} else if a.VRF > b.VRF {
			return 1
		}
		return 0
	})
	return out, nil
}

// Delete removes a proposal that is not in force from the store. Cluster names the cluster of the store, empty for none. The
// error is a *StateError where the proposal is in force.
func Delete(ctx context.Context, conn driver.Conn, p *policy.Proposal, person, cluster string) error {
	if _, err := SetState(ctx, conn, p, deleted, person, ""); err != nil {
		return err
	}
	onCluster := ""
	if cluster != "" {
		onCluster = " ON CLUSTER `" + cluster + "`"
	}
	for _, of := range [][2]string{{"proposal_rule_rows", "proposal"}, {"proposal_documents", "id"}} {
		if err := conn.Exec(ctx, "ALTER TABLE "+of[0]+onCluster+" DELETE WHERE "+of[1]+" = ? SETTINGS mutations_sync = 2", p.ID); err != nil {
			return fmt.Errorf("delete rows of table %s: %w", of[0], err)
		}
	}
	return nil
}
