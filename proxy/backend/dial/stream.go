//lint:file-ignore SA1019 see http2.go

package dial

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

// streamEndTime is how long a closed stream may take to send its end, once the
// endpoint has ended its half.
const streamEndTime = 5 * time.Second

var errStreamOver = errors.New("the stream is over")

// streamConn is one HTTP/2 stream as a connection (RFC 8441, section 5). The end
// of each half is END_STREAM, a reset is RST_STREAM, and Write waits for the
// endpoint's window. A deadline is always one for reading and writing, and ends
// the stream for good when it passes.
type streamConn struct {
	body     io.ReadCloser  // what the endpoint sends
	out      *io.PipeWriter // what is sent to it
	endpoint streamAddr
	ctx      context.Context         // ends with the stream
	end      context.CancelCauseFunc // ends ctx and closes body

	mu    sync.Mutex
	eof   bool // the endpoint has ended its half
	timer *time.Timer
}

// openStream sends r on a connection where a stream is reserved. The stream
// outlives ctx.
func openStream(ctx context.Context, cc *http2.ClientConn, r *http.Request) (net.Conn, *http.Response, error) {
	in, out := io.Pipe()
	s := &streamConn{out: out, endpoint: streamAddr(r.URL.Host)}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	r = r.WithContext(s.ctx)
	r.Body, r.ContentLength = in, -1
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
	res, err := cc.RoundTrip(r)
	if err == nil {
		s.body, res.Body = res.Body, s
		context.AfterFunc(s.ctx, func() { s.body.Close() }) // in a goroutine: it may wait for the connection
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
	n, err := s.body.Read(p)
	switch {
	case err == io.EOF:
		s.mu.Lock()
		s.eof = true
		s.mu.Unlock()
	case err != nil:
		s.end(err) // does nothing if the stream was ended on this side
		err = context.Cause(s.ctx)
	}
	return n, err
}

func (s *streamConn) Write(p []byte) (n int, err error) {
	if s.ctx.Err() == nil {
		if n, err = s.out.Write(p); err == nil {
			return n, nil
		}
		err = errStreamOver
	}
	if s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return n, err
}

// CloseWrite ends the half towards the endpoint.
func (s *streamConn) CloseWrite() error { return s.out.Close() }

// Close ends the stream and does not wait. If the endpoint has ended its half,
// the stream ends with END_STREAM, else with a reset.
func (s *streamConn) Close() error {
	s.mu.Lock()
	eof := s.eof
	s.mu.Unlock()
	if !eof {
		s.end(net.ErrClosed)
		return s.out.CloseWithError(net.ErrClosed)
	}
	s.out.Close()
	return s.SetDeadline(time.Now().Add(streamEndTime))
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

// LocalAddr is the endpoint's address too: a stream has no address of its own.
func (s *streamConn) LocalAddr() net.Addr  { return s.endpoint }
func (s *streamConn) RemoteAddr() net.Addr { return s.endpoint }

// streamAddr is the authority of a stream's endpoint.
type streamAddr string

func (a streamAddr) Network() string { return "h2" }
func (a streamAddr) String() string  { return string(a) }
