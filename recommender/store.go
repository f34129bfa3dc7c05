package recommender

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Store keeps proposals, and the groups file that they were made with (nil for
// none), where SQL can reach them: tables proposals, proposal_rules and groups. A
// proposal that is stored already stays as it is.
func Store(ctx context.Context, conn driver.Conn, proposals []policy.Proposal, file *categories.File) error {
	file = file.InVRF("") // The view has no VRFs: it shows the groups of every one.
	if file.Timed() {     // the view shows the groups that the rules mean
		at := time.Now()
		if len(proposals) > 0 && proposals[0].GroupsAt != nil {
			at = proposals[0].GroupsAt.Time
		}
		file = file.At(at)
	}
	if file != nil {
		if err := storeGroups(ctx, conn, file); err != nil {
			return fmt.Errorf("groups: %w", err)
		}
	}
	for i := range proposals {
		p := &proposals[i]
		var n uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM proposals WHERE id = ?", p.ID).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		// The rules first: a proposal that can be found has its rules.
		if err := storeRules(ctx, conn, p); err != nil {
			return fmt.Errorf("proposal %s: %w", p.ID, err)
		}
		if err := storeDocument(ctx, conn, p); err != nil {
			return fmt.Errorf("proposal %s: %w", p.ID, err)
		}
	}
	return nil
}

func storeDocument(ctx context.Context, conn driver.Conn, p *policy.Proposal) error {
	batch, err := conn.PrepareBatch(ctx, `INSERT INTO proposal_documents
		(id, created, vrf, window_from, window_to, categories, rules, lower_bound, optimal, cells, sessions, included, document)`)
	if err != nil {
		return err
	}
	defer batch.Close()
	var document strings.Builder
	p.WriteJSON(&document) // a strings.Builder does not fail
	if err := batch.Append(p.ID, time.Now().UTC(), p.VRF, p.Window.From.Time, p.Window.To.Time, p.Categories,
		uint32(p.Summary.Rules), uint32(p.Certificate.LowerBound), p.Certificate.Optimal,
		uint64(p.Summary.Cells), p.Summary.Sessions, p.Summary.Included, document.String()); err != nil {
		return err
	}
	return batch.Send()
}

func storeRules(ctx context.Context, conn driver.Conn, p *policy.Proposal) error {
	if len(p.Rules) == 0 {
		return nil
	}
	batch, err := conn.PrepareBatch(ctx, `INSERT INTO proposal_rule_rows
		(proposal, ordinal, id, name, action, sources, destinations, services, sessions, flows, bytes, clients, servers,
		first_seen, last_seen, permitted_pairs, observed_pairs)`)
	if err != nil {
		return err
	}
	defer batch.Close()
	for i := range p.Rules {
		r := &p.Rules[i]
		e := &r.Evidence
		if err := batch.Append(p.ID, uint32(i), r.ID, r.Name, string(r.Action), texts(r.Sources), texts(r.Destinations), texts(r.Services),
			e.Sessions, e.Flows, e.Bytes, e.Clients, e.Servers, e.FirstSeen.Time, e.LastSeen.Time,
			r.Excess.PermittedPairs, r.Excess.ObservedPairs); err != nil {
			return err
		}
	}
	return batch.Send()
}

func texts[T fmt.Stringer](s []T) []string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = s[i].String()
	}
	return out
}

// storeGroups makes the groups file the one that view groups shows. A file is
// known by its groups and prefixes, in their order.
func storeGroups(ctx context.Context, conn driver.Conn, f *categories.File) error {
	h := sha256.New()
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			g := &f.Categories[i].Groups[j]
			for _, p := range g.Prefixes {
				fmt.Fprintf(h, "%q %q %s\n", f.Categories[i].Name, g.Name, p)
			}
		}
	}
	id, now := hex.EncodeToString(h.Sum(nil)), time.Now().UTC()
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO group_prefixes (file_id, loaded, category, `group`, prefix)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			g := &f.Categories[i].Groups[j]
			for _, p := range g.Prefixes {
				if err := batch.Append(id, now, f.Categories[i].Name, g.Name, p.String()); err != nil {
					return err
				}
			}
		}
	}
	if batch.Rows() == 0 {
		return nil
	}
	return batch.Send()
}

// Stored is a proposal in the store, in short.
type Stored struct {
	ID         string    `json:"id"`
	Created    time.Time `json:"created"`
	VRF        string    `json:"vrf"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Categories []string  `json:"categories"`
	Rules      uint32    `json:"rules"`
	LowerBound uint32    `json:"lowerBound"`
	Optimal    bool      `json:"optimal"`
	Cells      uint64    `json:"cells"`
	Sessions   uint64    `json:"sessions"`
	Included   uint64    `json:"included"`
	State      State     `json:"state"`
	Person     string    `json:"person,omitempty"` // The person who changed the state last.
	Note       string    `json:"note,omitempty"`
}

// List gives the stored proposals, the newest first: those of one VRF, or of
// all if it is empty; at most limit, or all if it is 0.
func List(ctx context.Context, conn driver.Conn, vrf string, limit int) ([]Stored, error) {
	query := "SELECT id, created, vrf, window_from, window_to, categories, rules, lower_bound, optimal, cells, sessions, included FROM proposals"
	var args []any
	if vrf != "" {
		query += " WHERE vrf = ?"
		args = append(args, vrf)
	}
	query += " ORDER BY created DESC, vrf, id"
	if limit > 0 {
		query += " LIMIT ?"
		args = append(args, limit)
	}
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Stored
	for rows.Next() {
		var s Stored
		if err := rows.Scan(&s.ID, &s.Created, &s.VRF, &s.From, &s.To, &s.Categories, &s.Rules, &s.LowerBound, &s.Optimal, &s.Cells, &s.Sessions, &s.Included); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	states, err := States(ctx, conn)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].State = Draft
		if c, ok := states[out[i].ID]; ok {
			out[i].State, out[i].Person, out[i].Note = c.State, c.Person, c.Note
		}
	}
	return out, nil
}

// Errors of Get. Both are the caller's mistake.
var (
	ErrNoProposal       = errors.New("no such proposal")
	ErrSeveralProposals = errors.New("several proposals begin like this")
)

// Get reads the proposal whose id begins with the given text, with or without
// "sha256:". The error is ErrNoProposal or ErrSeveralProposals where that is
// not exactly one.
func Get(ctx context.Context, conn driver.Conn, id string) (*policy.Proposal, error) {
	digits := strings.TrimPrefix(id, "sha256:")
	if digits == "" {
		return nil, fmt.Errorf("%w: the id is empty", ErrNoProposal)
	}
	rows, err := conn.Query(ctx, "SELECT id, document FROM proposals WHERE startsWith(id, ?) ORDER BY id LIMIT 2", "sha256:"+digits)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids, documents []string
	for rows.Next() {
		var id, document string
		if err := rows.Scan(&id, &document); err != nil {
			return nil, err
		}
		ids, documents = append(ids, id), append(documents, document)
	}
	switch err := rows.Err(); {
	case err != nil:
		return nil, err
	case len(ids) == 0:
		return nil, fmt.Errorf("%w: %s (cordon proposals list shows all)", ErrNoProposal, id)
	case len(ids) == 2:
		return nil, fmt.Errorf("%w: %s is the begin of %s and %s", ErrSeveralProposals, id, ids[0], ids[1])
	}
	read, err := policy.ParseProposals("proposal "+ids[0], []byte(documents[0]))
	if err != nil {
		return nil, err
	}
	return &read[0], nil
}
