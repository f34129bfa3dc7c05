package main

import (
	"errors"
	"testing"
)

// What is wrong with a source is said when it begins and when it changes, and again after it was well.
func TestOnce(t *testing.T) {
	last := ""
	for i, c := range []struct {
		problem string
		want    bool
	}{{"", false}, {"away", true}, {"away", false}, {"empty", true}, {"empty", false}, {"away", true}, {"", false}, {"", false}, {"away", true}} {
		var err error
		if c.problem != "" {
			err = errors.New(c.problem)
		}
		if got := once(&last, err); got != c.want {
			t.Errorf("step %d: said is %v, want %v", i, got, c.want)
		}
	}
}
