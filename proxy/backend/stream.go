//lint:file-ignore SA1019 see streams.go

package backend

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// streamEnd is the time for the end of a stream to be sent, once the endpoint
// has ended its half.
const streamEnd = 5 * time.Second

var errStreamOver = errors.New("the stream is over")

// streamConn is one HTTP/2 stream as a connection (RFC 8441, section 5): the ends
// of its halves are END_STREAM, a reset is RST_STREAM, and a Write waits for
// the endpoint's window. A deadline is one for reading and writing, and the
// stream is over when it has passed.
type streamConn struct {
	in       io.ReadCloser
	out      *io.PipeWriter
	endpoint streamAddr
	life     context.Context
	end      context.CancelCauseFunc // closes in

	mu    sync.Mutex
	ended bool // by the endpoint, with END_STREAM
	timer *time.Timer
}

// openStream sends r on a connection where a stream is reserved. The stream
// outlives ctx.
func openStream(ctx context.Context, cc *http2.ClientConn, r *http.Request) (net.Conn, *http.Response, error) {
	in, out := io.Pipe()
	s := &streamConn{out: out, endpoint: streamAddr(r.URL.Host)}
	s.life, s.end = context.WithCancelCause(context.Background())
	r = r.WithContext(s.life)
	r.Body, r.ContentLength = in, -1
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	res, err := cc.RoundTrip(r)
	if err == nil {
		s.in, res.Body = res.Body, s
		context.AfterFunc(s.life, func() { s.in.Close() }) // it may wait for the connection
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.end(err)
		return nil, nil, err
	}
	return s, res, nil
}

func (s *streamConn) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	switch {
	case err == io.EOF:
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
	case err != nil:
		s.end(err) // unless it was ended here
		err = context.Cause(s.life)
	}
	return n, err
}

func (s *streamConn) Write(p []byte) (n int, err error) {
	if s.life.Err() == nil {
		if n, err = s.out.Write(p); err == nil {
			return n, nil
		}
		err = errStreamOver
	}
	if s.life.Err() != nil {
		err = context.Cause(s.life)
	}
	return n, err
}

// CloseWrite ends the half towards the endpoint.
func (s *streamConn) CloseWrite() error { return s.out.Close() }

// Close ends the stream and does not wait: in order where the endpoint has
// ended its half, else with a reset.
func (s *streamConn) Close() error {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if !ended {
		s.end(net.ErrClosed)
		return s.out.CloseWithError(net.ErrClosed)
	}
	s.out.Close()
	return s.SetDeadline(time.Now().Add(streamEnd))
}

func (s *streamConn) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if !t.IsZero() {
		s.timer = time.AfterFunc(time.Until(t), func() { s.end(os.ErrDeadlineExceeded) })
	}
	return nil
}

func (s *streamConn) SetReadDeadline(t time.Time) error  { return s.SetDeadline(t) }
func (s *streamConn) SetWriteDeadline(t time.Time) error { return s.SetDeadline(t) }

// LocalAddr is that of the endpoint too: a stream has no address of its own.
func (s *streamConn) LocalAddr() net.Addr  { return s.endpoint }
func (s *streamConn) RemoteAddr() net.Addr { return s.endpoint }

// streamAddr is the authority of a stream's endpoint.
type streamAddr string

func (a streamAddr) Network() string { return "h2" }
func (a streamAddr) String() string  { return string(a) }
