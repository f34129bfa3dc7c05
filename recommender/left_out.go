package recommender

import (
	"context"
	"net/netip"
	"slices"

	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// NoRule is the reason, of listings only, of a session that a rule could permit and that none of the document's rules
// holds: it came after the proposal was made, or the rules were edited.
const NoRule policy.Reason = "no-rule"

// noRuleNumber stands for NoRule in the run's tables.
var noRuleNumber = uint8(len(policy.Reasons) + 1)

// reasonOf is the inverse of reasonNumber.
func reasonOf(number uint8) policy.Reason {
	if number == noRuleNumber {
		return NoRule
	}
	return policy.Reasons[number-1]
}

// ListedReasons are the reasons that a session of a listing may have, in order.
func ListedReasons() []policy.Reason { return append(slices.Clone(policy.Reasons), NoRule) }

// sendNotes hands over what reasons rest on, so that listings can name it.
func (r *run) sendNotes(ctx context.Context) (uint64, error) {
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("notes")+" (reason UInt8, place Int32, client IPv6, note String) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return 0, err
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("notes")+" (reason, place, client, note)")
	if err != nil {
		return 0, err
	}
	defer batch.Close()
	nobody := netip.IPv6Unspecified()
	for c, s := range r.scanners {
		if c.vrf == r.plan.settings.VRF {
			if err := batch.Append(decide.ScannerNumber, int32(-1), as16(c.client), s.note()); err != nil {
				return 0, err
			}
		}
	}
	if err := batch.Append(decide.BelowSupportNumber, int32(decide.ShareNote), nobody, policy.DetailCoverage); err != nil {
		return 0, err
	}
	for _, of := range []struct {
		reason  uint8
		matcher *matcher
	}{{decide.ExcludedNumber, r.plan.exclusions}, {decide.GuardrailNumber, r.plan.guardrails}, {decide.AlreadyPermittedNumber, r.plan.existing}} {
		for place := range of.matcher.statements {
			if err := batch.Append(of.reason, int32(place), nobody, r.note(of.reason, int32(place), clientOf{})); err != nil {
				return 0, err
			}
		}
	}
	return uint64(batch.Rows()), batch.Send()
}
