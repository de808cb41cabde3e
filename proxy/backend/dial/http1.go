package dial

import (
	"net"

	"sluice/internal/httpsyntax"
	"sluice/internal/wire"
)

// requestConn is a connection for requests over HTTP/1.1. It tells its Dialer whether the endpoint has
// begun in HTTP/2: where that comes while net/http writes the first request, net/http returns the
// error of the Write alone.
type requestConn struct {
	net.Conn
	dialer  *Dialer
	opening httpsyntax.Opening
}

// watch prepares c, a *wire.Conn or TLS over one, for requests over HTTP/1.1: [CheckIdle] can check it,
// and an answer that comes before the whole request is read.
func (d *Dialer) watch(c net.Conn) net.Conn {
	w := wire.Of(c)
	w.TrackReads()
	w.ExpectEarlyAnswer()
	return &requestConn{Conn: c, dialer: d, opening: httpsyntax.Opening{R: c}}
}

// NetConn returns the connection below.
func (c *requestConn) NetConn() net.Conn { return c.Conn }

func (c *requestConn) Read(p []byte) (int, error) {
	n, err := c.opening.Read(p)
	if c.opening.IsHTTP2() {
		c.dialer.begunHTTP2.Store(true)
	}
	return n, err
}
