package main

import (
	"fmt"

	"cordon/recommender/policy"

	"github.com/spf13/pflag"
)

// optionFlags adds the flags of those options that a command takes; their values go to the settings.
func optionFlags(f *pflag.FlagSet, s *policy.Settings, takes func(*policy.Option) bool) {
	for _, o := range policy.Options() {
		if takes(&o) {
			optionFlag(f, s, &o)
		}
	}
}

func optionFlag(f *pflag.FlagSet, s *policy.Settings, o *policy.Option) {
	switch to := o.Field(s).(type) {
	case *string:
		f.StringVar(to, o.Flag, o.Default.(string), o.Help)
	case *uint64:
		f.Uint64Var(to, o.Flag, o.Default.(uint64), o.Help)
	case *float64:
		f.Float64Var(to, o.Flag, o.Default.(float64), o.Help)
	default:
		panic(fmt.Sprintf("BUG: --%s is a %T", o.Flag, to))
	}
	if o.Bare != "" {
		optionalNumber(f, o.Flag, o.Bare)
	}
}

// countingOption selects the options that say which sessions count for what.
func countingOption(o *policy.Option) bool { return !o.Covers }

// coveringOption selects the options that say what rules are made of the cells.
func coveringOption(o *policy.Option) bool { return o.Covers }

// optionWords are the completions of options that have a list of values, by flag.
func optionWords() map[string]completer {
	out := map[string]completer{}
	for _, o := range policy.Options() {
		if o.Values != nil {
			out[o.Flag] = words(o.Values...)
		}
	}
	return out
}
