package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/target"
	"cordon/recommender/target/eos"

	"github.com/spf13/pflag"
)

// targetFlags say how the configuration of a device is written.
type targetFlags struct {
	defaultDeny []string
	established bool
	ports       string
	version     string
	mirror      string
	gaps        string
	staged      bool
	capirca     []string
}

// targetHelp lists the targets.
func targetHelp() string {
	out := "\n\nForms are yaml and json, and these:\n"
	for _, t := range target.All() {
		out += fmt.Sprintf("\n  %-11s %s", t.Name, t.About)
	}
	return out
}

// defaultTarget is what the flags say where none is given.
var defaultTarget = targetFlags{ports: "names", gaps: "error"}

// atDestinations is the value of --default-deny without one.
const atDestinations = "destinations"

func (t *targetFlags) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&t.defaultDeny, "default-deny", nil, "with --format eos: drop all else from and to these, such as group:web or ip:10.0.0.0/8; without a value, the destinations of the rules")
	f.Lookup("default-deny").NoOptDefVal = atDestinations
	f.BoolVar(&t.established, "tcp-established", false, "on targets without state: let answers of TCP through only where ACK or RST is set")
	f.StringVar(&t.ports, "ports", "names", "with --format eos: write well-known ports by names or as numbers")
	f.StringVar(&t.version, "eos", "", "with --format eos: the version of the device, such as 4.30.2F; from that one on, prefix field-sets may have except")
	f.StringVar(&t.mirror, "mirror", "", "with --format eos: a mirror session for every match (its line is in no public documentation, and marked as unverified)")
	f.BoolVar(&t.staged, "staged", false, "with --format calico: policies that decide nothing, to see first what they would do")
	f.StringArrayVar(&t.capirca, "capirca", nil, "with --format capirca: a platform, such as cisco or 'srx=from-zone trust to-zone dmz' (may be repeated; default: all that need no options)")
	f.StringVar(&t.gaps, "gaps", "error", "what a target cannot say: error, or report to leave it out and list it")
}

// eosWithExcept is the first version that has except in prefix field-sets.
var eosWithExcept = []int{4, 30, 2}

var eosVersion = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.\d{1,4})?[A-Z]?$`)

// options gives what the flags ask for, for a format that may be a target.
func (t *targetFlags) options(format, output string) (o target.Options, err error) {
	if x, ok := target.Find(format); ok && x.Several && output == "" {
		return o, usagef("--format %s writes several files: name a folder for them with --output", format)
	}
	o.Established, o.Staged = t.established, t.staged
	switch t.gaps {
	case "error":
	case "report":
		o.Gaps = true
	default:
		return o, usagef("--gaps %q: use error or report", t.gaps)
	}
	for _, text := range t.capirca {
		p, err := target.ParseCapircaPlatform(text)
		if err != nil {
			return o, usageError(fmt.Errorf("--capirca: %w", err))
		}
		o.Capirca = append(o.Capirca, p)
	}
	o.EOS, err = t.eos()
	return o, err
}

// eos gives the options of EOS.
func (t *targetFlags) eos() (o eos.Options, err error) {
	o.TCPEstablished, o.Mirror = t.established, t.mirror
	switch t.ports {
	case "names":
	case "numbers":
		o.PortNumbers = true
	default:
		return o, usagef("--ports %q: use names or numbers", t.ports)
	}
	if t.version != "" {
		m := eosVersion.FindStringSubmatch(t.version)
		if m == nil {
			return o, usagef("--eos %q: a version looks like 4.30.2F", t.version)
		}
		var v []int
		for _, digits := range m[1:4] {
			n, _ := strconv.Atoi(digits) // "" is 0
			v = append(v, n)
		}
		o.Except = slices.Compare(v, eosWithExcept) >= 0
	}
	if strings.ContainsAny(t.mirror, " \t\r\n!") {
		return o, usagef("--mirror %q: the name of a session is one word", t.mirror)
	}
	for _, text := range t.defaultDeny {
		if text == atDestinations {
			o.DenyDestinations = true
			continue
		}
		e, err := policy.ParseEndpoint(text)
		if err != nil {
			return o, usageError(fmt.Errorf("--default-deny: %w", err))
		}
		o.DefaultDeny = append(o.DefaultDeny, e)
	}
	return o, nil
}

// targetDocuments gives policies to a target. Groups may be nil; no categories mean those of the policy, or all.
func targetDocuments(policies []policy.Policy, groups *categories.File, selected []string) (out []target.Document, err error) {
	for i := range policies {
		d := target.Document{Policy: policies[i], Set: policy.IPSet, Proposed: policies[i].Kind == policy.KindProposal}
		if groups != nil {
			of := selected
			if len(of) == 0 {
				of = policies[i].Categories
			}
			addresses, err := policy.NewAddresses(groups, of)
			if err != nil {
				return nil, usageError(err)
			}
			d.Set = addresses.Set
		}
		out = append(out, d)
	}
	return out, nil
}

// namesGroups reports whether a rule of the policies names a group.
func namesGroups(policies []policy.Policy) bool {
	return slices.ContainsFunc(policies, func(p policy.Policy) bool {
		return slices.ContainsFunc(p.Rules, func(r policy.StatementRule) bool {
			return slices.ContainsFunc(slices.Concat(r.Sources, r.Destinations), policy.Endpoint.IsGroup)
		})
	})
}

// writeTarget writes what a target is, and says what is worth knowing about it. Every file appears whole.
func (a *app) writeTarget(t target.Target, out target.Output, output string) error {
	for _, note := range slices.Concat(out.Notes, out.Gaps) {
		fmt.Fprintf(a.stderr, "cordon: %s: %s\n", t.Name, note)
	}
	if !t.Several {
		return a.writeOutput(output, out.Files[0].Data)
	}
	var files outputFiles
	defer files.discard()
	for _, f := range out.Files {
		name := filepath.Join(output, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return outputError(output, err)
		}
		if err := files.stage(name, bytesTo(f.Data)); err != nil {
			return err
		}
	}
	return files.commit()
}
