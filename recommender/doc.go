// Package recommender turns sessions and groups into policy proposals.
//
// ClickHouse does what grows with the sessions, Go what grows with the policy:
//
//  1. The selected categories are flattened into disjoint prefixes, each with
//     one group, and handed over as ranges of addresses, together with the
//     special-purpose ranges and whatever else tells addresses apart.
//  2. ClickHouse looks both ends of every session of the window up, once, gives
//     each session a reason to leave it out or none, and counts cells: (source,
//     destination, service). Only those come to Go.
//  3. Go decides what needs policies (exclusions, guardrails, rules in force),
//     covers the remaining cells with the fewest rules (package cover), and
//     has the result checked by code that knows nothing of how it was found.
//  4. ClickHouse counts the evidence of each rule, and finds examples of what
//     was left out.
//
// Three choices make a proposal permit what was not seen, and count it: ranges of
// ports as services of cells, see Settings.PortRanges; prefixes as their ends, see
// Settings.MaxExtra; and cells without a session, see Settings.Generalise.
//
// Nothing of a run stays in the database, see run.
//
// # The fate of a session
//
// A session is one (VRF, client, server, service). It is either included, or
// left out for exactly one reason, the first that applies of policy.Reasons.
// What they mean here:
//
//   - local: client or server is loopback, link-local, multicast, broadcast or
//     unspecified, and no selected group names it by a prefix inside that range;
//   - excluded: an exclusion of the groups file matches;
//   - denied: records were dropped by the network, and none was answered;
//   - half-open: no record was answered. Where completeness is unknown the
//     session counts as answered. Multicast and broadcast addresses answer nobody, so
//     sessions with them are never half-open;
//   - ambiguous-direction: neither the session's records nor all that is
//     stored tell client from server. Protocols without ports have neither;
//   - scanner: the client scans, see scanner;
//   - external: client or server is public and in no selected group;
//   - ungrouped: client or server is private and in no selected group;
//   - guardrail: the cell holds a pair of addresses that a guardrail denies;
//   - already-permitted: the existing policy allows the session;
//   - below-support: the cell has too few sessions, clients or hours, or none of its
//     (client, server) pairs came back. All sessions
//     that come this far count as support, those already permitted too.
package recommender
