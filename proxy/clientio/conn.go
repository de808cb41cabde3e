// Package clientio moves the bytes of HTTP requests and answers between a client and
// the gateway within bounds: how long a client is waited for, how much it may send
// without need, how much memory the heads of requests may take, and how its connection
// ends. It knows no routes and no backends.
package clientio

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"sluice/internal/message"
	"sluice/internal/wire"
)

const (
	// StreamBuffer is how many bytes of a request's body an HTTP/2 client may send
	// before they are read.
	StreamBuffer = 256 << 10

	// FloodFactor is how many times the size of its requests an HTTP/2 client may
	// send. Bytes beyond that ask for nothing, such as frames without content.
	FloodFactor = 8
)

// Conn is a client's connection over all its requests. It is the [wire.Meter] of its
// bytes.
type Conn struct {
	net.Conn // as net/http has it: a *wire.Conn, or a *tls.Conn above one
	Wire     *wire.Conn
	Leaving  *atomic.Bool // it ends with its next answer; nil where what serves it sees to that

	allowance allowance
	head      head

	requests, abandoned atomic.Int32
}

// NewConn returns a connection that net/http serves: c is a *wire.Conn, or a *tls.Conn
// above one, and nothing was read from it but a PROXY header. The heads of its requests
// take their memory from heads.
func NewConn(c net.Conn, heads *HeadBudget) *Conn {
	w := wire.Of(c)
	conn := &Conn{Conn: c, Wire: w, head: head{budget: heads}}
	w.SetMeter(conn)
	return conn
}

// Of returns the Conn that [NewConn] has made of c.
func Of(c net.Conn) *Conn { return wire.Of(c).Meter().(*Conn) }

// CountRead implements [wire.Meter].
func (c *Conn) CountRead(n int) error {
	if err := c.allowance.spend(n); err != nil {
		return err
	}
	return c.countHead(n)
}

// SocketClosed implements [wire.Meter].
func (c *Conn) SocketClosed() { c.EndHead() }

// connKey is the context key of a *Conn.
type connKey struct{}

// WithConn returns a context for the requests of a connection.
func WithConn(ctx context.Context, c *Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// ConnOf returns the connection of a request. The context of the request must come
// from [WithConn].
func ConnOf(r *http.Request) *Conn { return r.Context().Value(connKey{}).(*Conn) }

// start counts a request, and allows the client to send what belongs to it: of its body
// as much as comes before it is read.
func (c *Conn) start(r *message.Request) {
	c.requests.Add(1)
	if r.ProtoMajor == 1 {
		c.allowAll()
		return
	}
	ahead := int64(StreamBuffer)
	if r.ContentLength >= 0 {
		ahead = min(ahead, r.ContentLength)
	}
	c.Allow(FloodFactor*r.HeadSize() + 2*ahead)
}

// Taken and received return how many bytes the client has taken and sent so far.
func (c *Conn) Taken() int64    { taken, _ := c.Wire.Progress(); return taken }
func (c *Conn) Received() int64 { _, received := c.Wire.Progress(); return received }

// maxAbandoned is how many requests a client may abandon on one HTTP/2 connection
// before that looks like an attack (CVE-2023-44487), if it is more than half of all.
const maxAbandoned = 200

// Abandoned counts a request that the client gave up before it was answered. It
// closes a connection whose client does little else.
func (c *Conn) Abandoned() {
	if n := c.abandoned.Add(1); n > maxAbandoned && n > c.requests.Load()/2 {
		c.Wire.Cut()
	}
}

// LimitNextRequest sets the deadlines for what net/http reads and answers on an
// HTTP/1 connection without a handler. [Begin] takes them away.
func (c *Conn) LimitNextRequest() {
	now := time.Now()
	c.SetReadDeadline(now.Add(initialCredit))
	c.SetWriteDeadline(now.Add(flushTime))
}
