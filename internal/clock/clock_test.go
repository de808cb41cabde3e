package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestMomentsAndTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		if now := c.Now(); now != 1 {
			t.Errorf("Now() = %d for a new clock; want 1", now)
		}
		<-time.After(time.Hour)
		now := c.Now()
		if want := int64(time.Hour) + 1; now != want {
			t.Errorf("Now() = %d after an hour; want %d", now, want)
		}
		if got := c.Time(now); !got.Equal(time.Now()) {
			t.Errorf("Time(%d) = %v; want %v", now, got, time.Now())
		}
		tests := []struct {
			name string
			of   time.Time
			want int64
		}{
			{"the present", time.Now(), now},
			{"a time without a monotonic reading", time.Unix(time.Now().Unix()+60, int64(time.Now().Nanosecond())), now + int64(time.Minute)},
			{"long before the clock", time.Unix(0, 0), 1},
			{"the zero time", time.Time{}, 1},
		}
		for _, tt := range tests {
			if got := c.Moment(tt.of); got != tt.want {
				t.Errorf("Moment of %s = %d; want %d", tt.name, got, tt.want)
			}
		}
	})
}
