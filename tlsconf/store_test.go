package tlsconf

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"sluice/internal/wstest"
	"sluice/internal/wstest/certtest"
	"sluice/tlsconf/certfile"
)

// endpoint is a connection that has only a local address.
type endpoint struct {
	net.Conn
	local net.Addr
}

func (e endpoint) LocalAddr() net.Addr { return e.local }

// hello returns the ClientHello of a modern client, or of one that knows only one
// kind of key.
func hello(name, onlyKey string, local net.Addr) *tls.ClientHelloInfo {
	h := &tls.ClientHelloInfo{
		ServerName:        name,
		SupportedVersions: []uint16{tls.VersionTLS13, tls.VersionTLS12},
		CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		SupportedCurves:   []tls.CurveID{tls.X25519, tls.CurveP256},
		SupportedPoints:   []uint8{0},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
	}
	switch onlyKey {
	case "rsa":
		h.SignatureSchemes = h.SignatureSchemes[1:]
	case "ecdsa":
		h.SignatureSchemes = h.SignatureSchemes[:1]
	}
	if local != nil {
		h.Conn = endpoint{local: local}
	}
	return h
}

func TestCertificateIsPickedByNameAndKey(t *testing.T) {
	files := []struct {
		base string
		spec certtest.Spec
	}{
		{base: "default", spec: certtest.Spec{Names: []string{"default.test"}}},
		{base: "exact", spec: certtest.Spec{Names: []string{"A.example.com"}}},
		{base: "wildcard", spec: certtest.Spec{Names: []string{"*.example.com"}}},
		{base: "both-rsa", spec: certtest.Spec{Key: "rsa", Names: []string{"both.test"}}},
		{base: "both-ecdsa", spec: certtest.Spec{Names: []string{"both.test"}}},
		{base: "wildcard-rsa", spec: certtest.Spec{Key: "rsa", Names: []string{"*.example.com"}}},
		{base: "address", spec: certtest.Spec{Names: []string{"192.0.2.7", "2001:db8::7"}}},
	}
	o := Options{SelfSigned: []string{"localhost", "*.localhost", "127.0.0.1", "::1"}, StateDir: t.TempDir()}
	for _, f := range files {
		o.Files = append(o.Files, write(t, f.spec, f.base))
	}
	s, err := New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	tcp := func(ip, zone string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 443, Zone: zone} }
	tests := []struct {
		name, server, key string
		local             net.Addr
		want              string // base of a file, or "local CA"
	}{
		{name: "exact", server: "a.example.com", want: "exact"},
		{name: "case does not matter", server: "A.Example.COM", want: "exact"},
		{name: "wildcard", server: "b.example.com", want: "wildcard"},
		{name: "wildcard is one label", server: "c.b.example.com", want: "default"},
		{name: "wildcard needs a label", server: "example.com", want: "default"},
		{name: "unknown name", server: "nobody.test", want: "default"},
		{name: "no name", want: "default"},
		{name: "no name on a unix socket", local: &net.UnixAddr{Name: "/run/s", Net: "unix"}, want: "default"},
		{name: "first of two that fit", server: "both.test", want: "both-rsa"},
		{name: "client knows RSA only", server: "both.test", key: "rsa", want: "both-rsa"},
		{name: "client knows ECDSA only", server: "both.test", key: "ecdsa", want: "both-ecdsa"},
		{name: "wildcard with the right key before an exact one", server: "a.example.com", key: "rsa", want: "wildcard-rsa"},
		{name: "IPv4 address connected to", local: tcp("192.0.2.7", ""), want: "address"},
		{name: "IPv6 address connected to", local: tcp("2001:db8::7", ""), want: "address"},
		{name: "address nobody has", local: tcp("192.0.2.8", ""), want: "default"},
		{name: "name wins over the address", server: "a.example.com", local: tcp("192.0.2.7", ""), want: "exact"},
		{name: "self-signed name", server: "localhost", want: "local CA"},
		{name: "self-signed wildcard", server: "app.localhost", want: "local CA"},
		{name: "self-signed IPv4", local: tcp("127.0.0.1", ""), want: "local CA"},
		{name: "self-signed IPv6", local: tcp("::1", "lo"), want: "local CA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.pick(hello(tt.server, tt.key, tt.local))
			if err != nil {
				t.Fatal(err)
			}
			if from := sourceOf(s, got); from != tt.want {
				t.Errorf("pick(%q, %s) is %s, want %s", tt.server, tt.key, from, tt.want)
			}
		})
	}
}

// A client that asks for a name that no certificate has gets one that is there, while those
// before it are still to come from a CA.
func TestUnknownNamesDoNotWaitForTheCA(t *testing.T) {
	s, err := New(Options{
		ACME:       &ACME{Directory: fakeURL + "/dir", Cache: t.TempDir(), Hosts: []string{"a.test"}, Transport: newFakeCA(t)},
		SelfSigned: []string{"localhost"}, StateDir: t.TempDir(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"unknown.test", ""} {
		got, err := s.pick(hello(server, "", nil))
		if err != nil {
			t.Fatalf("pick(%q): %v", server, err)
		}
		if from := sourceOf(s, got); from != "local CA" {
			t.Errorf("pick(%q) is %s; want that of the local CA", server, from)
		}
	}
	if _, err := s.pick(hello("a.test", "", nil)); err == nil {
		t.Error("pick(a.test) has a certificate before the CA has issued it")
	}
}

// sourceOf returns the base name of the file that c was loaded from.
func sourceOf(s *Store, c *tls.Certificate) string {
	for _, p := range s.current.Load().pairs {
		if c == &p.Certificate {
			base := filepath.Base(p.File.Cert)
			return base[:len(base)-len(".pem")]
		}
	}
	return "local CA"
}

func TestStoreWithoutCertificatesRefusesHandshakes(t *testing.T) {
	s, err := New(Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.pick(hello("a.test", "", nil)); c != nil || err == nil {
		t.Errorf("pick = %v, %v; want an error", c, err)
	}
	if file := s.RootFile(); file != "" {
		t.Errorf("RootFile = %q, want none", file)
	}
}

func TestNames(t *testing.T) {
	f := write(t, certtest.Spec{Names: []string{"*.a.test", "192.0.2.1"}, NotAfter: time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)}, "site")
	s, err := New(Options{Files: []certfile.File{f}, SelfSigned: []string{"LOCALHOST", "localhost", "::ffff:127.0.0.1"}, StateDir: t.TempDir()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Source{
		{Names: []string{"*.a.test", "192.0.2.1"}, From: f.Cert, Expiry: time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)},
		{Names: []string{"localhost", "127.0.0.1"}, From: "local CA"},
	}
	if got := s.Names(); !reflect.DeepEqual(got, want) {
		t.Errorf("Names = %v, want %v", got, want)
	}
}

func TestHandshakes(t *testing.T) {
	s, err := New(Options{
		Files: []certfile.File{
			write(t, certtest.Spec{Names: []string{"ecdsa.test"}}, "ecdsa"),
			write(t, certtest.Spec{Key: "rsa", Names: []string{"rsa.test"}}, "rsa"),
		},
		SelfSigned: []string{"localhost", "127.0.0.1"},
		StateDir:   t.TempDir(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := readPool(t, s.RootFile())
	for _, p := range s.current.Load().pairs {
		roots.AddCert(p.Leaf)
	}
	tests := []struct {
		server   string
		http2    bool
		protocol string
	}{
		{server: "ecdsa.test", http2: true, protocol: "h2"},
		{server: "rsa.test", http2: false, protocol: "http/1.1"},
		{server: "localhost", http2: true, protocol: "h2"},
		{server: "127.0.0.1", http2: true, protocol: "h2"},
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s over %s", tt.server, tls.VersionName(version)), func(t *testing.T) {
				client := &tls.Config{
					ServerName: tt.server, RootCAs: roots, MinVersion: version, MaxVersion: version,
					NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
				}
				server := s.ConfigFor(&tls.ClientHelloInfo{}, tt.http2)
				for _, resumed := range []bool{false, true} {
					state, err := connect(t, server, client)
					if err != nil {
						t.Fatal(err)
					}
					if state.NegotiatedProtocol != tt.protocol || state.DidResume != resumed {
						t.Errorf("got protocol %q, resumed %v; want %q, %v", state.NegotiatedProtocol, state.DidResume, tt.protocol, resumed)
					}
				}
			})
		}
	}
}

func TestMinVersion(t *testing.T) {
	tests := []struct {
		name        string
		min, client uint16
		ok          bool
	}{
		{name: "default takes 1.2", client: tls.VersionTLS12, ok: true},
		{name: "default refuses 1.1", client: tls.VersionTLS11},
		{name: "1.3 refuses 1.2", min: tls.VersionTLS13, client: tls.VersionTLS12},
		{name: "1.3 takes 1.3", min: tls.VersionTLS13, client: tls.VersionTLS13, ok: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := New(Options{SelfSigned: []string{"localhost"}, StateDir: t.TempDir(), MinVersion: tt.min}, nil)
			if err != nil {
				t.Fatal(err)
			}
			client := &tls.Config{ServerName: "localhost", RootCAs: readPool(t, s.RootFile()), MinVersion: tls.VersionTLS10, MaxVersion: tt.client}
			if _, err := connect(t, s.ConfigFor(&tls.ClientHelloInfo{}, false), client); (err == nil) != tt.ok {
				t.Errorf("handshake = %v; want success: %v", err, tt.ok)
			}
		})
	}
}

// connect connects client to server over loopback, and returns the state of the
// client's connection. The client reads one byte, so that it gets tickets that are
// sent behind the handshake.
func connect(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := wstest.Sockets(t, "tcp")
	c := tls.Client(near, client)
	if err, _ := wstest.HandshakeTLS(c, tls.Server(far, server)); err != nil { // the client sees what went wrong
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

func BenchmarkPick(b *testing.B) {
	s, err := New(Options{SelfSigned: []string{"*.localhost"}, StateDir: b.TempDir()}, nil)
	if err != nil {
		b.Fatal(err)
	}
	h := hello("app.localhost", "", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.pick(h); err != nil {
			b.Fatal(err)
		}
	}
}
