package drain

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	const s = time.Second
	plan := Plan{Delay: 5 * s, Timeout: 30 * s, Spread: 10 * s}
	tests := []struct {
		name  string
		plan  Plan
		ends  time.Duration // when everything has ended by itself, after the signal
		again time.Duration // of the second signal; 0 means none
		want  []string
	}{
		{"everything ends", plan, 12 * s, 0, []string{"leave 0s", "close 5s", "ended 12s"}},
		{"something is cut", plan, time.Hour, 0, []string{"leave 0s", "close 5s", "cut 35s"}},
		{"no delay", Plan{Timeout: 3 * s}, time.Hour, 0, []string{"leave 0s", "close 0s", "cut 3s"}},
		{"no time", Plan{}, time.Hour, 0, []string{"leave 0s", "close 0s", "cut 0s"}},
		{"second signal in the delay", plan, time.Hour, 2 * s, []string{"leave 0s", "close 2s", "cut 2s"}},
		{"second signal while sessions end", plan, time.Hour, 7 * s, []string{"leave 0s", "close 5s", "cut 7s"}},
		{"second signal after the spread", plan, time.Hour, 20 * s, []string{"leave 0s", "close 5s", "cut 20s"}},
		{"second signal after the end", plan, 12 * s, 13 * s, []string{"leave 0s", "close 5s", "ended 12s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				now, hurry := context.WithCancel(t.Context())
				defer hurry()
				if tt.again > 0 {
					defer time.AfterFunc(tt.again, hurry).Stop()
				}
				var got []string
				note := func(what string) { got = append(got, fmt.Sprintf("%s %v", what, time.Since(began))) }
				tt.plan.Run(now, Steps{
					Leave: func() { note("leave") },
					Close: func(context.Context) { note("close") },
					Await: func(ctx context.Context) {
						select {
						case <-ctx.Done():
							note("cut")
						case <-time.After(tt.ends - time.Since(began)):
							note("ended")
						}
					},
				})
				if !slices.Equal(got, tt.want) {
					t.Errorf("%+v.Run = %q; want %q", tt.plan, got, tt.want)
				}
			})
		})
	}
}

func TestOver(t *testing.T) {
	tests := []struct {
		plan     Plan
		sessions int
		want     time.Duration
	}{
		{Plan{Timeout: 30 * time.Second}, 0, 0},
		{Plan{Timeout: 30 * time.Second}, 2500, 2500 * time.Millisecond},
		{Plan{Timeout: 30 * time.Second}, 1 << 20, 10 * time.Second},
		{Plan{Timeout: 30 * time.Second, Spread: 20 * time.Second}, 3, 20 * time.Second},
	}
	for _, tt := range tests {
		if got := tt.plan.Over(tt.sessions); got != tt.want {
			t.Errorf("%+v.Over(%d) = %v; want %v", tt.plan, tt.sessions, got, tt.want)
		}
	}
}
