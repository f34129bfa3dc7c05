// Package policy holds what a recommendation is made of: rules, the proposal
// document around them, and the policies a proposal is compared with.
//
// A document has one canonical form, so that the same content always has the
// same bytes and the same id. JSON and YAML are two spellings of it: a reader
// gets the same values, in the same order, from both.
//
// A rule is a box: every source may open sessions to every destination with
// every service, and answers are included. What a group stands for is decided
// by a groups file and the document's categories, see [Addresses].
package policy
