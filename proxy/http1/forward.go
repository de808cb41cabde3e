//go:build linux && !portable

package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"golang.org/x/sys/unix"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/loop"
	"sluice/proxy/clientio"
)

const (
	// answerPiece is how many bytes of an answer are read at once. Larger pieces leave the
	// processor's caches before they are written.
	answerPiece = 33 << 10 // of 32 KiB, and a head or what belongs to TLS records

	// headroom is what is left free before them, so that the head for the client can be
	// written right before the body that came with it.
	headroom = 16 << 10

	maxInformational = 32

	mostSpare       = 256 // forwardings whose memory a loop keeps,
	mostSpareFields = 64  // unless their requests had more header fields
)

// answerLimits bound the head of an answer.
var answerLimits = h1.Limits{Size: 256 << 10, Fields: 10_000}

var errManyInformational = errors.New("the backend sends one informational answer after the other")

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

// blocked reports whether something waits for the client.
func (f *forwarding) blocked() bool { return len(f.out) > 0 || f.pipe != nil }

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

// answered takes bytes of an answer, which are in the loop's buffer, with headroom before
// them. It reports whether more may be read.
func (l *loopConns) answered(c *conn, in []byte, at int) (more bool) {
	f := c.forward
	up, seen := f.up, len(f.up.kept)
	if f.status != 0 && !f.x.Upgrades() { // an answer begins in time, and a refusal ends in time
		f.since = l.Now()
	}
	if seen > 0 { // a head, or a size line, that comes in pieces
		up.kept = append(up.kept, in...)
		in, at = up.kept, -1
	}
	for f.status == 0 {
		end := h1.EndOfAnswerHead(in, seen)
		if end == 0 {
			if len(in) > answerLimits.Size {
				l.failForward(c, errors.New("the head of the answer is too large"), Answering)
				return false
			}
			up.keep(in, at)
			return true
		}
		fields := l.fields[:0]
		if f.x.Upgrades() { // the fields may belong to a session
			fields = nil
		}
		var refusal *h1.Refusal
		l.head, refusal = h1.ParseAnswer(in[:end], fields, f.x.Method(), answerLimits)
		h := &l.head
		l.fields = h.Fields
		rest := in[end:]
		if seen = 0; at >= 0 {
			at += end
		}
		switch {
		case refusal != nil:
			l.failForward(c, refusal, Answering)
			return false
		case h.Status == http.StatusSwitchingProtocols && f.x.Upgrades():
			l.switchProtocols(c, h, rest)
			return false
		case h.Status == http.StatusSwitchingProtocols:
			l.failForward(c, errors.New("101 to a request that asked for no upgrade"), Answering)
			return false
		case h.Status < 200:
			if !l.informed(c, h) {
				return false
			}
			if in = rest; len(in) == 0 {
				up.kept = nil
				return true
			}
		default:
			return l.beginAnswer(c, h, rest, at)
		}
	}
	return l.passBody(c, nil, in, at)
}

// informed passes an informational answer on.
func (l *loopConns) informed(c *conn, h *h1.Head) bool {
	f := c.forward
	if f.informed++; f.informed > maxInformational {
		l.failForward(c, errManyInformational, Answering)
		return false
	}
	if h.Status == http.StatusContinue || f.x.Upgrades() {
		return true
	}
	f.x.EditInformational(&h.Fields)
	b := appendStatus(l.answer[:0], h.Status)
	l.answer = append(h.Fields.Append(b), "\r\n"...)
	return l.toClient(c, l.answer)
}

// beginAnswer sends the head of an answer to the client, with what has come of its body.
func (l *loopConns) beginAnswer(c *conn, h *h1.Head, rest []byte, at int) bool {
	f := c.forward
	f.status, f.since = h.Status, l.Now()
	_, sent := c.Wire.Moved()
	f.account.Open(l.Now(), sent)
	f.body.Start(h.Length)
	f.up.closes = h.Close
	f.x.EditAnswer(h)
	fields := &h.Fields
	switch {
	case !hasBody(f.x.Method(), h.Status): // a length is that of another answer
		if h.Status == http.StatusNoContent {
			fields.Del(header.ContentLength)
		}
	case h.Length >= 0:
		if !fields.Has(header.ContentLength) {
			fields.Add(header.ContentLength, strconv.FormatInt(h.Length, 10))
		}
	default:
		f.chunked = true
		fields.Del(header.ContentLength)
		fields.Add(header.TransferEncoding, "chunked")
	}
	// What is not sent of the body by now may stay so (RFC 9112, section 9.6).
	f.request.endWait(l.Now())
	if f.closes = f.closes || !f.request.done || c.server.stopping.Load(); f.closes {
		fields.Add(header.Connection, "close")
	}
	b := appendStatus(l.answer[:0], h.Status)
	l.answer = append(fields.Append(b), "\r\n"...)
	l.fields = *fields
	return l.passBody(c, l.answer, rest, at)
}

// hasBody reports whether an answer with that status, to a request with that method, has a
// body.
func hasBody(method string, status int) bool {
	return method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified
}

// passBody passes what in has of the body on, behind head. If at is not negative, in is in
// the loop's buffer from there on.
func (l *loopConns) passBody(c *conn, head, in []byte, at int) (more bool) {
	f := c.forward
	var whole []byte // of the body, one piece
	var chunks []byte
	var wrong *h1.Refusal // behind what was good
	used := 0
	for used < len(in) && !f.body.Done() {
		data, n, refusal := f.body.Next(in[used:])
		if wrong = refusal; wrong != nil {
			break
		}
		f.written += int64(len(data))
		switch {
		case len(data) == 0:
		case f.chunked:
			if chunks == nil {
				chunks = append(l.chunks[:0], head...)
			}
			chunks = appendChunkSize(chunks, len(data))
			chunks = append(append(chunks, data...), "\r\n"...)
		default:
			whole = data
		}
		if used += n; n == 0 {
			break
		}
	}
	done := f.body.Done()
	if f.chunked {
		if chunks == nil {
			chunks = append(l.chunks[:0], head...)
		}
		if l.chunks = chunks; done {
			l.chunks = l.appendEnd(f, l.chunks)
		}
		head, whole = nil, l.chunks
	} else if len(whole) > 0 && at >= len(head) && len(head) > 0 {
		copy(l.Buffer[at-len(head):], head)
		head, whole = nil, l.Buffer[at-len(head):at+len(whole)]
	}
	if done {
		l.upstreams.release(f.up, used == len(in) && f.request.done)
		f.left()
	} else {
		f.up.keep(in[used:], -1) // a part of a size line
	}
	if len(head) > 0 && !l.toClient(c, head) || len(whole) > 0 && !l.toClient(c, whole) {
		return false
	}
	switch {
	case wrong != nil:
		l.cutForward(c, wrong)
		return false
	case done:
		l.endForward(c)
		return false
	}
	return !f.blocked()
}

// appendEnd appends the end of a body in chunks, with its trailer section.
func (l *loopConns) appendEnd(f *forwarding, b []byte) []byte {
	b = append(b, "0\r\n"...)
	if len(f.body.Trailer) > 0 {
		f.x.EditTrailer(&f.body.Trailer)
		b = f.body.Trailer.Append(b)
	}
	return append(b, "\r\n"...)
}

// toClient writes b to the client. What its socket does not take waits. It is false if the
// client is gone: then the exchange is over.
func (l *loopConns) toClient(c *conn, b []byte) bool {
	f := c.forward
	b, err := l.seal(&c.records, b)
	if err != nil {
		l.clientLeft(c, err)
		return false
	}
	if !f.blocked() {
		n, err := l.write(c, b)
		if err != nil {
			l.clientLeft(c, err)
			return false
		}
		b = b[n:]
	}
	if len(b) > 0 {
		if len(f.out) == 0 {
			l.awaitClient(c)
		}
		f.out = append(f.out, b...)
		p, _, _ := l.slots.At(c.slot)
		l.setTimer(p, c)
	}
	return true
}

// write writes b to the client and returns how much its socket takes now.
func (l *loopConns) write(c *conn, b []byte) (int, error) {
	n, err := c.sock.Send(b)
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
		n, err := l.write(c, f.out)
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
	f.since = l.Now()
	f.account.End(l.Now())
	switch {
	case f.up != nil && !f.joins:
		l.setTimer(p, c) // a client without a lowest rate was waited for without one
		l.upstreams.read(f.up)
	default:
		l.endForward(c)
	}
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
		if !f.request.done || !f.last { // what is left of it comes, or another one
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
		if f.left(); f.chunked && !l.toClient(c, l.appendEnd(f, l.chunks[:0])) {
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
		l.clientLeft(c, fmt.Errorf("the client takes too little: %w", errTimeout{}))
		return
	}
	f.lookAt = l.Now() + int64(wait)
	l.setTimer(p, c)
}
