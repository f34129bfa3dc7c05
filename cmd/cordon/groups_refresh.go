package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cordon/internal/bus"
	"cordon/internal/memberships"
	"cordon/internal/text"

	"github.com/spf13/cobra"
)

func (a *app) sourcesRefreshCommand() *cobra.Command {
	var name string
	var acceptLoss bool
	c := &cobra.Command{
		Use:   "refresh FILE",
		Short: "Read the sources into the store: what came and went since the last time, with the times",
		Long: `Reads each source of a groups file and writes to table memberships what changed since it was read last. What came holds from now on, what
went held until the last time that it was there. What a source says the first time holds from ever. With this history generate-rules
judges each session by what its addresses were when it was seen.

A source that cannot be read, is empty, or lost more than a share of its addresses (max_loss of the source, 50%) changes nothing: the exit
code is 1, and what was known still holds. cordon up refreshes by itself where groups.file names the file.`,
		Example: `  cordon groups sources refresh groups.yaml`,
		Args:    oneArgument("groups file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sourcesRefresh(cmd.Context(), args[0], name, acceptLoss)
		},
	}
	c.Flags().StringVar(&name, "source", "", "only the source of this name")
	c.Flags().BoolVar(&acceptLoss, "accept-loss", false, "take a snapshot however many addresses it lost")
	return c
}

func (a *app) sourcesRefresh(ctx context.Context, path, name string, acceptLoss bool) error {
	list, err := sourcesOf(path, name)
	if err != nil {
		return err
	}
	st, err := a.openStore(ctx, storeNeeds{bus: true, create: true})
	if err != nil {
		return err
	}
	defer st.close()
	var failed error
	for i := range list {
		s := &list[i]
		change, err := memberships.Refresh(ctx, st.Conn, groupSources, s, time.Now(), acceptLoss)
		if err != nil {
			fmt.Fprintf(a.stdout, "%v\n", err)
			failed = errors.Join(failed, publishChange(st.Bus, &change, err))
			failed = errors.Join(failed, fmt.Errorf("source %q changed nothing", s.Name))
			continue
		}
		fmt.Fprintf(a.stdout, "%s: %s memberships, %s came, %s went\n", s.Name, text.Number(change.Now), text.Number(len(change.Came)), text.Number(len(change.Went)))
		failed = errors.Join(failed, publishChange(st.Bus, &change, nil))
	}
	return failed
}

// groupsChange is a message on groups.changes: what a source changed, or why it changed nothing.
type groupsChange struct {
	Source  string          `json:"source"`
	Taken   time.Time       `json:"taken"`
	Members int             `json:"members"`           // memberships of the source now
	Came    int             `json:"came"`              // Number of those that began.
	Went    int             `json:"went"`              // Number of those that ended.
	Changes []changedMember `json:"changes,omitempty"` // The first maxChanges; the table has all.
	Problem string          `json:"problem,omitempty"`
}

// changedMember is a membership that began or ended.
type changedMember struct {
	Category string     `json:"category"`
	Group    string     `json:"group"`
	Prefix   string     `json:"prefix"`
	VRF      string     `json:"vrf,omitempty"`
	From     *time.Time `json:"from,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
	Ref      string     `json:"ref,omitempty"`
}

const maxChanges = 1000

// publishChange tells others what changed. A source that said the same as before is no message.
func publishChange(to *bus.Bus, c *memberships.Change, problem error) error {
	if problem == nil && len(c.Came)+len(c.Went) == 0 {
		return nil
	}
	m := groupsChange{Source: c.Source, Taken: c.Taken, Members: c.Now, Came: len(c.Came), Went: len(c.Went)}
	if problem != nil {
		m.Problem, m.Members, m.Came, m.Went = problem.Error(), 0, 0, 0
	} else {
		for _, rows := range [][]memberships.Row{c.Went, c.Came} {
			for i := range rows[:min(len(rows), maxChanges-len(m.Changes))] {
				r := &rows[i]
				m.Changes = append(m.Changes, changedMember{r.Category, r.Group, r.Prefix.String(), r.VRF, timeOrNone(r.From), timeOrNone(r.Until), r.Ref})
			}
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := to.NC.Publish(bus.SubjectGroupChanges, data); err != nil {
		return fmt.Errorf("publish %s: %w", bus.SubjectGroupChanges, err)
	}
	return to.NC.FlushTimeout(5 * time.Second)
}

func timeOrNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
