//go:build linux && !portable

package http1

import (
	"errors"
	"net/http"
	"strconv"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/httpsyntax"
)

const (
	// answerPiece is how many bytes of an answer are read at once. Larger pieces leave the
	// processor's caches before they are written.
	answerPiece = 33 << 10 // of 32 KiB, and a head or what belongs to TLS records

	// headroom is what is left free before them, so that the head for the client can be
	// written right before the body that came with it.
	headroom = 16 << 10

	maxInformational = 32
)

// answerLimits bound the head of an answer.
var answerLimits = h1.Limits{Size: 256 << 10, Fields: 10_000}

var errManyInformational = errors.New("the backend sends one informational answer after the other")

// answered takes bytes of an answer, which are in the loop's buffer, with headroom before
// them. It reports whether more may be read.
func (l *loopConns) answered(c *conn, in []byte, at int) (more bool) {
	f := c.forward
	up, seen := f.up, len(f.up.kept)
	if f.status != 0 { // an answer begins in time
		f.moved(l.Now())
	}
	if seen > 0 { // a head, or a size line, that comes in pieces
		up.kept = append(up.kept, in...)
		in, at = up.kept, -1
	}
	for f.status == 0 {
		end := h1.EndOfAnswerHead(in, seen)
		if end == 0 {
			var wrong error
			switch {
			case httpsyntax.BeginsHTTP2(in):
				wrong = httpsyntax.ErrHTTP2
			case len(in) > answerLimits.Size:
				wrong = errors.New("the head of the answer is too large")
			}
			if wrong != nil {
				l.failForward(c, wrong, Answering)
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
	return l.toClient(c, l.answer, false)
}

// beginAnswer sends the head of an answer to the client, with what has come of its body.
func (l *loopConns) beginAnswer(c *conn, h *h1.Head, rest []byte, at int) bool {
	f := c.forward
	f.status, f.since = h.Status, l.Now()
	_, sent := c.Wire.Moved()
	f.account.Open(l.Now(), sent)
	f.body.Start(h.Length)
	f.up.closes, f.up.large = h.Close, h.Length >= largeMin && h.Length <= largeMax
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
	goesOn := len(head) > 0 && f.up.large && f.up.more && f.up.failed == nil && c.spliceable(restMin)
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
		if used < len(in) {
			f.up.dialer.Surplus()
		}
		l.upstreams.release(f.up, used == len(in) && f.request.done)
		f.left()
	} else {
		f.up.keep(in[used:], -1) // a part of a size line
	}
	if len(head) > 0 && !l.toClient(c, head, goesOn) || len(whole) > 0 && !l.toClient(c, whole, goesOn) {
		return false
	}
	f.goesOn = goesOn && !f.blocked()
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
