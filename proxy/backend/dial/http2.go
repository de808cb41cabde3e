//lint:file-ignore SA1019 net/http, which replaces this package, refuses to send the pseudo-header :protocol

package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

const (
	streamWindow     = 64 << 10         // bytes that an endpoint may send ahead of the reader, for each stream
	maxStreamHead    = 64 << 10         // bytes of the headers of an answer
	streamsIdleTime  = 60 * time.Second // after which a connection without a stream is closed
	streamsStallTime = 30 * time.Second // after which a connection that takes no byte is closed
	askAgainAfter    = time.Minute      // after which an endpoint that did not offer streams is asked again
)

// streamConns is the HTTP/2 connections of a dialer for WebSockets. Requests
// have connections of their own: WebSockets last for hours, requests do not.
type streamConns struct {
	dialer    *Dialer
	transport *http2.Transport

	mu       sync.Mutex
	conns    []*http2.ClientConn
	opening  *opening  // nil while no connection is being opened
	askAgain time.Time // the endpoint is known not to offer streams until then
}

// opening is a connection that is being opened, for all that wait for one. err
// is valid when done is closed.
type opening struct {
	done chan struct{}
	err  error
}

func newStreamConns(d *Dialer) *streamConns {
	t, err := http2.ConfigureTransports(&http.Transport{
		DisableCompression:     true,
		IdleConnTimeout:        streamsIdleTime,
		MaxResponseHeaderBytes: maxStreamHead,
		HTTP2: &http.HTTP2Config{
			// The connection's own window is 1 GiB, so that no session waits for another.
			MaxReceiveBufferPerStream: streamWindow,
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
			WriteByteTimeout:          streamsStallTime,
		},
	})
	if err != nil {
		panic(err) // only for a transport that was configured before
	}
	return &streamConns{dialer: d, transport: t}
}

// open is [Dialer.Stream]. If a kept connection ends without an answer, it tries
// once more: the endpoint may have closed that connection at the same moment.
func (s *streamConns) open(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error) {
	if !s.offered() {
		return nil, nil, errNoStreams
	}
	for again := true; ; again = false {
		cc, kept, err := s.reserve(ctx)
		if err != nil {
			return nil, nil, err
		}
		c, res, err := openStream(ctx, cc, r)
		switch {
		case err == nil:
			return c, res, nil
		case ctx.Err() != nil:
			return nil, nil, context.Cause(ctx)
		case strings.Contains(err.Error(), "extended connect not supported"): // http2 does not export this error
			s.setNotOffered()
			return nil, nil, errNoStreams
		case !again || !kept || errors.As(err, new(http2.StreamError)):
			return nil, nil, err
		}
	}
}

// offered reports whether the endpoint may offer streams, as far as is known.
func (s *streamConns) offered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !time.Now().Before(s.askAgain)
}

func (s *streamConns) setNotOffered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askAgain = time.Now().Add(askAgainAfter)
}

// reserve returns a connection on which one more stream is reserved, and whether
// that connection was open before.
func (s *streamConns) reserve(ctx context.Context) (cc *http2.ClientConn, kept bool, err error) {
	for kept = true; ; kept = false {
		cc, o := s.reserveKept()
		if cc != nil {
			return cc, kept, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		case <-o.done:
			if o.err != nil {
				return nil, false, o.err
			}
		}
	}
}

// reserveKept reserves a stream on an open connection. Where none has room, it
// returns the connection that is being opened instead.
func (s *streamConns) reserveKept() (*http2.ClientConn, *opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = slices.DeleteFunc(s.conns, func(cc *http2.ClientConn) bool {
		state := cc.State()
		return state.Closed || state.Closing
	})
	for _, cc := range s.conns {
		if cc.ReserveNewRequest() {
			return cc, nil
		}
	}
	if s.opening == nil {
		s.opening = &opening{done: make(chan struct{})}
		go s.add(s.opening) // ends with the dialer's timeout
	}
	return nil, s.opening
}

// add opens a connection and wakes all that wait for it.
func (s *streamConns) add(o *opening) {
	timeout := s.dialer.spec.Timeout
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, fmt.Errorf("no HTTP/2 connection within %v: %w", timeout, context.DeadlineExceeded))
	defer cancel()
	cc, err := s.connect(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.conns = append(s.conns, cc)
	}
	o.err, s.opening = err, nil
	close(o.done)
}

// connect opens a connection and waits for the endpoint's settings: the answer
// to a ping comes after them.
func (s *streamConns) connect(ctx context.Context) (*http2.ClientConn, error) {
	c, err := s.dialer.connect(ctx, nil, forStreams)
	if errors.Is(err, errNoStreams) {
		s.setNotOffered()
	}
	if err != nil {
		return nil, err
	}
	cc, err := s.transport.NewClientConn(c)
	if err == nil {
		err = cc.Ping(ctx)
	}
	if err == nil {
		return cc, nil
	}
	c.Close()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	spec := &s.dialer.spec
	return nil, &Error{Backend: spec.Backend, Endpoint: spec.Endpoint, Err: fmt.Errorf("HTTP/2: %w", err)}
}

// close closes the connections without a stream, and makes the others close
// after their last stream.
func (s *streamConns) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cc := range s.conns {
		cc.SetDoNotReuse()
		if state := cc.State(); state.StreamsActive+state.StreamsReserved == 0 {
			cc.Close()
		}
	}
	s.conns = nil
}
