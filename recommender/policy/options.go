package policy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Option is one of the choices in [Settings], with all that flags, documents, checks and shells need to know of it. An option has
// its one place here: a field of Settings, and its entry below.
type Option struct {
	Flag    string // The flag of generate-rules, without dashes.
	Key     string // The key in the settings of a document.
	Help    string
	Default any      // The flag's default: a string, uint64 or float64.
	Bare    string   // The value of a flag given without one; empty where it needs one.
	Values  []string // those that it may have, the default first; nil for no such list
	Covers  bool     // it changes the rules that are made of cells, and not which sessions count
	Zero    bool     // zero is a value of its own, and not the default

	// Field gives the field: a *string, *uint64 or *float64.
	Field func(*Settings) any

	needs func(*Settings) bool  // Reports whether another option, which gives it effect, is set; nil for none.
	parse func(*Settings) error // Rejects values that mean nothing, where there are no Values; nil for none.
	check func(*Settings) error // Rejects values that mean something and may not be; nil for none.
}

// Defaults of settings that are off unless asked for.
const (
	DefaultRecurring      = 2
	DefaultScannerTargets = 100
	DefaultPortRanges     = 10
	DefaultMaxExtra       = 256 // A /24 has as many addresses.
	DefaultGeneralise     = 0.05
)

var options = []Option{
	{
		Flag: "ungrouped", Key: "ungrouped", Default: string(UngroupedHost),
		Values: []string{string(UngroupedHost), string(UngroupedReport), string(UngroupedPrefix)},
		Help:   "private addresses in no selected group: host (their own /32 or /128), report, or prefix (the fewest prefixes for those that do the same; see --max-extra)",
		Field:  func(s *Settings) any { return (*string)(&s.Ungrouped) },
	}, {
		Flag: "max-extra", Key: "maxExtra", Default: uint64(DefaultMaxExtra), Zero: true,
		Help:  "with --ungrouped prefix: at most so many addresses that were not seen, in all prefixes together; they are permitted, and counted",
		Field: func(s *Settings) any { return &s.MaxExtra },
		needs: func(s *Settings) bool { return s.Ungrouped == UngroupedPrefix },
	}, {
		Flag: "external", Key: "external", Default: string(ExternalReport),
		Values: []string{string(ExternalReport), string(ExternalHost), string(ExternalInternet)},
		Help:   "public addresses in no selected group: report, host or internet (the built-in group)",
		Field:  func(s *Settings) any { return (*string)(&s.External) },
	}, {
		Flag: "half-open", Key: "halfOpen", Default: string(HalfOpenReport),
		Values: []string{string(HalfOpenReport), string(HalfOpenAllowUDP), string(HalfOpenAllow)},
		Help:   "sessions without an answer: report, allow-udp or allow",
		Field:  func(s *Settings) any { return (*string)(&s.HalfOpen) },
	}, {
		Flag: "min-sessions", Key: "minSessions", Default: uint64(1),
		Help:  "sessions that a cell needs",
		Field: func(s *Settings) any { return &s.MinSessions },
	}, {
		Flag: "min-hosts", Key: "minHosts", Default: uint64(1),
		Help:  "clients that a cell needs",
		Field: func(s *Settings) any { return &s.MinHosts },
	}, {
		Flag: "min-hours", Key: "minHours", Default: uint64(1),
		Help:  "distinct hours in which a cell needs sessions",
		Field: func(s *Settings) any { return &s.MinHours },
	}, {
		Flag: "recurring", Key: "recurring", Default: uint64(0), Bare: fmt.Sprint(DefaultRecurring),
		Help:  "distinct hours in which one client and server of a cell need sessions: what came once is left out",
		Field: func(s *Settings) any { return &s.Recurring },
		check: func(s *Settings) error {
			if s.Recurring == 1 {
				return errors.New("what was seen in 1 hour has not come back: 2 is the least")
			}
			return nil
		},
	}, {
		Flag: "exclude-scanners", Key: "scannerTargets", Default: uint64(0), Bare: fmt.Sprint(DefaultScannerTargets),
		Help:  "report the sessions of clients that scan: so many of their targets, and more than half of them, were never answered or used only once",
		Field: func(s *Settings) any { return &s.ScannerTargets },
	}, {
		Flag: "port-ranges", Key: "portRanges", Default: uint64(0), Bare: fmt.Sprint(DefaultPortRanges),
		Help:  "make a range of dynamic ports, where a source uses so many at a destination; permits ports that were not seen, and counts them",
		Field: func(s *Settings) any { return &s.PortRanges },
		check: func(s *Settings) error {
			if s.PortRanges == 1 {
				return errors.New("1 port is no range: 2 is the least")
			}
			return nil
		},
	}, {
		Flag: "generalise", Key: "generalise", Default: 0.0, Bare: fmt.Sprint(DefaultGeneralise), Covers: true,
		Help:  "permit cells without a session where that saves rules, unless having none is significant at this level; lists each (docs/generalisation.md)",
		Field: func(s *Settings) any { return &s.Generalise },
		check: func(s *Settings) error {
			if !(s.Generalise >= 0 && s.Generalise <= 1) {
				return fmt.Errorf("%v is no level of significance: it is between 0 and 1", s.Generalise)
			}
			return nil
		},
	}, {
		Flag: "generalise-within", Key: "generaliseWithin", Default: "", Covers: true,
		Help:  "with --generalise: the category of the coarser cells (default: the first of the file with groups around both ends)",
		Field: func(s *Settings) any { return &s.GeneraliseWithin },
		check: func(s *Settings) error {
			if s.GeneraliseWithin != "" && s.Generalise == 0 {
				return errors.New("nothing is generalised without --generalise")
			}
			return nil
		},
	}, {
		Flag: "coverage", Key: "coverage", Default: string(whole), Covers: true,
		Help:  "share of the sessions that is enough: the fewest rules for it, and what they leave out",
		Field: func(s *Settings) any { return (*string)(&s.Coverage) },
		parse: func(s *Settings) error {
			_, err := ParseShare(string(s.Coverage))
			return err
		},
	}, {
		Flag: "coverage-by", Key: "coverageBy", Default: string(BySessions), Covers: true,
		Values: []string{string(BySessions), string(ByBytes)},
		Help:   "what --coverage is a share of: sessions or bytes",
		Field:  func(s *Settings) any { return (*string)(&s.CoverageBy) },
		needs:  func(s *Settings) bool { return !s.Coverage.Whole() },
	},
}

// Options are all options, in the order of the fields of Settings but for the window, which several flags say together.
func Options() []Option { return slices.Clone(options) }

// at is the option's field of settings.
func (o *Option) at(s *Settings) reflect.Value { return reflect.ValueOf(o.Field(s)).Elem() }

func (o *Option) byDefault() reflect.Value { return reflect.ValueOf(o.Default) }

// applies reports whether the option is of effect with the others.
func (o *Option) applies(s *Settings) bool { return o.needs == nil || o.needs(s) }

// Copy takes the option's value from other settings.
func (o *Option) Copy(to, from *Settings) { o.at(to).Set(o.at(from)) }

// IsZero reports whether the settings say nothing of the option.
func (o *Option) IsZero(s *Settings) bool { return o.at(s).IsZero() }

// Same reports whether the option has one value in both.
func (o *Option) Same(a, b *Settings) bool { return o.at(a).Equal(o.at(b)) }

// Known says that the option's value means nothing, as a *SettingsError.
func (o *Option) Known(s *Settings) error {
	if v := o.at(s); o.Values != nil && !slices.Contains(o.Values, v.String()) {
		last := len(o.Values) - 1
		return &SettingsError{o.Flag, o.Key, fmt.Errorf("%q is not %s or %s", v.String(), strings.Join(o.Values[:last], ", "), o.Values[last])}
	}
	return o.wrong(s, o.parse)
}

// Check says what is wrong with the option's value, as a *SettingsError.
func (o *Option) Check(s *Settings) error {
	if err := o.Known(s); err != nil {
		return err
	}
	return o.wrong(s, o.check)
}

func (o *Option) wrong(s *Settings, f func(*Settings) error) error {
	if f == nil {
		return nil
	}
	if err := f(s); err != nil {
		return &SettingsError{o.Flag, o.Key, err}
	}
	return nil
}

// SettingsError says which setting cannot be used. It is the caller's mistake, not a failure.
type SettingsError struct {
	Setting string // The flag's name, without dashes.
	Key     string // The key in a document's settings; empty where it has none.
	Err     error
}

func (e *SettingsError) Error() string { return fmt.Sprintf("--%s: %v", e.Setting, e.Err) }
func (e *SettingsError) Unwrap() error { return e.Err }

// WrongSetting is a *SettingsError about the setting that a flag says.
func WrongSetting(flag string, err error) error {
	out := &SettingsError{Setting: flag, Err: err}
	for i := range options {
		if options[i].Flag == flag {
			out.Key = options[i].Key
		}
	}
	return out
}
