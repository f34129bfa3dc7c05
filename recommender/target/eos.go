package target

import (
	"bytes"
	"fmt"
	"slices"

	"cordon/internal/text"
	"cordon/recommender/policy"
	"cordon/recommender/target/eos"
)

func writeEOS(w *writer) error {
	o := w.options.EOS
	o.Gaps, o.TCPEstablished, o.Services = w.options.Gaps, o.TCPEstablished || w.options.Established, w.services
	var out bytes.Buffer
	written, err := eos.Write(&out, w.documents, o)
	if err != nil {
		return err
	}
	if written.Open > 0 {
		w.note("a device keeps no state, so matches for answers also permit what a server sends from its own port to any port of a client: %s of TCP and UDP in all rules together%s",
			text.Count(written.Open, "port"), map[bool]string{true: ", of TCP only where ACK or RST is set"}[o.TCPEstablished])
	}
	if len(o.DefaultDeny) == 0 && !o.DenyDestinations && slices.ContainsFunc(w.documents, permitsAll) {
		w.note("a traffic policy permits what no match decides, and no rule denies anything, so nothing is kept out: --default-deny=group:NAME drops all else from and to a group")
	}
	w.out.Gaps = append(w.out.Gaps, written.Gaps...)
	w.file("", fmt.Sprint(out.String()))
	return nil
}

// permitsAll reports whether a policy denies nothing, as a proposal does by itself.
func permitsAll(d Document) bool {
	return d.Default.Of(false) != policy.Deny && d.Default.Of(true) != policy.Deny &&
		!slices.ContainsFunc(d.Rules, func(r policy.StatementRule) bool { return r.Action == policy.Deny })
}
