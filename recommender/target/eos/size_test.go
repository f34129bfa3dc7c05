package eos

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"cordon/internal/text"
	"cordon/recommender/policy"
)

// largePolicy has rules between hosts, each with a service of its own.
func largePolicy(rules, hosts int) policy.Policy {
	p := policy.Policy{Name: "large", Default: policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}}
	host := func(n int) policy.Endpoint {
		n %= hosts
		return policy.HostEndpoint(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))
	}
	for i := range rules {
		s, _ := policy.ParseService(fmt.Sprintf("tcp/%d", 1024+i%5000))
		p.Rules = append(p.Rules, policy.StatementRule{Name: fmt.Sprintf("rule-%d", i), Action: policy.Allow,
			Sources: []policy.Endpoint{host(i)}, Destinations: []policy.Endpoint{host(i*7 + 1)}, Services: []policy.Service{s}})
	}
	return p
}

// The largest proposal is written, read, and compared with one that differs in some rules in seconds, within a gigabyte.
func BenchmarkSize(b *testing.B) {
	p := largePolicy(65000, 33000)
	next := p
	next.Rules = append([]policy.StatementRule{}, p.Rules...)
	next.Rules = append(next.Rules[:30000], next.Rules[30010:]...)
	for i := range 20 {
		next.Rules[40000+1000*i].Services = []policy.Service{{Any: true}}
	}
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		var texts [2]bytes.Buffer
		for i, x := range []policy.Policy{p, next} {
			if _, err := Write(&texts[i], []Document{{Policy: x, Set: policy.IPSet}}, Options{}); err != nil {
				b.Fatal(err)
			}
			if i == 0 {
				b.ReportMetric(time.Since(began).Seconds(), "s/written")
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/(1<<20), "MiB/written")
			}
		}
		began = time.Now()
		var configs [2]*Config
		for i := range texts {
			var err error
			if configs[i], err = Parse("large", texts[i].Bytes()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(time.Since(began).Seconds()/2, "s/read")
		began = time.Now()
		added, removed := text.Changed(text.Diff(configs[0].Lines(), configs[1].Lines()))
		commands := configs[0].Commands(configs[1])
		b.ReportMetric(time.Since(began).Seconds(), "s/delta")
		b.ReportMetric(float64(added+removed), "lines/delta")
		if len(commands) == 0 {
			b.Fatal("no commands")
		}
	}
}
