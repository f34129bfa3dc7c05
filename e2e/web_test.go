package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/collector/replay"
	"cordon/collector/replay/lab"
	"cordon/recommender/policy"
)

// explored is a running cordon with the lab's records and a proposal, for all tests of the API and the pages.
type explored struct {
	addresses
	t        *testing.T // the test that starts it, and that it ends with
	process  *process
	dir      string
	tokens   string
	env      []string
	groups   string
	proposal policy.Proposal
	id       string
}

// explore sends the lab to a running cordon, and has a proposal made.
func explore(t *testing.T) *explored {
	t.Helper()
	dir := t.TempDir()
	x := &explored{t: t, env: []string{"CORDON_DATA_DIR=" + dir}, groups: filepath.Join(t.TempDir(), "groups.yaml")}
	tokens := filepath.Join(t.TempDir(), "tokens")
	for name, text := range map[string]string{x.groups: lab.Groups, tokens: fmt.Sprintf("grafana viewer %x\n", sha256.Sum256([]byte("look")))} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x.dir, x.tokens = dir, tokens
	x.process, x.addresses = up(t, dir, "CORDON_HTTP_TOKENS="+tokens)
	sent := x.export(t, lab.Nodes(1, time.Now().Add(-lab.Duration-5*time.Minute).Truncate(time.Minute)))
	eventually(t, patience, "the lab to be stored", func() error {
		n, err := x.query("SELECT count() FROM flows")
		if err == nil && n != strconv.FormatUint(sent, 10) {
			err = fmt.Errorf("%s of %d records", n, sent)
		}
		if err != nil {
			return err
		}
		if n, err = x.query("SELECT sum(complete + half_open + denied) > 0 FROM sessions_hourly"); err == nil && n != "1" {
			err = fmt.Errorf("no session yet")
		}
		return err
	})
	// An insert shows in flows before it is folded into sessions.
	eventually(t, patience, "the stream to be empty", func() error {
		var s struct{ Stream struct{ Batches uint64 } }
		x.get(t, "/api/v1/status", &s)
		if s.Stream.Batches > 0 {
			return fmt.Errorf("%d batches", s.Stream.Batches)
		}
		return nil
	})
	out := cordon(t, x.env, "generate-rules", "--groups", x.groups, "--format", "json")
	if err := json.Unmarshal([]byte(out), &x.proposal); err != nil {
		t.Fatal(err)
	}
	x.id = strings.TrimPrefix(x.proposal.ID, "sha256:")[:12]
	return x
}

// export has monitor nodes export, and gives how many records they sent.
func (x *explored) export(t testing.TB, nodes []lab.Node) (sent uint64) {
	t.Helper()
	for _, n := range nodes {
		e, err := replay.Dial(t.Context(), replay.Config{To: x.UDP[0], From: n.Addr, Domain: n.Domain, Biflow: n.Biflow, Rate: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n.Records {
			if err := e.Export(t.Context(), &n.Records[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		sent += e.Stats().Records
	}
	return sent
}

// ask sends a request to the API, and gives its status and answer.
func (x *explored) ask(t testing.TB, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+x.HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if path == "/api/v1/events" { // it has no end
		return resp, firstEvents(resp.Body)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// firstEvents reads a stream until it has told of everything once.
func firstEvents(stream io.Reader) string {
	var text strings.Builder
	missing := map[string]bool{"event: status": true, "event: proposals": true, "event: jobs": true}
	for lines := bufio.NewScanner(stream); len(missing) > 0 && lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		delete(missing, lines.Text())
	}
	return text.String()
}

// get reads a document.
func (x *explored) get(t testing.TB, path string, into any) {
	t.Helper()
	resp, body := x.ask(t, http.MethodGet, path, "")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", path, resp.Status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("GET %s: %v in %s", path, err, body)
	}
}

func TestWeb(t *testing.T) {
	x := explore(t)
	t.Run("foreign", func(t *testing.T) { testForeign(t, x.addresses) })
	t.Run("same as the commands", x.testSame)
	t.Run("answers", x.testAnswers)
	t.Run("pages", x.testPaging)
	t.Run("mistakes", x.testMistakes)
	t.Run("matrix", x.testMatrix)
	t.Run("generate", x.testGenerate)
	t.Run("given files", x.testGiven)
	t.Run("description", x.testDescription)
	t.Run("documentation", x.testDocumentation)
	t.Run("browser", x.testBrowser)
	t.Run("life", x.testLife)
}

// Lists of the API are those of the commands, byte by byte.
func (x *explored) testSame(t *testing.T) {
	rule := x.proposal.Rules[0]
	of := "/api/v1/proposals/" + x.id
	for _, tc := range []struct {
		path    string
		command []string
	}{
		{"/api/v1/sessions?sort=client", []string{"sessions", "--sort", "client"}},
		{"/api/v1/sessions?client=group:wifi_clients&service=DNS&service=tcp/80&sort=-bytes", []string{"sessions", "--client", "group:wifi_clients", "--service", "DNS", "--service", "tcp/80", "--sort", "-bytes"}},
		{"/api/v1/sessions?state=half-open,denied", []string{"sessions", "--state", "half-open,denied"}},
		{"/api/v1/sessions?host=10.100.99.50&last=30d", []string{"sessions", "--host", "10.100.99.50", "--last", "30d"}},
		{of + "/rules/" + rule.ID + "/sessions?sort=client", []string{"proposals", "show", x.id, "--evidence", "--rule", rule.Name}},
		{of + "/rules/" + rule.ID + "/unobserved", []string{"proposals", "show", x.id, "--unobserved", "--rule", rule.Name}},
		{"/api/v1/simulate?each=true&policy=" + x.id, []string{"simulate", "--each", "--policy", x.id}},
		{"/api/v1/simulate/sessions?sort=-bytes&changed=true&without=" + rule.ID + "&policy=" + x.id, []string{"simulate", "--sessions", "--changed", "--sort", "-bytes", "--without", rule.Name, "--policy", x.id}},
		{"/api/v1/simulate/sessions?sort=client&decision=deny,uncertain&policy=" + x.id, []string{"simulate", "--sessions", "--decision", "deny,uncertain", "--policy", x.id}},
		{of + "/left-out?reason=half-open&sort=-bytes", []string{"proposals", "show", x.id, "--left-out", "half-open", "--sort", "-bytes"}},
	} {
		_, have := x.ask(t, http.MethodGet, tc.path+map[bool]string{true: "&", false: "?"}[strings.Contains(tc.path, "?")]+"format=csv", "")
		want := cordon(t, x.env, append(tc.command, "--format", "csv")...)
		if have != want || strings.Count(want, "\n") < 2 {
			t.Errorf("GET %s has other rows than cordon %s: %s", tc.path, strings.Join(tc.command, " "), firstDifference(have, want))
		}
	}
	_, byID := x.ask(t, http.MethodGet, of+"/rules/"+rule.ID+"/sessions?format=csv", "")
	if _, byName := x.ask(t, http.MethodGet, of+"/rules/"+url.PathEscape(rule.Name)+"/sessions?format=csv", ""); byName != byID {
		t.Errorf("a rule asked for by name has other sessions than by id: %s", firstDifference(byName, byID))
	}
	resp, body := x.ask(t, http.MethodGet, of, "")
	if want := string(x.proposal.JSON()); strings.TrimSpace(body) != strings.TrimSpace(want) {
		t.Errorf("the proposal is not the document that was made: %.200s", body)
	}
	tag := resp.Header.Get("ETag")
	if resp, body := x.ask(t, http.MethodGet, of, "", "If-None-Match", tag); tag == "" || resp.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("with the tag %q: %s", tag, resp.Status)
	}
}

// firstDifference shows where two texts part.
func firstDifference(have, want string) string {
	a, b := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("line %d is\n%.500s\nwant\n%.500s", i+1, a[i], strings.Join(b[min(i, len(b)):min(i+1, len(b))], ""))
		}
	}
	return fmt.Sprintf("%d lines, want %d: %.300s", len(a), len(b), have)
}

// Documents of the API are those of the commands.
func (x *explored) testAnswers(t *testing.T) {
	of := "/api/v1/proposals/" + x.id
	same := func(path, have string, command ...string) {
		t.Helper()
		if want := cordon(t, x.env, command...); strings.TrimSpace(have) != strings.TrimSpace(want) || len(want) < 100 {
			t.Errorf("GET %s differs from cordon %s: %s", path, strings.Join(command, " "), firstDifference(have, want))
		}
	}
	since := x.proposal.Window.From.Add(5 * time.Minute).Format(time.RFC3339)
	for _, tc := range []struct {
		path    string
		command []string
	}{
		{"/api/v1/simulate?policy=" + x.id, []string{"simulate", "--policy", x.id, "--format", "json"}},
		{of + "/drift?since=" + since, []string{"simulate", "--policy", x.id, "--since", since, "--vrf", x.proposal.VRF, "--format", "json"}},
	} {
		_, have := x.ask(t, http.MethodGet, tc.path, "")
		same(tc.path, have, tc.command...)
	}
	var formats struct{ Formats []struct{ Name string } }
	x.get(t, "/api/v1/formats", &formats)
	for _, f := range formats.Formats {
		if slices.Contains([]string{"kubernetes", "cilium", "calico"}, f.Name) {
			continue // the groups of the lab have no selectors
		}
		resp, have := x.ask(t, http.MethodGet, of+"/export?gaps=report&format="+f.Name, "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("export as %s: %s %s", f.Name, resp.Status, have)
		} else if slices.Contains([]string{"eos", "csv", "table"}, f.Name) { // a command each would take long
			same("export as "+f.Name, have, "proposals", "export", x.id, "--format", f.Name, "--gaps", "report")
		} else if len(have) < 100 {
			t.Errorf("export as %s is %q", f.Name, have)
		}
	}
	var readings struct{ Readiness []json.RawMessage }
	x.get(t, "/api/v1/readiness?at-most=2%25", &readings)
	var have bytes.Buffer
	for _, r := range readings.Readiness {
		if err := json.Indent(&have, r, "", "  "); err != nil {
			t.Fatal(err)
		}
	}
	same("/api/v1/readiness", have.String(), "readiness", "--groups", x.groups, "--at-most", "2%", "--format", "json")

	var refused struct {
		HalfOpen, Denied uint64
		Clients, Servers []struct {
			Host     string
			Sessions uint64
		}
	}
	x.get(t, "/api/v1/refused?limit=1000", &refused)
	list := cordon(t, x.env, "sessions", "--state", "half-open", "--format", "ndjson")
	if n := uint64(strings.Count(list, "\n")); n != refused.HalfOpen || n == 0 {
		t.Errorf("%d half-open sessions, cordon sessions has %d", refused.HalfOpen, n)
	}
	for _, side := range [][]struct {
		Host     string
		Sessions uint64
	}{refused.Clients, refused.Servers} {
		var sum uint64
		for _, r := range side {
			sum += r.Sessions
		}
		if sum != refused.HalfOpen+refused.Denied {
			t.Errorf("the hosts of refused sessions have %d, all are %d", sum, refused.HalfOpen+refused.Denied)
		}
	}
	x.testRename(t)
}

// give has the server keep a file, and gives what stands for it.
func (x *explored) give(t testing.TB, name, text string) string {
	t.Helper()
	resp, body := x.ask(t, http.MethodPost, "/api/v1/uploads?name="+url.QueryEscape(name), text, "Content-Type", "text/plain")
	var made struct{ Upload string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("POST /api/v1/uploads: %s %s", resp.Status, body)
	}
	return made.Upload
}

// Files that somebody gives answer as the commands do with the same files: the configuration of a device, a proposal, and a
// groups file. What is wrong in one is named with its line.
func (x *explored) testGiven(t *testing.T) {
	_, config := x.ask(t, http.MethodGet, "/api/v1/proposals/"+x.id+"/export?format=eos", "")
	path := filepath.Join(t.TempDir(), "switch.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	since := x.proposal.Window.From.Format(time.RFC3339)
	_, have := x.ask(t, http.MethodGet, "/api/v1/simulate?policy="+x.give(t, path, config)+"&against="+x.id+"&since="+since, "")
	want := cordon(t, x.env, "simulate", "--policy", path, "--against", x.id, "--since", since, "--format", "json")
	if strings.TrimSpace(have) != strings.TrimSpace(want) || !strings.Contains(have, `"permitted"`) {
		t.Errorf("a configuration that is given differs from the command: %s", firstDifference(have, want))
	}
	bad := x.give(t, "bad.cfg", "traffic-policies\n   traffic-policy x\n      match a ipv4\n         source prefix 10.0.0.0/99\n")
	if resp, body := x.ask(t, http.MethodGet, "/api/v1/simulate?policy="+bad, ""); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "query.policy") || !strings.Contains(body, "bad.cfg:4") {
		t.Errorf("a configuration with a mistake: %s %s", resp.Status, body)
	}
	want = cordon(t, x.env, "groups", "suggest", "--groups", x.groups, "--format", "json")
	var orders, same any
	x.get(t, "/api/v1/groups/suggest?groups="+x.give(t, "groups.yaml", lab.Groups), &orders)
	if err := json.Unmarshal([]byte(want), &same); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(orders, same) {
		t.Errorf("orders of categories are %v, the command says %v", orders, same)
	}
	var last struct{ Categories []string }
	if x.get(t, "/api/v1/groups", &last); !slices.Equal(last.Categories, x.proposal.Categories) {
		t.Errorf("the categories of the file that was used last are %v, want %v", last.Categories, x.proposal.Categories)
	}
	bad = x.give(t, "bad.yaml", "categories:\n  - nme: x\n")
	if resp, body := x.ask(t, http.MethodGet, "/api/v1/groups/suggest?groups="+bad, ""); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "bad.yaml:2") {
		t.Errorf("a groups file with a mistake: %s %s", resp.Status, body)
	}
	// Sources would have the server read its own files and run commands.
	const sources = "sources: [{name: cmdb, kind: command, command: [id], categories: [{name: app, label: role}]}]\n"
	if resp, body := x.ask(t, http.MethodGet, "/api/v1/groups/suggest?groups="+x.give(t, "sources.yaml", sources), ""); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "command line only") {
		t.Errorf("a groups file with sources: %s %s", resp.Status, body)
	}
}

// A rule has its new name in a proposal of its own, which differs from the one before in that alone.
func (x *explored) testRename(t *testing.T) {
	rule := x.proposal.Rules[0]
	names := "/api/v1/proposals/" + x.id + "/names"
	body := func(rule, name string) string { return fmt.Sprintf(`{"rule": %q, "name": %q}`, rule, name) }
	resp, text := x.ask(t, http.MethodPost, names, body(rule.Name, "web to DNS"))
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	id := strings.TrimPrefix(made.ID, "sha256:")[:12]
	if out := cordon(t, x.env, "proposals", "show", id); !strings.Contains(out, "web to DNS") {
		t.Errorf("the proposal that was made: %s", out)
	}
	_, have := x.ask(t, http.MethodGet, "/api/v1/proposals/"+x.id+"/diff/"+id, "")
	if want := cordon(t, x.env, "proposals", "diff", x.id, id, "--format", "json"); strings.TrimSpace(have) != strings.TrimSpace(want) || !strings.Contains(have, "web to DNS") {
		t.Errorf("the difference is %s, want %s", have, want)
	}
	for _, tc := range []struct {
		body string
		code int
		auth string
	}{{body(rule.ID, ""), 422, ""}, {body("nothing", "x"), 422, ""}, {body(rule.ID, x.proposal.Rules[1].Name), 422, ""}, {body(rule.ID, "y"), 403, "Bearer look"}} {
		header := []string{"Authorization", tc.auth}
		if tc.auth == "" {
			header = nil
		}
		if resp, text := x.ask(t, http.MethodPost, names, tc.body, header...); resp.StatusCode != tc.code {
			t.Errorf("POST %s: %s %s, want %d", tc.body, resp.Status, text, tc.code)
		}
	}
	// The name stays with the rule; the other tests have the proposal as it was made.
	cordon(t, x.env, "proposals", "rename", id, rule.ID, rule.Name)
	cordon(t, x.env, "proposals", "delete", id)
}

// Pages one after another are the whole list, in every order, and the sums are those of the whole list.
func (x *explored) testPaging(t *testing.T) {
	type page struct {
		Sessions     []struct{ Client, Server, Service string }
		Total, Flows uint64
		Next         string
	}
	for _, sort := range []string{"-last_seen", "client", "-bytes", "+service", "flows", "server", "-half_open"} {
		_, text := x.ask(t, http.MethodGet, "/api/v1/sessions?format=csv&sort="+url.QueryEscape(sort), "")
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		at := func(name string) int { return slices.Index(rows[0], name) }
		var want, have []string
		for _, r := range rows[1:] {
			want = append(want, r[at("client")]+" "+r[at("server")]+" "+r[at("service")])
		}
		for next := ""; ; {
			var p page
			path := "/api/v1/sessions?limit=100&sort=" + url.QueryEscape(sort)
			if next != "" {
				path += "&after=" + next
			}
			x.get(t, path, &p)
			for _, s := range p.Sessions {
				have = append(have, s.Client+" "+s.Server+" "+s.Service)
			}
			if p.Total != uint64(len(want)) {
				t.Errorf("sorted by %s the total is %d of %d", sort, p.Total, len(want))
			}
			if next = p.Next; next == "" {
				break
			}
		}
		if !slices.Equal(have, want) {
			t.Errorf("sorted by %s, pages have %d rows that differ from the list's %d", sort, len(have), len(want))
		}
	}
}

// Errors name the parameter that they are about, and nobody changes anything who may not.
func (x *explored) testMistakes(t *testing.T) {
	for _, tc := range []struct {
		method, path, body string
		code               int
		location           string
	}{
		{"GET", "/api/v1/sessions?clinet=10.0.0.1", "", 422, "query.clinet"},
		{"GET", "/api/v1/sessions?client=web", "", 422, "query.client"},
		{"GET", "/api/v1/sessions?service=foo/1", "", 422, "query.service"},
		{"GET", "/api/v1/sessions?since=never", "", 422, "query.since"},
		{"GET", "/api/v1/sessions?last=1h&since=yesterday", "", 422, "query.last"},
		{"GET", "/api/v1/sessions?sort=colour", "", 422, "query.sort"},
		{"GET", "/api/v1/sessions?limit=0", "", 422, "query.limit"},
		{"GET", "/api/v1/sessions?after=nonsense", "", 422, "query.after"},
		{"GET", "/api/v1/sessions?reason=bad-luck", "", 422, "query.reason"},
		{"GET", "/api/v1/sessions?rule=nothing", "", 404, "query.rule"},
		{"GET", "/api/v1/sessions?proposal=ffffffff", "", 404, "path.id"},
		{"GET", "/api/v1/matrix?order=chaos", "", 422, "query.order"},
		{"GET", "/api/v1/proposals/ffffffff", "", 404, "path.id"},
		{"GET", "/api/v1/proposals/" + x.id + "/rules/nothing/sessions", "", 404, "path.rule"},
		{"GET", "/api/v1/jobs/77", "", 404, "path.job"},
		{"GET", "/api/v1/simulate", "", 422, "query.policy"},
		{"GET", "/api/v1/simulate?policy=/etc/passwd", "", 422, "query.policy"},
		{"GET", "/api/v1/simulate?policy=ffffffff", "", 404, "path.id"},
		{"GET", "/api/v1/simulate?policy=upload-0123456789abcdef", "", 404, "query.policy"},
		{"GET", "/api/v1/uploads/upload-0123456789abcdef", "", 404, "path.upload"},
		{"GET", "/api/v1/groups/suggest?groups=/etc/passwd", "", 422, "query.groups"},
		{"GET", "/api/v1/groups/suggest?learn=all", "", 422, "query.learn"},
		{"GET", "/api/v1/groups/suggest?category=colour", "", 422, "query.category"},
		{"GET", "/api/v1/simulate?policy=" + x.id + "&without=nothing", "", 422, "query.without"},
		{"GET", "/api/v1/simulate?policy=" + x.id + "&default=perhaps", "", 422, "query.default"},
		{"GET", "/api/v1/simulate?policy=" + x.id + "&category=colour", "", 422, "query.category"},
		{"GET", "/api/v1/simulate/sessions?policy=" + x.id + "&decision=maybe", "", 422, "query.decision"},
		{"GET", "/api/v1/simulate/sessions?policy=" + x.id + "&changed=true", "", 422, "query.changed"},
		{"GET", "/api/v1/proposals/ffffffff/drift", "", 404, "path.id"},
		{"GET", "/api/v1/proposals/" + x.id + "/drift?since=never", "", 422, "query.since"},
		{"GET", "/api/v1/proposals/" + x.id + "/diff/ffffffff", "", 404, "path.id"},
		{"GET", "/api/v1/proposals/" + x.id + "/export?format=word", "", 422, "query.format"},
		{"GET", "/api/v1/proposals/" + x.id + "/export?gaps=some", "", 422, "query.gaps"},
		{"GET", "/api/v1/readiness?at-most=all", "", 422, "query.at-most"},
		{"GET", "/api/v1/readiness?category=colour", "", 422, "query.category"},
		{"GET", "/api/v1/refused?client=web", "", 422, "query.client"},
		{"GET", "/api/v1/hours?service=foo/1", "", 422, "query.service"},
		{"POST", "/api/v1/proposals", `{"effort": "heroic"}`, 422, "body.effort"},
		{"POST", "/api/v1/proposals", `{"half-open": "x"}`, 422, "body.half-open"},
		{"POST", "/api/v1/proposals", `{"from": ["/etc/passwd"]}`, 422, "body.from"},
		{"POST", "/api/v1/proposals", `{"existing": ["/etc/passwd"]}`, 422, "body.existing"},
		{"POST", "/api/v1/proposals", `{"groups": "categories:\n  - nme: x\n"}`, 422, "body.groups"},
		{"POST", "/api/v1/proposals", `{"groups": "sources: [{name: a, kind: command, command: [id], categories: [{name: app, label: role}]}]\n"}`, 422, "body.groups"},
	} {
		resp, body := x.ask(t, tc.method, tc.path, tc.body)
		if resp.StatusCode != tc.code {
			t.Errorf("%s %s %s: %s %s, want %d", tc.method, tc.path, tc.body, resp.Status, body, tc.code)
			continue
		}
		if tc.code < 400 {
			continue
		}
		var p struct{ Errors []struct{ Location string } }
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" || len(p.Errors) == 0 || p.Errors[0].Location != tc.location {
			t.Errorf("%s %s %s does not name %s: %s", tc.method, tc.path, tc.body, tc.location, body)
		}
	}
	for _, tc := range []struct{ method, path string }{{"POST", "/api/v1/proposals"}, {"POST", "/api/v1/uploads"}, {"DELETE", "/api/v1/jobs/1"}} {
		body := ""
		if tc.method == "POST" {
			body = "{}"
		}
		if resp, body := x.ask(t, tc.method, tc.path, body, "Authorization", "Bearer look"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("a viewer's %s %s: %s %s", tc.method, tc.path, resp.Status, body)
		}
	}
	if resp, _ := x.ask(t, "GET", "/api/v1/matrix", "", "Authorization", "Bearer look"); resp.StatusCode != http.StatusOK {
		t.Errorf("a viewer may not look: %s", resp.Status)
	}
}

// The squares of the matrix add up to the proposal, by rule and by reason, whatever is folded.
func (x *explored) testMatrix(t *testing.T) {
	type matrix struct {
		Sessions, Included uint64
		Rows, Columns      []string
		Cells              []struct {
			Row, Column        int
			Sessions, Included uint64
			Reasons            map[string]uint64
		}
		Rules []struct {
			Name          string
			Rows, Columns []int
		}
	}
	want := map[string]uint64{}
	for _, u := range x.proposal.Unproposed {
		want[string(u.Reason)] += u.Sessions
	}
	for _, query := range []string{"", "?unfold=true", "?order=name", "?order=traffic&unfold=true"} {
		var m matrix
		x.get(t, "/api/v1/matrix"+query, &m)
		var sessions uint64
		have := map[string]uint64{}
		for _, c := range m.Cells {
			sessions += c.Sessions
			for r, n := range c.Reasons {
				have[r] += n
			}
		}
		if s := x.proposal.Summary; sessions != s.Sessions || m.Sessions != s.Sessions || m.Included != s.Included || fmt.Sprint(have) != fmt.Sprint(want) {
			t.Errorf("matrix%s: %d sessions, %d included, %v; the proposal has %d, %d, %v", query, m.Sessions, m.Included, have, s.Sessions, s.Included, want)
		}
		for i, r := range m.Rules {
			if len(r.Rows) != len(x.proposal.Rules[i].Sources) && r.Name != "web-appserver1-and-wifi_clients-to-DNS_NTP_servers" || len(r.Rows) == 0 {
				t.Errorf("matrix%s: rule %s is at rows %v of %v", query, r.Name, r.Rows, m.Rows)
			}
		}
	}
}

// A job makes the proposal that the command makes, tells how it goes, and can be ended.
func (x *explored) testGenerate(t *testing.T) {
	body, err := json.Marshal(map[string]any{"groups": lab.Groups, "until": x.proposal.Window.To.Add(time.Hour).Format(time.RFC3339)})
	if err != nil {
		t.Fatal(err)
	}
	resp, text := x.ask(t, http.MethodPost, "/api/v1/proposals", string(body))
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	events, err := http.Get("http://" + x.HTTP + resp.Header.Get("Location") + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	var job struct {
		State     string
		Steps     []any
		Proposals []string
		Error     string
	}
	for lines := bufio.NewScanner(events.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &job); err != nil {
				t.Fatal(err)
			}
		}
	}
	if job.State != "done" || len(job.Steps) < 5 || len(job.Proposals) != 1 {
		t.Fatalf("the job ended as %+v", job)
	}
	want := cordon(t, x.env, "generate-rules", "--groups", x.groups, "--until", x.proposal.Window.To.Add(time.Hour).Format(time.RFC3339), "--format", "json")
	_, have := x.ask(t, http.MethodGet, "/api/v1/proposals/"+job.Proposals[0], "")
	if strings.TrimSpace(have) != strings.TrimSpace(want) {
		t.Errorf("the job made another proposal than the command: %.300s", have)
	}
}

// The description is OpenAPI 3.1, and every path of it answers.
func (x *explored) testDescription(t *testing.T) {
	var d struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	x.get(t, "/openapi.json", &d)
	if d.OpenAPI != "3.1.0" || len(d.Paths) < 10 {
		t.Fatalf("%s with %d paths", d.OpenAPI, len(d.Paths))
	}
	given := x.give(t, "policy.json", string(x.proposal.JSON()))
	for path, operations := range d.Paths {
		if operations["get"] == nil {
			continue
		}
		filled := strings.NewReplacer("{id}", x.id, "{rule}", x.proposal.Rules[0].ID, "{job}", "1", "{other}", x.id, "{upload}", given).Replace(path)
		if strings.HasPrefix(path, "/api/v1/simulate") {
			filled += "?policy=" + x.id
		}
		if resp, body := x.ask(t, http.MethodGet, filled, ""); resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s %.300s", filled, resp.Status, body)
		}
	}
}

// Every example of docs/api.md runs as it stands there, and gives what it shows.
func (x *explored) testDocumentation(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(string(data), "\n") {
		path, ok := strings.CutPrefix(line, "GET ")
		if !ok {
			continue
		}
		n++
		path = strings.NewReplacer("ID", x.id, "RULE", x.proposal.Rules[0].ID, "JOB", "1").Replace(path)
		if resp, body := x.ask(t, http.MethodGet, path, ""); resp.StatusCode != http.StatusOK || len(bytes.TrimSpace([]byte(body))) == 0 {
			t.Errorf("GET %s: %s %.300s", path, resp.Status, body)
		}
	}
	if n < 10 {
		t.Errorf("%d examples in docs/api.md", n)
	}
}
