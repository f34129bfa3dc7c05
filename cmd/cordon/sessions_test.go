package main

import (
	"io"
	"testing"
)

func TestListingLimits(t *testing.T) {
	for _, test := range []struct {
		format string
		limit  int
		asked  bool
		want   int
	}{
		{"table", 0, false, 50},
		{"table", 0, true, 0},
		{"table", 7, true, 7},
		{"csv", 0, false, 0},
		{"csv", 7, true, 7},
	} {
		a := &app{stdout: io.Discard}
		_, _, got, err := a.listing("client", &test.format, test.limit, test.asked, 50)
		if err != nil || got != test.want {
			t.Errorf("%+v: at most %d, %v", test, got, err)
		}
	}
}
