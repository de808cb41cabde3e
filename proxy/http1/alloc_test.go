//go:build linux && !portable && !race

package http1

import (
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/loop"
)

// Connections that are idle, of a client and of an endpoint, cost no objects: not when their
// timers fire and are set again, and not when epoll reports of them and nothing has come.
func TestIdleConnectionsAllocateNothing(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			g := newGuarded(t)
			var c net.Conn
			if request := plainRequest; scheme == "http" {
				c = g.connect(t)
				io.WriteString(c, request)
			} else {
				c = g.connectTLS(t)
				io.WriteString(c, seal(t, request)[0])
			}
			io.WriteString(await(t, "the request", g.asked), "HTTP/1.1 204 No Content\r\n\r\n")
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				t.Fatal(err)
			}
			g.l.await(func(p *slot, c *conn) bool { return p.phase == readingPhase && c.requests == 1 && p.Timer() != 0 })
			g.l.Call(func() {
				driver := loop.DriverOf(g.l.Loop)
				defer driver.SetNow(g.l.Now())
				var client *slot
				var endpoint *upstreamSlot
				g.l.slots.Each(func(p *slot, _ *refs) { client = p })
				g.l.upstreams.slots.Each(func(p *upstreamSlot, _ *upstreamRefs) { endpoint = p })
				fired := 0
				n := testing.AllocsPerRun(1000, func() {
					g.l.Ready(client.SlotID(), 0, unix.EPOLLIN)
					g.l.upstreams.Ready(endpoint.SlotID(), 0, unix.EPOLLIN)
					// A request sets no timer anew: that of the last one fires, and nothing is due.
					now := max(client.Timer(), endpoint.Timer())
					client.since, endpoint.since = now-1, now-1
					driver.SetNow(now)
					driver.FireTimers()
					if client.Timer() > now && endpoint.Timer() > now {
						fired++
					}
				})
				if n != 0 || fired != 1001 { // once to begin with
					t.Errorf("%v objects, and timers were set again %d times; want none, and 1001 times", n, fired)
				}
				client.since, endpoint.since = g.l.Now(), g.l.Now()
			})
			g.goesOn()
		})
	}
}
