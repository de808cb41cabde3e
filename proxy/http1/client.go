//go:build linux && !portable

package http1

import (
	"fmt"

	"golang.org/x/sys/unix"

	"sluice/proxy/clientio"
)

// blocked reports whether something waits for the client.
func (f *forwarding) blocked() bool { return len(f.out) > 0 || f.pipe != nil }

// toClient writes b to the client. What its socket does not take waits. With more, the system may
// wait for what is written next. It is false if the client is gone: then the exchange is over.
func (l *loopConns) toClient(c *conn, b []byte, more bool) bool {
	f := c.forward
	b, err := l.seal(&c.records, b)
	if err != nil {
		l.clientLeft(c, err)
		return false
	}
	if !f.blocked() {
		n, err := l.write(c, b, more)
		if err != nil {
			l.clientLeft(c, err)
			return false
		}
		b = b[n:]
	}
	if len(b) > 0 {
		first := len(f.out) == 0
		if f.out = append(f.out, b...); first { // a panic from here on must know that a record may be half sent
			l.awaitClient(c)
		}
		p, _, _ := l.slots.At(c.slot)
		l.setTimer(p, c)
	}
	return true
}

// write writes b to the client and returns how much its socket takes now. See toClient for more.
func (l *loopConns) write(c *conn, b []byte, more bool) (int, error) {
	send := c.sock.Send
	if more {
		send = c.sock.SendMore
	}
	n, err := send(b)
	if err == unix.EAGAIN {
		return 0, nil
	}
	c.Wire.Sent(n)
	return n, err
}

// writable goes on when the client's socket takes bytes again.
func (l *loopConns) writable(p *slot, c *conn) {
	f := c.forward
	if !f.blocked() {
		return
	}
	if len(f.out) > 0 {
		n, err := l.write(c, f.out, false)
		if err != nil {
			l.clientLeft(c, err)
			return
		}
		if f.out = f.out[n:]; len(f.out) > 0 {
			return
		}
		f.out = nil
	}
	if f.pipe != nil && !l.drain(c) {
		return
	}
	f.moved(l.Now())
	f.account.End(l.Now())
	switch {
	case f.up != nil && !f.joins:
		l.setTimer(p, c) // a client without a lowest rate was waited for without one
		l.upstreams.read(f.up)
	default:
		l.endForward(c)
	}
}

// awaitClient begins a wait for the client, which takes no more bytes now.
func (l *loopConns) awaitClient(c *conn) {
	f := c.forward
	if f.lookAt = 0; f.x.MinRate() > 0 {
		f.account.Begin(l.Now(), f.x.MinRate(), c.Taken)
		f.lookAt = l.Now() + int64(f.account.Left())
	}
}

// chargeClient looks at the wait for the client, which may have taken too long.
func (l *loopConns) chargeClient(p *slot, c *conn) {
	f := c.forward
	wait := f.account.Look(l.Now(), f.x.MinRate(), c.Taken)
	if wait == 0 {
		c.Wire.DropUnsent()
		l.clientLeft(c, fmt.Errorf("the client takes too little: %w", clientio.ErrSlow))
		return
	}
	f.lookAt = l.Now() + int64(wait)
	l.setTimer(p, c)
}
