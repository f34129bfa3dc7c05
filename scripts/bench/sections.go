package main

import (
	"fmt"
	"io"
	"time"
)

// section is a table of the document: what to run, and what the figures mean.
type section struct {
	title    string
	note     string
	commands []command
	verbatim bool // The commands' output is the figure.
}

// goTest is `go test` for benchmarks of one package and nothing else.
func goTest(pkg, bench string, args ...string) command {
	return append(command{"go", "test", pkg, "-run", "^$", "-bench", bench, "-timeout", "20m"}, args...)
}

const (
	setFrom   = "../shared/data/sets/cisco_g21/sessions.csv.zst"
	setGroups = "../shared/data/sets/cisco_g21/groups.csv"
)

// sections are in the order in which the data flows, peers behind what they are
// compared with.
var sections = []section{
	{
		title: "Decoding",
		note: "One core, datagrams in memory, twenty records of 69 bytes each. `Decode` is the collector's way from datagram to columns, direction included; " +
			"`DecodeOnly` leaves the columns out, `Walk` only finds the fields; `CalmhParse` and `CalmhInterpret` are github.com/calmh/ipfix to raw fields and to typed values.",
		commands: []command{goTest("./collector/ipfix", "Decode|Walk|Calmh", "-benchtime", "500ms", "-count", "3", "-cpu", "1")},
	},
	{
		title: "Collector",
		note: "UDP in to JetStream acknowledged, a million records a second for five seconds. The collector has the first core alone, the sender the last. " +
			"`nats=apart`: the NATS server is a process on the sender's core; `nats=inside`: it is in the collector's process, and its work counts.",
		commands: []command{goTest("./collector", "^BenchmarkCollector$", "-benchtime", "5000000x", "-rate", "1000000", "-count", "3")},
	},
	{
		title: "Ingest",
		note: "Messages in JetStream to rows that queries see, folded into sessions, with embedded NATS and ClickHouse in one process on all cores: " +
			"sixty batches of 28,000 rows, by size of site and number of inserts at a time.",
		commands: []command{goTest("./ingest", "^BenchmarkIngest$", "-benchtime", "60x", "-count", "2")},
	},
	{
		title: "Ingest beside the engine alone",
		note: "The same rows, 2.2 million raw records and the sessions that they make, ingested from messages in JetStream and by `INSERT … SELECT FROM file` " +
			"into the same tables, in one run: the rate until everything is stored, the processor time until the merges that they caused are over as well.",
		commands: []command{goTest("./ingest", "^BenchmarkIngestBesideEngine$", "-benchtime", "3x")},
	},
	{
		title: "What direction and folding cost",
		note: "Ingesting with sessions as a share of ingesting without, turns of 160 batches alternating in one run: the rate until everything is stored, " +
			"by processor time until the merges that they caused are over as well, which suffers less from others' work on the machine. " +
			"Direction is decided in the collector, for each record: `Infer`.",
		commands: []command{
			goTest("./ingest", "^BenchmarkIngestShare$", "-benchtime", "5x"),
			goTest("./collector/direction", "^BenchmarkInfer$", "-benchtime", "500ms", "-count", "3", "-cpu", "1"),
		},
	},
	{
		title: "The whole of `cordon up`",
		note: "A real `cordon up` on all cores, which the sender shares; UDP in to row visible over HTTP. `lag` is the time from the last datagram to the last row. " +
			"Memory is the mean of the process's own (anonymous) in the second and in the last third of the sending, and the highest resident set, files included: some 200 MB are the ClickHouse library. " +
			"`highest` is the highest rate at which nothing is lost and the lag stays below 2 s.",
		commands: []command{
			goTest("./e2e", "^BenchmarkUp$/^rate=(100000|400000)$", "-benchtime", "1x", "-send", "15s"),
			goTest("./e2e", "^BenchmarkUp$/^rate=250000$", "-benchtime", "1x", "-send", "60s"),
			goTest("./e2e", "^BenchmarkUp$/^highest$", "-benchtime", "1x", "-probe", "8s"),
		},
	},
	{
		title: "Delay at a low rate",
		note: "A hundred datagrams a second of one record each; from the moment before a datagram is sent to the moment at which a query over HTTP " +
			"has counted its row. A batch is sealed a second after its first record, so half a second is the median that this setting allows.",
		commands: []command{goTest("./e2e", "^BenchmarkUpLatency$", "-benchtime", "1x", "-latency", "15s")},
	},
	{
		title: "Peers",
		note: "The same stream to others and to `cordon collect`, each alone on the first core, with a receive buffer of net.core.rmem_max (goflow2 has no setting for it). " +
			"The rate is the highest at which the collector's own count is what was sent, searched within 7 %; the processor time is taken there, with the writing out at the end. " +
			"What they do differs: nfcapd writes its binary files; nfacctd adds up by addresses, ports and protocol and prints the sums; goflow2 writes protobuf or JSON to a file; " +
			"cordon publishes columns to JetStream, which runs beside the sender.",
		commands: []command{goTest("./e2e", "^BenchmarkPeers$", "-benchtime", "1x", "-probe", "2s")},
	},
	{
		title: "Trying a policy",
		note: "`simulate`: ten million session-hours, a million sessions of ten hours, against 1,000 ordered rules; by turns with one query that groups the same rows by source, destination and service. " +
			"`SimulateEach`: the rules of a real network, with the question what each is needed for and without, by turns.",
		commands: []command{
			goTest("./recommender", "^BenchmarkSimulate$", "-benchtime", "2x"),
			goTest("./recommender", "^BenchmarkSimulateEach$", "-benchtime", "3x"),
		},
	},
	{
		title: "Views of sessions",
		note: "Processor time of a question asked of the views, and of the engine's own grouping of the same rows by session for the same counters, by turns in one process: medians of five. " +
			"`host` asks for the sessions of one client, `hour` for those of one hour.",
		commands: []command{goTest("./schema", "^BenchmarkViews$", "-benchtime", "1x")},
	},
	{
		title: "Large networks",
		note: "The solver alone. Two networks without groups, where each host stands for itself (some 240,000 and 370,000 cells), both laid over each other, so that their boxes overlap (`Overlaid`), and 680,000 cells of a generated one. " +
			"`gap-percent` is what boxes may be too many, at most.",
		commands: []command{
			goTest("./recommender/cover", "^BenchmarkSets$/^cisco_g(5|10)$", "-benchtime", "1x"),
			goTest("./recommender/cover", "^BenchmarkOverlaid$", "-benchtime", "1x"),
			goTest("./recommender/cover", "^BenchmarkLarge$/^shape=observed$/^seed=1$", "-benchtime", "1x"),
		},
	},
	{
		title: "Pages",
		note: "A headless Chromium, which draws on the processor, beside `cordon up` with 606,000 records of two networks. First contentful paint of page Now; the matrix from opening the page to the picture, " +
			"with the view made (`view-made-ms` is what making it takes); rules of a proposal, from the click to their sessions, the median of nine.",
		commands: []command{goTest("./e2e", "^BenchmarkPages$", "-benchtime", "1x")},
	},
	{
		title:    "Drawing matrices",
		note:     "The pages' own canvas, and 120 frames in which a cursor moves and the box of one of ten scattered rules is drawn.",
		commands: []command{goTest("./e2e", "^BenchmarkMatrixDrawing$", "-benchtime", "1x")},
	},
	{
		title:    "Rules from 503,111 session records",
		note:     "`cordon generate-rules` on a file of a real network's records, from an empty temporary store to the proposal.",
		verbatim: true,
		commands: []command{{"bin/cordon", "generate-rules", "--log-level", "warn", "--from", setFrom, "--groups", setGroups, "--category", "role", "--verbose", "--format", "yaml", "--output", "/dev/null"}},
	},
}

// print writes the section with its table.
func (s *section) print(w io.Writer, rs results, load string, took time.Duration) {
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n", s.title, s.note)
	for _, c := range s.commands {
		fmt.Fprintf(w, "    %s\n", c)
	}
	fmt.Fprintf(w, "\nLoad average before: %s; took %v.\n\n", load, took.Round(time.Second))
	if s.verbatim {
		fmt.Fprintf(w, "```\n%s```\n", rs.text)
		return
	}
	rs.table(w)
}
