package dial

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

// overHTTP2 starts a server that speaks HTTP/2, over TLS or in the clear, and
// returns how to reach it.
func overHTTP2(t testing.TB, secure bool, h http.HandlerFunc) Spec {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	spec := Spec{Network: "tcp", HTTP2: !secure, Streams: true}
	if secure {
		s.EnableHTTP2 = true
		s.StartTLS()
		spec.TLS = &tls.Config{ServerName: "example.com", RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	} else {
		s.Start()
	}
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	spec.Address = s.Listener.Addr().String()
	return spec
}

// accepted answers 200 and then calls next for the stream.
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

// askStream asks the endpoint for a stream.
func askStream(t testing.TB, d *Dialer) (net.Conn, *http.Response, error) {
	t.Helper()
	target, _ := url.ParseRequestURI("/chat?room=1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel() // the stream outlives it
	c, res, err := d.Stream(ctx, &http.Request{
		Method: http.MethodConnect, URL: target, Host: "chat.example.com",
		Header: http.Header{":protocol": {"websocket"}},
	})
	if err == nil {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return c, res, err
}

func mustStream(t testing.TB, d *Dialer) net.Conn {
	t.Helper()
	c, res, err := askStream(t, d)
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
			d := newDialer(t, overHTTP2(t, secure, accepted(func(w http.ResponseWriter, r *http.Request) {
				asked <- r
				echoStream(w, r)
				_, err := r.Body.Read(make([]byte, 1))
				ended <- err
			})))
			one, two := mustStream(t, d), mustStream(t, d)
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
				t.Error("two streams use two connections; want one")
			}
			if err := wire.CloseWrite(one); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(one); len(rest) != 0 || err != nil {
				t.Errorf("after CloseWrite the endpoint sent %q, %v; want the end of the stream", rest, err)
			}
			if err := <-ended; err != io.EOF {
				t.Errorf("the endpoint read %v; want the end of the stream", err)
			}
			two.Close()
			if err := <-ended; err == nil || err == io.EOF {
				t.Errorf("the endpoint read %v; want a reset", err)
			}
			if _, err := two.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Read after Close = %v; want net.ErrClosed", err)
			}
		})
	}
}

// A stream that the endpoint resets does not look like one that it ended.
func TestAResetIsAnError(t *testing.T) {
	d := newDialer(t, overHTTP2(t, false, accepted(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})))
	c := mustStream(t, d)
	got, err := io.ReadAll(c)
	if string(got) != "some" && len(got) != 0 || !errors.As(err, new(http2.StreamError)) {
		t.Errorf("Read = %q, %v; want a reset", got, err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("Write after the reset = nil; want an error")
	}
}

// A stream whose reader is slow is sent no more than a window, and what is on the
// way.
func TestStreamsHaveBackPressure(t *testing.T) {
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
	d := newDialer(t, overHTTP2(t, false, accepted(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, _ := fill(w)
		sent <- n
	})))
	mustStream(t, d)
	if n := <-sent; n > 2*streamWindow {
		t.Errorf("an endpoint could send %d bytes that were not read; the window is %d", n, streamWindow)
	}
	c := mustStream(t, newDialer(t, overHTTP2(t, false, accepted(func(http.ResponseWriter, *http.Request) { <-release }))))
	c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := fill(c); n > most || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write sent %d bytes that the endpoint did not read, %v; want the deadline", n, err)
	}
}

// limitedServer starts a minimal HTTP/2 server with the settings. It answers that
// many streams of a connection with 200. The next one ends the connection.
func limitedServer(t testing.TB, streams int, settings ...http2.Setting) string {
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
	go func() { // ends with the test, and so does serve: the dialer is closed
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
		name string
		spec Spec
		want error // errNoStreams, or nil for an *Error
	}{
		{"HTTP/1.1 alone", Spec{Network: "tcp", Address: secure, TLS: trust, Streams: true}, errNoStreams},
		{"HTTP/2 without the setting", Spec{Network: "tcp", Address: limitedServer(t, 1), HTTP2: true, Streams: true}, errNoStreams},
		{"not wanted by the Spec", Spec{Network: "tcp", Address: wstest.Reserve(t)}, errNoStreams},
		{"unreachable", Spec{Network: "tcp", Address: wstest.Reserve(t), HTTP2: true, Streams: true}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, tt.spec)
			for range 2 {
				_, _, err := askStream(t, d)
				if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && !errors.As(err, new(*Error)) {
					t.Errorf("Stream = %v; want errNoStreams: %v, else an *Error", err, tt.want != nil)
				}
			}
			if s := d.streams; s != nil && s.offered() != (tt.want == nil) {
				t.Errorf("the endpoint would be asked again: %v", s.offered())
			}
		})
	}
}

// Many streams share one connection. A connection that the endpoint has closed
// does not fail the next stream.
func TestStreamConnectionsAreSharedAndReplaced(t *testing.T) {
	addresses := make(chan string, 64)
	spec := overHTTP2(t, false, accepted(func(w http.ResponseWriter, r *http.Request) {
		addresses <- r.RemoteAddr
		echoStream(w, r)
	}))
	d := newDialer(t, spec)
	var streams sync.WaitGroup
	for range 20 {
		streams.Go(func() {
			if _, _, err := askStream(t, d); err != nil {
				t.Error(err)
			}
		})
	}
	streams.Wait()
	first := <-addresses
	for range 19 {
		if a := <-addresses; a != first {
			t.Fatalf("streams come from %s and %s; want one connection", first, a)
		}
	}
	s := d.streams
	s.mu.Lock()
	s.conns[0].Close()
	s.mu.Unlock()
	mustStream(t, d)
	if a := <-addresses; a == first {
		t.Error("the closed connection was used")
	}
	d.Close()
	mustStream(t, d)
	if len(s.conns) != 1 {
		t.Errorf("%d connections are kept after Close and one more stream; want 1", len(s.conns))
	}
}

func TestStreamEndsWithItsContext(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	d := newDialer(t, overHTTP2(t, false, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
	}))
	defer close(release)
	gone := errors.New("the client is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-asked; cancel(gone) }()
	_, _, err := d.Stream(ctx, &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Path: "/"}, Host: "a", Header: http.Header{":protocol": {"websocket"}},
	})
	if !errors.Is(err, gone) {
		t.Errorf("Stream = %v; want the cause", err)
	}
}

func TestRefusedStreams(t *testing.T) {
	d := newDialer(t, overHTTP2(t, false, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	}))
	_, res, err := askStream(t, d)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); res.StatusCode != 403 || strings.TrimSpace(string(body)) != "no" || err != nil {
		t.Errorf("the answer = %d %q, %v; want 403 \"no\"", res.StatusCode, body, err)
	}
}

// If a kept connection ends, the handshake is tried again on a new one. If the new
// connection ends too, the handshake has failed.
func TestStreamsOfAConnectionThatEnds(t *testing.T) {
	offers := http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}
	d := newDialer(t, Spec{Network: "tcp", Address: limitedServer(t, 1, offers), HTTP2: true, Streams: true})
	mustStream(t, d)
	mustStream(t, d)
	d = newDialer(t, Spec{Network: "tcp", Address: limitedServer(t, 0, offers), HTTP2: true, Streams: true})
	if _, _, err := askStream(t, d); err == nil || errors.Is(err, errNoStreams) {
		t.Errorf("Stream = %v; want what ended the connection", err)
	}
}

// The endpoint's limit of streams is obeyed from the first stream on.
func TestStreamsOverTheLimitGetAnotherConnection(t *testing.T) {
	limits := []http2.Setting{{ID: http2.SettingEnableConnectProtocol, Val: 1}, {ID: http2.SettingMaxConcurrentStreams, Val: 2}}
	d := newDialer(t, Spec{Network: "tcp", Address: limitedServer(t, 2, limits...), HTTP2: true, Streams: true})
	var streams sync.WaitGroup
	for range 5 {
		streams.Go(func() {
			if _, _, err := askStream(t, d); err != nil {
				t.Error(err)
			}
		})
	}
	streams.Wait()
	if n := len(d.streams.conns); n != 3 {
		t.Errorf("five streams use %d connections with room for two each; want 3", n)
	}
}
