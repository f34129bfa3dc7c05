package recommender

import (
	"testing"
	"time"

	"cordon/categories"
)

// BenchmarkGenerate measures a whole run on 503,111 records of a real network,
// and how its time divides between ClickHouse and Go.
func BenchmarkGenerate(b *testing.B) {
	file, err := categories.ReadFile(shared(b, "data/sets/cisco_g21/groups.csv"))
	if err != nil {
		b.Fatal(err)
	}
	conn := store(b)
	n := insertFile(b, conn, shared(b, "data/sets/cisco_g21/sessions.csv.zst"))
	for _, category := range []string{"role", "app", "tier"} {
		b.Run(category, func(b *testing.B) {
			var server, here time.Duration
			s := Settings{Categories: []string{category}, Observe: func(st Step) {
				if st.Server {
					server += st.Took
				} else {
					here += st.Took
				}
			}}
			for b.Loop() {
				if _, err := Generate(b.Context(), conn, s, file); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(server.Milliseconds())/float64(b.N), "clickhouse-ms/op")
			b.ReportMetric(float64(here.Milliseconds())/float64(b.N), "go-ms/op")
		})
	}
}
