package integration

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// settings are the values of tls.records.
var settings = []string{"sluice", "go"}

// secured is a gateway whose backend has TLS too.
type secured struct {
	*gateway
	backend *wstest.Backend
	clients *clientAuthority
}

// startSecured runs the gateway with records as set, in front of a backend over TLS. It asks
// clients for a certificate. Websocket is what the route says of sessions.
func startSecured(t *testing.T, records, websocket string, behave wstest.Behaviour) *secured {
	t.Helper()
	ca, clients := wstest.NewCA(t), newClientAuthority(t, "clients")
	cert, key := ca.Issue(t, "gateway.test")
	s := &secured{backend: wstest.NewTLSBackend(t, behave, ca.Server(t, "127.0.0.1")), clients: clients}
	s.gateway = startFile(t, fmt.Sprintf(`
listeners: [{ address: "localhost:0", tls: true }]
tls:
  certificates: [{ cert: %q, key: %q }]
  client_auth: { mode: request, ca: %q }
  records: %s
log: { format: json }
state_dir: %q
shutdown_timeout: 15s
backends:
  secure: { endpoints: ["wss://%s"], tls: { ca: %q } }
routes:
  - { path: /hello, respond: { body: hello } }
  - { name: ws, path: /ws/*, backend: secure, websocket: { %s } }
`, cert, key, clients.file, records, t.TempDir(), s.backend.Address, ca.File, websocket))
	s.ca = ca.File
	s.https = wstest.Target{Address: s.listener(true), TLS: ca.Client("gateway.test")}
	return s
}

// pair opens a session and returns both its ends.
func (s *secured) pair(t *testing.T, uri string) (client, backend wstest.Peer) {
	t.Helper()
	return wstest.Pair(t, s.https, s.backend, wstest.Handshake(uri))
}

// portable reports whether the binary has the portable engine only.
func portable() bool { return strings.Contains(built("-tags"), "portable") }

// Whatever the TLS handshake was, the records of the session after it are taken over, those of
// its backend too; or none of them, as the configuration says.
func TestRecordsOfEverySessionAreTakenOver(t *testing.T) {
	t.Parallel()
	old := func(suite uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite} }
	}
	curve := func(id tls.CurveID) func(*tls.Config) {
		return func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{id} }
	}
	kinds := []struct {
		name     string
		change   func(*tls.Config)
		requests int // before the handshake
	}{
		{"TLS 1.3", func(*tls.Config) {}, 0},
		{"TLS 1.3, ChaCha20", func(c *tls.Config) {
			c.MinVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		}, 1},
		{"TLS 1.3 with ALPN", func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }, 0},
		{"TLS 1.2, AES-128", old(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), 0},
		{"TLS 1.2, AES-256", old(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), 1},
		{"TLS 1.2, ChaCha20", old(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), 0},
		{"P-256", curve(tls.CurveP256), 0},
		{"X25519MLKEM768", curve(tls.X25519MLKEM768), 0},
		{"1,000 requests before", func(*tls.Config) {}, 1000},
		{"1,000 requests before, TLS 1.2", old(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), 1000},
	}
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s := startSecured(t, records, "", wstest.Echo)
			alice := s.clients.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "alice"}})
			sessions := 0
			for _, kind := range kinds {
				for _, certificate := range []bool{false, true} {
					config := s.https.TLS.Clone()
					kind.change(config)
					if certificate {
						config.Certificates = []tls.Certificate{alice}
					}
					config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
					for run := range 2 {
						p := wstest.Dial(t, wstest.Target{Address: s.https.Address, TLS: config})
						if resumed := p.Conn.Conn.(*tls.Conn).ConnectionState().DidResume; resumed != (run == 1) {
							t.Errorf("%s, certificate %t, connection %d: resumed %t", kind.name, certificate, run, resumed)
						}
						request := strings.Replace(get("/hello"), "Connection: close\r\n", "", 1)
						for range kind.requests {
							p.WriteString(request)
							if r, body := p.Answer(request); r.StatusCode != 200 || body != "hello" {
								t.Fatalf("%s: status %d, %q", kind.name, r.StatusCode, body)
							}
						}
						handshake := wstest.Handshake("/ws/")
						behind := p.Encode(wstest.Text("behind the handshake")) // in the same record
						p.WriteString(handshake + string(behind))
						p.Opened(handshake)
						p.Expect(wstest.Text("behind the handshake"))
						large := ws.NewBinaryFrame(make([]byte, 100_000))
						p.Send(wstest.Text(kind.name), large)
						p.Expect(wstest.Text(kind.name), large)
						sessions++
					}
				}
			}
			want := 0
			if records == "go" || portable() {
				want = 2 * sessions
			}
			if n := s.pumps(); n != want {
				t.Errorf("%d goroutines serve %d sessions; want %d", n, sessions, want)
			}
		})
	}
}

func TestViolationsOverTLSOnBothSides(t *testing.T) {
	t.Parallel()
	for _, records := range settings {
		for _, offender := range []string{"client", "backend"} {
			t.Run(records+" "+offender, func(t *testing.T) {
				t.Parallel()
				s := startSecured(t, records, "", nil)
				for i, v := range violations() {
					if v.deflate {
						continue
					}
					uri := fmt.Sprintf("/ws/%d", i)
					client, backend := s.pair(t, uri)
					from, to := client, backend
					if offender == "backend" {
						from, to = backend, client
					}
					valid := append([]ws.Frame{wstest.Text("valid"), wstest.Ping("valid")}, v.before...)
					from.WriteString(string(from.Encode(valid...)) + string(v.bad(from)) + string(from.Encode(wstest.Text("too late"))))
					to.Expect(valid...)
					to.ExpectClose(1001)
					from.ExpectClose(v.told())
					client.ExpectEnd()
					backend.ExpectEnd()
					expect(t, s.ended(uri), record{"close_code": v.told(), "ended_by": offender, "cause": "protocol violation"})
				}
			})
		}
	}
}

func TestEndsOverTLSOnBothSides(t *testing.T) {
	t.Parallel()
	const half = 11 + 8 // bytes of two frames of a client
	tests := []struct {
		name      string
		websocket string
		play      func(g *secured, client, backend wstest.Peer)
		want      record
	}{
		{"a close of the client", "", func(_ *secured, client, backend wstest.Peer) {
			client.Send(wstest.Close(4000, "bye"))
			backend.Expect(wstest.Close(4000, "bye"))
			backend.Send(wstest.Close(4000, ""))
			client.Expect(wstest.Close(4000, ""))
			client.ExpectEnd()
			backend.ExpectEnd()
		}, record{"close_code": 4000, "ended_by": "client", "cause": "close"}},
		{"a close of the backend", "", func(_ *secured, client, backend wstest.Peer) {
			backend.Send(wstest.Close(4001, ""))
			client.ExpectClose(4001)
			backend.Expect(wstest.Close(4001, ""))
			backend.ExpectEnd()
			client.ExpectEnd()
		}, record{"close_code": 4001, "ended_by": "backend", "cause": "close"}},
		{"the client ends its stream", "", func(_ *secured, client, backend wstest.Peer) {
			client.Send(wstest.Text("last"))
			_ = client.CloseWrite()
			backend.Expect(wstest.Text("last"))
			backend.ExpectClose(1001)
			backend.ExpectEnd()
			client.Expect(wstest.Close(1001, ""))
			client.ExpectEnd()
		}, record{"ended_by": "client", "cause": "client lost"}},
		{"the client is reset", "", func(_ *secured, client, backend wstest.Peer) {
			client.Reset()
			backend.ExpectClose(1001)
			backend.ExpectEnd()
		}, record{"ended_by": "client", "cause": "client lost"}},
		{"the client is lost inside a frame", "", func(_ *secured, client, backend wstest.Peer) {
			client.WriteString(string(client.Encode(wstest.Text("hello"), wstest.Text("half of it"))[:half]))
			backend.Expect(wstest.Text("hello"))
			client.Close()
			backend.ExpectCut()
		}, record{"ended_by": "client", "cause": "client lost"}},
		{"the client is lost inside a record", "", func(_ *secured, client, backend wstest.Peer) {
			below := client.Conn.Conn.(*tls.Conn).NetConn()
			_, _ = io.WriteString(below, "\x17\x03\x03\x01\x00half of it")
			below.Close()
			backend.ExpectClose(1001)
			backend.ExpectEnd()
		}, record{"ended_by": "client", "cause": "client lost"}},
		{"the client sends what is no record", "", func(_ *secured, client, backend wstest.Peer) {
			_, _ = io.WriteString(client.Conn.Conn.(*tls.Conn).NetConn(), get("/"))
			backend.ExpectClose(1001)
			backend.ExpectEnd()
			client.ExpectCut()
		}, record{"ended_by": "client", "cause": "client lost"}},
		{"the backend ends its stream", "", func(_ *secured, client, backend wstest.Peer) {
			backend.Send(wstest.Text("last"))
			_ = backend.CloseWrite()
			client.Expect(wstest.Text("last"))
			client.ExpectClose(1014)
			client.ExpectEnd()
		}, record{"ended_by": "backend", "cause": "backend lost"}},
		{"the backend is reset", "", func(_ *secured, client, backend wstest.Peer) {
			backend.Reset()
			client.ExpectClose(1014)
			client.ExpectEnd()
		}, record{"ended_by": "backend", "cause": "backend lost"}},
		{"a message over the size", "limits: { message_size: 100B }", func(_ *secured, client, backend wstest.Peer) {
			client.Send(wstest.Text(strings.Repeat("x", 100)), wstest.Text(strings.Repeat("x", 101)))
			backend.Expect(wstest.Text(strings.Repeat("x", 100)))
			backend.ExpectClose(1001)
			client.ExpectClose(1009)
			client.ExpectEnd()
			backend.ExpectEnd()
		}, record{"ended_by": "client", "cause": "too large", "close_code": 1009}},
		{"messages over the rate", "limits: { message_rate: 1/h, message_burst: 3, on_excess: close }", func(_ *secured, client, backend wstest.Peer) {
			client.Send(wstest.Text("1"), wstest.Text("2"), wstest.Text("3"), wstest.Text("4")) // in one record
			backend.Expect(wstest.Text("1"), wstest.Text("2"), wstest.Text("3"))
			backend.ExpectClose(1001)
			client.ExpectClose(1008)
			client.ExpectEnd()
			backend.ExpectEnd()
		}, record{"ended_by": "client", "cause": "too fast", "close_code": 1008}},
		{"messages delayed", "limits: { message_rate: 100/s, message_burst: 1 }", func(_ *secured, client, backend wstest.Peer) {
			var frames []ws.Frame
			for i := range 20 {
				frames = append(frames, wstest.Text(fmt.Sprint(i)))
			}
			client.Send(append(frames, wstest.Close(1000, ""))...)
			backend.Expect(frames...)
			backend.ExpectClose(1000)
			backend.ExpectEnd()
			client.Expect(wstest.Close(1000, ""))
			client.ExpectEnd()
		}, record{"ended_by": "client", "cause": "close", "client_messages": 20}},
		{"a reload without the route", "", func(g *secured, client, backend wstest.Peer) {
			g.reload("configuration reloaded", "path: /hello", "path: /other") // it stays
			client.Send(wstest.Text("still here"))
			backend.Expect(wstest.Text("still here"))
			g.reload("configuration reloaded", "name: ws, path: /ws/*", "name: gone, path: /gone/*")
			client.ExpectClose(1012)
			backend.ExpectClose(1001)
			client.ExpectEnd()
			backend.ExpectEnd()
		}, record{"ended_by": "gateway", "cause": "route removed", "close_code": 1012}},
		{"shutdown", "", func(g *secured, client, backend wstest.Peer) {
			backend.Send(wstest.Part(ws.OpText, "begun"))
			client.Expect(wstest.Part(ws.OpText, "begun"))
			g.signal(syscall.SIGTERM)
			client.ExpectClose(1001)
			backend.ExpectClose(1001)
			client.ExpectEnd()
			backend.ExpectEnd()
			if code := g.exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		}, record{"ended_by": "gateway", "cause": "shutdown", "close_code": 1001}},
	}
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			for i, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					s := startSecured(t, records, tt.websocket, nil)
					uri := fmt.Sprintf("/ws/%d", i)
					client, backend := s.pair(t, uri)
					tt.play(s, client, backend)
					expect(t, s.ended(uri), tt.want)
				})
			}
		})
	}
}

// A reader that stalls holds the writer back, and gets every byte in the end.
func TestStalledReaderOverTLS(t *testing.T) {
	t.Parallel()
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s := startSecured(t, records, "", nil)
			client, backend := s.pair(t, "/ws/")
			message := ws.NewBinaryFrame(make([]byte, 32<<20))
			done := make(chan error, 1)
			go func() { done <- backend.Conn.Send(message) }()
			client.Send(wstest.Text("the other way"))
			backend.Expect(wstest.Text("the other way"))
			client.Expect(message)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// A TLS handshake in which each byte is a record of its own, and one that arrives byte by
// byte.
func TestHandshakeInPiecesOverTLS(t *testing.T) {
	t.Parallel()
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s := startSecured(t, records, "", wstest.Slowly)
			p := wstest.Dial(t, s.https)
			handshake := wstest.Handshake("/ws/")
			p.Trickle([]byte(handshake))
			p.Opened(handshake)
			p.Trickle(p.Encode(wstest.Text("hello")))
			p.Expect(wstest.Text("hello"))
			goodbye(p)
		})
	}
}

// A reload changes the setting for new sessions; open ones stay as they are.
func TestRecordsFollowAReload(t *testing.T) {
	t.Parallel()
	s := startSecured(t, "sluice", "", wstest.Echo)
	open := func() wstest.Peer { return wstest.Open(t, s.https, wstest.Handshake("/ws/")) }
	peers := []wstest.Peer{open()}
	s.reload("configuration reloaded", "records: sluice", "records: go")
	peers = append(peers, open())
	for _, p := range peers {
		p.Send(wstest.Text("still here"))
		p.Expect(wstest.Text("still here"))
	}
	want := 2
	if portable() {
		want = 4 // it has them for every session
	}
	if n := s.pumps(); n != want {
		t.Errorf("%d goroutines serve two sessions, one of each kind; want %d", n, want)
	}
}

// The clients that people use, with both settings: the servers are the same.
func TestLibrariesOverTLS(t *testing.T) {
	t.Parallel()
	needPython(t, "websockets")
	needNode(t, "ws")
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			ca := wstest.NewCA(t)
			cert, key := ca.Issue(t, "gateway.test", "127.0.0.1", "::1")
			g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", tls: true }]
tls: { certificates: [{ cert: %q, key: %q }], records: %s }
log: { format: json }
state_dir: %q
routes: [{ backend: %q }]
`, cert, key, records, t.TempDir(), server(t, "node", testdata("ws_server.mjs"))))
			url := "wss://" + g.listener(true) + "/"
			tool(t, python, testdata("websockets_client.py"), url, ca.File)
			tool(t, "node", testdata("ws_client.mjs"), url, ca.File)
		})
	}
}

// An HTTP/2 connection and the sessions beside it do not affect each other.
func TestHTTP2BesideSessions(t *testing.T) {
	t.Parallel()
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s := startSecured(t, records, "", wstest.Echo)
			p := wstest.Open(t, s.https, wstest.Handshake("/ws/"))
			client := s.client(t)
			request, err := http.NewRequest("GET", s.https.URL("/hello"), nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "gateway.test"
			for i := range 50 {
				r, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || r.ProtoMajor != 2 || string(body) != "hello" {
					t.Fatalf("request %d: %s, %q, %v; want HTTP/2.0, \"hello\"", i, r.Proto, body, err)
				}
				p.Send(wstest.Text("hello"))
				p.Expect(wstest.Text("hello"))
			}
			goodbye(p)
		})
	}
}

// A session whose TLS records the relay cannot take over is served all the same, and the log
// says why it costs more: once a minute, however many there are.
func TestSessionsThatStayWithGo(t *testing.T) {
	t.Parallel()
	for _, records := range settings {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			s := startSecured(t, records, "", wstest.Echo)
			target := s.https
			target.TLS = target.TLS.Clone()
			target.TLS.MaxVersion = tls.VersionTLS12
			target.TLS.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
			for i := range 3 {
				uri := fmt.Sprintf("/ws/%d", i)
				p := open(t, target, uri)
				p.Send(wstest.Text("hello"))
				p.Expect(wstest.Text("hello"))
				p.Send(wstest.Close(1000, ""))
				p.ExpectClose(1000)
				p.ExpectEnd()
				s.ended(uri)
			}
			var said []string
			for _, r := range s.log() {
				if r.number("sessions") > 0 {
					said = append(said, r.text("reason"))
				}
			}
			reason := "CBC"
			if portable() {
				reason = "no event loops"
			}
			switch {
			case records == "go" && len(said) != 0:
				t.Errorf("the log says %q; want nothing, as was asked for", said)
			case records == "sluice" && (len(said) == 0 || !strings.Contains(said[0], reason)):
				t.Errorf("the log says %q; want a line with %q", said, reason)
			}
		})
	}
}
