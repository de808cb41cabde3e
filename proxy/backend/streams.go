//lint:file-ignore SA1019 net/http, which shall be used instead, refuses to send the pseudo-header :protocol

package backend

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
	streamWindow    = 64 << 10         // bytes that an endpoint may send before they are read, for each session
	streamHead      = 64 << 10         // bytes of the headers of an answer
	streamsIdle     = 60 * time.Second // that a connection without a session is kept
	streamsStuck    = 30 * time.Second // without a byte taken, that ends a connection
	streamsForgiven = time.Minute      // after which an endpoint that did not offer streams is asked again
)

// ErrNoStreams is an endpoint that takes WebSockets over HTTP/1.1 alone: by its
// settings, or because it does not offer RFC 8441.
var ErrNoStreams = errors.New("the endpoint does not offer WebSockets over HTTP/2")

// streams are the HTTP/2 connections of a link for WebSockets. Requests have
// others: a connection is shared by what lives for hours, or by what does not.
type streams struct {
	link      *link
	transport *http2.Transport

	mu    sync.Mutex
	conns []*http2.ClientConn
	next  *dialing  // nil while none is opened
	until time.Time // when the endpoint is asked again whether it offers streams
}

// dialing is a connection that is being opened, for all who wait for one. err
// is valid when done is closed.
type dialing struct {
	done chan struct{}
	err  error
}

func newStreams(l *link) *streams {
	t, err := http2.ConfigureTransports(&http.Transport{
		DisableCompression:     true,
		IdleConnTimeout:        streamsIdle,
		MaxResponseHeaderBytes: streamHead,
		HTTP2: &http.HTTP2Config{
			// A connection's own window is 1 GiB, so that no session waits for another.
			MaxReceiveBufferPerStream: streamWindow,
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
			WriteByteTimeout:          streamsStuck,
		},
	})
	if err != nil {
		panic(err) // only for a transport that was configured before
	}
	return &streams{link: l, transport: t}
}

// open sends r, an extended CONNECT, and returns the answer to it, whose body
// is the stream's. A connection that ends without an answer is replaced once:
// the endpoint may have closed it when it was about to be used.
func (s *streams) open(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error) {
	if !s.offered() {
		return nil, nil, ErrNoStreams
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
		case strings.Contains(err.Error(), "extended connect not supported"): // http2 has no name for it
			s.refuse()
			return nil, nil, ErrNoStreams
		case !again || !kept || errors.As(err, new(http2.StreamError)):
			return nil, nil, err
		}
	}
}

// offered reports whether the endpoint is not known to lack streams.
func (s *streams) offered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !time.Now().Before(s.until)
}

func (s *streams) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(streamsForgiven)
}

// reserve returns a connection on which there is room for one more stream, and
// whether it was there before.
func (s *streams) reserve(ctx context.Context) (cc *http2.ClientConn, kept bool, err error) {
	for kept = true; ; kept = false {
		cc, d := s.take()
		if cc != nil {
			return cc, kept, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		case <-d.done:
			if d.err != nil {
				return nil, false, d.err
			}
		}
	}
}

// take returns a connection with room, or the one that is being opened.
func (s *streams) take() (*http2.ClientConn, *dialing) {
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
	if s.next == nil {
		s.next = &dialing{done: make(chan struct{})}
		go s.dial(s.next) // ends with the link's timeout
	}
	return nil, s.next
}

func (s *streams) dial(d *dialing) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.link.timeout, fmt.Errorf("no HTTP/2 connection within %v: %w", s.link.timeout, context.DeadlineExceeded))
	defer cancel()
	cc, err := s.connect(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.conns = append(s.conns, cc)
	}
	d.err, s.next = err, nil
	close(d.done)
}

// connect opens a connection and waits for the endpoint's settings: the answer
// to a ping comes behind them.
func (s *streams) connect(ctx context.Context) (*http2.ClientConn, error) {
	c, err := s.link.connect(ctx, nil, overStreams)
	if errors.Is(err, ErrNoStreams) {
		s.refuse()
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
	return nil, &DialError{Backend: s.link.backend, Endpoint: s.link.endpoint, Err: fmt.Errorf("HTTP/2: %w", err)}
}

// retire closes the connections that nobody uses, and has the others close with
// their last session.
func (s *streams) retire() {
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
