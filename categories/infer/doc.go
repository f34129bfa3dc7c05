// Package infer proposes groups of hosts from what they do, and says which
// hosts of given groups do not behave like their group.
//
// It works on plain data: how often each host was the client or the server of
// each service. A grouping is a code for that data. It is the better the
// fewer bits it takes to say which group each host is in, which features each
// group has, and which of its group's features each host shows (minimum
// description length, with one multinomial for each group):
//
//	L = Σ over groups g [ log2 N + Σ over features f of g (log2(F+1) − k·log2 k) + K·log2 K − n·log2 n ]
//
// N is the number of hosts, F the number of features, n the number of hosts in
// g, k the weight of f in g, and K the weight of all features in g. A multinomial
// does not ask how busy a host is, so a quiet and a busy web server are alike.
//
// The same activities give the same groups in whatever order they come: hosts
// and features are sorted, and every tie is decided by that order.
package infer
