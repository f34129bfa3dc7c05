// Command bench runs the benchmarks that docs/benchmarks.md records, one after the
// other, and prints their figures as Markdown tables: `make bench`. What the
// benchmarks themselves print goes to standard error.
//
// With -update FILE the tables replace what stands in FILE between the lines
// "<!-- make bench -->" and "<!-- end -->".
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	only   = flag.String("only", "", "run the sections whose titles match this expression")
	update = flag.String("update", "", "put the tables into this file, in place of standard output")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	var out bytes.Buffer
	var all results
	var failed []string
	var tables bytes.Buffer
	for _, s := range sections {
		if !wanted.MatchString(s.title) {
			continue
		}
		before, began := loadAverage(), time.Now()
		var rs results
		for _, c := range s.commands {
			fmt.Fprintf(os.Stderr, "\n$ %s\n", c)
			text, err := execute(c)
			if err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", c, err)
				failed = append(failed, c.String())
			}
			rs.parse(text)
			if s.verbatim {
				rs.text += text
			}
		}
		s.print(&tables, rs, before, time.Since(began))
		all.add(rs)
	}
	machine(&out)
	printTargets(&out, all)
	out.Write(tables.Bytes())
	for _, f := range failed {
		fmt.Fprintf(&out, "\nThis command failed, its figures are missing or not to be trusted: `%s`\n", f)
	}
	if *update != "" {
		err = replace(*update, out.Bytes())
	} else {
		_, err = os.Stdout.Write(out.Bytes())
	}
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("%d commands failed", len(failed))
	}
	return err
}

// command is a program with its arguments; its environment is that of `make`.
type command []string

func (c command) String() string {
	quoted := make([]string, len(c))
	for i, a := range c {
		if quoted[i] = a; strings.ContainsAny(a, "$|()* ") {
			quoted[i] = "'" + a + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// execute runs a command, shows what it prints, and gives it.
func execute(c command) (string, error) {
	var b bytes.Buffer
	cmd := exec.Command(c[0], c[1:]...)
	cmd.Stdout = io.MultiWriter(os.Stderr, &b)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	return b.String(), err
}

// machine says where the figures come from.
func machine(w io.Writer) {
	fmt.Fprintf(w, "Measured %s at commit `%s` with %s: %d processors, %s; %s.\n",
		time.Now().UTC().Format("2006-01-02 15:04 MST"), output("git", "describe", "--always", "--dirty"),
		runtime.Version(), runtime.NumCPU(), model(), output("uname", "-sr"))
}

func output(name string, args ...string) string {
	b, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

func model() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// loadAverage is that of the last minute; "unknown" beyond Linux.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(data), " ")
	return first
}

const (
	beginMark = "<!-- make bench -->\n"
	endMark   = "<!-- end -->\n"
)

// replace puts text between the marks of a file.
func replace(name string, text []byte) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(old, []byte(beginMark))
	_, foot, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q", name, strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return os.WriteFile(name, slices.Concat(head, []byte(beginMark+"\n"), text, []byte("\n"+endMark), foot), 0o644)
}
