package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser is a tab of a headless Chromium.
type browser struct {
	t   testing.TB
	ctx context.Context

	mu   sync.Mutex
	said []string // Messages of the console.
}

// openBrowser starts one; without it the test skips, in continuous integration it fails.
func openBrowser(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium-headless-shell is not installed")
		}
		t.Skip("chromium-headless-shell is not installed, so no page was looked at")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.WindowSize(1200, 900), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.said = append(b.said, m.String())
			b.mu.Unlock()
		}
	}()
	return b
}

func (b *browser) open(url string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
}

// eval runs a script in the page.
func eval[T any](b *browser, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

// until waits for a condition of the page.
func (b *browser) until(condition string) {
	b.t.Helper()
	eventually(b.t, 30*time.Second, condition, func() error {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!("+condition+")")); err != nil || !ok {
			return fmt.Errorf("%v, %v; the page: %.500s", ok, err, eval[string](b, "document.body.innerText"))
		}
		return nil
	})
}

// count reads a number that the page shows.
func (b *browser) count(name string) uint64 {
	b.t.Helper()
	selector := fmt.Sprintf(`document.querySelector('[data-count="%s"]')`, name)
	b.until(selector + " && /^[0-9,]+$/.test(" + selector + ".textContent)")
	n, err := strconv.ParseUint(strings.ReplaceAll(eval[string](b, selector+".textContent"), ",", ""), 10, 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// click clicks what a selector finds first.
func (b *browser) click(selector string) {
	b.t.Helper()
	quoted, _ := json.Marshal(selector)
	b.until("document.querySelector(" + string(quoted) + ")")
	eval[bool](b, "(document.querySelector("+string(quoted)+").click(), true)")
}

// The walk of a reviewer: matrix, a service, a square, its sessions, the rule, its evidence; each number is what the
// commands print. Then names with markup, what is empty, the console, and what is loaded.
func (x *explored) testBrowser(t *testing.T) {
	b := openBrowser(t)
	base := "http://" + x.HTTP
	b.open(base + "/matrix")
	if n, want := b.count("sessions"), x.proposal.Summary.Sessions; n != want {
		t.Errorf("the matrix has %d sessions, the proposal %d", n, want)
	}
	if n, want := b.count("included"), x.proposal.Summary.Included; n != want {
		t.Errorf("the matrix has %d included, the proposal %d", n, want)
	}
	x.walk(b)
	x.testBoxes(b)
	x.testForms(b)

	b.open(base + "/sessions?client=203.0.113.77")
	b.until(`document.body.innerText.includes("These filters are set")`)
	b.open(base + "/sessions?until=2001-01-01")
	b.until(`document.body.innerText.includes("Nothing in this window")`)
	b.open(base + "/proposals/ffffffff")
	b.until(`document.body.innerText.includes("no such proposal") && document.body.innerText.includes("` + x.id + `")`)
	b.open(base + "/host/" + "10.100.99.50")
	if n := b.count("server"); n == 0 {
		t.Error("nobody uses the host")
	}
	b.open(base + "/host/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
	b.until(`document.querySelector("h1").textContent.includes("<img src=x")`)
	if eval[int](b, `document.images.length`) > 0 {
		t.Error("markup of a name became an element")
	}
	b.open(base + "/")
	if n := b.count("sessions"); n != x.proposal.Summary.Sessions {
		t.Errorf("the first page counts %d sessions", n)
	}
	b.settle()
	if n := eval[float64](b, `[...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")].reduce((n, e) => n + e.transferSize, 0)`); n < 1000 || n > 250_000 {
		t.Errorf("the first page transfers %.0f bytes", n)
	}
	b.until(`document.body.innerText.includes("as of") && document.body.innerText.includes("127.0.0.2")`)
	if everything := os.Getenv("CORDON_WEB_ALL") != ""; everything {
		for _, part := range []struct {
			name string
			test func(*browser)
		}{{"copies", x.testCopies}, {"people", x.testPeople}, {"keyboard", x.testKeyboard}} {
			t.Run(part.name, func(t *testing.T) {
				b.t = t
				part.test(b)
			})
		}
		b.t = t
	} else {
		t.Log("CORDON_WEB_ALL=1 looks at every page in light and dark, and at what each gives to copy; make browse sets it")
		for _, path := range x.everyPage() {
			b.open(base + path)
			b.settle()
			b.until(`!document.querySelector("main [role=alert]")`)
		}
		b.axe("the last page")
	}
	b.quiet()
	x.testRestart(b)
}

// A page that is open while the server is killed says so, and goes on when another one is there.
func (x *explored) testRestart(b *browser) {
	b.open("http://" + x.HTTP + "/sessions")
	b.settle()
	n := b.count("sessions")
	x.process.kill()
	b.until(`document.querySelector(".lost-server")`)
	x.process, x.addresses = up(x.t, x.dir, "CORDON_HTTP_LISTEN="+x.HTTP, "CORDON_HTTP_TOKENS="+x.tokens)
	b.until(`!document.querySelector(".lost-server")`)
	b.settle()
	if again := b.count("sessions"); again != n {
		b.t.Errorf("the page has %d sessions after the restart, before %d", again, n)
	}
}

func (x *explored) walk(b *browser) {
	t := b.t
	b.until(`document.querySelector("select[name=service] option[value='udp/53']")`)
	eval[bool](b, `(s => { s.value = "udp/53"; s.dispatchEvent(new Event("change", {bubbles: true})); return true })(document.querySelector("select[name=service]"))`)
	b.until(`location.search.includes("service=udp") && document.querySelector("canvas")?.dataset.cell && document.querySelector("[data-count=sessions]").textContent !== "251"`)
	// A square is selected with the keyboard alone.
	eval[bool](b, `(c => { c.focus(); for (const key of ["Home", "Enter"]) c.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true})); return true })(document.querySelector("canvas"))`)
	b.until(`location.search.includes("source=")`)
	address := eval[string](b, "location.href")
	cell := b.count("cell")
	source, destination := eval[string](b, `new URLSearchParams(location.search).get("source")`), eval[string](b, `new URLSearchParams(location.search).get("destination")`)
	lines := strings.Count(cordon(t, x.env, "sessions", "--client", source, "--server", destination, "--service", "udp/53", "--format", "ndjson"), "\n")
	if cell == 0 || cell != uint64(lines) {
		t.Errorf("the square %s to %s has %d sessions, cordon sessions %d", source, destination, cell, lines)
	}
	rule := x.proposal.Rules[0]
	b.click(`aside a[href*="/sessions"]`)
	if n := b.count("sessions"); n != cell {
		t.Errorf("the square has %d sessions, their list %d", cell, n)
	}
	b.click(`td a[href*="rule=` + rule.ID + `"]`)
	if n := b.count("evidence"); n != rule.Evidence.Sessions {
		t.Errorf("%d sessions are shown under the rule, the proposal says %d", n, rule.Evidence.Sessions)
	}
	if n := b.count("evidence-flows"); n != rule.Evidence.Flows {
		t.Errorf("%d flows are shown under the rule, the proposal says %d", n, rule.Evidence.Flows)
	}
	if n, want := b.count("unobserved"), rule.Excess.PermittedPairs-rule.Excess.ObservedPairs; n != want {
		t.Errorf("%d unobserved pairs, the proposal says %d", n, want)
	}
	for _, u := range x.proposal.Unproposed {
		shown := eval[string](b, fmt.Sprintf(`document.querySelector('[data-reason="%s"]').textContent`, u.Reason))
		if shown != strconv.FormatUint(u.Sessions, 10) {
			t.Errorf("%s: %s shown, the proposal says %d", u.Reason, shown, u.Sessions)
		}
	}
	// Back twice is the matrix with the square, and so is its link in a fresh page.
	eval[bool](b, "(history.go(-2), true)")
	b.until(fmt.Sprintf("location.href === %q", address))
	if n := b.count("cell"); n != cell {
		t.Errorf("back at the matrix the square has %d sessions, before %d", n, cell)
	}
	b.open(address)
	if n := b.count("cell"); n != cell {
		t.Errorf("the link shows %d sessions, the page %d", n, cell)
	}
}

// Whoever points at a square sees the boxes of its rules, and whoever points at a rule sees its box and which it is.
func (x *explored) testBoxes(b *browser) {
	boxes := `document.querySelector("canvas").dataset.boxes`
	rule := x.proposal.Rules[len(x.proposal.Rules)-1].ID
	b.open("http://" + x.HTTP + "/proposals/" + x.id)
	b.until(`document.querySelector("canvas")?.dataset.boxes === ""`)
	row := fmt.Sprintf(`document.querySelector('tr[data-rule="%s"]')`, rule)
	for _, event := range []string{"mouseenter", "focusin"} {
		eval[bool](b, fmt.Sprintf(`(%s.dispatchEvent(new Event(%q)), true)`, row, event))
		b.until(boxes + ` === "` + rule + `"`)
		eval[bool](b, fmt.Sprintf(`(%s.dispatchEvent(new Event(%q)), true)`, row, map[string]string{"mouseenter": "mouseleave", "focusin": "focusout"}[event]))
		b.until(boxes + ` === ""`)
	}
	// Over the squares one after another, until one is in a rule: its row is the one that stands out.
	b.until(`(c => {
		const row = document.querySelector("tr.pointed")
		if (row) return c.dataset.boxes.split(" ").includes(row.dataset.rule)
		const r = c.getBoundingClientRect(), cell = +c.dataset.cell, across = Math.floor((r.width - c.dataset.left) / cell), down = Math.floor((r.height - c.dataset.top) / cell)
		const at = window.pointedAt = ((window.pointedAt ?? -1) + 1) % (across * down)
		c.dispatchEvent(new MouseEvent("mousemove", {bubbles: true, clientX: r.left + +c.dataset.left + (at % across + 0.5) * cell, clientY: r.top + +c.dataset.top + (Math.floor(at / across) + 0.5) * cell}))
	})(document.querySelector("canvas"))`)
	b.open("http://" + x.HTTP + "/matrix?rule=" + rule)
	b.until(boxes + ` === "` + rule + `"`)
}

// The forms that take texts: a device's configuration to simulate, and orders of categories to compare.
func (x *explored) testForms(b *browser) {
	_, config := x.ask(b.t, "GET", "/api/v1/proposals/"+x.id+"/export?format=eos", "")
	b.open("http://" + x.HTTP + "/simulate?policy=" + x.id)
	b.settle()
	quoted, _ := json.Marshal(config)
	eval[bool](b, `(a => { a.closest("details").open = true; a.value = `+string(quoted)+`; a.dispatchEvent(new Event("input", {bubbles: true})); return true })(document.querySelector("textarea"))`)
	b.click(`.give button:not([disabled])`)
	b.until(`location.search.includes("policy=upload-") && document.body.innerText.includes("Policy switch.cfg")`)
	var said struct{ Summary struct{ Permitted uint64 } }
	x.get(b.t, "/api/v1/simulate"+eval[string](b, "location.search"), &said)
	if n := b.count("permitted"); n != said.Summary.Permitted || n == 0 {
		b.t.Errorf("the page says that the configuration permits %d sessions, the API %d", n, said.Summary.Permitted)
	}
	b.open("http://" + x.HTTP + "/generate")
	b.click(`button[value=compare]`)
	b.until(`location.search.includes("compare=true")`)
	if n := b.count("orders"); n == 0 {
		b.t.Error("no order of categories is compared")
	}
}

// axe runs axe-core over the page, in light and in dark, where `make web` has fetched it.
func (b *browser) axe(path string) {
	b.t.Helper()
	script, err := os.ReadFile(filepath.Join("..", ".cache", "web", "node_modules", "axe-core", "axe.min.js"))
	if err != nil && os.Getenv("CI") == "true" {
		b.t.Fatalf("axe-core is not there: %v; make web fetches it", err)
	}
	if err != nil {
		b.t.Logf("axe-core is not there, so %s was not checked for accessibility; make web fetches it", path)
		return
	}
	eval[bool](b, string(script)+"; true")
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join("; "))))`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	if found != "[]" {
		b.t.Errorf("axe-core on %s: %s", path, found)
	}
}

// quiet fails for what the console was told, and shows that it would have been seen.
func (b *browser) quiet() {
	b.t.Helper()
	eval[bool](b, `(console.error("control"), true)`)
	heard := func() []string {
		b.mu.Lock()
		defer b.mu.Unlock()
		return append([]string{}, b.said...)
	}
	eventually(b.t, 30*time.Second, "the console's control", func() error {
		for _, s := range heard() {
			if strings.Contains(s, "control") {
				return nil
			}
		}
		return fmt.Errorf("heard %q", heard())
	})
	for _, s := range heard() {
		// The page of an unknown proposal is a 404, and it is the test that reads pixels back.
		if !strings.Contains(s, "control") && !strings.Contains(s, "404") && !strings.Contains(s, "willReadFrequently") {
			b.t.Errorf("the console was told: %s", s)
		}
	}
}
