package clientio

import (
	"testing"
	"time"
)

// What a client takes before it is waited for the first time counts, from the opening of its account
// on.
func TestAnAccountEarnsBeforeTheFirstWait(t *testing.T) {
	second := int64(time.Second)
	taken := func(n int64) func() int64 { return func() int64 { return n } }
	opened, late := NewAccount(), NewAccount()
	opened.Open(second, 1000)
	for _, a := range []*Account{&opened, &late} {
		a.Begin(3*second, 500, taken(11_000))
	}
	if got, want := opened.Left(), initialCredit+20*time.Second; got != want {
		t.Errorf("an account that was open: %v; want %v", got, want)
	}
	if got := late.Left(); got != initialCredit {
		t.Errorf("one that was not: %v; want %v", got, initialCredit)
	}
	if got, want := opened.Look(4*second, 500, taken(11_000)), initialCredit+19*time.Second; got != want {
		t.Errorf("after a second: %v; want %v", got, want)
	}
}
