package clientio

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// scriptedClient is a client whose progress a test decides.
type scriptedClient struct {
	*credit
	moved atomic.Int64
	cutAt atomic.Int64 // ns since the start; 0: never
}

func newScriptedClient(rate float64, streams bool) *scriptedClient {
	c, start := new(scriptedClient), time.Now()
	c.credit = newCredit(rate, streams, c.moved.Load, func() { c.cutAt.CompareAndSwap(0, int64(time.Since(start))) })
	return c
}

// waitFor is one wait of that length.
func (c *scriptedClient) waitFor(d time.Duration) {
	c.startWait()
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
	c.endWait()
}

func TestHowLongAClientIsWaitedFor(t *testing.T) {
	tests := []struct {
		name    string
		rate    float64
		streams bool
		do      func(c *scriptedClient)
		cut     time.Duration
	}{
		{name: "nothing moves", rate: 500, do: func(c *scriptedClient) { c.waitFor(time.Hour) }, cut: initialCredit},
		{name: "no rate is asked for", rate: 0, do: func(c *scriptedClient) { c.waitFor(time.Hour) }},
		{name: "many short waits add up", rate: 500, do: func(c *scriptedClient) {
			for range 20 {
				c.waitFor(time.Second)
			}
		}, cut: initialCredit},
		{name: "no clock between the waits", rate: 500, do: func(c *scriptedClient) {
			for range 5 {
				c.waitFor(time.Second)
				time.Sleep(time.Hour)
			}
		}},
		{name: "exactly fast enough", rate: 500, do: func(c *scriptedClient) {
			for range 1000 {
				c.moved.Add(500)
				c.waitFor(time.Second)
			}
		}},
		{name: "half as fast as asked", rate: 500, do: func(c *scriptedClient) {
			for range 100 {
				c.moved.Add(250)
				c.waitFor(time.Second)
			}
		}, cut: 19 * time.Second},
		{name: "what moved at once earns no more than a minute", rate: 500, do: func(c *scriptedClient) {
			c.waitFor(time.Second)
			c.moved.Add(4 << 20)
			c.waitFor(time.Hour)
		}, cut: time.Second + MaxCredit},
		{name: "a pause after progress", rate: 500, do: func(c *scriptedClient) {
			c.waitFor(time.Second)
			c.moved.Add(1 << 20)
			c.waitFor(40 * time.Second)
			c.moved.Add(1 << 20)
			c.waitFor(40 * time.Second)
		}},
		{name: "a stream that stands while others move", rate: 500, streams: true, do: func(c *scriptedClient) {
			c.startWait()
			defer c.endWait()
			for range 600 {
				c.moved.Add(60_000)
				time.Sleep(time.Second)
			}
		}, cut: streamStall},
		{name: "a stream whose piece takes longer at the rate", rate: 100, streams: true, do: func(c *scriptedClient) {
			c.startWait()
			defer c.endWait()
			for range 600 {
				c.moved.Add(100)
				time.Sleep(time.Second)
			}
		}, cut: pieceSize * time.Second / 100},
		{name: "stopped in the middle of a wait", rate: 500, do: func(c *scriptedClient) {
			c.startWait()
			time.Sleep(time.Second)
			c.stop()
			c.waitFor(time.Hour)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newScriptedClient(tt.rate, tt.streams)
				tt.do(c)
				at := time.Duration(c.cutAt.Load())
				if d := at - tt.cut; tt.cut == 0 && at != 0 || d < 0 || d > 2*time.Second {
					t.Errorf("cut after %v; want %v", at, tt.cut)
				}
			})
		})
	}
}
