// Package verify checks a proposal against the sessions that it is about. It
// shares no code with what makes proposals: it reads the sessions one by one,
// looks every address up in the groups itself, gives every session its reason
// as the public contract says, and counts again. Of the cover it uses only
// package cover/check, for bounds that rest on weights.
//
// A proposal may have been edited by hand. What then no longer holds is said in
// findings, each with the name of the rule.
//
// What is checked:
//
//   - the document's id, each rule's, names, the window;
//   - soundness: every (source, destination, service) that a rule permits was
//     observed, lies in a range that dynamic ports make, or is permitted by the
//     policy in force, or may be generalised (which cells may is computed anew);
//   - that prefixes stand for hosts that do the same, and for no more
//     addresses beside them than asked for;
//   - completeness: every included session is in a rule, and for every reason
//     the sessions are left out that the proposal counts and names;
//   - that every rule is needed;
//   - the certificate: no two cells of the witness fit into one rule that holds
//     nothing but permitted cells, and the bounds of parts;
//   - every number: evidence, excess, port ranges and summary;
//   - loss and sampling, for the whole and for each rule;
//   - readiness, where the document has it: backtests, bound, groups and verdict;
//   - the groups, hosts, services, exclusions and policies that the document
//     carries, against the groups file and the policies where they are given.
//
// Names cannot be made again, since the document does not have their template: they
// have to be there, and differ.
//
// A literal may hold part of a group, after an edit: it then permits nothing more
// than the group's cell, which is what has to be observed.
//
// # A setting of its own
//
// A setting that changes which cells rules may hold belongs in judge.sessions, which
// fills judge.cells and judge.observed; everything else asks these two. A part of the document
// that is new gets a step in verifier.check.
package verify
