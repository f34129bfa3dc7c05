package recommender

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"cordon/categories"
	"cordon/collector/replay/lab"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
	"cordon/schema"
)

func labRecords(nodes ...lab.Node) func() (*schema.Record, error) {
	return func() (*schema.Record, error) {
		for len(nodes) > 0 && len(nodes[0].Records) == 0 {
			nodes = nodes[1:]
		}
		if len(nodes) == 0 {
			return nil, io.EOF
		}
		r := nodes[0].Records[0]
		nodes[0].Records = nodes[0].Records[1:]
		r.Received = r.End
		return &r, nil
	}
}

// The last chapter of the lab: the proposal is in force, and a monitor on the rule that drops the rest reports. Simulating the
// policy names the rule that stopped each attempt of SSH, of HTTP and of updates, by client and by server.
func TestSimulateDropRule(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, lab.Groups)
	insert(t, conn, labRecords(lab.Nodes(1, base)...))
	proposals, err := Generate(t.Context(), conn, Settings{}, file)
	if err != nil || len(proposals) != 1 {
		t.Fatal(len(proposals), err)
	}
	enforced := base.Add(lab.Duration)
	insert(t, conn, labRecords(lab.DropRule(1, enforced)))
	p := proposals[0].Policy()
	p.Default = policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}
	addresses, err := policy.NewAddresses(file, p.Categories)
	if err != nil {
		t.Fatal(err)
	}
	sets := func(l []policy.Endpoint, _ policy.Reading) (policy.AddressSet, error) {
		return addresses.Set(l, policy.Proposed)
	}
	r, err := simulate.New(t.Context(), conn, simulate.Settings{Since: enforced, Groups: file, Categories: p.Categories},
		&simulate.Candidate{Name: "in force", Documents: []simulate.Document{{Policy: p, Sets: sets}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	if s := r.Result.Summary; s.AttemptsDenied != 11 || s.Sessions != 0 || s.AttemptsPermitted != 0 {
		t.Errorf("%+v", s)
	}
	var got []string
	for _, h := range r.Result.Hosts {
		got = append(got, fmt.Sprintf("%s %s: %d attempts, %s by %s, %v", h.Role, h.Address, h.Attempts, h.Decision, h.Rule, h.Services))
	}
	slices.Sort(got)
	want := []string{
		"client 10.100.99.50: 1 attempts, deny by default, [tcp/443]", // an update
		"client 10.100.99.51: 2 attempts, deny by default, [tcp/22 tcp/80]",
		"client 10.100.99.52: 1 attempts, deny by default, [tcp/80]",
		"client 172.18.6.119: 2 attempts, deny by default, [tcp/22]",
		"client 172.18.6.122: 1 attempts, deny by default, [tcp/80]",
		"client 172.18.6.123: 1 attempts, deny by default, [tcp/80]",
		"client 172.18.6.124: 1 attempts, deny by default, [tcp/80]",
		"client 172.18.6.125: 1 attempts, deny by default, [tcp/80]",
		"client 172.18.6.131: 1 attempts, deny by default, [tcp/22]",
		"server 10.100.99.50: 6 attempts, deny by default, [tcp/80 tcp/22]",
		"server 10.100.99.51: 1 attempts, deny by default, [tcp/22]",
		"server 10.100.99.52: 1 attempts, deny by default, [tcp/22]",
		"server 185.125.190.39: 1 attempts, deny by default, [tcp/443]",
		"server 194.71.11.137: 1 attempts, deny by default, [tcp/80]",
		"server 91.189.91.82: 1 attempts, deny by default, [tcp/80]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// Had the policy let SSH through, the rule that lets it is named, and the attempts are no breaks.
	ssh := policy.StatementRule{Name: "ssh", Action: policy.Allow, Sources: endpoints(t, "any"), Destinations: endpoints(t, "any"),
		Services: []policy.Service{{Term: categories.ServiceTerm{Proto: 6, Lo: 22, Hi: 22}}}}
	p.Rules = append(slices.Clone(p.Rules), ssh)
	open, err := simulate.New(t.Context(), conn, simulate.Settings{Since: enforced, Groups: file, Categories: p.Categories},
		&simulate.Candidate{Name: "open", Documents: []simulate.Document{{Policy: p, Sets: sets}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close(t.Context())
	if s, u := open.Result.Summary, open.Result.Rules[len(open.Result.Rules)-2]; s.AttemptsPermitted != 4 || u.Name != "ssh" || u.Attempts != 4 {
		t.Errorf("%+v, rule %+v", s, u)
	}
}

func endpoints(t *testing.T, texts ...string) (out []policy.Endpoint) {
	t.Helper()
	for _, s := range texts {
		e, err := policy.ParseEndpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}
