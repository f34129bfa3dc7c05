package recommender

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"cordon/internal/sqltext"
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
		if c.vrf == r.VRF {
			if err := batch.Append(decide.ScannerNumber, int32(-1), as16(c.client), s.note()); err != nil {
				return 0, err
			}
		}
	}
	if err := batch.Append(decide.BelowSupportNumber, int32(shareNote), nobody, policy.DetailCoverage); err != nil {
		return 0, err
	}
	for _, of := range []struct {
		reason  uint8
		matcher *matcher
	}{{decide.ExcludedNumber, r.exclusions}, {decide.GuardrailNumber, r.guardrails}, {decide.AlreadyPermittedNumber, r.existing}} {
		for place := range of.matcher.statements {
			if err := batch.Append(of.reason, int32(place), nobody, r.note(of.reason, int32(place), clientOf{})); err != nil {
				return 0, err
			}
		}
	}
	return uint64(batch.Rows()), batch.Send()
}

// LeftOut is the SQL, for a FROM clause, of the sessions that are in none of the document's rules, as Sessions has them,
// with `reason`, what it rests on as `note`, and the reason's place as `ordinal`. Those of some reasons, or all.
func (l *Listing) LeftOut(reasons []policy.Reason) string {
	r := l.r
	from, why, note := r.fates(true)
	var names, numbers, asked []string
	for i, reason := range ListedReasons() {
		number := strconv.Itoa(i + 1)
		names, numbers = append(names, sqltext.Text(string(reason))), append(numbers, number)
		if len(reasons) == 0 || slices.Contains(reasons, reason) {
			asked = append(asked, number)
		}
	}
	return fmt.Sprintf(`(
    SELECT m.why AS ordinal, transform(m.why, [%[1]s], [%[2]s], '') AS reason, n.note AS note, %[4]s
    FROM
    (
        %[5]s
    ) AS s
    INNER JOIN
    (
        SELECT s.client AS client, s.server AS server, s.proto AS proto, s.port AS port, %[6]s AS why, %[7]s AS place,
            if(why = %[3]d, s.client, toIPv6('::')) AS told
        FROM %[8]s
        WHERE s.vrf = %[9]s AND why IN (%[10]s)
    ) AS m ON m.client = s.client_ip AND m.server = s.server_ip AND m.proto = s.proto AND m.port = s.cell_port
    LEFT JOIN %[11]s AS n ON n.reason = m.why AND n.place = m.place AND n.client = m.told
)`, strings.Join(numbers, ", "), strings.Join(names, ", "), decide.ScannerNumber, listedColumns, r.whole(), why, note, from, sqltext.Text(r.VRF),
		strings.Join(asked, ", "), r.table("notes"))
}
