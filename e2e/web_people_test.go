package e2e

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// everyPage is an address of every page, with something selected where a page has something to select.
func (x *explored) everyPage() []string {
	rule := x.proposal.Rules[0].ID
	return []string{"/", "/matrix", "/matrix?service=udp%2F53&source=group%3Awifi_clients&destination=group%3ADNS_NTP_servers&order=name",
		"/sessions", "/sessions?client=group%3Awifi_clients&sort=-bytes", "/host/10.100.99.50", "/group/wifi_clients", "/refused", "/readiness", "/generate?last=7d&category=role",
		"/proposals", "/proposals/" + x.id, "/proposals/" + x.id + "?rule=" + rule, "/since?proposal=" + x.id, "/simulate?policy=" + x.id,
		"/simulate?policy=" + x.id + "&without=" + rule}
}

// settle waits until a page has what it asked for, and sees that it asked nobody else.
func (b *browser) settle() {
	b.t.Helper()
	// One answer can lead to another question, so the page has to say the same at two looks.
	b.until(`(() => {
		const done = document.querySelector("h1") && !document.querySelector(".busy") && document.documentElement.dataset.asking === "0"
		const text = done ? location.href + document.querySelector("main").innerText : ""
		const same = done && window.seenLast === text
		window.seenLast = text
		return same
	})()`)
	if out := eval[[]string](b, `performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith(location.origin) && !n.startsWith("data:") && !n.startsWith("blob:"))`); len(out) > 0 {
		b.t.Errorf("%s loads from elsewhere: %v", eval[string](b, "location.href"), out)
	}
}

// dark shows pages as a person sees them who prefers dark or light ones.
func (b *browser) dark(yes bool) {
	b.t.Helper()
	value := map[bool]string{true: "dark", false: "light"}[yes]
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}}); err != nil {
		b.t.Fatal(err)
	}
}

// copied gives what a button of the page copies; "" where there is none.
func (b *browser) copied(kind string) string {
	return eval[string](b, fmt.Sprintf(`document.querySelector("[data-copy-%[1]s]")?.getAttribute("data-copy-%[1]s") ?? ""`, kind))
}

// rows reads sessions of a list in CSV as texts of client, server, service and flows.
func rowsOf(t testing.TB, text string) []string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(records) == 0 {
		t.Fatalf("%v in %.300q", err, text)
	}
	var at []int
	for _, name := range []string{"client", "server", "service", "flows"} {
		i := slices.Index(records[0], name)
		if i < 0 {
			t.Fatalf("no column %s in %v", name, records[0])
		}
		at = append(at, i)
	}
	var out []string
	for _, r := range records[1:] {
		out = append(out, r[at[0]]+" "+r[at[1]]+" "+r[at[2]]+" "+r[at[3]])
	}
	slices.Sort(out)
	return out
}

// shell runs what a page copies, as a person pastes it, in a folder with the groups file.
func (x *explored) shell(t testing.TB, text string) string {
	t.Helper()
	if strings.HasPrefix(text, "curl ") {
		if _, err := exec.LookPath("curl"); err != nil {
			_, body := x.ask(t, "GET", strings.TrimPrefix(strings.Trim(text[strings.LastIndex(text, " ")+1:], "'"), "http://"+x.HTTP), "")
			return body
		}
	}
	cmd := exec.Command("sh", "-c", text)
	cmd.Dir = filepath.Dir(x.groups)
	cmd.Env = append(environment(x.env...), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return string(out)
}

// What a page gives to take elsewhere gives elsewhere what the page shows.
func (x *explored) testCopies(b *browser) {
	t, base := b.t, "http://"+x.HTTP
	rule := x.proposal.Rules[0]
	table := `[...document.querySelectorAll('[aria-label^="Sessions"] tbody tr')].map(r => [0, 1, 2, 4].map(i => r.cells[i].textContent.replaceAll(",", "")).join(" "))`
	for _, path := range []string{"/sessions?client=group%3Awifi_clients&service=DNS&service=tcp%2F80&last=30d&limit=1000", "/host/10.100.99.50", "/group/web01_web02",
		"/proposals/" + x.id + "?rule=" + rule.ID, "/sessions?proposal=" + x.id + "&source=group%3Awifi_clients&destination=group%3ADNS_NTP_servers&limit=1000", "/refused"} {
		b.open(base + path)
		b.settle()
		b.until(`document.querySelector("[data-copy-sql]")`)
		curl := b.copied("curl")
		// Lists of sessions are compared whole, and the API has them as CSV, too.
		text := x.shell(t, strings.Replace(strings.TrimSuffix(curl, "'"), "curl -sS", "curl -sS -H 'Accept: text/csv'", 1)+map[bool]string{true: "'"}[strings.HasSuffix(curl, "'")])
		want := rowsOf(t, text)
		if path == "/refused" {
			if n := b.count("half-open") + b.count("denied"); n != uint64(len(want)) {
				t.Errorf("%s shows %d sessions, as curl there are %d", path, n, len(want))
			}
		} else {
			b.until(fmt.Sprintf("%s.length === %d", table, len(want)))
			shown := eval[[]string](b, table)
			slices.Sort(shown)
			if !slices.Equal(shown, want) {
				t.Errorf("%s shows %d sessions that differ from the %d as curl", path, len(shown), len(want))
			}
		}
		sql := b.copied("sql")
		if strings.HasPrefix(sql, "/") {
			_, sql = x.ask(t, "GET", sql, "")
		}
		answer, err := x.query(strings.TrimRight(sql, "\n") + " FORMAT CSVWithNames")
		if err != nil {
			t.Errorf("%s as SQL: %v", path, err)
		} else if have := rowsOf(t, answer); !slices.Equal(have, want) {
			t.Errorf("%s as SQL has %d rows that differ from %d", path, len(have), len(want))
		}
		if have := rowsOf(t, x.shell(t, b.copied("command")+" --format csv")); !slices.Equal(have, want) {
			t.Errorf("%s as command (%s) has %d rows that differ from %d", path, b.copied("command"), len(have), len(want))
		}
	}
	x.testCopiedDocuments(b)
}

// Pages that show no list of sessions give documents, whose numbers are those of the page.
func (x *explored) testCopiedDocuments(b *browser) {
	t, base := b.t, "http://"+x.HTTP
	for _, tc := range []struct {
		path, count string
		command     string // The count's place in the command's answer.
		field       []string
	}{
		{"/simulate?policy=" + x.id, "permitted", "permitted: %d\n", []string{"summary", "permitted"}},
		{"/since?proposal=" + x.id + "&since=" + x.proposal.Window.From.Format("2006-01-02T15:04:05Z"), "permitted", "permitted: %d\n", []string{"summary", "permitted"}},
		{"/readiness", "cells", "cells: %d\n", nil},
		{"/proposals/" + x.id, "rules", "%d rules", []string{"summary", "rules"}},
	} {
		b.open(base + tc.path)
		b.settle()
		n := b.count(tc.count)
		if out := x.shell(t, b.copied("command")); !strings.Contains(out, fmt.Sprintf(tc.command, n)) {
			t.Errorf("%s shows %d as %s, and %s does not: %.800s", tc.path, n, tc.count, b.copied("command"), out)
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(x.shell(t, b.copied("curl"))), &document); err != nil {
			t.Errorf("%s as curl: %v", tc.path, err)
		}
		var at any = document
		for _, f := range tc.field {
			at, _ = at.(map[string]any)[f]
		}
		if tc.field != nil && at != float64(n) {
			t.Errorf("%s shows %d as %s, as curl %v", tc.path, n, tc.count, at)
		}
		sql := b.copied("sql")
		if strings.HasPrefix(sql, "/") {
			_, sql = x.ask(t, "GET", sql, "")
		}
		if out, err := x.query(sql); err != nil || out == "" {
			t.Errorf("%s as SQL: %q, %v", tc.path, out, err)
		}
	}
	// The matrix and the proposals: their sums and their ids.
	b.open(base + "/matrix")
	b.settle()
	n := b.count("sessions")
	if rows := rowsOf(t, x.shell(t, b.copied("command")+" --format csv")); uint64(len(rows)) != n {
		t.Errorf("the matrix has %d sessions, as command %d", n, len(rows))
	}
	b.open(base + "/proposals")
	b.settle()
	for _, out := range []string{x.shell(t, b.copied("command")), x.shell(t, b.copied("curl"))} {
		if !strings.Contains(out, x.id) {
			t.Errorf("the proposals lack %s: %s", x.id, out)
		}
	}
	if out, err := x.query(b.copied("sql")); err != nil || !strings.Contains(out, x.proposal.ID) {
		t.Errorf("the proposals as SQL: %s, %v", out, err)
	}
}

// A run with the keyboard alone: generate, evidence, export.
func (x *explored) testKeyboard(b *browser) {
	t := b.t
	press := func(key string) {
		if err := chromedp.Do(b.ctx, chromedp.KeyEvent(key)); err != nil {
			t.Fatal(err)
		}
	}
	to := func(what, condition string) {
		t.Helper()
		for range 200 {
			if eval[bool](b, "!!(a => "+condition+")(document.activeElement)") {
				return
			}
			press("\t")
		}
		t.Fatalf("the keyboard does not get to %s on %s", what, eval[string](b, "location.href"))
	}
	b.open("http://" + x.HTTP + "/generate")
	b.settle()
	to("the button that generates", `a.type === "submit" && a.textContent === "Generate"`)
	press("\r")
	b.until(`location.pathname.startsWith("/proposals/") && document.querySelector("tr[data-rule]") && !document.querySelector(".busy")`)
	to("a rule", `a.closest("tr[data-rule]") && a.href.includes("rule=")`)
	press("\r")
	if n := b.count("evidence"); n == 0 {
		t.Error("no evidence is shown")
	}
	to("the format", `a.name === "format"`)
	to("the button that shows the export", `a.type === "submit" && a.textContent === "Look at it"`)
	press("\r")
	b.until(`document.querySelector(".export pre")?.textContent.includes("PolicyProposal")`)
	to("the link that saves it", `a.dataset.export`)
}

// The labels of the matrix are legible, which axe-core cannot see on a canvas.
func (b *browser) contrast(path string) {
	b.t.Helper()
	b.until(`document.querySelector("canvas")?.dataset.left`)
	ratio := eval[float64](b, `(() => {
		const c = document.querySelector("canvas"), scale = c.width / c.clientWidth
		const p = c.getContext("2d").getImageData(0, Math.round(c.dataset.top * scale), Math.round((c.dataset.left - 2) * scale), Math.round((c.clientHeight - c.dataset.top) * scale)).data
		const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
		const seen = new Map()
		for (let i = 0; i < p.length; i += 4) { const k = p[i] << 16 | p[i + 1] << 8 | p[i + 2]; seen.set(k, (seen.get(k) ?? 0) + 1) }
		const light = k => 0.2126 * linear(k >> 16) + 0.7152 * linear(k >> 8 & 255) + 0.0722 * linear(k & 255)
		const [ground] = [...seen].sort((a, b) => b[1] - a[1])[0]
		const of = k => { const [a, b] = [light(k), light(ground)].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05) }
		return Math.max(...[...seen.keys()].map(of))
	})()`)
	if ratio < 4.5 {
		b.t.Errorf("the labels of %s have a contrast of %.1f", path, ratio)
	}
}

// Every page is fit for people who see in dark or light, and its link shows in another browser what it showed here.
func (x *explored) testPeople(b *browser) {
	t, base := b.t, "http://"+x.HTTP
	fresh, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	defer cancel()
	other := &browser{t: t, ctx: fresh}
	text := `document.querySelector("main").innerText.replaceAll(/(as of|Read at|Last export|sent) .*/g, "")`
	links := append(x.everyPage(), "/matrix?tz=Europe%2FOslo&unfold=true&view=table", "/sessions?state=half-open&tz=America%2FNew_York", "/sessions?proposal="+x.id+"&reason=half-open", "/readiness?last=30d&at-most=5%25",
		"/generate?compare=true&half-open=allow", "/simulate?policy="+x.id+"&list=sessions&decision=deny")
	for i, path := range links {
		for _, dark := range []bool{false, true} {
			b.dark(dark)
			if !dark {
				b.open(base + path)
			}
			b.settle()
			if i < len(x.everyPage()) {
				b.axe(path)
			}
			if strings.HasPrefix(path, "/matrix") && !strings.Contains(path, "table") {
				b.contrast(path)
			}
		}
		if path == "/" { // it shows what is now
			continue
		}
		other.open(base + path)
		other.settle()
		want := eval[string](b, text)
		if have := eval[string](other, text); have != want {
			t.Errorf("%s shows in a fresh browser\n%.600s\nbefore\n%.600s", path, have, want)
		}
	}
	rows := `[...document.querySelectorAll('[aria-label^="Sessions"] tbody tr')].map(r => r.innerText)`
	var first []string
	for _, zone := range []string{"UTC", "Europe/Oslo", "America/New_York"} {
		if _, err := chromedp.Call(other.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone}); err != nil {
			t.Fatal(err)
		}
		other.open(base + "/sessions?since=" + x.proposal.Window.From.Format("2006-01-02") + "&sort=client&limit=50")
		other.settle()
		have := eval[[]string](other, rows)
		if first == nil {
			first = have
		}
		if len(have) != 50 || !slices.Equal(have, first) {
			t.Errorf("in %s the link shows %d sessions that differ from those of UTC", zone, len(have))
		}
	}
}
