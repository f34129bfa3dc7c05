package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// On a terminal the demo ends with a link to its proposal's page, which answers until a key is pressed. Elsewhere it
// ends by itself. Neither leaves anything behind.
func TestDemo(t *testing.T) {
	folder := t.TempDir()
	x := onTerminal(t, []string{"TMPDIR=" + folder}, "demo")
	x.shows(0, "until you press a key")
	link := regexp.MustCompile(`(http://127\.0\.0\.1:[0-9]+)(/proposals/([0-9a-f]{12}))`).FindStringSubmatch(x.log.String())
	if link == nil {
		t.Fatal("there is no link to a proposal")
	}
	get := func(path string) string {
		resp, err := http.Get(link[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %s %v", path, resp.Status, err)
		}
		return string(body)
	}
	for _, page := range []string{link[2], "/matrix"} {
		if !strings.Contains(get(page), "<script") {
			t.Errorf("%s is no page", page)
		}
	}
	var proposal struct {
		ID    string
		Rules []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(get("/api/v1"+link[2])), &proposal); err != nil || !strings.HasPrefix(proposal.ID, "sha256:"+link[3]) || len(proposal.Rules) == 0 {
		t.Errorf("the link is of proposal %+v (%v)", proposal, err)
	}
	for _, r := range proposal.Rules {
		if !strings.Contains(x.log.String(), r.Name) {
			t.Errorf("the terminal does not show rule %s", r.Name)
		}
	}
	x.types(" ", "leaves nothing behind")
	<-x.done
	if x.err != nil {
		t.Errorf("the demo ended with %v", x.err)
	}

	out := cordon(t, []string{"TMPDIR=" + folder}, "demo")
	if strings.Contains(out, "press a key") || strings.Contains(out, "http://") || !strings.Contains(out, "leaves nothing behind") {
		t.Errorf("without a terminal the demo says\n%s", tail(out, 20))
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("the demo leaves %v (%v)", left, err)
	}
}
