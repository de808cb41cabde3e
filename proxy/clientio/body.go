package clientio

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"sluice/internal/header"
	"sluice/internal/message"
)

const (
	// The rest of a body may take drainTime and drainSize bytes after the answer, for
	// the connection to be used again, or for a stream to end in good order.
	drainTime = 5 * time.Second
	drainSize = 256 << 10

	// pollInterval is how often the gateway checks whether the client of a body that
	// is not read has left: net/http notices that only when it reads.
	pollInterval = time.Second
)

// body is the body of a request as its client sends it. Until the answer begins, the
// client must keep its rate; while the answer flows, it may be silent.
type body struct {
	io.ReadCloser // net/http's
	conn          *Conn
	streams       bool // the connection is multiplexed
	expects       bool // the client waits for a 100 (Continue) before it sends
	credit        *credit
	peeked        []byte      // read by empty, for the next Read
	length        int64       // of the body in bytes; -1 when unknown
	poll          *time.Timer // checks whether the client has left; nil over HTTP/2, which tells

	begun, complete atomic.Bool
	tooSlow         atomic.Bool
}

// newBody replaces the body of r. It returns nil where r has none.
func newBody(r *message.Request, conn *Conn, control *http.ResponseController) *body {
	if r.ContentLength == 0 {
		return nil
	}
	b := &body{
		ReadCloser: r.Body(), conn: conn, length: r.ContentLength, streams: r.ProtoMajor > 1,
		expects: r.Header.HasToken(header.Expect, "100-continue"),
	}
	b.credit = newCredit(DefaultRate, b.streams, conn.Received, func() {
		b.tooSlow.Store(true)
		control.SetReadDeadline(time.Unix(1, 0))
	})
	if !b.streams {
		// Otherwise net/http reads the rest of the body by itself, without a
		// deadline. drainRest does that.
		control.EnableFullDuplex()
		b.poll = time.AfterFunc(drainTime, b.checkClient)
		b.poll.Reset(pollInterval) // orders the making of poll before its use
	}
	r.SetBody(b)
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if len(b.peeked) > 0 {
		n := copy(p, b.peeked)
		b.peeked = b.peeked[n:]
		return n, nil
	}
	b.begun.Store(true)
	b.credit.startWait()
	n, err := b.ReadCloser.Read(p)
	b.credit.endWait()
	if b.streams {
		b.conn.Allow(int64(n) * FloodFactor)
	}
	switch {
	case err == io.EOF:
		b.complete.Store(true)
	case err != nil && b.tooSlow.Load(): // net/http has another error for it within trailers
		err = ErrSlow
	}
	return n, err
}

// empty reports whether the body ends before its first byte. It waits until that is
// known.
func (b *body) empty() bool {
	var first [1]byte
	for {
		n, err := b.Read(first[:])
		if n > 0 {
			b.peeked = first[:n]
			return false
		}
		if err != nil {
			return err == io.EOF
		}
	}
}

// checkClient ends the request if its client has left in the middle of it.
func (b *body) checkClient() {
	switch {
	case b.complete.Load() || b.conn.Wire.ReadsEnded():
	case b.conn.Wire.Gone():
		b.conn.Wire.EndReads()
		io.Copy(io.Discard, b.ReadCloser) // up to the error that makes net/http end the context of the request
	default:
		b.poll.Reset(pollInterval)
	}
}

// answerBegins removes the limit on waits: from now on the client may be silent. It
// reports whether the connection must close after the answer, because too much of
// the body is to come, or because the client waits for a 100 that it will not get.
func (b *body) answerBegins() (closes bool) {
	if b == nil {
		return false
	}
	b.credit.stop()
	if b.streams || b.complete.Load() {
		return false
	}
	return b.expects && !b.begun.Load() || b.length < 0 || b.length > drainSize
}

// drainStream sends what there is of the answer and reads the rest of a short body over
// HTTP/2. Otherwise net/http resets the stream when the handler returns, and resets it again
// with an error when more of the body arrives. To some clients, curl among them, the whole
// exchange has failed then (RFC 9113, section 8.1).
func (b *body) drainStream(control *http.ResponseController) {
	ends := b.length > 0 && b.length <= drainSize && (b.begun.Load() || !b.expects)
	if b.complete.Load() || !ends || control.Flush() != nil {
		return
	}
	control.SetReadDeadline(time.Now().Add(drainTime))
	io.CopyN(io.Discard, b, drainSize+1)
}

// drainRest reads the rest of an HTTP/1 request after its answer, within bounds, so
// that the connection can be used again. If that fails, or closes says that the
// connection ends anyway, the connection closes in good order (RFC 9112, section 9.6).
func (b *body) drainRest(control *http.ResponseController, closes bool) {
	if b == nil || b.streams {
		return
	}
	if !b.complete.Load() && !closes && control.Flush() == nil {
		control.SetReadDeadline(time.Now().Add(drainTime))
		io.CopyN(io.Discard, b, drainSize+1)
	}
	if !b.complete.Load() {
		b.conn.Wire.EndReads()
	}
	b.poll.Stop()
}
