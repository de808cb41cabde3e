//go:build linux && !portable

package http1

import (
	"fmt"
	"io"
	"net/http"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/loop"
	"sluice/proxy/clientio"
)

const (
	mostSpare       = 256 // forwardings whose memory a loop keeps,
	mostSpareFields = 64  // unless their requests had more header fields
)

// forwarding is a request that a loop forwards.
type forwarding struct {
	x        Exchange
	fields   header.Fields // memory of the request's header section
	trailer  http.Header   // what the trailer section of the request will have, where it has announced that
	request  sending       // the body of the request
	up       *upstream     // nil once the endpoint has answered all, or failed
	body     h1.Body       // of the answer
	status   int           // of the answer; 0 until it begins
	written  int64         // bytes of its body, towards the client
	informed int           // informational answers
	chunked  bool          // the body goes to the client in chunks
	closes   bool          // the client's connection ends with the answer
	last     bool          // the client sends no other request
	goesOn   bool          // the beginning of the answer is written, and its rest has to be spliced now
	joins    bool          // the connections become a session when the client has the 101
	early    []byte        // what came behind the 101
	err      error         // what has cut the answer
	began    int64         // the moment at which it began

	out   []byte     // waits for the client
	pipe  *loop.Pipe // what is in it too, behind out; nil while it is empty
	since int64      // the moment since which something is waited for: of the endpoint or, while the client is blocked, of it

	account clientio.Account // how long the client may still be waited for
	lookAt  int64            // the moment for the next look at a client that is blocked; 0 means none
	leaveAt int64            // the moment at which a client has left that has ended its stream, while the endpoint takes nothing of the request; 0 means none
}

// unread reports whether the endpoint does not take what the client has sent of the request.
func (f *forwarding) unread() bool {
	return !f.request.over() && f.up != nil && (f.up.connecting || len(f.up.out) > 0)
}

// newForwarding returns memory for a request. It is garbage unless endForwarding takes it back.
func (l *loopConns) newForwarding() *forwarding {
	n := len(l.spare)
	if n == 0 {
		return new(forwarding)
	}
	f := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return f
}

// endForwarding ends what the loop has of the connection's request, which is over. Its memory
// is used again, but not in this batch: who has called may still look at it.
func (l *loopConns) endForwarding(c *conn) {
	l.dropPipe(c.forward)
	l.over = append(l.over, c.forward)
	c.forward = nil
}

// recycle makes the memory of what was over in this batch that of other requests.
func (l *loopConns) recycle() {
	for i, f := range l.over {
		l.over[i] = nil
		if len(l.spare) == mostSpare || cap(f.fields) > mostSpareFields {
			continue
		}
		clear(f.fields[:cap(f.fields)])
		*f = forwarding{fields: f.fields[:0]}
		l.spare = append(l.spare, f)
	}
	l.over = l.over[:0]
}

// beginForward begins to forward a request with a head, behind which rest has come.
func (l *loopConns) beginForward(p *slot, c *conn, x Exchange, h *h1.Head, f *forwarding, rest []byte) {
	*f = forwarding{x: x, fields: f.fields, trailer: f.trailer, closes: h.Close, last: h.Close, began: l.Now(), since: l.Now(), account: clientio.NewAccount()}
	f.request.start(h.Length, x.MaxBody())
	received, _ := c.Wire.Moved()
	f.request.account.Open(l.Now(), received)
	p.phase, c.forward, l.beginning = forwardingPhase, f, nil
	l.ask(p, c, rest)
}

// ask sends the request to the endpoint, on a kept connection or a new one. Rest has come behind
// the head: of the body, which may have come with it, or of what follows.
func (l *loopConns) ask(p *slot, c *conn, rest []byte) {
	f := c.forward
	up, err := l.upstreams.take(f.x.Dialer(), f.x.Upgrades())
	if err != nil {
		c.keep(rest)
		l.failForward(c, err, Connecting)
		return
	}
	f.up, up.conn = up, c
	if up.requests == 0 && !up.connecting { // it was opened at once
		f.x.Connected()
	}
	l.request = f.x.AppendHead(l.request[:0], &l.fields)
	var body []byte
	if !f.request.over() && !up.connecting && len(rest) > 0 {
		used := 0
		body, used, err = l.next(f, rest)
		rest = rest[used:]
	}
	c.keep(rest)
	if err != nil {
		l.refuseBody(c, err)
		return
	}
	if l.upstreams.send(up, l.request, body); c.forward != f {
		return
	}
	if !f.request.over() {
		l.sendBody(c)
		return
	}
	l.setTimer(p, c)
}

// endForward ends the exchange when all of the answer is sent.
func (l *loopConns) endForward(c *conn) {
	f := c.forward
	if f.blocked() {
		return
	}
	if f.joins {
		l.join(c)
		return
	}
	f.x.Done(f.result(f.err, false))
	l.endForwarding(c)
	p, r, _ := l.slots.At(c.slot)
	if f.closes || f.err != nil {
		if !f.request.done || !f.last || len(c.ahead)+len(c.partial) > 0 { // what is left of it comes, or another one
			c.Wire.EndReads()
		}
		l.close(p, r)
		return
	}
	l.goOn(p, r)
}

// left notes that the endpoint's connection is not the exchange's any more.
func (f *forwarding) left() { f.up, f.request.broken = nil, !f.request.done }

// result returns how the exchange has ended.
func (f *forwarding) result(err error, byClient bool) Result {
	return Result{Status: f.status, In: f.request.read, Out: f.written, Err: err, ByClient: byClient}
}

// cutForward ends the exchange in the middle of an answer, because the endpoint has failed.
// The client gets what has come, and can tell that it is not all.
func (l *loopConns) cutForward(c *conn, err error) {
	f := c.forward
	l.upstreams.drop(f.up)
	f.left()
	f.err = err
	l.endForward(c)
}

// failForward gives the exchange to a goroutine: its endpoint has failed before it answered.
func (l *loopConns) failForward(c *conn, err error, when Stage) {
	f := c.forward
	if f.up != nil {
		l.upstreams.drop(f.up)
		f.up = nil
	}
	if f.blocked() { // an informational answer that the client does not take
		l.clientLeft(c, err)
		return
	}
	c.forward, l.beginning = nil, f.x
	f.x.Fail(err, when, f.request.read)
	p, _, _ := l.slots.At(c.slot)
	w := newWriter(c, f.x.Method(), 1, f.closes)
	w.body.conn, w.body.trailer, w.body.chunked, w.body.frame = c, f.trailer, f.request.chunked, f.request.frame
	l.serve(p, c, f.x, w)
}

// clientLeft ends the exchange because the client is gone.
func (l *loopConns) clientLeft(c *conn, err error) {
	f := c.forward
	if f.up != nil {
		l.upstreams.drop(f.up)
		f.left()
	}
	if f.status == 0 || f.joins {
		f.x.Abandon()
	} else {
		f.x.Done(f.result(err, true))
	}
	if f.blocked() { // in the middle of a record
		l.wipe(&c.records)
	}
	l.endForwarding(c)
	p, r, _ := l.slots.At(c.slot)
	l.close(p, r)
}

// endpointEnded handles the end of the endpoint's stream, and what breaks its connection.
func (l *loopConns) endpointEnded(c *conn, err error) {
	f := c.forward
	up := f.up
	switch {
	case f.status != 0 && err == io.EOF && f.body.Complete():
		l.upstreams.drop(up)
		if f.left(); f.chunked && !l.toClient(c, l.appendEnd(f, l.chunks[:0]), false) {
			return
		}
		l.endForward(c)
	case f.status != 0:
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		l.cutForward(c, err)
	case up.requests > 0 && f.stage() == Asking && f.x.Repeatable(): // it was closed while the request was on its way
		l.upstreams.drop(up)
		f.up = nil
		l.upstreams.closeIdle(f.x.Dialer())
		p, _, _ := l.slots.At(c.slot)
		l.ask(p, c, c.ahead)
	default:
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		l.failForward(c, fmt.Errorf("the backend closed the connection: %w", err), f.stage())
	}
}

// stage returns how far the exchange with the endpoint has come.
func (f *forwarding) stage() Stage {
	switch {
	case f.up == nil || f.up.connecting:
		return Connecting
	case len(f.up.kept) == 0 && f.informed == 0:
		return Asking
	}
	return Answering
}
