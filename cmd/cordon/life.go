package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"

	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/spf13/cobra"
)

const lifeHelp = `A proposal is a draft, reviewed, submitted, in-force, superseded or archived. Each change is kept
with the time, the person (--as, default: who runs the command) and a note. A proposal that comes in force
supersedes those of its VRF and scope that are. Proposals in force are what generate-rules takes for
--existing and simulate for --against, unless these name others.`

// lifeCommands change the state of proposals.
func (a *app) lifeCommands() (out []*cobra.Command) {
	for _, c := range []struct {
		name, short string
		to          recommender.State
	}{
		{"review", "Say that a proposal was reviewed", recommender.Reviewed},
		{"submit", "Say that a proposal was handed to whoever changes the network", recommender.Submitted},
		{"accept", "Say that a proposal is in force", recommender.InForce},
		{"archive", "Put a proposal away", recommender.Archived},
		{"delete", "Remove a proposal that is not in force from the store", ""},
	} {
		var as, note string
		cmd := &cobra.Command{
			Use: c.name + " ID", Short: c.short, Long: c.short + ".\n\n" + lifeHelp, Args: oneProposal,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.changeState(cmd.Context(), args[0], c.to, as, note)
			},
		}
		cmd.Flags().StringVar(&as, "as", "", "the person who does it (default: who runs the command)")
		if c.to != "" {
			cmd.Flags().StringVar(&note, "note", "", "why")
		}
		out = append(out, cmd)
	}
	return out
}

// changeState changes the state of a stored proposal; without one it deletes it.
func (a *app) changeState(ctx context.Context, id string, to recommender.State, as, note string) error {
	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return err
	}
	defer st.close()
	p, err := a.proposal(ctx, st, id)
	if err != nil {
		return err
	}
	if as == "" {
		as = person()
	}
	done := "is now " + string(to)
	var superseded []string
	if to == "" {
		done = "is deleted"
		err = recommender.Delete(ctx, st.Conn, p, as, a.settings.ClickHouse.Cluster)
	} else {
		superseded, err = recommender.SetState(ctx, st.Conn, p, to, as, note)
	}
	if wrong, ok := errors.AsType[*recommender.StateError](err); ok {
		return usageError(wrong)
	}
	if err != nil {
		return fmt.Errorf("proposal %s: %w", shortID(p.ID), err)
	}
	fmt.Fprintf(a.stdout, "proposal %s %s\n", shortID(p.ID), done)
	for _, other := range superseded {
		fmt.Fprintf(a.stdout, "proposal %s is now %s\n", shortID(other), recommender.Superseded)
	}
	return nil
}

// person is who runs the command.
func person() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}

// inForce gives the proposals in force of a VRF, of all if it is empty, as policies, and says so.
func (a *app) inForce(ctx context.Context, st *store, vrf string) (out []policy.Policy, err error) {
	list, err := recommender.InForceProposals(ctx, st.Conn, vrf)
	if err != nil {
		return nil, fmt.Errorf("proposals in force: %w", err)
	}
	for i := range list {
		fmt.Fprintf(a.stderr, "cordon: proposal %s is in force in VRF %s\n", shortID(list[i].ID), list[i].VRF)
		out = append(out, list[i].Policy())
	}
	return out, nil
}

// candidateInForce gives the proposals in force as one policy to compare with, nil where none is.
func (a *app) candidateInForce(ctx context.Context, st *store, vrf string, in replayed) (*simulate.Candidate, error) {
	list, err := recommender.InForceProposals(ctx, st.Conn, vrf)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return proposalsCandidate("in force", list, ownTimes, in)
}
