package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cordon/internal/config"

	"go.yaml.in/yaml/v3"
)

const repository = "../.."

// runs checks that a command line of a deployment is one that cordon takes: the
// command is there, and so are its flags.
func runs(t *testing.T, words []string) {
	t.Helper()
	a := &app{}
	c, rest, err := a.rootCommand().Find(words)
	if err == nil && !c.HasParent() {
		t.Errorf("cordon %s: there is no such command", strings.Join(words, " "))
		return
	}
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err != nil {
		t.Errorf("cordon %s: %v", strings.Join(words, " "), err)
	}
}

// settable checks that variables of an environment are those of settings.
func settable(t *testing.T, names []string) {
	t.Helper()
	known := make(map[string]bool)
	l, err := config.NewLoader(defaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range l.Keys() {
		known[config.EnvName(key)] = true
	}
	for _, n := range names {
		if strings.HasPrefix(n, "CORDON_") && !known[n] {
			t.Errorf("%s is the variable of no setting", n)
		}
	}
}

// Every role has a unit, which runs as cordon would and gives up what the
// process does not need: systemd's own score of it is 3 at most.
func TestUnits(t *testing.T) {
	units, err := filepath.Glob(filepath.Join(repository, "deployments", "systemd", "*.service"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/lib/cordon/cordon (.*)$`)
	environment := regexp.MustCompile(`(?m)^Environment=(\w+)=`)
	score := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for _, u := range units {
		data, err := os.ReadFile(u)
		if err != nil {
			t.Fatal(err)
		}
		m := start.FindStringSubmatch(string(data))
		if m == nil {
			t.Errorf("%s starts no cordon", u)
			continue
		}
		words := strings.Fields(m[1])
		found[words[0]] = true
		runs(t, words)
		for _, e := range environment.FindAllStringSubmatch(string(data), -1) {
			settable(t, e[1:])
		}
		if _, err := exec.LookPath("systemd-analyze"); err != nil {
			t.Log("systemd-analyze is not installed: units are not scored")
			continue
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", u).CombinedOutput()
		m = score.FindStringSubmatch(string(out))
		if m == nil {
			t.Fatalf("systemd-analyze security %s: %v\n%s", u, err, out)
		}
		if s, err := strconv.ParseFloat(m[1], 64); err != nil || s > 3 {
			t.Errorf("%s scores %s, want 3 at most", u, m[1])
		}
	}
	for _, role := range []string{"up", "collect", "ingest", "serve"} {
		if !found[role] {
			t.Errorf("no unit runs cordon %s", role)
		}
	}
}

// What the Dockerfile copies is there and not kept out of the build, it names
// each target and stage that is used, and its user is not root.
func TestDockerfile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(repository, "deployments", "compose", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages, users := make(map[string]string), make(map[string]string)
	stage, text := "", strings.ReplaceAll(string(data), "\\\n", " ")
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		switch words[0] {
		case "FROM":
			stage = words[3]
			stages[stage] = words[1]
			users[stage] = users[words[1]] // goes on where it builds on another stage
		case "USER":
			users[stage] = words[1]
		case "COPY":
			if from, ok := strings.CutPrefix(words[1], "--from="); ok {
				if stages[from] == "" {
					t.Errorf("%s: there is no stage %s before", line, from)
				}
				continue
			}
			for _, src := range words[1 : len(words)-1] {
				if _, err := os.Stat(filepath.Join(repository, src)); err != nil {
					t.Errorf("%s: %v", line, err)
				}
			}
		case "HEALTHCHECK", "CMD":
			_, list, _ := strings.Cut(line, "[")
			args := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(`", ]`, r) })
			if args[0] == "cordon" {
				args = args[1:]
			}
			runs(t, args)
		case "ENV":
			for _, w := range words[1:] {
				name, _, _ := strings.Cut(w, "=")
				settable(t, []string{name})
			}
		}
	}
	for _, target := range []string{"roles", "up"} {
		if id, _, _ := strings.Cut(users[target], ":"); id == "" || id == "0" || id == "root" {
			t.Errorf("target %s runs as user %q", target, users[target])
		}
	}
	ignored := readIgnored(t)
	for _, kept := range []string{"cmd", "go.mod", "go.sum", "schema", "scripts"} {
		if ignored[kept] {
			t.Errorf(".dockerignore keeps out %s, which the build needs", kept)
		}
	}
	for _, out := range []string{".git", ".cache", "bin", "cordon-data"} {
		if !ignored[out] {
			t.Errorf(".dockerignore lets %s in", out)
		}
	}
	// What is embedded must not be kept out with the tests.
	embed := regexp.MustCompile(`(?m)^//go:embed (.*)$`)
	err = filepath.WalkDir(repository, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() && (e.Name() == ".cache" || e.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		for _, m := range embed.FindAllStringSubmatch(string(data), -1) {
			if strings.Contains(m[1], "testdata") {
				t.Errorf("%s embeds %s, which .dockerignore keeps out", path, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func readIgnored(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	ignored := make(map[string]bool)
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			ignored[line] = true
		}
	}
	return ignored
}

// The compose files have every role, with commands and settings that there are.
func TestCompose(t *testing.T) {
	found := make(map[string]bool)
	for _, name := range []string{"compose.yaml", "up.yaml"} {
		data, err := os.ReadFile(filepath.Join(repository, "deployments", "compose", name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Services map[string]struct {
				Build struct {
					Context, Dockerfile, Target string
				}
				Command     []string
				Environment map[string]string
				Volumes     []string
			}
			Volumes map[string]any
		}
		if err := yaml.Unmarshal(data, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for service, s := range file.Services {
			for _, v := range s.Volumes {
				from, _, _ := strings.Cut(v, ":")
				if strings.HasPrefix(from, ".") {
					if _, err := os.Stat(filepath.Join(repository, "deployments", "compose", from)); err != nil {
						t.Errorf("%s: service %s: %v", name, service, err)
					}
				} else if _, ok := file.Volumes[from]; !ok {
					t.Errorf("%s: service %s: there is no volume %s", name, service, from)
				}
			}
			if s.Build.Context == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(repository, "deployments", "compose", s.Build.Context, s.Build.Dockerfile)); err != nil {
				t.Errorf("%s: service %s: %v", name, service, err)
			}
			if s.Command == nil {
				s.Command = []string{s.Build.Target}
			}
			found[s.Command[0]] = true
			runs(t, s.Command)
			for variable := range s.Environment {
				settable(t, []string{variable})
			}
		}
	}
	for _, role := range []string{"up", "collect", "ingest", "serve", "migrate"} {
		if !found[role] {
			t.Errorf("no service runs cordon %s", role)
		}
	}
}
