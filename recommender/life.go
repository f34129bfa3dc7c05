package recommender

import (
	"cmp"
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
	Draft      State = "draft" // Nobody has changed the proposal.
	Reviewed   State = "reviewed"
	Submitted  State = "submitted" // Whoever changes the network has it.
	InForce    State = "in-force"
	Superseded State = "superseded" // Another one of its VRF and scope took its place.
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

// SetState changes the state of a proposal. One that comes in force supersedes those of its VRF and scope that are, in the same
// step; their ids are given. The error is a *StateError where that cannot be.
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
	steps := []stateStep{{p.ID, Change{to, after(states[p.ID].Changed), person, note}}}
	if to == InForce {
		others, err := InForceProposals(ctx, conn, p.VRF)
		if err != nil {
			return nil, err
		}
		for i := range others {
			if others[i].Scope.String() == p.Scope.String() {
				steps = append(steps, stateStep{others[i].ID, Change{Superseded, after(states[others[i].ID].Changed), person, "by " + p.ID}})
				superseded = append(superseded, others[i].ID)
			}
		}
	}
	if err := addStates(ctx, conn, steps); err != nil || to != InForce {
		return superseded, err
	}
	also, err := settle(ctx, conn, p, person)
	return append(superseded, also...), err
}

// after is now, and later than a moment: the last change counts.
func after(t time.Time) time.Time {
	now := time.Now().UTC()
	if least := t.Add(time.Microsecond); now.Before(least) {
		return least
	}
	return now
}

// settle leaves the newest one in force of a VRF and scope, where another process put one in force at the same time. Each does so after its
// own step is stored, so whoever is last sees the others.
func settle(ctx context.Context, conn driver.Conn, p *policy.Proposal, person string) (superseded []string, err error) {
	list, err := InForceProposals(ctx, conn, p.VRF)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(o policy.Proposal) bool { return o.Scope.String() != p.Scope.String() })
	if len(list) < 2 {
		return nil, nil
	}
	states, err := States(ctx, conn)
	if err != nil {
		return nil, err
	}
	newest := slices.MaxFunc(list, func(a, b policy.Proposal) int {
		return cmp.Or(states[a.ID].Changed.Compare(states[b.ID].Changed), cmp.Compare(a.ID, b.ID))
	})
	var steps []stateStep
	for i := range list {
		if list[i].ID != newest.ID {
			steps = append(steps, stateStep{list[i].ID, Change{Superseded, after(states[list[i].ID].Changed), person, "by " + newest.ID}})
			superseded = append(superseded, list[i].ID)
		}
	}
	return superseded, addStates(ctx, conn, steps)
}

// stateStep is a step in the life of one proposal.
type stateStep struct {
	id string
	Change
}

// addStates stores steps in one block, all of them or none.
func addStates(ctx context.Context, conn driver.Conn, steps []stateStep) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO proposal_state_rows (proposal, changed, state, person, note)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, s := range steps {
		if err := batch.Append(s.id, s.Changed, string(s.State), s.Person, s.Note); err != nil {
			return err
		}
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
	return deleteRows(ctx, conn, []string{p.ID}, cluster)
}

// deleteRows takes proposals out of the store, which their states say before.
func deleteRows(ctx context.Context, conn driver.Conn, ids []string, cluster string) error {
	onCluster := ""
	if cluster != "" {
		onCluster = " ON CLUSTER `" + cluster + "`"
	}
	for _, of := range [][2]string{{"proposal_rule_rows", "proposal"}, {"proposal_documents", "id"}} {
		if err := conn.Exec(ctx, "ALTER TABLE "+of[0]+onCluster+" DELETE WHERE has(?, "+of[1]+") SETTINGS mutations_sync = 2", ids); err != nil {
			return fmt.Errorf("delete rows of table %s: %w", of[0], err)
		}
	}
	return nil
}

// DropOld deletes the proposals that were made, and changed last, before a moment, unless they are in force, and gives their ids.
// Cluster names the cluster of the store, empty for none.
func DropOld(ctx context.Context, conn driver.Conn, before time.Time, cluster string) (ids []string, err error) {
	states, err := States(ctx, conn)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT id FROM proposals WHERE created < ? ORDER BY id", before.UTC())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var steps []stateStep
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		if c, ok := states[id]; ok && (c.State == InForce || !c.Changed.Before(before)) {
			continue
		}
		ids = append(ids, id)
		steps = append(steps, stateStep{id, Change{deleted, after(states[id].Changed), "retention", ""}})
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return nil, err
	}
	if err := addStates(ctx, conn, steps); err != nil {
		return nil, err
	}
	return ids, deleteRows(ctx, conn, ids, cluster)
}
