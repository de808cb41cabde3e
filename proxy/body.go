package proxy

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// What is left of a body when its answer is out may come for so long, and be
	// so long, for the connection to be used again.
	drainTime = 5 * time.Second
	drainSize = 256 << 10
)

// clientBody is the body of a request as its client sends it. Until the answer
// begins the client is held to its rate; while the answer flows it may be as
// quiet as it likes.
type clientBody struct {
	io.ReadCloser // net/http's
	client        *connection
	streams       bool // the connection has other ones
	expects       bool // the client waits for a 100 before it sends
	credit        *credit
	peeked        []byte // read by empty, for the next Read

	begun, whole atomic.Bool
}

// newClientBody takes over the body of r. The result is nil where none can come.
func newClientBody(r *http.Request, client *connection, control *http.ResponseController) *clientBody {
	if r.ContentLength == 0 {
		return nil
	}
	b := &clientBody{
		ReadCloser: r.Body, client: client, streams: r.ProtoMajor > 1,
		expects: r.ProtoMajor == 1 && httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue"),
	}
	b.credit = newCredit(defaultRate, b.streams, client.came, func() { control.SetReadDeadline(time.Unix(1, 0)) })
	if !b.streams {
		// Else net/http reads the rest of the body by itself, without a deadline:
		// drainRest does.
		control.EnableFullDuplex()
	}
	r.Body = b
	return b
}

func (b *clientBody) Read(p []byte) (int, error) {
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
		b.client.wire.Allow(int64(n) * payloadShare)
	}
	if err == io.EOF {
		b.whole.Store(true)
	}
	return n, err
}

// empty reports whether the body ends before its first byte, once that can be
// told.
func (b *clientBody) empty() bool {
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

// answered is called when the final answer begins, from when on the client may
// be quiet. It reports whether the connection has to end with the answer: the
// client waits for leave to send a body that was not asked for, and may never
// send it.
func (b *clientBody) answered() (last bool) {
	if b == nil {
		return false
	}
	b.credit.stop()
	return b.expects && !b.begun.Load()
}

// drainRest ends what is left of an HTTP/1 request when its answer is out. It reads
// the rest, within bounds, so that the connection can be used again, or has it
// close in good order (RFC 9112, section 9.6). Ends says that the connection ends anyway.
func (b *clientBody) drainRest(control *http.ResponseController, ends bool) {
	if b == nil || b.streams || b.whole.Load() {
		return
	}
	if !ends && control.Flush() == nil {
		control.SetReadDeadline(time.Now().Add(drainTime))
		io.CopyN(io.Discard, b, drainSize)
	}
	if !b.whole.Load() {
		b.client.wire.EndReads()
	}
}
