package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"sluice/internal/wire"
	"sluice/internal/wstest"
	_ "sluice/internal/wstest/xconnect"
)

// overHTTP2 is an endpoint that speaks HTTP/2, over TLS or in the clear.
func overHTTP2(t testing.TB, secure bool, h http.HandlerFunc) Endpoint {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	e := Endpoint{Network: "tcp", HTTP2: !secure, Streams: true}
	if secure {
		s.EnableHTTP2 = true
		s.StartTLS()
		e.TLS = &tls.Config{ServerName: "example.com", RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	} else {
		s.Start()
	}
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	e.Address = s.Listener.Addr().String()
	return e
}

// accepted answers 200 and does next with the stream.
func accepted(next func(w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		control.Flush()
		next(w, r)
	}
}

func echoStream(w http.ResponseWriter, r *http.Request) {
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Body.Read(buf)
		w.Write(buf[:n])
		http.NewResponseController(w).Flush()
		if err != nil {
			return
		}
	}
}

// askStream asks an endpoint for a stream.
func askStream(t testing.TB, l *Lease) (net.Conn, *http.Response, error) {
	t.Helper()
	target, _ := url.ParseRequestURI("/chat?room=1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel() // which a stream outlives
	c, res, err := l.Stream(ctx, &http.Request{
		Method: http.MethodConnect, URL: target, Host: "chat.example.com",
		Header: http.Header{":protocol": {"websocket"}},
	})
	if err == nil {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return c, res, err
}

func mustStream(t testing.TB, l *Lease) net.Conn {
	t.Helper()
	c, res, err := askStream(t, l)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("Stream = %v, %v; want 200", res, err)
	}
	return c
}

func TestStreamsAreConnections(t *testing.T) {
	for name, secure := range map[string]bool{"TLS": true, "h2c": false} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			asked := make(chan *http.Request, 8)
			l := one(t, overHTTP2(t, secure, accepted(func(w http.ResponseWriter, r *http.Request) {
				asked <- r
				echoStream(w, r)
				_, err := r.Body.Read(make([]byte, 1))
				ended <- err
			})), Settings{})
			one, two := mustStream(t, l), mustStream(t, l)
			for _, c := range []net.Conn{one, two, one} {
				if _, err := io.WriteString(c, "hello"); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 5)
				if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
					t.Fatalf("echo = %q, %v", got, err)
				}
			}
			r, other := <-asked, <-asked
			if r.Method != "CONNECT" || r.Header.Get(":protocol") != "websocket" || r.Host != "chat.example.com" || r.RequestURI != "/chat?room=1" {
				t.Errorf("the endpoint got %s %s of %s with %q", r.Method, r.RequestURI, r.Host, r.Header)
			}
			if r.RemoteAddr != other.RemoteAddr {
				t.Error("two streams have two connections; want one")
			}
			if err := wire.CloseWrite(one); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(one); len(rest) != 0 || err != nil {
				t.Errorf("after the end = %q, %v; want the endpoint's end", rest, err)
			}
			if err := <-ended; err != io.EOF {
				t.Errorf("the endpoint got %v, want the end of the stream", err)
			}
			two.Close()
			if err := <-ended; err == nil || err == io.EOF {
				t.Errorf("the endpoint got %v, want a reset", err)
			}
			if _, err := two.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a Read after Close = %v", err)
			}
		})
	}
}

// An endpoint that resets a stream is not one that ends it.
func TestStreamResets(t *testing.T) {
	l := one(t, overHTTP2(t, false, accepted(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})), Settings{})
	c := mustStream(t, l)
	got, err := io.ReadAll(c)
	if string(got) != "some" && len(got) != 0 || !errors.As(err, new(http2.StreamError)) {
		t.Errorf("Read = %q, %v; want a reset", got, err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("a Write after the reset succeeds")
	}
}

// Who does not read is not sent more than a window and what lies on the way to
// it.
func TestStreamsPushBack(t *testing.T) {
	const most = 4 << 20
	piece := make([]byte, 32<<10)
	fill := func(w io.Writer) (n int, err error) {
		for err == nil && n <= most {
			var m int
			m, err = w.Write(piece)
			n += m
		}
		return n, err
	}
	release := make(chan struct{})
	defer close(release)
	sent := make(chan int, 1)
	l := one(t, overHTTP2(t, false, accepted(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, _ := fill(w)
		sent <- n
	})), Settings{})
	mustStream(t, l)
	if n := <-sent; n > 2*streamWindow {
		t.Errorf("an endpoint could send %d bytes that nobody read; the window is %d", n, streamWindow)
	}
	c := mustStream(t, one(t, overHTTP2(t, false, accepted(func(http.ResponseWriter, *http.Request) { <-release })), Settings{}))
	c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := fill(c); n > most || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were sent that the endpoint did not read, %v; want the deadline", n, err)
	}
}

// speaking listens and speaks as much HTTP/2 as it takes to have settings and to
// answer so many streams of a connection with 200. The next one ends it.
func speaking(t testing.TB, streams int, settings ...http2.Setting) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(c net.Conn) {
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.WriteSettings(settings...)
		for answered := 0; ; {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.PingFrame:
				f.WritePing(true, frame.Data)
			case *http2.HeadersFrame:
				if answered++; answered > streams {
					return
				}
				const ok = "\x88" // :status 200 (RFC 7541, appendix A)
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: []byte(ok), EndHeaders: true})
			}
		}
	}
	go func() { // ends with the test, as what serves does: the pool is closed
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

func TestStreamsThatAreNotOffered(t *testing.T) {
	secure, roots := overTLS(t, http.NotFoundHandler())
	trust := &tls.Config{ServerName: "example.com", RootCAs: roots}
	tests := []struct {
		name     string
		endpoint Endpoint
		want     error // ErrNoStreams, or nil for a *DialError
	}{
		{"HTTP/1.1 alone", Endpoint{Network: "tcp", Address: secure, TLS: trust, Streams: true}, ErrNoStreams},
		{"not in the settings", Endpoint{Network: "tcp", Address: speaking(t, 1), HTTP2: true, Streams: true}, ErrNoStreams},
		{"not wanted", Endpoint{Network: "tcp", Address: wstest.Reserve(t)}, ErrNoStreams},
		{"nobody there", Endpoint{Network: "tcp", Address: wstest.Reserve(t), HTTP2: true, Streams: true}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := one(t, tt.endpoint, Settings{})
			for range 2 {
				_, _, err := askStream(t, l)
				if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && !errors.As(err, new(*DialError)) {
					t.Errorf("Stream: %v", err)
				}
			}
			if s := l.link.sessions; s != nil && s.offered() != (tt.want == nil) {
				t.Errorf("the endpoint is asked again: %v", s.offered())
			}
		})
	}
}

// A connection that the endpoint has closed does not fail who comes next, and a
// crowd has one connection.
func TestStreamConnectionsAreSharedAndReplaced(t *testing.T) {
	addresses := make(chan string, 64)
	e := overHTTP2(t, false, accepted(func(w http.ResponseWriter, r *http.Request) {
		addresses <- r.RemoteAddr
		echoStream(w, r)
	}))
	l := one(t, e, Settings{})
	var crowd sync.WaitGroup
	for range 20 {
		crowd.Go(func() {
			if _, _, err := askStream(t, l); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	first := <-addresses
	for range 19 {
		if a := <-addresses; a != first {
			t.Fatalf("streams from %s and %s; want one connection", first, a)
		}
	}
	s := l.link.sessions
	s.mu.Lock()
	s.conns[0].Close()
	s.mu.Unlock()
	mustStream(t, l)
	if a := <-addresses; a == first {
		t.Error("the closed connection was used")
	}
	l.link.retire()
	mustStream(t, l)
	if len(s.conns) != 1 {
		t.Errorf("%d connections are kept after the others were retired, want 1", len(s.conns))
	}
}

func TestStreamEndsWithItsContext(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	l := one(t, overHTTP2(t, false, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
	}), Settings{})
	defer close(release)
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-asked; cancel(gone) }()
	_, _, err := l.Stream(ctx, &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Path: "/"}, Host: "a", Header: http.Header{":protocol": {"websocket"}},
	})
	if !errors.Is(err, gone) {
		t.Errorf("Stream = %v, want the cause", err)
	}
}

func TestRefusalsOfStreams(t *testing.T) {
	l := one(t, overHTTP2(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	}), Settings{})
	_, res, err := askStream(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); res.StatusCode != 403 || strings.TrimSpace(string(body)) != "no" || err != nil {
		t.Errorf("%d %q, %v", res.StatusCode, body, err)
	}
}

// The end of a kept connection says nothing about the handshake that met it; of
// a new one it does.
func TestStreamsOfAConnectionThatEnds(t *testing.T) {
	offers := http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}
	l := one(t, Endpoint{Network: "tcp", Address: speaking(t, 1, offers), HTTP2: true, Streams: true}, Settings{})
	mustStream(t, l)
	mustStream(t, l)
	l = one(t, Endpoint{Network: "tcp", Address: speaking(t, 0, offers), HTTP2: true, Streams: true}, Settings{})
	if _, _, err := askStream(t, l); err == nil || errors.Is(err, ErrNoStreams) {
		t.Errorf("Stream = %v, want what ended the connection", err)
	}
}

// The endpoint's limit of streams holds from the first one on.
func TestStreamsBeyondTheLimitHaveAnotherConnection(t *testing.T) {
	limits := []http2.Setting{{ID: http2.SettingEnableConnectProtocol, Val: 1}, {ID: http2.SettingMaxConcurrentStreams, Val: 2}}
	l := one(t, Endpoint{Network: "tcp", Address: speaking(t, 2, limits...), HTTP2: true, Streams: true}, Settings{})
	var crowd sync.WaitGroup
	for range 5 {
		crowd.Go(func() {
			if _, _, err := askStream(t, l); err != nil {
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	if n := len(l.link.sessions.conns); n != 3 {
		t.Errorf("five streams have %d connections with room for two, want 3", n)
	}
}
