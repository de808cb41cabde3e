package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"golang.org/x/net/http2"

	"sluice/internal/wstest"
	_ "sluice/internal/wstest/xconnect"
	"sluice/proxy/backend"
)

// onStreams is a backend that takes WebSockets over HTTP/2 alone, and does with
// each what its path says. It returns the URL for the endpoint.
func onStreams(t *testing.T, secure bool) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get(":protocol") != "websocket" || r.Header.Get("Sec-Websocket-Key") != "" {
			http.Error(w, "no WebSocket over HTTP/2: "+r.Method, http.StatusTeapot)
			return
		}
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		switch r.URL.Path {
		case "/refuse":
			w.Header().Set("X-Why", "because")
			http.Error(w, "no", http.StatusForbidden)
			return
		case "/wrong":
			w.Header().Set("Sec-WebSocket-Protocol", "other")
		case "/mute":
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Proto", r.Proto)
		w.WriteHeader(http.StatusOK)
		control.Flush()
		for {
			p, op, err := wsutil.ReadClientData(struct {
				io.Reader
				io.Writer
			}{r.Body, flushing{w, control}})
			if err != nil {
				return
			}
			switch string(p) {
			case "end":
				return
			case "reset":
				panic(http.ErrAbortHandler)
			}
			if wsutil.WriteServerMessage(flushing{w, control}, op, p) != nil {
				return
			}
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	scheme := "h2c://"
	if secure {
		scheme = "https://"
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return scheme + s.Listener.Addr().String()
}

type flushing struct {
	io.Writer
	control *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}

// asking is a configuration whose WebSockets go over HTTP/2.
func asking(endpoint string) string {
	insecure := ""
	if strings.HasPrefix(endpoint, "https") {
		insecure = ", tls: {insecure: true}"
	}
	return fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends: {app: {endpoints: ["%s"], websocket_over: h2, health: {check: websocket, path: /health}%s}}
routes: [{backend: app}]
`, endpoint, insecure)
}

func TestSessionsOverHTTP2(t *testing.T) {
	for name, secure := range map[string]bool{"TLS": true, "h2c": false} {
		t.Run(name, func(t *testing.T) {
			g, address := start(t, asking(onStreams(t, secure)))
			c := dial(t, address, "/chat")
			exchange1(t, c)
			large := strings.Repeat("x", 1<<20)
			if err := wsutil.WriteClientText(c, []byte(large)); err != nil {
				t.Fatal(err)
			}
			if p, err := wsutil.ReadServerText(c); err != nil || string(p) != large {
				t.Fatalf("%d bytes came back of %d, %v", len(p), len(large), err)
			}
			if err := ws.WriteFrame(c, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "bye")))); err != nil {
				t.Fatal(err)
			}
			if f, err := wstest.ReadFrame(c); err != nil || f.Header.OpCode != ws.OpClose || string(f.Payload[:2]) != "\x0f\xa1" {
				t.Errorf("the answer to the Close is %+v, %v", f, err)
			}
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the Close: %v", err)
			}
			g.await(`"cause":"close"`)
			if s := g.endpoints()[0]; s.State != "up" {
				t.Errorf("the endpoint is %s: %s", s.State, s.Error)
			}
		})
	}
}

// A stream that ends without a Close frame is a connection lost.
func TestLostStreamsAre1014(t *testing.T) {
	g, address := start(t, asking(onStreams(t, false)))
	for _, how := range []string{"end", "reset"} {
		c := dial(t, address, "/chat")
		if err := wsutil.WriteClientText(c, []byte(how)); err != nil {
			t.Fatal(err)
		}
		if code := closeCode(t, c); code != 1014 {
			t.Errorf("%s: the client got %d, want 1014", how, code)
		}
	}
	g.await(`"cause":"backend lost"`)
}

func TestRefusalsOverHTTP2(t *testing.T) {
	_, address := start(t, asking(onStreams(t, false)))
	tests := []struct {
		path   string
		status int
		why    string
		body   string
	}{
		{"/refuse", 403, "because", "no\n"},
		{"/wrong", 502, "", ""},
		{"/mute", 502, "", ""},
	}
	for _, tt := range tests {
		res, body := ask(t, address, "GET", tt.path, "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
		if res.StatusCode != tt.status || res.Header.Get("X-Why") != tt.why || tt.body != "" && body != tt.body {
			t.Errorf("%s: %d %q with %q", tt.path, res.StatusCode, body, res.Header)
		}
	}
}

// unoffering is an endpoint for both versions that has WebSockets on HTTP/1.1
// alone.
func unoffering(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		if first, err := in.Peek(3); err != nil {
			return
		} else if string(first) == "PRI" {
			in.Discard(len(http2.ClientPreface))
			f := http2.NewFramer(c, in)
			f.WriteSettings()
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if ping, ok := frame.(*http2.PingFrame); ok {
					f.WritePing(true, ping.Data)
				}
			}
		}
		both := struct {
			io.Reader
			io.Writer
		}{in, c}
		if _, err := ws.Upgrade(both); err != nil {
			return
		}
		for {
			p, op, err := wsutil.ReadClientData(both)
			if err != nil || wsutil.WriteServerMessage(both, op, p) != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "h2c://" + l.Addr().String()
}

// Who does not offer streams has sessions all the same.
func TestSessionsWithoutStreams(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer c.Close()
		if p, op, err := wsutil.ReadClientData(c); err == nil {
			wsutil.WriteServerMessage(c, op, p)
		}
	}))
	defer secure.Close()
	for name, endpoint := range map[string]string{
		"TLS, HTTP/1.1 alone": secure.URL,
		"h2c":                 unoffering(t),
	} {
		t.Run(name, func(t *testing.T) {
			_, address := start(t, strings.Replace(asking(endpoint), "health: {check: websocket, path: /health}", "health: tcp", 1))
			exchange1(t, dial(t, address, "/chat"))
			exchange1(t, dial(t, address, "/chat"))
		})
	}
}

// Extended CONNECT is for backends: a client that asks for it, where an
// operator has switched it on in net/http, gets an answer.
func TestClientsHaveNoExtendedCONNECT(t *testing.T) {
	_, address := start(t, fmt.Sprintf(`
state_dir: %q
listeners: [{address: "127.0.0.1:0", tls: true}]
tls: {self_signed: [localhost]}
routes: [{respond: {status: 200}}]
`, t.TempDir()))
	p := backend.New("gateway", backend.Settings{Endpoints: []backend.Endpoint{{
		Name: "gateway", Network: "tcp", Address: address, Streams: true,
		TLS: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true},
	}}}, nil)
	defer p.Close()
	l, err := p.Acquire(t.Context(), backend.Need{}, &backend.Tried{Began: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	ctx, cancel := context.WithTimeout(t.Context(), wstest.Guard)
	defer cancel()
	c, res, err := l.Stream(ctx, &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Path: "/"}, Host: "localhost",
		Header: http.Header{":protocol": {"websocket"}, "Sec-WebSocket-Version": {"13"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("the answer is %d, want 400", res.StatusCode)
	}
}
