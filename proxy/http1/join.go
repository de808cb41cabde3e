//go:build linux && !portable

package http1

import (
	"bytes"

	"sluice/internal/h1"
)

// switchProtocols sends the client the 101 that an endpoint has answered. In has what came
// behind it.
func (l *loopConns) switchProtocols(c *conn, h *h1.Head, in []byte) {
	f := c.forward
	b, err := f.x.AppendSwitch(l.answer[:0], h)
	if err != nil {
		l.failForward(c, err, Answering)
		return
	}
	l.answer = b
	f.status, f.joins, f.early = h.Status, true, bytes.Clone(in)
	if l.toClient(c, b, false) {
		l.endForward(c)
	}
}

// join makes the connections of a client and of its endpoint a session, which has the sockets
// from now on: they stay in the epoll set of the loop.
func (l *loopConns) join(c *conn) {
	f := c.forward
	c.forward, l.beginning = nil, f.x
	p, _, _ := l.slots.At(c.slot)
	l.StopTimer(&p.Entry)
	l.slots.Retire(p)
	c.server.remove(c)
	client, backend := Socket{FD: c.sock.Take(), Early: c.ahead}, Socket{FD: f.up.fd, Early: f.early}
	client.State, client.Unread = l.giveRecords(&c.records)
	backend.State, backend.Unread = l.giveRecords(&f.up.records)
	l.upstreams.giveAway(f.up)
	taken := false
	defer closeUnless(&taken, client, backend)
	f.x.Join(l.number, client, backend)
	taken, l.beginning = true, nil
}
