package record

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"

	"sluice/internal/wire"
)

// shakes are the handshakes after which a take-over must work.
var shakes = []struct {
	name           string
	client, server func(*tls.Config)
	resumed        bool // of two connections the second resumes
}{
	{name: "TLS 1.3"},
	{name: "TLS 1.3, X25519MLKEM768", client: curve(tls.X25519MLKEM768)},
	{name: "TLS 1.3, P-256", client: curve(tls.CurveP256)},
	{name: "TLS 1.3, HelloRetryRequest", server: curve(tls.CurveP384)},
	{name: "TLS 1.3, client certificate", server: asking},
	{name: "TLS 1.3, client certificate, resumed", server: asking, resumed: true},
	{name: "TLS 1.3, resumed", resumed: true},
	{name: "TLS 1.3, no tickets", client: func(c *tls.Config) { c.SessionTicketsDisabled = true }},
	{name: "TLS 1.3, RSA certificate", server: func(c *tls.Config) { c.Certificates = c.Certificates[1:] }},
	{name: "TLS 1.2", client: old(0)},
	{name: "TLS 1.2, resumed", client: old(0), resumed: true},
	{name: "TLS 1.2, client certificate", client: old(0), server: asking},
	{name: "TLS 1.2, ECDSA, AES-128", client: old(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)},
	{name: "TLS 1.2, ECDSA, AES-256", client: old(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)},
	{name: "TLS 1.2, ECDSA, ChaCha20", client: old(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)},
	{name: "TLS 1.2, RSA, AES-128", client: old(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)},
	{name: "TLS 1.2, RSA, AES-256", client: old(tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)},
	{name: "TLS 1.2, RSA, ChaCha20", client: old(tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)},
	{name: "TLS 1.2, ChaCha20, resumed", client: old(tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256), resumed: true},
}

func curve(id tls.CurveID) func(*tls.Config) {
	return func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{id} }
}

func old(suite uint16) func(*tls.Config) {
	return func(c *tls.Config) {
		c.MaxVersion = tls.VersionTLS12
		if suite != 0 {
			c.CipherSuites = []uint16{suite}
		}
	}
}

func asking(c *tls.Config) {
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, id().roots
}

func TestTakeOver(t *testing.T) {
	for _, tt := range shakes {
		t.Run(tt.name, func(t *testing.T) {
			for _, requests := range []int{0, 1, 30} {
				client, server := clientConfig(), serverConfig()
				client.Certificates = []tls.Certificate{id().ecdsa}
				if tt.client != nil {
					tt.client(client)
				}
				if tt.server != nil {
					tt.server(server)
				}
				runs := 1
				if tt.resumed {
					runs, client.ClientSessionCache = 2, tls.NewLRUClientSessionCache(1)
				}
				ours := serve(t, server, false)
				for run := range runs {
					c := dial(t, ours.address, client)
					if c.ConnectionState().DidResume != (run == 1) {
						t.Fatalf("connection %d: resumed is %v", run, c.ConnectionState().DidResume)
					}
					request(t, c, "body", requests)
					upgrade(t, c, "after the request")
					if err := <-ours.taken; err != nil {
						t.Fatalf("the server, after %d requests, connection %d: %v", requests, run, err)
					}
					expect(t, c, "after the request")
					converse(t, c)
					if err := c.CloseWrite(); err != nil {
						t.Fatal(err)
					}
					if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Fatalf("after the end: %d, %v; want EOF", n, err)
					}
				}
				if tt.resumed && client.MaxVersion == tls.VersionTLS12 {
					continue // as client nothing resumes TLS 1.2: backends are dialed without a cache
				}
				theirs := serve(t, server, true)
				for run := range runs {
					c := dial(t, theirs.address, client)
					if c.ConnectionState().DidResume != tt.resumed {
						t.Fatalf("connection %d: resumed is %v", run, c.ConnectionState().DidResume)
					}
					request(t, c, "body", requests)
					upgrade(t, c, "")
					x := took(t, c)
					converse(t, x)
					x.finish()
					if n, err := x.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Fatalf("after the end: %d, %v; want EOF", n, err)
					}
				}
			}
		})
	}
}

// upgrade asks for a session, and reads the answer only.
func upgrade(t testing.TB, c io.ReadWriter, after string) {
	t.Helper()
	if _, err := c.Write([]byte(upgradeRequest + after)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, upgradeResponse)
}

// rekey returns a KeyUpdate of x, which uses the next keys from then on.
func (x *session) rekey(t testing.TB, ask byte) []byte {
	t.Helper()
	b := x.put(t, typeHandshake, []byte{keyUpdate, 0, 0, 1, ask})
	s, _ := suiteOf(x.Suite)
	if err := x.State.out.update(s); err != nil {
		t.Fatal(err)
	}
	x.Ciphers.out.aead = nil
	x.asked += int(ask)
	return b
}

// answered checks that x was answered at least once if it asked for other keys, and not more
// often than it asked. First are the keys before.
func answered(t *testing.T, x *session, first directionKeys) {
	t.Helper()
	s, _ := suiteOf(x.Suite)
	for n := 0; n <= x.asked; n++ {
		if first.secret == x.State.in.secret && (n > 0 || x.asked == 0) {
			return
		}
		first.update(s)
	}
	t.Errorf("the keys did not change between one and %d times", x.asked)
}

// What a client can have sent when the server takes over, cut into records in every way. The
// client protects its records with this package too, so that it can do what crypto/tls never
// does.
func TestTakeOverInTheMiddle(t *testing.T) {
	// Each returns what is sent at once, and of it how many bytes the server
	// gets only after the take-over.
	type send func(t *testing.T, x *session) (b []byte, later int)
	small := func(x *session, t *testing.T, text string, size int) (b []byte) {
		for i := 0; i < len(text); i += size {
			b = append(b, x.seal(t, []byte(text[i:min(i+size, len(text))]))...)
		}
		return b
	}
	tests := []struct {
		name   string
		send   send
		echo   string // what comes back of it
		only13 bool
	}{
		{"the request", func(t *testing.T, x *session) ([]byte, int) {
			return x.seal(t, []byte(upgradeRequest)), 0
		}, "", false},
		{"the request in small records", func(t *testing.T, x *session) ([]byte, int) {
			return small(x, t, upgradeRequest, 3), 0
		}, "", false},
		{"frames in the request's record", func(t *testing.T, x *session) ([]byte, int) {
			return x.seal(t, []byte(upgradeRequest+"frames")), 0
		}, "frames", false},
		{"frames in a record of their own", func(t *testing.T, x *session) ([]byte, int) {
			return append(x.seal(t, []byte(upgradeRequest)), x.seal(t, []byte("frames"))...), 0
		}, "frames", false},
		{"many frames", func(t *testing.T, x *session) ([]byte, int) {
			return small(x, t, upgradeRequest+strings.Repeat("frames", 9000), 10000), 0
		}, strings.Repeat("frames", 9000), false},
		{"half a record", func(t *testing.T, x *session) ([]byte, int) {
			return append(x.seal(t, []byte(upgradeRequest)), x.seal(t, []byte("cut"))...), 9
		}, "cut", false},
		{"half a header", func(t *testing.T, x *session) ([]byte, int) {
			b, cut := x.seal(t, []byte(upgradeRequest)), x.seal(t, []byte("cut"))
			return append(b, cut...), len(cut) - 2
		}, "cut", false},
		{"half of a long record", func(t *testing.T, x *session) ([]byte, int) {
			return append(x.seal(t, []byte(upgradeRequest)), x.seal(t, make([]byte, maxPlain))...), 9000
		}, string(make([]byte, maxPlain)), false},
		{"an empty record", func(t *testing.T, x *session) ([]byte, int) {
			return append(x.seal(t, []byte(upgradeRequest)), x.put(t, typeData, nil)...), 0
		}, "", false},
		{"a key update", func(t *testing.T, x *session) ([]byte, int) {
			return append(x.seal(t, []byte(upgradeRequest)), x.rekey(t, 0)...), 0
		}, "", true},
		{"a key update that asks", func(t *testing.T, x *session) ([]byte, int) {
			return append(x.seal(t, []byte(upgradeRequest)), x.rekey(t, 1)...), 0
		}, "", true},
		{"frames, a key update that asks, and half a record", func(t *testing.T, x *session) ([]byte, int) {
			b := append(x.seal(t, []byte(upgradeRequest+"frames")), x.rekey(t, 1)...)
			return append(b, x.seal(t, []byte("cut"))...), 9
		}, "framescut", true},
		{"key updates before the request", func(t *testing.T, x *session) ([]byte, int) {
			b := append(x.rekey(t, 1), x.rekey(t, 0)...)
			b = append(b, x.rekey(t, 1)...)
			return append(b, x.seal(t, []byte(upgradeRequest))...), 0
		}, "", true},
		{"key updates among records of the same length", func(t *testing.T, x *session) ([]byte, int) {
			b := append(small(x, t, upgradeRequest[:50], 5), x.rekey(t, 1)...)
			b = append(b, small(x, t, upgradeRequest[50:65], 5)...)
			b = append(b, x.rekey(t, 0)...)
			b = append(b, x.seal(t, []byte(upgradeRequest[65:]))...)
			return append(b, x.rekey(t, 1)...), 0
		}, "", true},
		{"frames and the end", func(t *testing.T, x *session) ([]byte, int) {
			b := x.seal(t, []byte(upgradeRequest+"frames"))
			return x.Alert(&x.Ciphers, b, CloseNotify), 0
		}, "frames", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				if tt.only13 && version != tls.VersionTLS13 {
					continue
				}
				for range 5 { // net/http reads different parts of it
					config := clientConfig()
					config.MaxVersion = version
					s := serve(t, serverConfig(), false)
					c := dial(t, s.address, config)
					request(t, c, "body", 2)
					x := took(t, c)
					first := x.State.in
					b, later := tt.send(t, x)
					now := len(b) - later
					if _, err := x.Conn.Write(b[:now]); err != nil {
						t.Fatal(err)
					}
					expect(t, x, upgradeResponse)
					if err := <-s.taken; err != nil {
						t.Fatalf("%s: %v", tls.VersionName(version), err)
					}
					if _, err := x.Conn.Write(b[now:]); err != nil {
						t.Fatal(err)
					}
					expect(t, x, tt.echo)
					if !x.ended {
						converse(t, x)
						answered(t, x, first)
						x.finish()
					}
					if n, err := x.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Fatalf("%s: after the end: %d, %v; want EOF", tls.VersionName(version), n, err)
					}
				}
			}
		})
	}
}

func TestTakeRefuses(t *testing.T) {
	tests := []struct {
		name    string
		config  func(*tls.Config)
		prepare func(*wire.Conn)
	}{
		{"a suite without AEAD", old(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA), nil},
		{"a capture that was dropped", nil, (*wire.Conn).DropCapture},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := clientConfig()
			if tt.config != nil {
				tt.config(config)
			}
			s := serve(t, serverConfig(), true)
			c := dial(t, s.address, config)
			upgrade(t, c, "")
			if tt.prepare != nil {
				tt.prepare(wire.Of(c))
			}
			if _, early, ok := Take(c); ok || early != nil {
				t.Fatalf("Take = %q, %v; want nothing", early, ok)
			}
			if _, ok := wire.Of(c).TakeCapture(); ok {
				t.Error("the connection still has its capture")
			}
			converse(t, c)
		})
	}
}

// What crypto/tls accepts and a take-over cannot follow: the session stays with crypto/tls, and
// loses nothing.
func TestTakeLeavesWhatIsNotClear(t *testing.T) {
	tests := []struct {
		name       string
		now, after func(t *testing.T, x *session) []byte
		echo       string
	}{
		{"a ChangeCipherSpec, which crypto/tls ignores", func(t *testing.T, x *session) []byte {
			return append(x.seal(t, []byte(upgradeRequest+"early")), 20, 3, 3, 0, 1, 1)
		}, nil, "early"},
		{"a part of a key update", func(t *testing.T, x *session) []byte {
			return append(x.seal(t, []byte(upgradeRequest+"early")), x.put(t, typeHandshake, []byte{keyUpdate, 0, 0})...)
		}, func(t *testing.T, x *session) []byte {
			b := x.put(t, typeHandshake, []byte{1, 0})
			s, _ := suiteOf(x.Suite)
			x.State.out.update(s)
			x.Ciphers.out.aead = nil
			return b
		}, "early"},
		{"more key updates than are followed", func(t *testing.T, x *session) (b []byte) {
			for range maxUpdates + 1 {
				b = append(b, x.rekey(t, 0)...)
			}
			return append(b, x.seal(t, []byte(upgradeRequest))...)
		}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, serverConfig(), false)
			c := dial(t, s.address, clientConfig())
			request(t, c, "body", 1)
			x := took(t, c)
			if _, err := x.Conn.Write(tt.now(t, x)); err != nil {
				t.Fatal(err)
			}
			expect(t, x, upgradeResponse)
			if err := <-s.taken; !errors.Is(err, errTaken) {
				t.Fatalf("the server: %v; want %v", err, errTaken)
			}
			if tt.after != nil {
				if _, err := x.Conn.Write(tt.after(t, x)); err != nil {
					t.Fatal(err)
				}
			}
			expect(t, x, tt.echo)
			converse(t, x)
		})
	}
}

func TestTakeAfterTheEnd(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := clientConfig()
		config.MaxVersion = version
		s := serve(t, serverConfig(), true)
		c := dial(t, s.address, config)
		upgrade(t, c, "")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if s, _, ok := Take(c); ok || s != (State{}) {
			t.Errorf("%s: taken over after a close_notify of our own", tls.VersionName(version))
		}
	}
}

// The last records of crypto/tls are too long to be kept.
func TestTakeBehindBulk(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := clientConfig()
		config.MaxVersion, config.DynamicRecordSizingDisabled = version, true
		s := serve(t, serverConfig(), true)
		c := dial(t, s.address, config)
		upgrade(t, c, "")
		bulk := strings.Repeat("bulk", 8<<10)
		if _, err := c.Write([]byte(bulk)); err != nil {
			t.Fatal(err)
		}
		expect(t, c, bulk)
		converse(t, took(t, c))
	}
}

// States that a live connection cannot be brought into.
func TestPlaceNeedsAWholeRecord(t *testing.T) {
	for _, id := range all {
		client, server := ends(t, id)
		suite, _ := suiteOf(id)
		client.seal(t, []byte("one"))
		p := wire.Records{Whole: true, Count: 6, FirstSealed: 3, Last: client.seal(t, []byte("two")), LastIndex: 4}
		s := server.State
		if !s.locate(suite, &p) || s.in.sequence != 3 {
			t.Errorf("%s: not placed after the third record: %d", tls.CipherSuiteName(id), s.in.sequence)
		}
		p.Whole = false
		if s := server.State; s.locate(suite, &p) {
			t.Errorf("%s: placed inside a record", tls.CipherSuiteName(id))
		}
	}
}
