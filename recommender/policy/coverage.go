package policy

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// Share is a share of a whole as people write it: "99%" or "99.5%". The zero value is the whole.
type Share string

// whole is the Share of everything.
const whole Share = "100%"

var shareText = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,12})?%?$`)

// ParseShare reads a share above zero, with or without a percent sign: "99%" is "0.99". The result has one form for each value.
func ParseShare(s string) (Share, error) {
	number, percent := strings.CutSuffix(s, "%")
	r, ok := new(big.Rat).SetString(number)
	if !shareText.MatchString(s) || !ok {
		return "", fmt.Errorf("%q is no share: use 99%% or 0.99", s)
	}
	if !percent {
		r.Mul(r, big.NewRat(100, 1))
	}
	if r.Sign() <= 0 || r.Cmp(big.NewRat(100, 1)) > 0 {
		if !percent {
			return "", fmt.Errorf("%q is no share above 0 and at most 1: use 99%% or 0.99", s)
		}
		return "", fmt.Errorf("%q is no share: it is not above 0%% and at most 100%%", s)
	}
	text := strings.TrimRight(strings.TrimRight(r.FloatString(12), "0"), ".")
	return Share(text + "%"), nil
}

// Whole reports whether the share is everything.
func (s Share) Whole() bool { return s == "" || s == whole }

// rat is the share as a number from 0 to 1.
func (s Share) rat() *big.Rat {
	r, ok := new(big.Rat).SetString(strings.TrimSuffix(string(s), "%"))
	if s.Whole() || !ok {
		return big.NewRat(1, 1)
	}
	return r.Quo(r, big.NewRat(100, 1))
}

// Float is the share as a number from 0 to 1.
func (s Share) Float() float64 {
	f, _ := s.rat().Float64()
	return f
}

// Of is the least whole number that is the share of a total.
func (s Share) Of(total uint64) uint64 {
	r := s.rat()
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).SetUint64(total)))
	up := new(big.Int).Add(r.Num(), new(big.Int).Sub(r.Denom(), big.NewInt(1)))
	return up.Quo(up, r.Denom()).Uint64()
}

// Measure is what a share of sessions is a share of.
type Measure string

// The measures; the zero value means BySessions.
const (
	BySessions Measure = "sessions"
	ByBytes    Measure = "bytes" // bytes of both directions, as in Evidence
)

// Coverage says how much of what could be permitted is, where a share was asked for.
type Coverage struct {
	By        Measure `json:"by" yaml:"by"`
	Total     uint64  `json:"total" yaml:"total"`         // weight of all sessions that no other reason leaves out, those already permitted among them
	Needed    uint64  `json:"needed" yaml:"needed"`       // the share that was asked for
	Permitted uint64  `json:"permitted" yaml:"permitted"` // weight that the rules and the policy in force permit
	Reached   string  `json:"reached" yaml:"reached"`     // Permitted of Total in percent, rounded down
}

// NewCoverage completes a Coverage.
func NewCoverage(share Share, by Measure, total, permitted uint64) *Coverage {
	c := &Coverage{By: by, Total: total, Needed: share.Of(total), Permitted: permitted, Reached: string(whole)}
	if permitted < total {
		hundredths := new(big.Int).SetUint64(permitted)
		hundredths.Mul(hundredths, big.NewInt(10000)).Quo(hundredths, new(big.Int).SetUint64(total))
		n := hundredths.Uint64()
		c.Reached = fmt.Sprintf("%d.%02d%%", n/100, n%100)
	}
	return c
}
