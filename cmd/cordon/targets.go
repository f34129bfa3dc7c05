package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cordon/recommender/policy"
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
}

// defaultTarget is what the flags say where none is given.
var defaultTarget = targetFlags{ports: "names", gaps: "error"}

// atDestinations is the value of --default-deny without one.
const atDestinations = "destinations"

func (t *targetFlags) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&t.defaultDeny, "default-deny", nil, "with --format eos: drop all else from and to these, such as group:web or ip:10.0.0.0/8; without a value, the destinations of the rules")
	f.Lookup("default-deny").NoOptDefVal = atDestinations
	f.BoolVar(&t.established, "tcp-established", false, "with --format eos: let answers of TCP through only where ACK or RST is set")
	f.StringVar(&t.ports, "ports", "names", "with --format eos: write well-known ports by names or as numbers")
	f.StringVar(&t.version, "eos", "", "with --format eos: the version of the device, such as 4.30.2F; from that one on, prefix field-sets may have except")
	f.StringVar(&t.mirror, "mirror", "", "with --format eos: a mirror session for every match (its line is in no public documentation, and marked as unverified)")
	f.StringVar(&t.gaps, "gaps", "error", "what a target cannot say: error, or report to leave it out and list it")
}

// eosWithExcept is the first version that has except in prefix field-sets.
var eosWithExcept = []int{4, 30, 2}

var eosVersion = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.\d{1,4})?[A-Z]?$`)

// eos gives the options that the flags ask for.
func (t *targetFlags) eos() (o eos.Options, err error) {
	o.TCPEstablished, o.Mirror = t.established, t.mirror
	switch t.ports {
	case "names":
	case "numbers":
		o.PortNumbers = true
	default:
		return o, usagef("--ports %q: use names or numbers", t.ports)
	}
	switch t.gaps {
	case "error":
	case "report":
		o.Gaps = true
	default:
		return o, usagef("--gaps %q: use error or report", t.gaps)
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
