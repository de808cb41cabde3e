package dial

import (
	"errors"
	"net"
	"os"
	"time"

	"sluice/internal/httpsyntax"
	"sluice/internal/wire"
)

// firstReadTime is how long a Write that has failed waits for the first Read. A socket that is broken ends both at
// once. It is for one that is broken in one direction alone.
const firstReadTime = time.Second

// requestConn is a connection for requests over HTTP/1.1 of the transport, which reads from the beginning
// on. Its Read and its Write fail with [httpsyntax.ErrHTTP2] where the endpoint has begun in HTTP/2: one that
// closes then can break the Write before the transport looks at what was read, and the transport returns the error
// of the Write.
type requestConn struct {
	net.Conn
	opening httpsyntax.Opening
	begun   chan struct{} // closed when the first Read has returned
	http2   bool          // the endpoint has begun so; valid when begun is closed
}

// watch prepares c, a *wire.Conn or TLS over one, for requests over HTTP/1.1: [CheckIdle] can check it,
// and an answer that comes before the whole request is read.
func watch(c net.Conn) net.Conn {
	w := wire.Of(c)
	w.TrackReads()
	w.ExpectEarlyAnswer()
	return &requestConn{Conn: c, opening: httpsyntax.Opening{R: c}, begun: make(chan struct{})}
}

// NetConn returns the connection below.
func (c *requestConn) NetConn() net.Conn { return c.Conn }

func (c *requestConn) Read(p []byte) (int, error) {
	n, err := c.opening.Read(p)
	select {
	case <-c.begun:
	default:
		c.http2 = c.opening.IsHTTP2()
		close(c.begun)
	}
	return n, err
}

func (c *requestConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	select {
	case <-c.begun:
		if c.http2 {
			err = httpsyntax.ErrHTTP2
		}
	case <-time.After(firstReadTime):
	}
	return n, err
}
