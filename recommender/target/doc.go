// Package target writes policies in the languages of devices and platforms.
//
// One table lists the targets; each is in a file of its own. A target either keeps state, and then is given rules about
// sessions (see sessionRules), or it does not, and then is given rules about packets, those for answers among them (see
// packetRules). Nothing that a target writes permits more than the policy does, but for what answers need where no
// state is kept. What a target cannot say is an error that names the rule, or with Options.Gaps it is left out and
// listed.
package target
