package proxy

import (
	"io"
	"net/http"
	"os"
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
	peeked        []byte      // read by empty, for the next Read
	length        int64       // of the body; -1 when unknown
	gone          *time.Timer // looks whether the client is; nil over HTTP/2, which tells

	begun, whole atomic.Bool
	slow         atomic.Bool // it came too slowly
}

// goneInterval is how often it is looked whether the client of a body that is not
// read has left: net/http sees that only when it reads.
const goneInterval = time.Second

// newClientBody takes over the body of r. The result is nil where none can come.
func newClientBody(r *http.Request, client *connection, control *http.ResponseController) *clientBody {
	if r.ContentLength == 0 {
		return nil
	}
	b := &clientBody{
		ReadCloser: r.Body, client: client, length: r.ContentLength, streams: r.ProtoMajor > 1,
		expects: r.ProtoMajor == 1 && httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue"),
	}
	b.credit = newCredit(defaultRate, b.streams, client.came, func() {
		b.slow.Store(true)
		control.SetReadDeadline(time.Unix(1, 0))
	})
	if !b.streams {
		// Else net/http reads the rest of the body by itself, without a deadline:
		// drainRest does.
		control.EnableFullDuplex()
		b.gone = time.AfterFunc(drainTime, b.lookForClient)
		b.gone.Reset(goneInterval) // orders the making of gone before its use
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
	switch {
	case err == io.EOF:
		b.whole.Store(true)
	case err != nil && b.slow.Load(): // net/http has another word for it within trailers
		err = os.ErrDeadlineExceeded
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

// lookForClient ends the request when its client has left in the middle of it.
func (b *clientBody) lookForClient() {
	switch {
	case b.whole.Load() || b.client.wire.Ended():
	case b.client.wire.Gone():
		b.client.wire.EndReads()
		io.Copy(io.Discard, b.ReadCloser) // up to the error, by which net/http ends the context of the request
	default:
		b.gone.Reset(goneInterval)
	}
}

// answered is called when the final answer begins, from when on the client may
// be quiet. It reports whether the connection has to end with the answer: there
// is too much of the body to come, or the client waits for leave to send it and
// may never do.
func (b *clientBody) answered() (last bool) {
	if b == nil {
		return false
	}
	b.credit.stop()
	if b.streams || b.whole.Load() {
		return false
	}
	return b.expects && !b.begun.Load() || b.length < 0 || b.length > drainSize
}

// drainRest ends what is left of an HTTP/1 request when its answer is out. It reads
// the rest, within bounds, so that the connection can be used again, or has it
// close in good order (RFC 9112, section 9.6). Ends says that the connection ends
// anyway.
func (b *clientBody) drainRest(control *http.ResponseController, ends bool) {
	if b == nil || b.streams {
		return
	}
	if !b.whole.Load() && !ends && control.Flush() == nil {
		control.SetReadDeadline(time.Now().Add(drainTime))
		io.CopyN(io.Discard, b, drainSize+1)
	}
	if !b.whole.Load() {
		b.client.wire.EndReads()
	}
	b.gone.Stop()
}
