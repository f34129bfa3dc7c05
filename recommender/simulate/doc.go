// Package simulate replays stored sessions against policies. A policy is a proposal, a policy that a person wrote, or
// what a device runs, with denials, an order and an end. The first rule that matches decides.
//
// ClickHouse looks each session's addresses up in ranges that every rule treats alike (classes), and counts sessions by
// (class, class, service). Go decides these, by what policy.Policy.Halves says of requests and of answers. Whoever asks for single
// sessions or hosts sends the decisions back and joins them.
package simulate
