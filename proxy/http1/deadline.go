//go:build linux && !portable

package http1

import "fmt"

// deadline returns the moment at which a wait of the exchange has to be looked at.
func (f *forwarding) deadline() int64 {
	if f.leaveAt != 0 {
		return f.leaveAt
	}
	t := f.x.Timeouts()
	wait := t.Silence
	switch {
	case f.blocked():
		return f.lookAt
	case f.up != nil && f.up.connecting:
		wait = f.x.Dialer().Spec().Timeout
	case f.status == 0 && !f.request.over() && len(f.up.out) == 0: // the client is waited for
		return f.request.lookAt
	case f.status == 0:
		wait = t.Response
	}
	when := int64(0)
	if wait > 0 {
		when = f.since + int64(wait)
	}
	if total := f.began + int64(t.Total); t.Total > 0 && f.status == 0 && (when == 0 || total < when) {
		when = total
	}
	return when
}

// moved notes that the answer has moved on. One that refuses an upgrade ends in time all the same.
func (f *forwarding) moved(now int64) {
	if !f.x.Upgrades() {
		f.since = now
	}
}

// forwardDue does what is due in an exchange.
func (l *loopConns) forwardDue(p *slot, c *conn) {
	f := c.forward
	when := f.deadline()
	switch {
	case when == 0 || when > l.Now():
		l.setTimer(p, c)
	case f.leaveAt != 0 && f.unread():
		l.clientLeft(c, errClientLeft)
	case f.leaveAt != 0:
		f.leaveAt = 0
		l.setTimer(p, c)
	case f.blocked():
		l.chargeClient(p, c)
	case f.up.connecting && when != f.began+int64(f.x.Timeouts().Total):
		l.failForward(c, fmt.Errorf("no connection within %v: %w", f.x.Dialer().Spec().Timeout, errTimeout{}), Connecting)
	case f.request.waiting:
		l.chargeBody(p, c)
	case f.status == 0 && f.request.read > 0 && f.up.moved():
		f.since = l.Now() // it takes the body slowly
		l.setTimer(p, c)
	case f.status == 0:
		l.failForward(c, ErrSlow, max(f.stage(), Asking))
	default:
		l.cutForward(c, ErrSilent)
	}
}

// errTimeout makes an error a timeout.
type errTimeout struct{}

func (errTimeout) Error() string { return "timeout" }

func (errTimeout) Timeout() bool { return true }
