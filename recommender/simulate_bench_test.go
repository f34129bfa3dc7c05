package recommender

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

var benchSessionHours = flag.Int("session-hours", 10_000_000, "rows of sessions_hourly in BenchmarkSimulate")

// hoursOfSession is in how many hours each session of BenchmarkSimulate has records.
const hoursOfSession = 10

// cpu is the processor time of this process, the embedded engine's included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cost is what f takes in time and in processor time.
func cost(b *testing.B, f func() error) (took, busy time.Duration) {
	b.Helper()
	at, began := time.Now(), cpu()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(at), cpu() - began
}

// fillSessions writes session-hours as ingesters would: clients of 10.0.0.0/8 at 4,096 servers of 172.16.0.0/12 and 64 ports.
func fillSessions(b *testing.B, conn driver.Conn, rows int) {
	b.Helper()
	err := conn.Exec(b.Context(), fmt.Sprintf(`INSERT INTO sessions_hourly (month, decided, hour, vrf, server, proto, port, client, exporter, first_seen, last_seen,
			client_packets, client_bytes, server_packets, server_bytes, complete, sides)
		SELECT toStartOfMonth(at), true, at, 'default', IPv4ToIPv6(toIPv4(2886729728 + s %% 4096)), 6, 1000 + intDiv(s, 4096) %% 64,
			IPv4ToIPv6(toIPv4(167772160 + cityHash64(s) %% 65536)), toIPv6('::ffff:10.255.0.1'), at, at + INTERVAL 1 MINUTE, 5, 500, 5, 5000, 1, 3
		FROM (SELECT intDiv(number, %[1]d) AS s, toDateTime('2026-11-20 00:00:00', 'UTC') + INTERVAL number %% %[1]d HOUR AS at FROM numbers(%[2]d))`, hoursOfSession, rows))
	if err != nil {
		b.Fatal(err)
	}
}

// orderedRules is a policy of n rules, one in ten of which denies, over prefixes and ranges of ports.
func orderedRules(n int) *simulate.Candidate {
	rng := rand.New(rand.NewPCG(1, 2))
	p := policy.Policy{Default: policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}}
	prefix := func(base uint32, bits int) policy.Endpoint {
		a := netip.AddrFrom4([4]byte{byte(base >> 24), byte(base >> 16), byte(base >> 8), byte(base)})
		return policy.Endpoint{Prefix: netip.PrefixFrom(a, bits).Masked()}
	}
	for i := range n {
		r := policy.StatementRule{Name: fmt.Sprintf("rule%d", i), Action: policy.Allow}
		if i%10 == 0 {
			r.Action = policy.Deny
		}
		for range 1 + rng.IntN(3) {
			r.Sources = append(r.Sources, prefix(167772160+rng.Uint32N(65536), 18+rng.IntN(10)))
			r.Destinations = append(r.Destinations, prefix(2886729728+rng.Uint32N(4096), 22+rng.IntN(9)))
		}
		lo := uint16(1000 + rng.IntN(64))
		r.Services = []policy.Service{{Term: categories.ServiceTerm{Proto: 6, Lo: lo, Hi: lo + uint16(rng.IntN(16))}}}
		p.Rules = append(p.Rules, r)
	}
	return &simulate.Candidate{Name: "ordered", Documents: []simulate.Document{{Policy: p, Sets: policy.IPSet}}}
}

// BenchmarkSimulate replays session-hours against 1,000 ordered rules, and compares with the engine's own grouping of the same rows by
// source group, destination group and service, in turns. Shares are by processor time, which suffers less from others' work.
func BenchmarkSimulate(b *testing.B) {
	conn := store(b)
	fillSessions(b, conn, *benchSessionHours)
	rules := orderedRules(1000)
	cost(b, func() error { return grouping(b.Context(), conn) }) // the first one reads from the disk
	var took, busy, ownTook, ownBusy time.Duration
	for b.Loop() {
		t, c := cost(b, func() error { return grouping(b.Context(), conn) })
		ownTook, ownBusy = ownTook+t, ownBusy+c
		t, c = cost(b, func() error {
			r, err := simulate.New(b.Context(), conn, simulate.Settings{}, rules, nil)
			if err != nil {
				return err
			}
			if s := r.Result.Summary; s.Sessions == 0 || s.Permitted == 0 || s.Denied == 0 {
				return fmt.Errorf("%+v", s)
			}
			return r.Close(b.Context())
		})
		took, busy = took+t, busy+c
	}
	b.ReportMetric(float64(*benchSessionHours)*float64(b.N)/took.Seconds(), "session-hours/s")
	b.ReportMetric(took.Seconds()/float64(b.N), "s/replay")
	b.ReportMetric(ownTook.Seconds()/float64(b.N), "s/grouping")
	b.ReportMetric(busy.Seconds()/ownBusy.Seconds(), "times-grouping-by-cpu")
	b.ReportMetric(took.Seconds()/ownTook.Seconds(), "times-grouping")
}

// grouping counts the sessions by two groups and service in one query. Groups are aligned ranges of addresses, the cheapest there are.
func grouping(ctx context.Context, conn driver.Conn) error {
	const window = "sessions_window(since = '1970-01-01 00:00:00.000000', until = '2200-01-01 00:00:00.000000')"
	var n uint64
	return conn.QueryRow(ctx, `SELECT count() FROM
		(
			SELECT vrf, intDiv(toUInt128(client), 1024) AS source, intDiv(toUInt128(server), 256) AS destination, proto, port, count() AS sessions, sum(flows), sum(bytes)
			FROM
			(
				SELECT w.vrf AS vrf, w.client_ip AS client, w.server_ip AS server, w.proto AS proto, w.port AS port,
					sum(w.flows) AS flows, sum(w.client_bytes + w.server_bytes) AS bytes
				FROM `+window+` AS w GROUP BY vrf, client, server, proto, port
			)
			GROUP BY vrf, source, destination, proto, port
		)`).Scan(&n)
}

// BenchmarkSimulateEach asks of 117 rules of a real network what each is needed for, and compares with a replay alone, in turns.
func BenchmarkSimulateEach(b *testing.B) {
	file, err := categories.ReadFile(shared(b, "data/sets/cisco_g21/groups.csv"))
	if err != nil {
		b.Fatal(err)
	}
	conn := store(b)
	insertFile(b, conn, shared(b, "data/sets/cisco_g21/sessions.csv.zst"))
	proposals, err := Generate(b.Context(), conn, Settings{Categories: []string{"role"}, WithoutReadiness: true}, file)
	if err != nil {
		b.Fatal(err)
	}
	p := proposals[0].Policy()
	p.Default = policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}
	addresses, err := policy.NewAddresses(file, p.Categories)
	if err != nil {
		b.Fatal(err)
	}
	c := &simulate.Candidate{Name: "proposal", Documents: []simulate.Document{{Policy: p, Sets: func(l []policy.Endpoint, _ policy.Reading) (policy.AddressSet, error) {
		return addresses.Set(l, policy.Proposed)
	}}}}
	run := func(each bool) func() error {
		return func() error {
			r, err := simulate.New(b.Context(), conn, simulate.Settings{Groups: file, Categories: p.Categories, Each: each}, c, nil)
			if err != nil {
				return err
			}
			if len(r.Result.Each) != len(p.Rules) && each {
				return fmt.Errorf("%d rules of %d", len(r.Result.Each), len(p.Rules))
			}
			return r.Close(b.Context())
		}
	}
	cost(b, run(false)) // the first one reads from the disk
	var took, busy, oneTook, oneBusy time.Duration
	for b.Loop() {
		t, c := cost(b, run(false))
		oneTook, oneBusy = oneTook+t, oneBusy+c
		t, c = cost(b, run(true))
		took, busy = took+t, busy+c
	}
	b.ReportMetric(float64(len(p.Rules)), "rules")
	b.ReportMetric(oneTook.Seconds()/float64(b.N), "s/replay")
	b.ReportMetric(busy.Seconds()/oneBusy.Seconds(), "times-replay-by-cpu")
	b.ReportMetric(took.Seconds()/oneTook.Seconds(), "times-replay")
}
