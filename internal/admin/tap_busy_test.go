package admin

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// finishedTap is a [Tap] of a session that has ended.
type finishedTap struct{}

func (finishedTap) Read(to []Frame) (frames []Frame, lost uint64, err error) { return to, 0, ErrOver }
func (finishedTap) Close()                                                   {}

// Who has left a tap may come back before the gateway knows that it was left.
func TestATapWaitsForTheOneBefore(t *testing.T) {
	g := newFakeGateway()
	tries := 0
	g.atTap = func() (Tap, error) {
		if tries++; tries < 4 {
			return nil, ErrBusy
		}
		return finishedTap{}, nil
	}
	r, body := ask(t, "unix", newSocketServer(t, g), request("GET", "/sessions/00000000000000a1/tap"))
	if r.StatusCode != 200 || !strings.Contains(body, `{"over":true}`) || tries != 4 {
		t.Errorf("after %d tries: %d %s", tries, r.StatusCode, body)
	}
}

// It does not wait for ever.
func TestATapOfAnotherIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFakeGateway()
		g.atTap = func() (Tap, error) { return nil, ErrBusy }
		began := time.Now()
		tap, err := (&Server{gateway: g}).openTap(t.Context(), "00000000000000a1", TapOptions{})
		if took := time.Since(began); tap != nil || err != ErrBusy || took != tapPatience {
			t.Errorf("%v, %v after %v; want ErrBusy after %v", tap, err, took, tapPatience)
		}
	})
}
