package main

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cordon/recommender"
	"cordon/recommender/cover"
)

func TestInterruptEndsTheSearchFirst(t *testing.T) {
	for _, during := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var stderr bytes.Buffer
			a := &app{stderr: &stderr}
			ctx, interrupt := context.WithCancel(t.Context())
			run, s := a.searchUntilInterrupted(ctx)
			defer s.end()
			s.progress(recommender.Progress{VRF: "default"})
			if !during {
				s.progress(recommender.Progress{VRF: "default", Done: true})
			}
			interrupt()
			synctest.Wait()
			interrupted := false
			select {
			case <-s.interrupt:
				interrupted = true
			default:
			}
			if interrupted != during || (run.Err() == nil) != during {
				t.Errorf("during the search %v: search interrupted %v, run %v", during, interrupted, run.Err())
			}
			s.progress(recommender.Progress{VRF: "default", Done: true})
			s.progress(recommender.Progress{VRF: "red", Done: true})
			if n := bytes.Count(stderr.Bytes(), []byte("interrupted")); (n == 1) != during {
				t.Errorf("during the search %v: said %d times", during, n)
			}
		})
	}
}

func TestProgressLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &progressLine{w: &out, every: time.Second}
		l.show("a", false)
		l.show("b", false) // too soon
		time.Sleep(time.Second)
		l.show("c", false)
		l.show("d", true)
		if got, want := out.String(), "\r\033[Ka\r\033[Kc\r\033[K"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
	for _, c := range []struct {
		p    recommender.Progress
		want string
	}{
		{recommender.Progress{VRF: "red", Cells: 7}, "VRF red, 7 cells"},
		{recommender.Progress{VRF: "red", Cells: 7, Progress: cover.Progress{Boxes: 3, LowerBound: 2, Waiting: 4}}, "VRF red, 7 cells: 3 rules, at least 2 needed, 4 parts to go"},
	} {
		if got := searchText(c.p); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
