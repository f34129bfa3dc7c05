package recommender

import (
	"net/netip"
	"testing"
	"time"

	"cordon/categories"
	"cordon/categories/infer"
)

func TestInferSets(t *testing.T) {
	for _, set := range []struct{ name, category string }{{"cisco_g21", "role"}, {"k8s_boutique", "app"}, {"synth_small", "role"}} {
		t.Run(set.name, func(t *testing.T) {
			file, err := categories.ReadFile(shared(t, "data/sets/"+set.name+"/groups.csv"))
			if err != nil {
				t.Fatal(err)
			}
			conn := store(t)
			insertFile(t, conn, shared(t, "data/sets/"+set.name+"/sessions.csv.zst"))
			truth, err := categories.NewResolver(file, []string{set.category})
			if err != nil {
				t.Fatal(err)
			}
			_ = netip.Addr{}
			began := time.Now()
			acts, err := Activities(t.Context(), conn, Settings{ScannerTargets: DefaultScannerTargets, PortRanges: DefaultPortRanges, Observe: func(s Step) { t.Log(s) }}, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(len(acts), time.Since(began))
			began = time.Now()
			g := infer.Infer(acts, infer.Settings{})
			t.Log("inferred", time.Since(began), len(g.Groups))
			got, want := map[netip.Addr]string{}, map[netip.Addr]string{}
			for _, x := range g.Groups {
				labels := map[string]int{}
				for _, m := range x.Members {
					got[m.Host] = x.Name
					if r, ok := truth.Lookup(m.Host); ok {
						want[m.Host] = r.Group
						labels[r.Group]++
					}
				}
				t.Log(x.Name, len(x.Members), labels)
			}
			ari, v := infer.Agreement(got, want)
			t.Logf("ARI %.3f V %.3f", ari, v)
		})
	}
}
