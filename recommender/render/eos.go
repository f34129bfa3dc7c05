package render

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"cordon/categories"
	"cordon/internal/text"
	"cordon/recommender/policy"
	"cordon/recommender/target/eos"
)

// TargetError says that a target cannot have what a proposal says.
type TargetError struct {
	Target string
	Err    error
}

func (e *TargetError) Error() string { return e.Target + ": " + e.Err.Error() }
func (e *TargetError) Unwrap() error { return e.Err }

// EOSDocument is a proposal as a policy for EOS. Groups are those of the file that it was
// made with; nil will do where the rules name none.
func EOSDocument(p *policy.Proposal, groups *categories.File) (eos.Document, error) {
	d := eos.Document{Policy: p.Policy(), Set: policy.IPSet, Proposed: true}
	if groups != nil {
		a, err := policy.NewAddresses(groups, p.Categories)
		if err != nil {
			return d, err
		}
		d.Set = a.Set
	} else if name := groupOf(p); name != "" {
		return d, fmt.Errorf("rules name %s, and which addresses it has is not known: give the groups file with --groups", name)
	}
	d.Remarks = []string{"Cordon proposal " + p.ID, fmt.Sprintf("%s, %s seen from %s to %s",
		text.Count(len(p.Rules), "rule"), text.Count(p.Summary.Included, "session"), p.Window.From.Format("2006-01-02 15:04"), p.Window.To.Format("2006-01-02 15:04 MST"))}
	for i := range p.Rules {
		r := &p.Rules[i]
		about := fmt.Sprintf("%s -> %s %s; %s, %s, %s, last seen %s", joined(r.Sources), joined(r.Destinations), joined(r.Services),
			text.Count(r.Evidence.Sessions, "session"), text.Count(r.Evidence.Clients, "client"), text.Count(r.Evidence.Servers, "server"),
			r.Evidence.LastSeen.Format("2006-01-02 15:04"))
		d.About = append(d.About, []string{about})
	}
	return d, nil
}

// mostListed is how many literals of a rule a remark names.
const mostListed = 8

func joined[T fmt.Stringer](list []T) string {
	var texts []string
	for i, x := range list {
		if i == mostListed {
			texts = append(texts, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		texts = append(texts, x.String())
	}
	return strings.Join(texts, ", ")
}

func groupOf(p *policy.Proposal) string {
	for i := range p.Rules {
		for _, set := range [][]policy.Endpoint{p.Rules[i].Sources, p.Rules[i].Destinations} {
			for _, e := range set {
				if e.IsGroup() {
					return e.String()
				}
			}
		}
	}
	return ""
}

func writeEOS(w io.Writer, proposals []policy.Proposal, o Options) error {
	var documents []eos.Document
	for i := range proposals {
		d, err := EOSDocument(&proposals[i], o.Groups)
		if err != nil {
			return &TargetError{"eos", err}
		}
		documents = append(documents, d)
	}
	options := o.EOS
	if o.Groups != nil {
		options.Services = o.Groups.Services
	}
	return WriteEOS(w, documents, options, o.Note)
}

// WriteEOS writes policies for EOS, and notes what is worth knowing about them.
func WriteEOS(w io.Writer, documents []eos.Document, o eos.Options, note func(string)) error {
	written, err := eos.Write(w, documents, o)
	if err != nil {
		return &TargetError{"eos", err}
	}
	if note == nil {
		return nil
	}
	if written.Open > 0 {
		note(fmt.Sprintf("eos: a device keeps no state, so matches for answers also permit what a server sends from its own port to any port of a client: %s of TCP and UDP in all rules together%s",
			text.Count(written.Open, "port"), map[bool]string{true: ", of TCP only where ACK or RST is set"}[o.TCPEstablished]))
	}
	for _, gap := range written.Gaps {
		note("eos: " + gap)
	}
	return nil
}

// ErrTarget reports whether an error is a *TargetError.
func ErrTarget(err error) bool {
	_, ok := errors.AsType[*TargetError](err)
	return ok
}
