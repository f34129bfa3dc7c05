// Package decide says what becomes of cells: which are left out for what reason, which ports become ranges, and which hosts share a
// prefix. Each step is a function of cells that looks at nothing else: it has no connection, and asks what policies say through
// [Policies].
//
//	reasons.go   Judge, Support: excluded, guardrail, already permitted, too little
//	ranges.go    Ranges: dynamic ports of one destination
//	hosts.go     MergeHosts: private hosts in no group
//	coverage.go  WeightsOf, LeaveOut: a share of the sessions
//	unseen.go    Unseen: cells without a session that may be permitted
//	policies.go  what the steps ask of policies
package decide
