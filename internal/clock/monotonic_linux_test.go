package clock

import (
	"testing"
	"time"
)

func TestAClockGoesOnInAnotherProcess(t *testing.T) {
	c := Clock{time.Now().Add(-time.Hour)}
	before := c.Now()
	other := At(c.Monotonic())
	if now := other.Now(); now < before-int64(time.Millisecond) {
		t.Errorf("the other clock shows %v, and the first one has shown %v before", time.Duration(now), time.Duration(before))
	}
	if now, after := other.Now(), c.Now(); now > after+int64(time.Minute) {
		t.Errorf("the other clock shows %v, and the first one %v after", time.Duration(now), time.Duration(after))
	}
}
