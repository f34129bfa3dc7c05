package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// drawn is what a benchmark of the matrix measures, in milliseconds.
type drawn struct {
	First   float64   // time from the data to the picture
	Frames  []float64 // times between frames, while a cursor moves
	Scripts []float64 // part of each that the script takes
}

// matrixScript draws a matrix of n groups and so many cells with ten rules, and moves the cursor for 120 frames.
const matrixScript = `(async (n, cells) => {
	document.body.innerHTML = "<canvas></canvas>"
	const colours = {ground: "#ffffff", field: "#f4f5f7", line: "#e1e4e8", ink: "#16191d", rule: "#0072b2", open: "#56b4e9", left: "#e69f00", refused: "#d55e00", box: "#b3005e", dot: "#16191d"}
	for (const [k, v] of Object.entries(colours)) document.documentElement.style.setProperty("--" + k, v)
	let seed = 1
	const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647
	const ends = [...Array(n).keys()].map(i => "group:servers-of-team-" + i)
	const taken = new Set(), list = []
	while (list.length < cells) {
		const at = Math.floor(random() * n * n)
		if (cells < n * n / 2 && taken.has(at)) continue
		taken.add(at)
		list.push({row: Math.floor(at / n), column: at % n, sessions: 1 + Math.floor(1000 * random()), included: random() < 0.8 ? 1 : 0, rules: random() < 0.7 ? [0] : [], reasons: {}})
	}
	const rules = [...Array(10).keys()].map(i => ({id: "" + i, name: "rule", rows: ends.map((_, j) => j).filter(j => j % 10 === i), columns: ends.map((_, j) => j).filter(j => j % 7 === 0)}))
	const m = {rows: ends, columns: ends, cells: list, rules}
	const canvas = document.querySelector("canvas"), frame = () => new Promise(requestAnimationFrame)
	await frame()
	const began = performance.now()
	const g = canvas.getContext("2d")
	const f = matrix.layout(m, 1160, t => g.measureText(t).width)
	matrix.draw(canvas, {matrix: m, frame: f})
	g.getImageData(0, 0, 1, 1)
	const out = {First: performance.now() - began, Frames: [], Scripts: []}
	let last = await frame()
	for (let i = 0; i < 120; i++) {
		const t = performance.now()
		matrix.draw(canvas, {matrix: m, frame: f, rule: rules[i % 10], cursor: [i % n, (3 * i) % n]})
		out.Scripts.push(performance.now() - t)
		const now = await frame()
		out.Frames.push(now - last)
		last = now
	}
	return JSON.stringify(out)
})`

// BenchmarkMatrixDrawing draws large matrices with the code of the pages, bundled by itself.
func BenchmarkMatrixDrawing(b *testing.B) {
	bundle := filepath.Join(b.TempDir(), "matrix.js")
	if out, err := exec.Command("go", "tool", "esbuild", filepath.Join("..", "internal", "web", "ui", "src", "canvas.ts"), "--bundle", "--format=iife", "--global-name=matrix", "--log-level=warning", "--outfile="+bundle).CombinedOutput(); err != nil {
		b.Skipf("esbuild: %v: %s", err, out)
	}
	script, err := os.ReadFile(bundle)
	if err != nil {
		b.Fatal(err)
	}
	page := openBrowser(b)
	for _, size := range []struct{ groups, cells int }{{500, 100_000}, {2000, 1_000_000}} {
		b.Run(fmt.Sprintf("groups=%d/cells=%d", size.groups, size.cells), func(b *testing.B) {
			for b.Loop() {
				page.open("about:blank")
				eval[bool](page, string(script)+"; globalThis.matrix = matrix; true")
				text, err := chromedp.Run(page.ctx, chromedp.Evaluate[string](fmt.Sprintf("%s(%d, %d)", matrixScript, size.groups, size.cells), chromedp.EvalAwaitPromise))
				if err != nil {
					b.Fatal(err)
				}
				var d drawn
				if err := json.Unmarshal([]byte(text), &d); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(d.First, "first-paint-ms")
				b.ReportMetric(quantile(d.Frames, 0.5), "frame-median-ms")
				b.ReportMetric(quantile(d.Frames, 0.95), "frame-p95-ms")
				b.ReportMetric(quantile(d.Scripts, 0.5), "script-median-ms")
				b.ReportMetric(quantile(d.Scripts, 0.95), "script-p95-ms")
			}
		})
	}
}

// BenchmarkPages measures the pages on 606,000 records: two sets of sessions that are not part of the project.
func BenchmarkPages(b *testing.B) {
	sets := filepath.Join("..", "..", "shared", "data", "sets")
	files := []string{filepath.Join(sets, "synth_small", "sessions.csv.zst"), filepath.Join(sets, "cisco_g21", "sessions.csv.zst")}
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			b.Skipf("the sets are not there: %v", err)
		}
	}
	page := openBrowser(b)
	dir := b.TempDir()
	_, a := up(b, dir, "CORDON_VIEWS_MAX_AGE=1h")
	env := []string{"CORDON_DATA_DIR=" + dir}
	cordon(b, env, append([]string{"import"}, files...)...)
	groups := joined(b, filepath.Join(sets, "synth_small", "groups.csv"), filepath.Join(sets, "cisco_g21", "groups.csv"))
	cordon(b, env, "generate-rules", "--groups", groups, "--effort", "quick", "--output", filepath.Join(b.TempDir(), "proposal.yaml"))
	base := "http://" + a.HTTP
	var newest struct {
		Proposals []struct{ ID string }
	}
	fetch(b, base+"/api/v1/proposals?limit=1", &newest)
	id := strings.TrimPrefix(newest.Proposals[0].ID, "sha256:")[:12]
	var p struct {
		Rules []struct{ ID string }
	}
	fetch(b, base+"/api/v1/proposals/"+id, &p)
	began := time.Now()
	fetch(b, base+"/api/v1/matrix", &struct{}{})
	made := time.Since(began)
	for b.Loop() {
		page.open(base + "/")
		page.settle()
		b.ReportMetric(eval[float64](page, `performance.getEntriesByName("first-contentful-paint")[0].startTime`), "first-contentful-paint-ms")
		b.ReportMetric(eval[float64](page, `performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation")).reduce((n, e) => n + e.transferSize, 0) / 1000`), "first-view-kB")
		page.open(base + "/matrix")
		page.until(`document.querySelector("canvas")?.dataset.cell`)
		b.ReportMetric(eval[float64](page, `performance.getEntriesByType("resource").filter(e => e.name.includes("/api/v1/matrix"))[0].responseEnd`), "matrix-answered-ms")
		b.ReportMetric(eval[float64](page, `+document.querySelector("canvas").dataset.painted`), "matrix-painted-ms")
		b.ReportMetric(rulesToSessions(b, page, base+"/proposals/"+id, p.Rules), "rule-to-sessions-ms")
	}
	b.ReportMetric(float64(made.Milliseconds()), "view-made-ms")
}

// rulesToSessions selects rules on the page of a proposal, and gives the median of the times until their sessions are shown, in
// milliseconds.
func rulesToSessions(b *testing.B, page *browser, url string, rules []struct{ ID string }) float64 {
	page.open(url)
	page.settle()
	var times []float64
	for i := range min(9, len(rules)) {
		id := rules[i*len(rules)/min(9, len(rules))].ID
		took, err := chromedp.Run(page.ctx, chromedp.Evaluate[float64](fmt.Sprintf(`(async id => {
			const began = performance.now(), row = document.querySelector('tr[data-rule="' + id + '"]')
			row.querySelector("a").click()
			const shown = () => location.search.includes(id) && document.querySelector(".detail h2")?.textContent === row.querySelector("a").textContent && document.querySelector('[aria-label^="Sessions"] tbody tr')
			while (!shown()) await new Promise(requestAnimationFrame)
			return performance.now() - began
		})(%q)`, id), chromedp.EvalAwaitPromise))
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, took)
		page.open(url)
		page.settle()
	}
	return quantile(times, 0.5)
}

// joined puts tables of groups into one file.
func joined(b *testing.B, files ...string) string {
	b.Helper()
	var out strings.Builder
	for i, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		text := string(data)
		if i > 0 {
			_, text, _ = strings.Cut(text, "\n")
		}
		out.WriteString(strings.TrimRight(text, "\n") + "\n")
	}
	name := filepath.Join(b.TempDir(), "groups.csv")
	if err := os.WriteFile(name, []byte(out.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	return name
}

// quantile gives the value below which a share of the values lie.
func quantile(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// fetch reads a document.
func fetch(b *testing.B, url string, into any) {
	b.Helper()
	resp, err := http.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, data)
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		b.Fatalf("GET %s: %v", url, err)
	}
}
